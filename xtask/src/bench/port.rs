//! The guest in libvirt's machine, which speaks as `crates/guest` does in every other.

use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use qplug_testbed::{Error, Result};

/// The host's end of the guest's serial port.
#[derive(Debug)]
pub(super) struct Port {
    stream: BufReader<UnixStream>,
    line: Vec<u8>,
}

impl Port {
    /// Connects; before the guest runs, as what it says before anybody listens is lost.
    pub(super) fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).map_err(Error::file("connect to", socket))?;
        Ok(Self { stream: BufReader::new(stream), line: Vec::new() })
    }

    /// Waits until the guest is up.
    pub(super) fn wait_ready(&mut self, within: Duration) -> Result<()> {
        self.wait(within, "ready", "")
    }

    /// Waits until the guest has found the disk.
    pub(super) fn wait_added(&mut self, serial: &str, within: Duration) -> Result<()> {
        self.wait(within, "+disk ", &format!(" serial={serial} "))
    }

    /// Waits until the guest has let go of the disk.
    pub(super) fn wait_removed(&mut self, serial: &str, within: Duration) -> Result<()> {
        self.wait(within, "-disk ", &format!(" serial={serial}"))
    }

    /// Waits until the guest has reported nothing for so long.
    pub(super) fn wait_quiet(&mut self, quiet: Duration) -> Result<()> {
        while !self.next_line(Instant::now() + quiet)?.is_empty() {}
        Ok(())
    }

    /// Waits for a line that begins and goes on so.
    fn wait(&mut self, within: Duration, begin: &str, rest: &str) -> Result<()> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            let line = self.next_line(deadline)?;
            if line.starts_with(begin) && line.contains(rest) {
                return Ok(());
            }
        }
        Err(Error::failed(format!("waited {within:?} for the guest of libvirt to say '{begin}'")))
    }

    /// The next line, or an empty one when none has come in time.
    fn next_line(&mut self, deadline: Instant) -> Result<String> {
        let broken = |error| Error::failed(format!("the guest's port cannot be read: {error}"));
        // Zero would mean 'for ever' to the kernel.
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.get_ref().set_read_timeout(Some(left)).map_err(broken)?;
        match self.stream.read_until(b'\n', &mut self.line) {
            Ok(0) => Err(Error::failed("the machine in libvirt has ended")),
            Ok(_) => {
                let line = std::mem::take(&mut self.line);
                Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(String::new())
            }
            Err(error) => Err(broken(error)),
        }
    }
}
