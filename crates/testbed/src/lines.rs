//! A socket of lines, read with deadlines.

use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// Time between two tries to reach a socket that QEMU has not made yet.
const KNOCK_EVERY: Duration = Duration::from_millis(2);

/// Why there is no next line.
#[derive(Debug)]
pub(crate) enum NoLine {
    /// The deadline passed; what came of a line is kept.
    Silent,
    /// The other end left.
    Closed,
    /// The socket failed.
    Broken(io::Error),
}

impl fmt::Display for NoLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => formatter.write_str("stayed silent"),
            Self::Closed => formatter.write_str("closed the connection"),
            Self::Broken(error) => write!(formatter, "cannot be read: {error}"),
        }
    }
}

/// The socket.
#[derive(Debug)]
pub(crate) struct Lines {
    stream: BufReader<UnixStream>,
    partial: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream: BufReader::new(stream), partial: Vec::new() }
    }

    /// Waits for a socket that may not be there yet, while there is `hope` that it will be.
    pub(crate) fn connect(
        path: &Path,
        within: Duration,
        hope: impl FnMut() -> bool,
    ) -> Result<Self> {
        knock(path, within, hope).map(Self::new)
    }

    pub(crate) fn send(&mut self, line: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes())
    }

    /// The next line without its end. A deadline in the past reads only what is there already.
    pub(crate) fn next(&mut self, deadline: Instant) -> Result<String, NoLine> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // Zero would mean 'for ever' to the kernel.
            let patience = left.max(Duration::from_millis(1));
            let reading = self
                .stream
                .get_ref()
                .set_read_timeout(Some(patience))
                .and_then(|()| self.stream.read_until(b'\n', &mut self.partial));
            match reading {
                Ok(_) if self.partial.ends_with(b"\n") => {
                    let bytes = std::mem::take(&mut self.partial);
                    return Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned());
                }
                Ok(_) => return Err(NoLine::Closed),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut if left.is_zero() => {
                        return Err(NoLine::Silent);
                    }
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return Err(NoLine::Broken(error)),
                },
            }
        }
    }
}

fn knock(path: &Path, within: Duration, mut hope: impl FnMut() -> bool) -> Result<UnixStream> {
    let deadline = Instant::now() + within;
    loop {
        // Asked before the try: a socket made just before its owner ended is still an answer.
        let may_come = hope() && Instant::now() < deadline;
        match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(_) if may_come => std::thread::sleep(KNOCK_EVERY),
            Err(error) => {
                let shown = path.display();
                return Err(Error::failed(format!("waited up to {within:?} for {shown}: {error}")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cut_by_a_deadline_is_not_lost() {
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        let mut lines = Lines::new(ours);
        theirs.write_all(b"half").unwrap();
        assert!(matches!(lines.next(Instant::now()), Err(NoLine::Silent)));
        theirs.write_all(b" and half\r\nnext\n").unwrap();
        assert_eq!(lines.next(Instant::now()).unwrap(), "half and half");
        assert_eq!(lines.next(Instant::now()).unwrap(), "next");
        drop(theirs);
        assert!(matches!(lines.next(Instant::now()), Err(NoLine::Closed)));
    }
}
