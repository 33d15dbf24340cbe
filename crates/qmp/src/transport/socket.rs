//! Unix, TCP, vsock and inherited sockets, and those where QEMU connects to us.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as std_unix;
use std::path::Path;

use rustix::net::AddressFamily;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::unix::Unix;
use super::{Stream, Transport};
use crate::address::Address;
use crate::endpoint::SocketFile;
use crate::fds;

impl Transport for TcpStream {}

pub(super) async fn unix(path: &Path) -> io::Result<Stream> {
    over_unix(UnixStream::connect(path).await?)
}

/// Takes a socket over from tokio.
fn over_unix(stream: UnixStream) -> io::Result<Stream> {
    Ok(Box::new(Unix::new(stream.into_std()?.into())?))
}

/// A path that begins with NUL is an abstract name.
pub(super) async fn unix_abstract(name: &str) -> io::Result<Stream> {
    unix(Path::new(&format!("\0{name}"))).await
}

pub(super) async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    // Commands are small and wait for replies: gathering them only adds delay.
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(feature = "vsock")]
pub(super) async fn vsock(cid: u32, port: u32) -> io::Result<Stream> {
    let address = tokio_vsock::VsockAddr::new(cid, port);
    Ok(Box::new(tokio_vsock::VsockStream::connect(address).await?))
}

#[cfg(feature = "vsock")]
impl Transport for tokio_vsock::VsockStream {}

pub(super) fn adopt(fd: i32) -> io::Result<Stream> {
    let socket = fds::adopt(fd)?;
    if rustix::net::getsockname(&socket)?.address_family() == AddressFamily::UNIX {
        return adopt_unix(socket.into());
    }
    let stream = std::net::TcpStream::from(socket);
    stream.set_nonblocking(true)?;
    Ok(Box::new(TcpStream::from_std(stream)?))
}

fn adopt_unix(stream: std_unix::UnixStream) -> io::Result<Stream> {
    stream.set_nonblocking(true)?;
    Ok(Box::new(Unix::new(stream.into())?))
}

/// Listens until one QEMU has connected.
pub(super) async fn accept(address: &Address) -> io::Result<Stream> {
    match address {
        Address::Unix(path) => {
            let listener = UnixListener::bind(path)?;
            // Whoever listens here next must find the name free, also when nobody came.
            let _name = SocketFile(path);
            over_unix(listener.accept().await?.0)
        }
        Address::Abstract(name) => {
            let address = std_unix::SocketAddr::from_abstract_name(name)?;
            let listener = std_unix::UnixListener::bind_addr(&address)?;
            listener.set_nonblocking(true)?;
            over_unix(UnixListener::from_std(listener)?.accept().await?.0)
        }
        Address::Tcp { host, port } => {
            let listener = TcpListener::bind((host.as_str(), *port)).await?;
            let stream = listener.accept().await?.0;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        other => {
            let text = format!("one cannot listen at {other}");
            Err(io::Error::new(io::ErrorKind::Unsupported, text))
        }
    }
}
