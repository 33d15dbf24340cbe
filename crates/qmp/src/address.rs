//! The forms in which a user names a monitor.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The forms, as an error lists them.
const FORMS: &str = "PATH, unix:PATH, unix:@ABSTRACT, tcp:HOST:PORT, tls:HOST:PORT, vsock:CID:PORT, \
                     fd:NUMBER, exec:COMMAND, listen:unix:PATH or listen:tcp:HOST:PORT";

/// Where a QMP monitor is, or where it is to connect to.
///
/// ```
/// use qplug_qmp::Address;
/// let address: Address = "tcp:[::1]:4444".parse()?;
/// assert_eq!(address, Address::Tcp { host: "::1".into(), port: 4444 });
/// # Ok::<(), qplug_qmp::ParseAddressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A unix socket, such as `-qmp unix:/run/vm1.qmp,server=on,wait=off` makes.
    Unix(PathBuf),
    /// A unix socket in Linux's abstract name space (`abstract=on`), without the leading NUL.
    Abstract(String),
    /// A TCP socket. Anyone who can reach it controls the machine: keep it on loopback.
    Tcp {
        /// Host name or address; IPv6 without its brackets.
        host: String,
        /// Port number.
        port: u16,
    },
    /// A TCP socket behind TLS (a chardev with `tls-creds`); see `Options::tls`.
    Tls {
        /// Host name or address, which the server's certificate must name.
        host: String,
        /// Port number.
        port: u16,
    },
    /// A socket between a virtual machine and its host.
    Vsock {
        /// Context id: 2 is the host.
        cid: u32,
        /// Port number.
        port: u32,
    },
    /// A connected socket that this process inherited under this number.
    Fd(i32),
    /// The standard input and output of a command, which a shell runs: `ssh` to another host, or a
    /// QEMU with `-qmp stdio`. It is ended with the connection.
    Exec(String),
    /// We listen, at a unix or TCP address, and QEMU connects (`server=off`).
    Listen(Box<Address>),
}

/// A text that names no monitor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no monitor address: {reason} (one of {FORMS})")]
pub struct ParseAddressError {
    text: String,
    reason: &'static str,
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|reason| ParseAddressError { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<Address, &'static str> {
    if let Some(inner) = text.strip_prefix("listen:") {
        return match parse(inner)? {
            inner @ (Address::Unix(_) | Address::Abstract(_) | Address::Tcp { .. }) => {
                Ok(Address::Listen(Box::new(inner)))
            }
            _ => Err("one can listen at a unix or a tcp address only"),
        };
    }
    if let Some(number) = text.strip_prefix("fd:") {
        let fd = number.parse().ok().filter(|fd| *fd >= 0);
        return fd.map(Address::Fd).ok_or("the descriptor is not a number");
    }
    if let Some(rest) = text.strip_prefix("tcp:") {
        return host_and_port(rest).map(|(host, port)| Address::Tcp { host, port });
    }
    if let Some(rest) = text.strip_prefix("tls:") {
        return host_and_port(rest).map(|(host, port)| Address::Tls { host, port });
    }
    if let Some(rest) = text.strip_prefix("vsock:") {
        let (cid, port) = rest.split_once(':').ok_or("the port is missing")?;
        let cid = cid.parse().map_err(|_| "the context id is not a number")?;
        let port = port.parse().map_err(|_| "the port is not a number")?;
        return Ok(Address::Vsock { cid, port });
    }
    if let Some(command) = text.strip_prefix("exec:") {
        let command = command.trim();
        return match command {
            "" => Err("the command is empty"),
            command => Ok(Address::Exec(command.to_owned())),
        };
    }
    if let Some(name) = text.strip_prefix("unix:@") {
        return match name {
            "" => Err("the abstract name is empty"),
            name => Ok(Address::Abstract(name.to_owned())),
        };
    }
    match text.strip_prefix("unix:").unwrap_or(text) {
        "" => Err("the path is empty"),
        path => Ok(Address::Unix(path.into())),
    }
}

fn host_and_port(text: &str) -> Result<(String, u16), &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let port = port.parse().map_err(|_| "the port is not a number below 65536")?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    match host {
        "" => Err("the host is missing"),
        host => Ok((host.to_owned(), port)),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = |f: &mut fmt::Formatter<'_>, kind: &str, host: &str, port: u16| {
            if host.contains(':') {
                write!(f, "{kind}:[{host}]:{port}")
            } else {
                write!(f, "{kind}:{host}:{port}")
            }
        };
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{name}"),
            Self::Tcp { host, port } => network(f, "tcp", host, *port),
            Self::Tls { host, port } => network(f, "tls", host, *port),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
            Self::Fd(fd) => write!(f, "fd:{fd}"),
            Self::Exec(command) => write!(f, "exec:{command}"),
            Self::Listen(address) => match &**address {
                Self::Unix(path) => write!(f, "listen:unix:{}", path.display()),
                address => write!(f, "listen:{address}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_parses_and_prints() {
        for (text, printed) in [
            ("/run/vm1.qmp", "/run/vm1.qmp"),
            ("unix:vm1.qmp", "vm1.qmp"),
            ("unix:tcp:odd", "tcp:odd"),
            ("unix:@vm1", "unix:@vm1"),
            ("tcp:localhost:4444", "tcp:localhost:4444"),
            ("tcp:[::1]:4444", "tcp:[::1]:4444"),
            ("tls:host:4444", "tls:host:4444"),
            ("vsock:2:5555", "vsock:2:5555"),
            ("fd:3", "fd:3"),
            ("exec: ssh host socat - UNIX:/run/vm1.qmp", "exec:ssh host socat - UNIX:/run/vm1.qmp"),
            ("listen:unix:/run/vm1.qmp", "listen:unix:/run/vm1.qmp"),
            ("listen:tcp:[::1]:1", "listen:tcp:[::1]:1"),
        ] {
            let address = text.parse::<Address>().unwrap();
            assert_eq!(address.to_string(), printed, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, reason) in [
            ("", "path is empty"),
            ("unix:", "path is empty"),
            ("unix:@", "abstract name is empty"),
            ("tcp:host", "port is missing"),
            ("tcp::1", "host is missing"),
            ("tls:host:70000", "port is not a number"),
            ("vsock:x:1", "context id is not a number"),
            ("fd:-1", "descriptor is not a number"),
            ("exec: ", "command is empty"),
            ("listen:fd:3", "listen at a unix or a tcp address"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
