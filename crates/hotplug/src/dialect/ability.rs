//! What not every machine can, and since when QEMU can.

use std::fmt;

use serde::Serialize;

use super::{Dialect, Features};
use crate::error::Error;

/// Something that only some machines can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ability {
    /// To say when a guest has let go of a disk (`DEVICE_DELETED`).
    Announcing,
    /// Disks on other buses than virtio-blk.
    OtherBuses,
    /// Images over a network.
    Network,
    /// Encrypted images, with a passphrase.
    Encryption,
    /// Layers that are named one by one.
    Layers,
    /// Disks that forget what is written to them.
    Snapshots,
    /// Open files in place of paths.
    Descriptors,
    /// Options of nodes, by `--set node.`.
    NodeOptions,
    /// Limits to a disk's speed.
    Throttling,
    /// Limits with bursts.
    Bursts,
    /// Limits that several disks share.
    ThrottleGroups,
    /// Threads of their own for disks.
    IoThreads,
    /// Discards that reach the image.
    Discard,
    /// Writes of zeroes that become holes.
    DetectZeroes,
    /// A write cache that is set for the device (`write-cache`).
    WriteCache,
    /// Waiting until the guest has looked at a disk.
    WaitGuest,
    /// Media that are more than files.
    Media,
    /// Marks of detaches that are pending, in the machine.
    Marks,
    /// The size of a disk, told by the machine.
    Sizes,
    /// Snapshots within images, of several disks at once.
    InnerSnapshots,
    /// Introspection (`query-qmp-schema`).
    Schema,
}

impl Ability {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Announcing,
        Self::OtherBuses,
        Self::Network,
        Self::Encryption,
        Self::Layers,
        Self::Snapshots,
        Self::Descriptors,
        Self::NodeOptions,
        Self::Throttling,
        Self::Bursts,
        Self::ThrottleGroups,
        Self::IoThreads,
        Self::Discard,
        Self::DetectZeroes,
        Self::WriteCache,
        Self::WaitGuest,
        Self::Media,
        Self::Marks,
        Self::Sizes,
        Self::InnerSnapshots,
        Self::Schema,
    ];

    /// The version of QEMU since which qplug can do it in this dialect, or in a later one.
    #[must_use]
    pub fn since(self, dialect: Dialect) -> &'static str {
        match self {
            // A node is throttled by a group.
            Self::Throttling | Self::Bursts if dialect == Dialect::Blockdev => "2.11",
            Self::Announcing | Self::Discard => "1.5",
            Self::Throttling => "1.1",
            Self::Sizes => "1.6",
            Self::Bursts | Self::InnerSnapshots => "1.7",
            Self::DetectZeroes => "2.1",
            Self::Schema => "2.5",
            Self::OtherBuses
            | Self::Network
            | Self::Encryption
            | Self::Layers
            | Self::Snapshots
            | Self::Descriptors
            | Self::NodeOptions
            | Self::IoThreads
            | Self::WriteCache => "2.9",
            Self::ThrottleGroups | Self::Marks => "2.11",
            Self::Media => "2.12",
            // Statistics name their devices.
            Self::WaitGuest => "3.0",
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Announcing => "an event when a guest lets go",
            Self::OtherBuses => "buses other than virtio-blk",
            Self::Network => "images over a network",
            Self::Encryption => "encrypted images",
            Self::Layers => "layers of images",
            Self::Snapshots => "--snapshot",
            Self::Descriptors => "open files in place of paths",
            Self::NodeOptions => "options of nodes",
            Self::Throttling => "limits to a disk's speed",
            Self::Bursts => "limits with bursts",
            Self::ThrottleGroups => "limits that disks share",
            Self::IoThreads => "I/O threads",
            Self::Discard => "--discard",
            Self::DetectZeroes => "--detect-zeroes",
            Self::WriteCache => "--write-cache",
            Self::WaitGuest => "waiting for the guest to look",
            Self::Media => "media that are more than files",
            Self::Marks => "marks of pending detaches",
            Self::Sizes => "the sizes of disks",
            Self::InnerSnapshots => "snapshots within images",
            Self::Schema => "introspection",
        }
    }
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Features {
    /// Why something cannot be done that this machine cannot.
    pub(crate) fn lacks(&self, ability: Ability) -> Error {
        let (version, dialect) = (self.version.clone(), self.dialect);
        Error::NotAble { ability, version, dialect }
    }

    /// Whether this machine can do it, as far as it told.
    #[must_use]
    pub fn can(&self, ability: Ability) -> bool {
        let has_nodes = self.dialect == Dialect::Blockdev;
        match ability {
            Ability::Announcing => self.announces,
            Ability::OtherBuses
            | Ability::Network
            | Ability::Encryption
            | Ability::Layers
            | Ability::Snapshots
            | Ability::NodeOptions
            | Ability::IoThreads
            | Ability::WriteCache => has_nodes,
            Ability::Descriptors => has_nodes && self.has("add-fd"),
            Ability::Throttling => match has_nodes {
                true => self.throttle_groups,
                false => self.has("block_set_io_throttle"),
            },
            Ability::Bursts => match has_nodes {
                true => self.throttle_groups,
                false => self.has_drive_option("throttling.bps-total-max"),
            },
            Ability::ThrottleGroups => has_nodes && self.throttle_groups,
            Ability::Discard => has_nodes || self.has_drive_option("discard"),
            Ability::DetectZeroes => has_nodes || self.has_drive_option("detect-zeroes"),
            // As old as what it needs is: `qdev` in statistics.
            Ability::WaitGuest => has_nodes && self.has("query-jobs"),
            Ability::Media => self.has("blockdev-insert-medium") && has_nodes,
            Ability::Marks => self.throttle_groups,
            Ability::Sizes => self.tells_sizes(),
            Ability::InnerSnapshots => self.has("blockdev-snapshot-delete-internal-sync"),
            Ability::Schema => self.has("query-qmp-schema"),
        }
    }
}
