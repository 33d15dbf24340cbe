//! Where clients come in, and their sockets.

use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as std_unix;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::address::Address;
use crate::fds;

/// A socket that clients connect to.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    /// Its name in the file system, to be removed with it.
    path: Option<PathBuf>,
}

#[derive(Debug)]
enum Kind {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Listens at a unix address (a path or an abstract name) or a TCP address. A path must be free;
    /// it is removed when the listener is dropped.
    ///
    /// # Errors
    /// What the operating system says; `Unsupported` for an address of another kind.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Unix(path) => {
                let kind = Kind::Unix(UnixListener::bind(path)?);
                Ok(Self { kind, path: Some(path.clone()) })
            }
            Address::Abstract(name) => {
                let address = std_unix::SocketAddr::from_abstract_name(name)?;
                let listener = std_unix::UnixListener::bind_addr(&address)?;
                listener.set_nonblocking(true)?;
                Ok(UnixListener::from_std(listener)?.into())
            }
            Address::Tcp { host, port } => {
                Ok(TcpListener::bind((host.as_str(), *port)).await?.into())
            }
            other => {
                let text = format!("one cannot listen at {other}");
                Err(io::Error::new(io::ErrorKind::Unsupported, text))
            }
        }
    }

    /// The port of a TCP listener, which was chosen by the system if 0 was asked for.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match &self.kind {
            Kind::Unix(_) => None,
            Kind::Tcp(listener) => listener.local_addr().ok().map(|address| address.port()),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match &self.kind {
            Kind::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
            Kind::Tcp(listener) => {
                let stream = listener.accept().await?.0;
                // Replies are waited for: gathering them only adds delay.
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            remove(path);
        }
    }
}

/// Somebody else may have removed it; then there is nothing left to do.
fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self { kind: Kind::Unix(listener), path: None }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self { kind: Kind::Tcp(listener), path: None }
    }
}

/// A client's socket.
#[derive(Debug)]
pub enum Stream {
    /// Over it descriptors can be passed.
    Unix(UnixStream),
    /// Over the network.
    Tcp(TcpStream),
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl Stream {
    /// Reads what is there, and the descriptors beside it.
    pub(super) fn poll_read(
        &self,
        context: &mut Context<'_>,
        space: &mut [u8],
        passed: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let read = match self {
                Self::Unix(stream) => {
                    ready!(stream.poll_read_ready(context))?;
                    stream.try_io(Interest::READABLE, || fds::receive(stream, space, passed))
                }
                Self::Tcp(stream) => {
                    ready!(stream.poll_read_ready(context))?;
                    stream.try_io(Interest::READABLE, || fds::receive(stream, space, passed))
                }
            };
            if !is_premature(&read) {
                return Poll::Ready(read);
            }
        }
    }

    /// Writes what there is room for.
    pub(super) fn poll_write(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let written = match self {
                Self::Unix(stream) => {
                    ready!(stream.poll_write_ready(context))?;
                    stream.try_io(Interest::WRITABLE, || fds::send(stream, bytes, &[]))
                }
                Self::Tcp(stream) => {
                    ready!(stream.poll_write_ready(context))?;
                    stream.try_io(Interest::WRITABLE, || fds::send(stream, bytes, &[]))
                }
            };
            if !is_premature(&written) {
                return Poll::Ready(written);
            }
        }
    }
}

/// The socket was not ready after all; it is asked again, and then wakes us.
fn is_premature(moved: &io::Result<usize>) -> bool {
    let kinds = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
    moved.as_ref().is_err_and(|error| kinds.contains(&error.kind()))
}
