//! Which of its dialects a machine speaks, and what it can do: found out by asking it.
//!
//! | dialect | QEMU | a disk is |
//! |---|---|---|
//! | [`Dialect::Blockdev`] | 2.9 and later | `blockdev-add`, then `device_add` |
//! | [`Dialect::Drive`] | 0.14 to 2.8 | `drive_add` of the human monitor, then `device_add` |
//! | [`Dialect::Rhel6`] | that of RHEL 6 | `__com.redhat_drive_add`, then `device_add` |
//!
//! In the two old ones a *drive* is what the nodes are in the first: the drive of the disk `data` is
//! called `data.format`, as its node would be.
//!
//! | file | owns |
//! |---|---|
//! | `dialect/probe.rs` | the questions that tell |
//! | `dialect/ability.rs` | what not every machine can, and since when QEMU can |
//! | `dialect/human.rs` | the human monitor: its lines, and what its texts say |
//! | `dialect/drive.rs` | a disk as a drive's options |

mod ability;
mod drive;
mod human;
mod probe;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::{Map, Value};

pub use ability::Ability;
pub use drive::DriveError;
pub(crate) use human::{line, show_tree, understand};
pub use probe::Probe;

use crate::command::{self, Command};

/// How a machine is told of disks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Nodes, by `blockdev-add` and `blockdev-del` (QEMU 2.9).
    #[default]
    Blockdev,
    /// Drives, by `drive_add` and `drive_del` through `human-monitor-command` (QEMU 0.14).
    Drive,
    /// Drives, by RHEL 6's own `__com.redhat_drive_add` and `__com.redhat_drive_del`.
    Rhel6,
}

/// A text that is the name of no dialect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no dialect: blockdev, drive or rhel6")]
pub struct UnknownDialect(String);

impl Dialect {
    /// The words for all of them.
    pub const WORDS: &[&str] = &["blockdev", "drive", "rhel6"];
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(text: &str) -> Result<Self, UnknownDialect> {
        match text {
            "blockdev" => Ok(Self::Blockdev),
            "drive" => Ok(Self::Drive),
            "rhel6" => Ok(Self::Rhel6),
            _ => Err(UnknownDialect(text.to_owned())),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blockdev => "blockdev",
            Self::Drive => "drive",
            Self::Rhel6 => "rhel6",
        })
    }
}

/// What a machine told of itself. The default is one that can do everything, as QEMU 7.2 does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// The dialect.
    pub(crate) dialect: Dialect,
    /// How it was recognised, in words.
    pub(crate) recognised: String,
    /// QEMU's version, as the greeting gives it.
    pub(crate) version: String,
    /// The commands that it lists; absent where it is new enough to have them all.
    pub(crate) commands: Option<BTreeSet<String>>,
    /// The options of drives that it lists; absent where it does not tell.
    pub(crate) drive_options: Option<BTreeSet<String>>,
    /// Whether it says when a guest has let go (`DEVICE_DELETED`, QEMU 1.5).
    pub(crate) announces: bool,
    /// Whether `query-block` names the device of each disk (`qdev`, QEMU 2.10).
    pub(crate) names_devices: bool,
    /// Whether there are throttle groups as objects (QEMU 2.11).
    pub(crate) throttle_groups: bool,
    /// Whether `object-add` takes properties beside the id (QEMU 5.0), and not in `props`.
    pub(crate) flat_objects: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            dialect: Dialect::Blockdev,
            recognised: "nobody asked".to_owned(),
            version: "unknown".to_owned(),
            commands: None,
            drive_options: None,
            announces: true,
            names_devices: true,
            throttle_groups: true,
            flat_objects: true,
        }
    }
}

impl Features {
    /// The dialect.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// How the dialect was recognised, in words.
    #[must_use]
    pub fn recognised(&self) -> &str {
        &self.recognised
    }

    /// Whether the machine has this command, as far as it told.
    pub(crate) fn has(&self, command: &str) -> bool {
        self.commands.as_ref().is_none_or(|commands| commands.contains(command))
    }

    /// Whether drives have this option, as far as the machine told.
    pub(crate) fn has_drive_option(&self, option: &str) -> bool {
        self.drive_options.as_ref().is_some_and(|options| options.contains(option))
    }

    /// Whether a drive is told its serial, and not the device: up to 0.14 only drives have one, and
    /// up to 2.12 they may (QEMU 3.0 took it away).
    pub(crate) fn has_drive_serials(&self) -> bool {
        self.is_before_1_2()
    }

    /// Whether it has no object model that can be asked.
    fn is_before_1_2(&self) -> bool {
        self.has_drives() && !self.has("qom-list")
    }

    /// Whether `query-block` tells sizes (`inserted.image`): as old as `drive-backup` (QEMU 1.6).
    pub(crate) fn tells_sizes(&self) -> bool {
        self.has("drive-backup")
    }

    /// Whether disks are drives, and not nodes.
    pub(crate) fn has_drives(&self) -> bool {
        self.dialect != Dialect::Blockdev
    }

    /// The command that makes an object.
    pub(crate) fn make(&self, kind: &str, id: &str, properties: Map<String, Value>) -> Command {
        match self.flat_objects {
            true => command::add_object(kind, id, properties),
            false => command::add_object_with_props(kind, id, properties),
        }
    }

    /// The command that closes the image whose topmost node, or drive, this is.
    pub(crate) fn close(&self, top: &str) -> Command {
        match self.dialect {
            Dialect::Blockdev => command::remove_nodes(top),
            Dialect::Drive => command::human(line(&["drive_del", top])),
            Dialect::Rhel6 => command::remove_red_hat_drive(top),
        }
    }
}
