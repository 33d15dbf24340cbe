//! The forms in which a user names a monitor.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a QMP monitor listens.
///
/// Parsed from `unix:PATH`, `tcp:HOST:PORT`, `fd:N`, or a plain path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A unix socket, such as `-qmp unix:/run/vm1.qmp,server=on,wait=off` makes.
    Unix(PathBuf),
    /// A TCP socket. Anyone who can reach it controls the machine: keep it on loopback.
    Tcp {
        /// Host name or address; IPv6 without its brackets.
        host: String,
        /// Port number.
        port: u16,
    },
    /// A connected socket that this process inherited under this number.
    Fd(i32),
}

/// A text that names no monitor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no monitor address: {reason} (one of PATH, unix:PATH, tcp:HOST:PORT, fd:NUMBER)"
)]
pub struct ParseAddressError {
    text: String,
    reason: &'static str,
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |reason| ParseAddressError { text: text.to_owned(), reason };
        if let Some(number) = text.strip_prefix("fd:") {
            let fd = number.parse().ok().filter(|fd| *fd >= 0);
            return fd.map(Self::Fd).ok_or_else(|| bad("the descriptor is not a number"));
        }
        if let Some(rest) = text.strip_prefix("tcp:") {
            let (host, port) = rest.rsplit_once(':').ok_or_else(|| bad("the port is missing"))?;
            let port = port.parse().map_err(|_| bad("the port is not a number below 65536"))?;
            let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
            if host.is_empty() {
                return Err(bad("the host is missing"));
            }
            return Ok(Self::Tcp { host: host.to_owned(), port });
        }
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.is_empty() {
            return Err(bad("the path is empty"));
        }
        Ok(Self::Unix(path.into()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
            Self::Fd(fd) => write!(f, "fd:{fd}"),
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
            ("tcp:localhost:4444", "tcp:localhost:4444"),
            ("tcp:[::1]:4444", "tcp:[::1]:4444"),
            ("fd:3", "fd:3"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), printed, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, reason) in [
            ("", "path is empty"),
            ("unix:", "path is empty"),
            ("tcp:host", "port is missing"),
            ("tcp::1", "host is missing"),
            ("tcp:host:70000", "port is not a number"),
            ("fd:-1", "descriptor is not a number"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
