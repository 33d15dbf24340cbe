//! The archive format of an initramfs: cpio's `newc`, written so that equal input gives equal bytes.

use std::fmt::Write as _;

/// An archive in the making.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;

impl Archive {
    /// Adds a folder; parents come first.
    pub(crate) fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER, &[]);
    }

    /// Adds a file that may be executed.
    pub(crate) fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, PROGRAM, content);
    }

    /// Adds a plain file.
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, FILE, content);
    }

    /// Closes the archive and returns it.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let length = u32::try_from(content.len()).expect("an initramfs file is far below 4 GiB");
        let name_length = u32::try_from(path.len() + 1).expect("a path is short");
        let (inode, links) = (self.entries, 1);
        // Owner, group, time and device numbers are all zero.
        let header = [inode, mode, 0, 0, links, 0, length, 0, 0, 0, 0, name_length, 0];
        let mut text = String::from("070701");
        for field in header {
            write!(text, "{field:08X}").expect("writing to a String cannot fail");
        }
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_and_the_trailer() {
        let mut archive = Archive::default();
        archive.program("init", b"hello");
        let bytes = archive.finish();
        let header = "07070100000001000081ED";
        assert!(bytes.starts_with(header.as_bytes()));
        assert_eq!(&bytes[110..115], b"init\0");
        // 110 bytes of header and 5 of name are padded to 116; the content starts there.
        assert_eq!(&bytes[116..124], b"hello\0\0\0");
        assert!(bytes.ends_with(b"TRAILER!!!\0\0\0\0"));
        assert_eq!(bytes.len() % 4, 0);
    }
}
