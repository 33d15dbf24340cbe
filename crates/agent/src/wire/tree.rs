//! Mounts.

use serde::{Deserialize, Serialize};

use super::{Done, command};
use crate::Name;

/// `mount`: puts a file system into the tree. The folder is made where nothing is mounted yet.
/// Nothing on it is a device, sets ids, or may be executed, unless `allow` says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mount {
    /// The device: `data`, `data:1`, one of its links, `/dev/mapper/NAME`, `/dev/md0`.
    pub device: String,
    /// Where to.
    pub path: Name,
    /// The kind of file system; found out where it is absent.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whether to refuse writes; a read-only disk is always mounted so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// What is usually off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<MountOption>,
    /// Options of the file system's own, as in fstab, such as `subvol=root`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}
command!(Mount, "mount", Mounted);

/// What a mounted file system may have only when it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountOption {
    /// Device nodes are devices.
    Dev,
    /// Programs run under their owner's id where they say so.
    Suid,
    /// Programs may be run.
    Exec,
}

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Mounted {
    /// Where.
    pub path: Name,
    /// The device, as a command takes it, where it is one of the user's; else as the kernel calls it.
    pub device: String,
    /// The kind of file system.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kernel's options, such as `ro,nosuid,nodev,noexec`.
    pub options: String,
}

/// `umount`: takes the file system that was mounted last at a path out of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Umount {
    /// Where it is mounted; all file systems when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Name>,
    /// Whether to take it out although it is in use; it is really unmounted when the last use ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}
command!(Umount, "umount", Done);

/// `list-mounts`: the tree's file systems, in the order in which they were mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ListMounts {}
command!(ListMounts, "list-mounts", Vec<Mounted>);

/// `df`: the room in each mounted file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Df {}
command!(Df, "df", Vec<Space>);

/// The room in a file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Space {
    /// Where it is mounted.
    pub path: Name,
    /// As in [`Mounted`].
    pub device: String,
    /// All of it.
    pub bytes: u64,
    /// What is free.
    pub free_bytes: u64,
    /// What others than root may have of that.
    pub available_bytes: u64,
    /// How many files it can have, where it counts.
    pub files: u64,
    /// How many more.
    pub free_files: u64,
}
