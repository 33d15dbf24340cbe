//! The archive format of an initramfs: cpio's `newc`, written so that equal input gives equal bytes.

use std::collections::BTreeMap;
use std::io::{self, Write};

/// What an archive is to hold, by path without the leading slash. The order of a map by path puts
/// folders before what is in them, and makes equal archives of equal content.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    mode: u32,
    content: Vec<u8>,
}

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const LINK: u32 = 0o120_777;

/// Whatever comes next starts at a multiple of this, in bytes.
const ALIGNMENT: usize = 4;

impl Archive {
    /// A folder, and those above it.
    pub(crate) fn folder(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if path.is_empty() || self.entries.contains_key(path) {
            return;
        }
        self.parent(path);
        self.entries.insert(path.to_owned(), Entry { mode: FOLDER, content: Vec::new() });
    }

    /// A file that may be executed.
    pub(crate) fn program(&mut self, path: &str, content: Vec<u8>) {
        self.add(path, PROGRAM, content);
    }

    /// A plain file.
    pub(crate) fn file(&mut self, path: &str, content: Vec<u8>) {
        self.add(path, FILE, content);
    }

    /// A symbolic link.
    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.add(path, LINK, target.as_bytes().to_vec());
    }

    /// Whether there is something at this path.
    #[cfg(test)]
    pub(crate) fn has(&self, path: &str) -> bool {
        self.entries.contains_key(path.trim_matches('/'))
    }

    fn add(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        let path = path.trim_matches('/');
        self.parent(path);
        self.entries.insert(path.to_owned(), Entry { mode, content });
    }

    fn parent(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.folder(parent);
        }
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// When it cannot be written, or an entry is too large for the format, 4 GiB.
    pub(crate) fn write(&self, output: &mut impl Write) -> io::Result<()> {
        let mut inode = 0;
        for (path, entry) in &self.entries {
            inode += 1;
            write_entry(output, inode, path, entry)?;
        }
        write_entry(output, 0, "TRAILER!!!", &Entry { mode: 0, content: Vec::new() })
    }
}

fn write_entry(output: &mut impl Write, inode: u32, path: &str, entry: &Entry) -> io::Result<()> {
    let length = |bytes: usize| {
        let too_large = |_| io::Error::new(io::ErrorKind::InvalidInput, "a file is over 4 GiB");
        u32::try_from(bytes).map_err(too_large)
    };
    let links = if entry.mode == FOLDER { 2 } else { 1 };
    let (size, name) = (length(entry.content.len())?, length(path.len() + 1)?);
    // Owner, group, time and device numbers are all zero.
    let header = [inode, entry.mode, 0, 0, links, 0, size, 0, 0, 0, 0, name, 0];
    let mut text = b"070701".to_vec();
    for field in header {
        write!(text, "{field:08X}")?;
    }
    text.extend_from_slice(path.as_bytes());
    text.push(0);
    text.resize(text.len().next_multiple_of(ALIGNMENT), 0);
    output.write_all(&text)?;
    output.write_all(&entry.content)?;
    let end = entry.content.len().next_multiple_of(ALIGNMENT) - entry.content.len();
    output.write_all(&[0; ALIGNMENT][..end])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

    use super::*;

    fn written(archive: &Archive) -> Vec<u8> {
        let mut bytes = Vec::new();
        archive.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn one_file_and_the_trailer() {
        let mut archive = Archive::default();
        archive.program("/init", b"hello".to_vec());
        let bytes = written(&archive);
        assert!(bytes.starts_with(b"07070100000001000081ED"));
        assert_eq!(&bytes[110..115], b"init\0");
        // 110 bytes of header and 5 of name are padded to 116; the content starts there.
        assert_eq!(&bytes[116..124], b"hello\0\0\0");
        assert!(bytes.ends_with(b"TRAILER!!!\0\0\0\0"));
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn the_order_of_making_does_not_show_and_folders_come_first() {
        let (mut one, mut other) = (Archive::default(), Archive::default());
        one.file("usr/lib/x.so", b"x".to_vec());
        one.folder("dev");
        one.link("lib64", "usr/lib64");
        other.link("lib64", "usr/lib64");
        other.folder("dev/");
        other.folder("usr");
        other.file("/usr/lib/x.so", b"x".to_vec());
        assert_eq!(written(&one), written(&other));
        assert!(one.has("/usr/lib"));
        let text = String::from_utf8_lossy(&written(&one)).into_owned();
        let at = |name: &str| text.find(name).unwrap();
        assert!(at("usr\0") < at("usr/lib\0") && at("usr/lib\0") < at("usr/lib/x.so\0"));
    }
}
