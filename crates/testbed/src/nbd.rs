//! An image served over the network, by QEMU's own `qemu-nbd`.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::image::{Image, tool};
use crate::leash::Leashed;
use crate::{Error, Result};

/// How long the server may take to listen.
const LISTEN_WITHIN: Duration = Duration::from_secs(20);
/// Time between two tries to reach it.
const KNOCK_EVERY: Duration = Duration::from_millis(5);

/// Where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At a socket file.
    Unix(PathBuf),
    /// At a port of this host, free as far as one can know it.
    Tcp(u16),
}

/// A server that has a single export, with the empty name. It ends when this is dropped, at the
/// latest with the process that started it.
#[derive(Debug)]
pub struct Nbd {
    /// Where it listens.
    pub place: Place,
    server: Leashed,
}

impl Nbd {
    /// Serves an image at a socket file.
    pub fn unix(image: &Image, socket: &Path) -> Result<Self> {
        let mut command = tool("qemu-nbd")?;
        command.arg("--socket").arg(socket);
        Self::start(command, image, Place::Unix(socket.to_owned()))
    }

    /// Serves an image at a port of 127.0.0.1. With `tls`, a folder of
    /// [`crate::certificates::make`], only to clients whose certificate the authority there signed.
    pub fn tcp(image: &Image, tls: Option<&Path>) -> Result<Self> {
        let port = free_port()?;
        let mut command = tool("qemu-nbd")?;
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        if let Some(folder) = tls {
            let folder = folder.display();
            let credentials =
                format!("tls-creds-x509,id=tls,endpoint=server,verify-peer=on,dir={folder}");
            command.args(["--object", &credentials, "--tls-creds", "tls"]);
        }
        Self::start(command, image, Place::Tcp(port))
    }

    fn start(mut command: Command, image: &Image, place: Place) -> Result<Self> {
        // Zero is no limit: the knocks below are clients too.
        command.args(["--persistent", "--shared", "0", "--format", image.format.name()]);
        command.arg(&image.path);
        let server = Leashed::spawn(&command, Stdio::null(), Stdio::inherit())
            .map_err(Error::file("serve with qemu-nbd", &image.path))?;
        let mut server = Self { place, server };
        server.wait_listening()?;
        Ok(server)
    }

    fn wait_listening(&mut self) -> Result<()> {
        let deadline = Instant::now() + LISTEN_WITHIN;
        loop {
            let reached = match &self.place {
                Place::Unix(path) => UnixStream::connect(path).map(drop),
                Place::Tcp(port) => TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).map(drop),
            };
            let Err(error) = reached else { return Ok(()) };
            if !self.server.is_running() || Instant::now() > deadline {
                return Err(Error::failed(format!("qemu-nbd does not serve: {error}")));
            }
            std::thread::sleep(KNOCK_EVERY);
        }
    }

    /// Ends the server as a crash would.
    pub fn kill(&mut self) {
        self.server.kill();
    }
}

/// A port that nobody listens at now.
pub fn free_port() -> Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| Error::failed(format!("no free port: {error}")))
}
