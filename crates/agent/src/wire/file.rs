//! Files and folders. Numbers of streams are [`crate::streams`]'.

use serde::{Deserialize, Serialize};

use super::{Done, command};
use crate::Name;

/// The most entries in one answer to `ls`.
pub const MAX_ENTRIES: u32 = 4096;

/// `ls`: the entries of a folder, in the folder's own order, without `.` and `..`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Ls {
    /// The folder.
    pub path: Name,
    /// Where to go on: [`Listing::next`] of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// How many at most; [`MAX_ENTRIES`] where absent or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Whether to tell each entry's [`Status`] too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub long: bool,
}
command!(Ls, "ls", Listing);

/// A part of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Listing {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where the next part begins; absent when this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// Its name.
    pub name: Name,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: EntryKind,
    /// What else is known of it, where it was asked for and the entry is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// What an entry can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A block device.
    Block,
    /// A character device.
    Character,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// Something else.
    Other,
}

/// `stat`: what is known of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Stat {
    /// The file.
    pub path: Name,
    /// Whether a symbolic link is meant itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub link: bool,
}
command!(Stat, "stat", Status);

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: EntryKind,
    /// Size.
    pub bytes: u64,
    /// The twelve bits of its mode.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// How many names it has.
    pub links: u32,
    /// Its number in its file system.
    pub inode: u64,
    /// When its contents last changed, in microseconds since 1970.
    pub modified_us: i64,
    /// What it takes up.
    pub allocated_bytes: u64,
    /// Where a symbolic link leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Name>,
}

/// `find`: sends the paths of everything below a folder, the folder first, each with a NUL behind it.
/// Links are not followed, and other file systems are entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Find {
    /// The folder.
    pub path: Name,
    /// The stream.
    pub stream: u32,
}
command!(Find, "find", Found);

/// What `find` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Found {
    /// How many paths were sent.
    pub count: u64,
    /// Folders that could not be read, the first few, and why.
    pub unreadable: Vec<(Name, String)>,
}

/// A file of the tree, or a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// A file.
    Path(Name),
    /// All of a device.
    Device(String),
    /// All of a disk of the appliance's own, by its label, which begins with `qplug.`: one that the
    /// host plugs in to carry a file. It is waited for.
    Own(String),
}

/// How much was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Moved {
    /// So many bytes.
    pub bytes: u64,
}

/// `download`: sends a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Download {
    /// The file.
    pub from: Place,
    /// The stream.
    pub stream: u32,
    /// Where in it to begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// How much at most; to its end where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}
command!(Download, "download", Moved);

/// `upload`: makes a file of a stream, in the place of one that is there once all of it has come: the new
/// one has its owner, mode and attributes, and other names of it keep the old one. Where the stream breaks
/// off, nothing has changed; with an offset, and on a device, what came of it stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Upload {
    /// The file.
    pub to: Place,
    /// The stream.
    pub stream: u32,
    /// The mode of a file that was not there; 0644 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Where in it to begin: the file, or the device, then keeps what the stream does not reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}
command!(Upload, "upload", Moved);

/// `copy`: copies a file, or a device, within the appliance, in the place of a file that is there, as
/// `upload` does.
///
/// A disk that the host plugs in carries a file faster than a stream does: QEMU hands a port 4 KiB at a
/// time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Copy {
    /// What to copy.
    pub from: Place,
    /// Where to.
    pub to: Place,
    /// How much at most, as a disk is some whole sectors; to its end where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The mode of a file that was not there; 0644 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
}
command!(Copy, "copy", Moved);

/// `tar-in`: unpacks a tar archive from a stream into a folder, which is made if need be, with owners,
/// modes and times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TarIn {
    /// The folder.
    pub path: Name,
    /// The stream.
    pub stream: u32,
}
command!(TarIn, "tar-in", Done);

/// `tar-out`: sends a folder's contents as a tar archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TarOut {
    /// The folder.
    pub path: Name,
    /// The stream.
    pub stream: u32,
}
command!(TarOut, "tar-out", Done);

/// `mkdir`: makes a folder, and those above it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mkdir {
    /// The folder.
    pub path: Name,
    /// Its mode; 0755 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
}
command!(Mkdir, "mkdir", Done);

/// `rm`: removes a file, or an empty folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rm {
    /// The file.
    pub path: Name,
}
command!(Rm, "rm", Done);

/// `rename`: gives a file another name within its file system, in the place of one that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rename {
    /// The file.
    pub from: Name,
    /// Its new path.
    pub to: Name,
}
command!(Rename, "rename", Done);

/// `chmod`: changes a file's mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Chmod {
    /// The file.
    pub path: Name,
    /// The twelve bits.
    pub mode: u32,
}
command!(Chmod, "chmod", Done);
