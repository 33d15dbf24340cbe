//! The least that a program can do to have QEMU do something: what `cargo xtask bench` measures
//! qplug against. It parses no JSON, checks nothing and prints nothing.
//!
//! `bare` does nothing at all. `bare SOCKET STEP...` connects and carries the steps out:
//!
//! | step | what |
//! |---|---|
//! | `greeting` | reads the greeting |
//! | `{...}` | sends this text, a command a line |
//! | `@FILE` | sends what is in this file, for scripts that are too long for an argument |
//! | `replies=N` | reads on until N replies have come in all |
//! | `gone=DEVICE` | reads on until the device is gone, if that has not come yet |
//! | `deleted=N` | reads on until N devices are gone in all |

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Error, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// As much as qplug reads at a time.
const READ_BUFFER_BYTES: usize = 64 << 10;
/// A machine that says nothing for so long says nothing any more.
const SILENCE: Duration = Duration::from_secs(60);

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let Some(socket) = arguments.next() else { return Ok(()) };
    let mut talk = Talk::connect(&socket)?;
    for step in arguments {
        match step.split_once('=') {
            _ if step.starts_with('{') => talk.send(&step)?,
            _ if step.starts_with('@') => talk.send(&fs::read_to_string(&step[1..])?)?,
            Some(("replies", count)) => {
                let count: usize = count.parse().map_err(Error::other)?;
                talk.read_until(|talk| talk.replies >= count)?;
            }
            Some(("deleted", count)) => {
                let count: usize = count.parse().map_err(Error::other)?;
                talk.read_until(|talk| talk.devices >= count)?;
            }
            Some(("gone", device)) => {
                let sign = format!("\"device\": \"{device}\"");
                talk.read_until(|talk| talk.deleted.iter().any(|line| line.contains(&sign)))?;
            }
            _ if step == "greeting" => drop(talk.line()?),
            _ => return Err(Error::other(format!("not a step: {step}"))),
        }
    }
    Ok(())
}

struct Talk {
    stream: BufReader<UnixStream>,
    /// Replies so far.
    replies: usize,
    /// The DEVICE_DELETED events so far.
    deleted: Vec<String>,
    /// How many of them name a device.
    devices: usize,
}

impl Talk {
    fn connect(socket: &str) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(SILENCE))?;
        let stream = BufReader::with_capacity(READ_BUFFER_BYTES, stream);
        Ok(Self { stream, replies: 0, deleted: Vec::new(), devices: 0 })
    }

    fn send(&mut self, commands: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(commands.as_bytes())
    }

    fn read_until(&mut self, done: impl Fn(&Self) -> bool) -> io::Result<()> {
        while !done(self) {
            let line = self.line()?;
            if line.starts_with("{\"return\"") {
                self.replies += 1;
            } else if line.contains("\"DEVICE_DELETED\"") {
                self.devices += usize::from(line.contains("\"device\": "));
                self.deleted.push(line);
            } else if !line.contains("\"event\"") {
                return Err(Error::other(line));
            }
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(Error::other("the machine hung up")),
            _ => Ok(line),
        }
    }
}
