//! A connected socket that is waited at, with a deadline.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SendFlags, getsockname};

use crate::fds;

/// Longer waits are as good as this one; the kernel's numbers end somewhere.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// A read may wait longer than its deadline by this part of the socket's own patience: so the usual
/// read needs no system call but itself.
const OVERTIME: u32 = 16;

#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    /// How long a plain read waits, as the kernel was told.
    patience: Duration,
    is_unix: bool,
}

/// What a socket is ready for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub(super) to_read: bool,
    pub(super) to_write: bool,
}

impl Socket {
    /// Takes over a connected socket, whose reads are mostly to wait for `patience`.
    pub(super) fn new(fd: OwnedFd, patience: Duration) -> io::Result<Self> {
        let patience = patience.clamp(Duration::from_micros(1), LONGEST_WAIT);
        let is_unix = getsockname(&fd)?.address_family() == AddressFamily::UNIX;
        rustix::io::ioctl_fionbio(&fd, false)?;
        sockopt::set_socket_timeout(&fd, Timeout::Recv, Some(patience))?;
        Ok(Self { fd, patience, is_unix })
    }

    /// Whether descriptors can travel over it.
    pub(super) fn is_unix(&self) -> bool {
        self.is_unix
    }

    /// Reads once, waiting until `deadline` at the latest; `None` when nothing came by then.
    pub(super) fn read(
        &self,
        space: &mut [u8],
        now: Instant,
        deadline: Instant,
    ) -> io::Result<Option<usize>> {
        let left = deadline.saturating_duration_since(now);
        if left + left / OVERTIME < self.patience && !self.wait(PollFlags::IN, deadline)?.to_read {
            return Ok(None);
        }
        loop {
            match rustix::io::read(&self.fd, &mut *space) {
                Ok(count) => return Ok(Some(count)),
                // Its patience ended, or it has none: somebody else made the socket non-blocking.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if !self.wait(PollFlags::IN, deadline)?.to_read {
                return Ok(None);
            }
        }
    }

    /// Writes what there is room for, without waiting; `None` when there is none.
    pub(super) fn write(
        &self,
        bytes: &[u8],
        passed: &[BorrowedFd<'_>],
    ) -> io::Result<Option<usize>> {
        let written = if passed.is_empty() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            rustix::net::send(&self.fd, bytes, flags).map_err(io::Error::from)
        } else {
            fds::send(&self.fd, bytes, passed)
        };
        match written {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }

    /// Waits until it is ready to be read or written, or until `deadline`.
    pub(super) fn wait_either(&self, deadline: Instant) -> io::Result<Ready> {
        self.wait(PollFlags::IN | PollFlags::OUT, deadline)
    }

    /// Waits until it is ready to be read, or written where that is wanted; false when `stop` could be
    /// read first, or was closed at its other end.
    pub(super) fn wait_unless(&self, stop: BorrowedFd<'_>, to_write: bool) -> io::Result<bool> {
        let what = if to_write { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        loop {
            let mut asked =
                [PollFd::new(&self.fd, what), PollFd::from_borrowed_fd(stop, PollFlags::IN)];
            match poll(&mut asked, None) {
                Ok(_) => return Ok(asked[1].revents().is_empty()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits; an error or an end of the connection counts as ready, for the next call will tell.
    fn wait(&self, what: PollFlags, deadline: Instant) -> io::Result<Ready> {
        wait(self.fd.as_fd(), what, deadline)
    }
}

/// Waits until a descriptor is ready, or until `deadline`: then it is ready for nothing.
pub(super) fn wait(fd: BorrowedFd<'_>, what: PollFlags, deadline: Instant) -> io::Result<Ready> {
    let ended = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).min(LONGEST_WAIT);
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut asked = [PollFd::from_borrowed_fd(fd, what)];
        match poll(&mut asked, Some(&left)) {
            Ok(_) => {
                let found = asked[0].revents();
                return Ok(Ready {
                    to_read: found.intersects(PollFlags::IN | ended),
                    to_write: found.intersects(PollFlags::OUT | ended),
                });
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
