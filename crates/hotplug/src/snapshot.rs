//! Snapshots within qcow2 images, of several disks at one moment, while the guest uses them.
//!
//! | file | owns |
//! |---|---|
//! | `snapshot/plan.rs` | which disks, whether they can, and which there are |
//! | `snapshot/take.rs`, `snapshot/delete.rs` | taking one and deleting one |
//!
//! QEMU (1.7) takes all of a transaction or none, at one moment for all disks. Its names of disks are
//! the nodes that devices hold: it refuses a node below ("Need a root block node").

mod delete;
mod plan;
mod take;

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::command::{self, Command};
use crate::preview::PlannedStep;

pub use delete::{DeleteSnapshot, Deletions};
pub use plan::{ListSnapshots, PlanSnapshot};
pub use take::TakeSnapshot;

/// What the steps do.
const TAKE: &str = "take the snapshot";
const DELETE: &str = "delete the snapshot";

/// QEMU cuts a longer name off and does not say so (`QEMUSnapshotInfo` has 256 bytes for it).
pub const MAX_TAG_BYTES: usize = 255;

/// The format whose images can have snapshots inside.
const QCOW2: &str = "qcow2";

/// A snapshot's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Tag(String);

/// A text that cannot name a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot name a snapshot: take at most {MAX_TAG_BYTES} bytes, no control characters, and \
     more than digits, which QEMU's tools would take for a snapshot's number"
)]
pub struct TagError(String);

/// Which disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snapped {
    /// For a new snapshot all disks of qplug's that can be written to; else all that have one.
    All,
    /// Disks by their names, and devices by their ids.
    Named(Vec<String>),
}

/// A snapshot that can be taken; nothing was changed yet.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotPlan {
    tag: Tag,
    /// The disks, and what QEMU calls them here.
    disks: Vec<(String, String)>,
}

/// A snapshot that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Its name.
    pub tag: Tag,
    /// The disks that it is of.
    pub disks: Vec<String>,
}

/// A snapshot that is in a disk's image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedSnapshot {
    /// The disk.
    pub disk: String,
    /// The snapshot's name, as it is in the image.
    pub tag: String,
    /// The image's number of it.
    pub id: String,
    /// When it was taken, by the host's clock, in seconds since 1970.
    pub seconds: u64,
    /// How much of it is the machine's memory and devices (`savevm`), in bytes.
    pub vm_state_bytes: u64,
}

impl SnapshotPlan {
    /// The disks.
    pub fn disks(&self) -> impl Iterator<Item = &str> {
        self.disks.iter().map(|(name, _)| name.as_str())
    }

    /// The one step that it takes.
    #[must_use]
    pub fn step(&self) -> PlannedStep {
        PlannedStep { doing: TAKE, command: self.command(), undo: None, awaits: None }
    }

    fn command(&self) -> Command {
        command::snapshot(self.disks.iter().map(|(_, node)| node.as_str()), &self.tag.0)
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let is_well_formed = !text.bytes().all(|byte| byte.is_ascii_digit())
            && text.len() <= MAX_TAG_BYTES
            && !text.chars().any(char::is_control);
        is_well_formed.then(|| Self(text.to_owned())).ok_or_else(|| TagError(text.to_owned()))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
