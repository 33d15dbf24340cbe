//! Connecting, and what each way of failing to connect means.
//!
//! | file | reaches |
//! |---|---|
//! | `transport/socket.rs` | unix, TCP and inherited sockets, and those where QEMU connects to us |
//! | `transport/unix.rs` | unix sockets, once they are connected |
//! | `transport/child.rs` | a command's standard input and output |
//! | `transport/tls.rs` | a TCP socket behind TLS |

mod child;
mod socket;
#[cfg(feature = "tls")]
mod tls;
mod unix;

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::address::Address;
use crate::endpoint::explain;
use crate::error::ConnectError;
use crate::options::Options;

/// A connected byte stream of any kind.
pub(crate) type Stream = Box<dyn Transport>;

/// What the driver needs of a byte stream.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {
    /// Writes what can be written without waiting, from outside any task.
    fn try_send(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// How many bytes to write at a time.
    fn write_limit(&self) -> usize {
        usize::MAX
    }

    /// Whether descriptors can travel beside bytes.
    fn carries_fds(&self) -> bool {
        false
    }

    /// Writes bytes with descriptors beside the first of them, where that can be done.
    fn poll_send(
        &mut self,
        _context: &mut Context<'_>,
        _bytes: &[u8],
        _fds: &[BorrowedFd<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

/// Connects within the time that the options allow.
pub(crate) async fn connect(address: &Address, options: &Options) -> Result<Stream, ConnectError> {
    let limit = options.connect_timeout;
    match tokio::time::timeout(limit, open(address, options)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(explain(address, limit, error)),
        Err(_) => Err(ConnectError::TimedOut { address: address.to_string(), limit }),
    }
}

async fn open(address: &Address, options: &Options) -> io::Result<Stream> {
    match address {
        Address::Unix(path) => socket::unix(path).await,
        Address::Abstract(name) => socket::unix_abstract(name).await,
        Address::Tcp { host, port } => Ok(Box::new(socket::tcp(host, *port).await?)),
        Address::Tls { host, port } => {
            #[cfg(feature = "tls")]
            return tls::connect(host, *port, options.tls.as_ref()).await;
            #[cfg(not(feature = "tls"))]
            return Err(without("tls", host, *port, options));
        }
        Address::Vsock { cid, port } => {
            #[cfg(feature = "vsock")]
            return socket::vsock(*cid, *port).await;
            #[cfg(not(feature = "vsock"))]
            return Err(without("vsock", cid, *port, options));
        }
        Address::Fd(fd) => socket::adopt(*fd),
        Address::Exec(command) => child::spawn(command),
        Address::Listen(address) => socket::accept(address).await,
    }
}

/// The error of a build that lacks a transport.
#[cfg(not(all(feature = "tls", feature = "vsock")))]
fn without<T, P>(feature: &str, _place: T, _port: P, _options: &Options) -> io::Error {
    let text = format!("this build lacks the cargo feature {feature}");
    io::Error::new(io::ErrorKind::Unsupported, text)
}
