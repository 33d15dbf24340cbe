//! Connecting, and what each way of failing to connect means.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::net::AddressFamily;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::address::Address;
use crate::error::ConnectError;

/// A connected socket of any kind.
pub(crate) type Stream = Box<dyn Transport>;

/// What the driver needs of a socket.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Connects within `limit`.
pub(crate) async fn connect(address: &Address, limit: Duration) -> Result<Stream, ConnectError> {
    match tokio::time::timeout(limit, open(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(explain(address, limit, error)),
        Err(_) => Err(ConnectError::TimedOut { address: address.to_string(), limit }),
    }
}

async fn open(address: &Address) -> io::Result<Stream> {
    match address {
        Address::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            // Commands are small and wait for replies: gathering them only adds delay.
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        Address::Fd(fd) => adopt(*fd),
    }
}

/// Takes over an inherited socket, through a duplicate: the one way that needs no `unsafe`.
fn adopt(fd: i32) -> io::Result<Stream> {
    let this_process = pidfd_open(getpid(), PidfdFlags::empty())?;
    let socket: OwnedFd = pidfd_getfd(this_process, fd, PidfdGetfdFlags::empty())?;
    if rustix::net::getsockname(&socket)?.address_family() == AddressFamily::UNIX {
        let stream = std::os::unix::net::UnixStream::from(socket);
        stream.set_nonblocking(true)?;
        Ok(Box::new(UnixStream::from_std(stream)?))
    } else {
        let stream = std::net::TcpStream::from(socket);
        stream.set_nonblocking(true)?;
        Ok(Box::new(TcpStream::from_std(stream)?))
    }
}

fn explain(address: &Address, limit: Duration, source: io::Error) -> ConnectError {
    let text = address.to_string();
    match (source.kind(), address) {
        (ErrorKind::NotFound, Address::Unix(path)) => ConnectError::NoSocket { path: path.clone() },
        (ErrorKind::ConnectionRefused, Address::Unix(path)) if !is_socket(path) => {
            ConnectError::NotASocket { path: path.clone() }
        }
        (ErrorKind::ConnectionRefused, _) => ConnectError::NoListener { address: text },
        (ErrorKind::PermissionDenied, _) => ConnectError::Denied { address: text },
        // The queue of waiting clients is full: QEMU accepts none while it serves one.
        (ErrorKind::WouldBlock, Address::Unix(_)) => ConnectError::Busy { address: text, limit },
        _ => ConnectError::Io { address: text, source },
    }
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}
