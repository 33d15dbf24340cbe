//! Disks, what is on them, and what uses them.

use serde::{Deserialize, Serialize};

use super::command;
use crate::Name;

/// `list-devices`: the user's disks, in the order in which they came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ListDevices {}
command!(ListDevices, "list-devices", Vec<Device>);

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Device {
    /// The disk's serial, with anything but letters, digits, `.`, `_` and `-` as `%XX`. A disk without
    /// one has no label and no name to reach it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The kernel's name, such as `vda`, which another disk may have tomorrow.
    pub kernel_name: String,
    /// Counts up with each disk that comes, and never comes again while the machine runs.
    pub sequence: u64,
    /// Size.
    pub bytes: u64,
    /// Size of a sector.
    pub sector_bytes: u32,
    /// Whether the kernel refuses writes.
    pub read_only: bool,
    /// What the kernel found in its partition table, by number.
    pub partitions: Vec<Partition>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Partition {
    /// Its number, from 1.
    pub number: u32,
    /// The kernel's name, such as `vda1`.
    pub kernel_name: String,
    /// Where on the disk it starts.
    pub start_bytes: u64,
    /// Size.
    pub bytes: u64,
}

/// `list-filesystems`: what is on the user's disks, their partitions and what lies on those (`dm`, `md`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ListFileSystems {
    /// Of this device alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}
command!(ListFileSystems, "list-filesystems", Vec<FileSystem>);

/// What is on a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileSystem {
    /// The device, as a command takes it: `data`, `data:1`, `/dev/mapper/NAME`, `/dev/md0`.
    pub device: String,
    /// `ext4`, `swap`, `LVM2_member` and so on; absent where nothing is recognized. The names are
    /// those that udev's `ID_FS_TYPE` has.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its UUID, in the form that the kind has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Its own label, which is not the disk's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Name>,
    /// Size of the device.
    pub bytes: u64,
    /// Why the device could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// `list-uses`: what uses a disk, its partitions, and what lies on them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ListUses {
    /// The disk.
    pub device: String,
}
command!(ListUses, "list-uses", Vec<Use>);

/// `release`: makes a disk ready to be taken out. What uses it is returned, and then nothing was done;
/// an empty list says that all is written out. With `force`, file systems are taken from the tree
/// whatever uses them, the kernel swaps to it no more, and the list says what still uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Release {
    /// The disk.
    pub device: String,
    /// Whether to go on in spite of mounts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}
command!(Release, "release", Vec<Use>);

/// One use of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Use {
    /// In which way.
    pub kind: UseKind,
    /// The device that is used: the disk, a partition, or what lies on them, as a command takes it.
    pub device: String,
    /// By what: a path of the tree, what is swapped to, a device on top, or a program and its process.
    pub by: Name,
}

/// How a disk can be in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UseKind {
    /// A file system on it is mounted.
    Mount,
    /// The kernel swaps to it.
    Swap,
    /// A device-mapper device lies on it, such as a logical volume.
    Dm,
    /// A RAID device lies on it.
    Md,
    /// Another kind of device lies on it.
    Holder,
    /// A process has it open.
    Open,
}
