//! What a disk may be called, and what it is called in the machine.
//!
//! The machine is the journal: a disk called `data` is the device `data` over the nodes
//! `data.format` and `data.file`, with `qplug.disk.data.secret` and so on beside them. All that qplug
//! must remember is in these names.

use std::fmt;

use crate::bus::Bus;

/// The longest node name that QEMU takes, in bytes (`BDS` names, QEMU 2.0 and later).
const MAX_NODE_NAME_BYTES: usize = 31;

/// The suffix of the node that interprets the image's format; one of the longer ones.
const FORMAT_SUFFIX: &str = ".format";

/// The suffix of the node that opens the image.
const FILE_SUFFIX: &str = ".file";

/// The suffix of the node that limits the disk's speed.
const LIMITS_SUFFIX: &str = ".limits";

/// The suffixes of the objects that a disk may own.
const OBJECT_SUFFIXES: [&str; 5] = [".secret", ".auth", ".tls", ".throttle", PENDING_SUFFIX];

/// How the ids of a disk's objects begin. People call their own secrets `data.secret`, and those
/// are not to be taken for ours.
const OBJECT_PREFIX: &str = "qplug.disk.";

/// The suffix of the mark of a disk that the guest was asked to let go of, in vain so far.
pub(crate) const PENDING_SUFFIX: &str = ".pending";

/// How the ids of what disks share begin; no disk is called so.
const SHARED: &str = "qplug.";

/// How the ids of throttle groups begin that disks share.
pub(crate) const SHARED_GROUP: &str = "qplug.group.";

/// How the ids of SCSI controllers begin that qplug plugged in.
pub(crate) const SHARED_CONTROLLER: &str = "qplug.scsi.";

/// The longest name of a disk, in bytes: with its longest suffix it is a node name.
pub const MAX_NAME_BYTES: usize = MAX_NODE_NAME_BYTES - FORMAT_SUFFIX.len();

/// The name of a disk: letters, digits, `.`, `_` and `-`, a letter first, at most
/// [`MAX_NAME_BYTES`] long.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DiskName(String);

/// What the guest knows a disk by, and makes a path of: letters, digits and `#+.:=@_-`, at most
/// [`Bus::max_serial_bytes`] long.
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
    /// The name begins as the names of what disks share.
    #[error("{0:?} cannot name a disk: names that begin with 'qplug.' are for what disks share")]
    Shared(String),
    /// The serial is longer than such a disk can carry.
    #[error(
        "the serial {serial:?} has {} bytes, and a {bus} disk carries {}: \
         give a shorter one with --serial",
        serial.len(),
        bus.max_serial_bytes()
    )]
    SerialTooLong {
        /// The serial.
        serial: String,
        /// The bus.
        bus: Bus,
    },
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
        if name.starts_with(SHARED) {
            return Err(NameError::Shared(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }

    /// A name that no user can choose: `qplug.` and this. A disk of such a name is listed as somebody
    /// else's, and what asks for disks by name does not find it.
    ///
    /// # Errors
    /// [`NameError::Name`] when QEMU would refuse it.
    pub fn reserved(rest: &str) -> Result<Self, NameError> {
        let Self(rest) = Self::new(rest)?;
        let name = format!("{SHARED}{rest}");
        match name.len() {
            ..=MAX_NAME_BYTES => Ok(Self(name)),
            _ => Err(NameError::Name(name)),
        }
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

    /// The node that limits the disk's speed.
    #[must_use]
    pub fn limits_node(&self) -> String {
        format!("{}{LIMITS_SUFFIX}", self.0)
    }

    /// The object that holds the limits.
    pub(crate) fn throttle_group(&self) -> String {
        format!("{OBJECT_PREFIX}{}.throttle", self.0)
    }

    /// The object that holds what the image is unlocked with.
    pub(crate) fn secret(&self) -> String {
        format!("{OBJECT_PREFIX}{}.secret", self.0)
    }

    /// The object that holds what a server is given to let us in.
    pub(crate) fn auth(&self) -> String {
        format!("{OBJECT_PREFIX}{}.auth", self.0)
    }

    /// The object that holds certificates.
    pub(crate) fn tls(&self) -> String {
        format!("{OBJECT_PREFIX}{}.tls", self.0)
    }

    /// The object that says that the guest was asked to let go, in vain so far.
    pub(crate) fn pending(&self) -> String {
        format!("{OBJECT_PREFIX}{}{PENDING_SUFFIX}", self.0)
    }

    /// The USB device that a disk of USB Attached SCSI sits in.
    pub(crate) fn uas(&self) -> String {
        format!("{}.uas", self.0)
    }

    /// The name of the disk that owns this object, if qplug names objects so.
    pub(crate) fn of_object(id: &str) -> Option<Self> {
        let rest = id.strip_prefix(OBJECT_PREFIX)?;
        let name = OBJECT_SUFFIXES.iter().find_map(|suffix| rest.strip_suffix(suffix))?;
        Self::new(name).ok()
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
    /// Checks a serial for a disk on this bus.
    ///
    /// # Errors
    /// [`NameError::Serial`] or [`NameError::SerialTooLong`].
    pub fn new(serial: &str, bus: Bus) -> Result<Self, NameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"#+.:=@_-".contains(&b);
        if serial.is_empty() || !serial.bytes().all(allowed) {
            return Err(NameError::Serial(serial.to_owned()));
        }
        if serial.len() > bus.max_serial_bytes() {
            return Err(NameError::SerialTooLong { serial: serial.to_owned(), bus });
        }
        Ok(Self(serial.to_owned()))
    }

    /// The serial as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_qemu_takes() {
        for name in ["data", "a", "A.b_c-9", &"x".repeat(MAX_NAME_BYTES)] {
            assert_eq!(DiskName::new(name).unwrap().as_str(), name);
        }
        for name in ["", "qplug.x", "1st", "-x", "a b", "a/b", "ä", &"x".repeat(MAX_NAME_BYTES + 1)]
        {
            assert!(DiskName::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_longest_name_makes_node_names_that_fit() {
        let name = DiskName::new(&"x".repeat(MAX_NAME_BYTES)).unwrap();
        assert_eq!(name.limits_node().len(), MAX_NODE_NAME_BYTES);
        assert!(name.format_node().len().max(name.file_node().len()) <= MAX_NODE_NAME_BYTES);
        assert_eq!(DiskName::of_format_node(&name.format_node()), Some(name));
    }

    #[test]
    fn a_reserved_name_is_nobodys() {
        let name = DiskName::reserved("root").unwrap();
        assert_eq!(
            (name.as_str(), name.format_node().as_str()),
            ("qplug.root", "qplug.root.format")
        );
        assert_eq!(DiskName::of_format_node("qplug.root.format"), None);
        assert!(DiskName::reserved("").is_err());
        assert!(DiskName::reserved(&"x".repeat(MAX_NAME_BYTES)).is_err());
    }

    #[test]
    fn serials_that_reach_the_guest_unchanged() {
        let long = "x".repeat(21);
        let on = |serial: &str, bus| Serial::new(serial, bus);
        assert!(matches!(on(&long, Bus::VirtioBlk), Err(NameError::SerialTooLong { .. })));
        assert_eq!(on(&long, Bus::VirtioScsi).unwrap().as_str(), long);
        for serial in ["", "a b", "a/b", "a\"b", "ä"] {
            assert!(matches!(on(serial, Bus::Nvme), Err(NameError::Serial(_))), "{serial}");
        }
    }
}
