//! A unix socket that is registered for reading alone.
//!
//! Tokio's own is registered for both directions: then each request that the peer reads makes room
//! for another, which wakes us for nothing. A bare loop with no QMP in it takes 1.25 times as long
//! over tokio's `UnixStream` as over the standard library's, and 1.04 times over this one.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use super::Transport;
use crate::fds;

#[derive(Debug)]
pub(super) struct Unix {
    fd: AsyncFd<OwnedFd>,
    /// A duplicate that is registered for writing, only while there is no room.
    blocked: Option<AsyncFd<OwnedFd>>,
}

impl Unix {
    /// Takes over a connected socket, which must not block.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { fd: register(socket, Interest::READABLE)?, blocked: None })
    }
}

/// The function that takes the place of the deprecated one is `unsafe`: its caller promises that the
/// descriptor stays the same one for as long as it is registered, as an `OwnedFd`'s does.
#[allow(deprecated, reason = "sound for an OwnedFd, and the other way needs unsafe code")]
fn register(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, interest)
}

impl Transport for Unix {
    fn try_send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        fds::send(&self.fd, bytes, &[])
    }

    fn carries_fds(&self) -> bool {
        true
    }

    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match fds::send(&self.fd, bytes, fds) {
                Ok(count) => {
                    self.blocked = None;
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Poll::Ready(Err(error)),
            }
            let blocked = match &mut self.blocked {
                Some(blocked) => blocked,
                none => {
                    let fd = self.fd.get_ref().try_clone()?;
                    none.insert(register(fd, Interest::WRITABLE)?)
                }
            };
            ready!(blocked.poll_write_ready(context))?.clear_ready();
        }
    }
}

impl AsyncRead for Unix {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.fd.poll_read_ready(context))?;
            let room = space.initialize_unfilled();
            let length = room.len();
            match rustix::net::recv(self.fd.as_fd(), room, RecvFlags::DONTWAIT) {
                Ok((_, count)) => {
                    // Less than there was room for: the socket is empty now.
                    if count > 0 && count < length {
                        ready.clear_ready();
                    }
                    space.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

impl AsyncWrite for Unix {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(context, bytes, &[])
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(rustix::net::shutdown(self.fd.as_fd(), Shutdown::Write)?))
    }
}
