//! What both clients share of reaching a socket: inherited descriptors, the names of sockets that
//! are listened at, and what each way of failing to connect means.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use crate::address::Address;
use crate::error::ConnectError;

/// Removes the name of a socket when it is no longer listened at.
pub(crate) struct SocketFile<'a>(pub(crate) &'a Path);

impl Drop for SocketFile<'_> {
    fn drop(&mut self) {
        // Somebody else may have removed it; then there is nothing left to do.
        let _ = std::fs::remove_file(self.0);
    }
}

/// What an error of the operating system means for whoever wants to connect.
pub(crate) fn explain(address: &Address, limit: Duration, source: io::Error) -> ConnectError {
    let text = address.to_string();
    match (source.kind(), address) {
        (ErrorKind::NotFound, Address::Unix(path)) => ConnectError::NoSocket { path: path.clone() },
        (ErrorKind::ConnectionRefused, Address::Unix(path)) if !is_socket(path) => {
            ConnectError::NotASocket { path: path.clone() }
        }
        (ErrorKind::ConnectionRefused, _) => ConnectError::NoListener { address: text },
        (ErrorKind::PermissionDenied, _) => ConnectError::Denied { address: text },
        (ErrorKind::TimedOut, _) => ConnectError::TimedOut { address: text, limit },
        // The queue of waiting clients is full: QEMU accepts none while it serves one.
        (ErrorKind::WouldBlock, Address::Unix(_) | Address::Abstract(_)) => {
            ConnectError::Busy { address: text, limit }
        }
        _ => ConnectError::Io { address: text, source },
    }
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}
