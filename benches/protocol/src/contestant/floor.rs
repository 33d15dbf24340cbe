//! The bare loop: nobody who speaks over this socket can be faster.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::Contestant;
use crate::Failure;
use crate::reply::EVENT;
use crate::work::{BURST, IN_FLIGHT, Work};

/// More than a small reply takes; what needs more gets more.
const READ_BYTES: usize = 2 << 10;
const LARGE_READ_BYTES: usize = 256 << 10;

pub(super) struct Floor {
    stream: UnixStream,
    buffer: Vec<u8>,
    sent: u32,
}

impl Floor {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(path)?;
        let mut floor = Self { stream, buffer: vec![0; READ_BYTES], sent: 0 };
        floor.read_line()?;
        floor.ask(b"{\"execute\":\"qmp_capabilities\"}\n")?;
        Ok(floor)
    }

    /// The bytes that qplug sends, with an id that has as many digits as its ids have by now.
    fn command(&mut self, name: &str, count: u32) -> Vec<u8> {
        self.sent += count;
        format!("{{\"execute\":\"{name}\",\"id\":{}}}\n", self.sent).into_bytes()
    }

    fn ask(&mut self, command: &[u8]) -> Result<usize, Failure> {
        self.stream.write_all(command)?;
        self.read_line()
    }

    /// Reads to a line end that nothing follows, and tells how much that was.
    fn read_line(&mut self) -> Result<usize, Failure> {
        let mut length = 0;
        loop {
            let count = self.stream.read(&mut self.buffer)?;
            if count == 0 {
                return Err("the connection closed".into());
            }
            length += count;
            if self.buffer[..count].ends_with(b"\n") {
                return Ok(length);
            }
        }
    }

    fn read_exactly(&mut self, mut length: usize) -> Result<(), Failure> {
        while length > 0 {
            match self.stream.read(&mut self.buffer)? {
                0 => return Err("the connection closed".into()),
                count => {
                    length = length.checked_sub(count).ok_or("more came than was asked for")?
                }
            }
        }
        Ok(())
    }
}

impl Contestant for Floor {
    fn run(&mut self, work: Work, count: u32) -> Result<u64, Failure> {
        if work != Work::Single {
            self.buffer.resize(LARGE_READ_BYTES, 0);
        }
        match work {
            Work::Single => {
                let command = self.command("query-status", count);
                for _ in 0..count {
                    self.ask(&command)?;
                }
            }
            Work::InFlight => {
                let command = self.command("query-status", count * IN_FLIGHT);
                let length = self.ask(&command)? * IN_FLIGHT as usize;
                let commands = command.repeat(IN_FLIGHT as usize);
                for _ in 0..count {
                    self.stream.write_all(&commands)?;
                    self.read_exactly(length)?;
                }
            }
            Work::Events => {
                let command = self.command("cont", count);
                let length = self.ask(&command)? + EVENT.len() * BURST as usize;
                let command = String::from_utf8_lossy(&command).replace("cont", "stop");
                for _ in 0..count {
                    self.stream.write_all(command.as_bytes())?;
                    self.read_exactly(length)?;
                }
            }
            Work::Unparsed | Work::Decoded => {
                let command = self.command("query-qmp-schema", count);
                for _ in 0..count {
                    self.ask(&command)?;
                }
            }
        }
        Ok(0)
    }
}
