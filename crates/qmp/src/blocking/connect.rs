//! Connecting, and being connected to, with a deadline and no runtime.

use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::socket::{LONGEST_WAIT, wait};
use crate::address::Address;
use crate::endpoint::{SocketFile, explain};
use crate::error::ConnectError;
use crate::fds;

/// Connects within `limit`.
pub(super) fn connect(address: &Address, limit: Duration) -> Result<OwnedFd, ConnectError> {
    open(address, limit.min(LONGEST_WAIT)).map_err(|error| explain(address, limit, error))
}

fn open(address: &Address, limit: Duration) -> io::Result<OwnedFd> {
    match address {
        Address::Unix(path) => unix(&SocketAddrUnix::new(path)?, limit),
        Address::Abstract(name) => {
            unix(&SocketAddrUnix::new_abstract_name(name.as_bytes())?, limit)
        }
        Address::Tcp { host, port } => tcp(host, *port, limit),
        Address::Fd(fd) => fds::adopt(*fd),
        Address::Listen(address) => accept(address, limit),
        other => {
            let text =
                format!("the blocking client does not reach {other}; use the asynchronous one");
            Err(io::Error::new(ErrorKind::Unsupported, text))
        }
    }
}

/// A unix socket whose queue of waiting clients is full would keep us waiting for ever.
fn unix(address: &SocketAddrUnix, limit: Duration) -> io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    let patience = limit.max(Duration::from_micros(1));
    sockopt::set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
    rustix::net::connect(&socket, address)?;
    Ok(socket)
}

/// The limit does not bound the look-up of a host name: the system's resolver has its own.
fn tcp(host: &str, port: u16, limit: Duration) -> io::Result<OwnedFd> {
    let deadline = Instant::now() + limit;
    let mut refused = io::Error::new(ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return prompt(stream),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Commands are small and wait for replies: gathering them only adds delay.
fn prompt(stream: TcpStream) -> io::Result<OwnedFd> {
    stream.set_nodelay(true)?;
    Ok(stream.into())
}

/// Listens until one QEMU has connected, or `limit` is over.
fn accept(address: &Address, limit: Duration) -> io::Result<OwnedFd> {
    let deadline = Instant::now() + limit;
    match address {
        Address::Unix(path) => {
            let listener = UnixListener::bind(path)?;
            let _name = SocketFile(path);
            await_client(listener.as_fd(), deadline)?;
            Ok(listener.accept()?.0.into())
        }
        Address::Abstract(name) => {
            let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
            await_client(listener.as_fd(), deadline)?;
            Ok(listener.accept()?.0.into())
        }
        Address::Tcp { host, port } => {
            let listener = TcpListener::bind((host.as_str(), *port))?;
            await_client(listener.as_fd(), deadline)?;
            prompt(listener.accept()?.0)
        }
        other => {
            let text = format!("one cannot listen at {other}");
            Err(io::Error::new(ErrorKind::Unsupported, text))
        }
    }
}

fn await_client(listener: BorrowedFd<'_>, deadline: Instant) -> io::Result<()> {
    if wait(listener, PollFlags::IN, deadline)?.to_read {
        return Ok(());
    }
    Err(ErrorKind::TimedOut.into())
}
