//! The serial port to the host: lines in, lines out.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, read, write};
use rustix::termios::{
    ControlModes, OptionalActions, QueueSelector, tcdrain, tcflush, tcgetattr, tcsetattr,
};

/// The longest command taken.
const MAX_LINE: usize = 4096;

/// Stands in for a longer one: no such command exists, so the host gets its one answer, an error.
const OVERLONG: &str = "overlong-line";

/// How long the host may keep the port blocked before a line is dropped.
const SAY_WITHIN: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// The open port.
pub(crate) struct Port {
    tty: OwnedFd,
    partial: Vec<u8>,
    overlong: bool,
    lines: VecDeque<String>,
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tty.as_fd()
    }
}

impl Port {
    /// Opens a serial port for raw bytes, deaf to its modem lines: the host may leave, and another
    /// QEMU may take over, without a hang-up here.
    pub(crate) fn open(path: &str) -> Result<Self, String> {
        let configure = || {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let tty = rustix::fs::open(path, flags, Mode::empty())?;
            let mut settings = tcgetattr(&tty)?;
            settings.make_raw();
            settings.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
            tcsetattr(&tty, OptionalActions::Now, &settings)?;
            tcflush(&tty, QueueSelector::IFlush)?;
            Ok(tty)
        };
        let tty = configure().map_err(|errno: Errno| format!("cannot open {path}: {errno}"))?;
        Ok(Self { tty, partial: Vec::new(), overlong: false, lines: VecDeque::new() })
    }

    /// Sends one line. A host that does not read loses it: a test guest must not hang on its host.
    pub(crate) fn say(&mut self, line: &str) {
        let bytes = format!("{line}\n").into_bytes();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match write(&self.tty, rest) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let mut writable = [PollFd::new(&self.tty, PollFlags::OUT)];
                    if !matches!(poll(&mut writable, Some(&SAY_WITHIN)), Ok(1..)) {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// Waits until everything said has left the port.
    pub(crate) fn drain(&self) {
        // A failure means that the port is gone, and so is whoever would read the words.
        let _ = tcdrain(&self.tty);
    }

    /// The next whole line the host sent, if there is one.
    pub(crate) fn next_line(&mut self) -> Option<String> {
        let mut buffer = [0; 512];
        while self.lines.is_empty() {
            match read(&self.tty, &mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(length) => self.take(&buffer[..length]),
            }
        }
        self.lines.pop_front()
    }

    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                let line = String::from_utf8_lossy(&self.partial).trim().to_owned();
                if self.overlong {
                    self.lines.push_back(OVERLONG.to_owned());
                } else if !line.is_empty() {
                    self.lines.push_back(line);
                }
                self.partial.clear();
                self.overlong = false;
            } else if self.partial.len() < MAX_LINE {
                self.partial.push(byte);
            } else {
                self.overlong = true;
            }
        }
    }
}
