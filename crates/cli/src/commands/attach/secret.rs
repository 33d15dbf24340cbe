//! Passphrases and passwords: from files and from the environment, never from the command line,
//! which every user of the host can read.

use std::io::Read;
use std::path::{Path, PathBuf};

use qplug_hotplug::Secret;

use crate::failure::Failure;

/// The longest secret, in bytes; nobody keeps one of a megabyte on purpose.
const MAX_SECRET_BYTES: u64 = 1 << 20;

/// The variable of the environment that may hold a passphrase.
const PASSPHRASE: &str = "QPLUG_PASSPHRASE";

/// The passphrase of the environment, if there is one.
pub(super) fn passphrase() -> Option<Secret> {
    let value = std::env::var_os(PASSPHRASE).filter(|value| !value.is_empty())?;
    Some(Secret::new(value.into_encoded_bytes()))
}

/// Reads a secret from a file. The end of the last line is no part of it.
pub(super) fn read(path: PathBuf) -> Result<Secret, Failure> {
    read_file(&path).map(Secret::new)
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes)
    } else {
        let file = std::fs::File::open(path);
        file.and_then(|file| file.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes))
    };
    let refused = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    read.map_err(|error| refused(error.to_string()))?;
    if bytes.len() as u64 > MAX_SECRET_BYTES {
        return Err(refused(format!("a secret has at most {MAX_SECRET_BYTES} bytes")));
    }
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    match bytes.is_empty() {
        true => Err(refused("it is empty".to_owned())),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_line_is_no_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (text, secret) in
            [("hush", "hush"), ("hush\n", "hush"), ("a b\r\n", "a b"), ("\n\n", "\n")]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_file(&path).unwrap(), secret.as_bytes());
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(read_file(&path).unwrap_err().message.contains("empty"));
        assert!(read_file(&folder.path().join("none")).is_err());
    }
}
