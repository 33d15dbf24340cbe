//! What a disk may be called, and what it is called in the machine.
//!
//! The machine is the journal: a disk called `data` is the device `data` over the nodes
//! `data.format` and `data.file`. All that qplug must remember is in these names.

use std::fmt;

/// The longest node name that QEMU takes, in bytes (`BDS` names, QEMU 2.0 and later).
const MAX_NODE_NAME_BYTES: usize = 31;

/// The suffix of the node that interprets the image's format; the longer of the two.
const FORMAT_SUFFIX: &str = ".format";

/// The suffix of the node that opens the image.
const FILE_SUFFIX: &str = ".file";

/// The longest name of a disk, in bytes: with its longest suffix it is a node name.
pub const MAX_NAME_BYTES: usize = MAX_NODE_NAME_BYTES - FORMAT_SUFFIX.len();

/// The longest serial of a virtio-blk disk, in bytes. QEMU cuts a longer one without a word.
pub const MAX_SERIAL_BYTES: usize = 20;

/// The name of a disk: letters, digits, `.`, `_` and `-`, a letter first, at most
/// [`MAX_NAME_BYTES`] long.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DiskName(String);

/// What the guest knows a disk by: a Linux guest makes `/dev/disk/by-id/virtio-SERIAL` of it.
/// Letters, digits and `#+.:=@_-`, at most [`MAX_SERIAL_BYTES`] long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serial(String);

/// A name or a serial that QEMU or the guest would refuse, cut or change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty, too long, or has a character that QEMU does not take.
    #[error(
        "{0:?} cannot name a disk: use a letter, then letters, digits, '.', '_' or '-', \
         at most {MAX_NAME_BYTES} in all"
    )]
    Name(String),
    /// The serial is longer than a virtio-blk disk can carry.
    #[error(
        "the serial {0:?} has {length} bytes, and virtio-blk carries {MAX_SERIAL_BYTES}: \
         give a shorter one with --serial",
        length = .0.len()
    )]
    SerialTooLong(String),
    /// The serial is empty or has a character that a guest would change in its device's path.
    #[error(
        "{0:?} cannot be a serial: use letters, digits and #+.:=@_- \
         (a guest changes other characters in the disk's path)"
    )]
    Serial(String),
}

impl DiskName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`NameError::Name`] when QEMU would refuse it.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let mut bytes = name.bytes();
        let well_formed = bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
            && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !well_formed || name.len() > MAX_NAME_BYTES {
            return Err(NameError::Name(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as text, which is also the device's id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The node that interprets the image's format.
    #[must_use]
    pub fn format_node(&self) -> String {
        format!("{}{FORMAT_SUFFIX}", self.0)
    }

    /// The node that opens the image.
    #[must_use]
    pub fn file_node(&self) -> String {
        format!("{}{FILE_SUFFIX}", self.0)
    }

    /// The name of the disk whose format node this is, if qplug names nodes so.
    #[must_use]
    pub fn of_format_node(node: &str) -> Option<Self> {
        node.strip_suffix(FORMAT_SUFFIX).and_then(|name| Self::new(name).ok())
    }
}

impl fmt::Display for DiskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serial {
    /// Checks a serial.
    ///
    /// # Errors
    /// [`NameError::Serial`] or [`NameError::SerialTooLong`].
    pub fn new(serial: &str) -> Result<Self, NameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"#+.:=@_-".contains(&b);
        if serial.is_empty() || !serial.bytes().all(allowed) {
            return Err(NameError::Serial(serial.to_owned()));
        }
        if serial.len() > MAX_SERIAL_BYTES {
            return Err(NameError::SerialTooLong(serial.to_owned()));
        }
        Ok(Self(serial.to_owned()))
    }

    /// The serial as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where a Linux guest with udev finds the disk (systemd's `60-persistent-storage.rules`).
    #[must_use]
    pub fn guest_path(&self) -> String {
        guest_path(&self.0)
    }
}

/// Where a Linux guest with udev finds the virtio-blk disk with this serial.
pub(crate) fn guest_path(serial: &str) -> String {
    format!("/dev/disk/by-id/virtio-{serial}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_qemu_takes() {
        for name in ["data", "a", "A.b_c-9", &"x".repeat(MAX_NAME_BYTES)] {
            assert_eq!(DiskName::new(name).unwrap().as_str(), name);
        }
        for name in ["", "1st", "-x", "a b", "a/b", "ä", &"x".repeat(MAX_NAME_BYTES + 1)] {
            assert!(DiskName::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_longest_name_makes_node_names_that_fit() {
        let name = DiskName::new(&"x".repeat(MAX_NAME_BYTES)).unwrap();
        assert_eq!(name.format_node().len(), MAX_NODE_NAME_BYTES);
        assert!(name.file_node().len() <= MAX_NODE_NAME_BYTES);
        assert_eq!(DiskName::of_format_node(&name.format_node()), Some(name));
    }

    #[test]
    fn serials_that_reach_the_guest_unchanged() {
        assert_eq!(Serial::new("data").unwrap().guest_path(), "/dev/disk/by-id/virtio-data");
        assert!(matches!(Serial::new(&"x".repeat(21)), Err(NameError::SerialTooLong(_))));
        for serial in ["", "a b", "a/b", "a\"b", "ä"] {
            assert!(matches!(Serial::new(serial), Err(NameError::Serial(_))), "{serial}");
        }
    }
}
