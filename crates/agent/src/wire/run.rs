//! Programs.

use serde::{Deserialize, Serialize};

use super::{Done, command};
use crate::Name;

/// `use-root`: has programs come from the disk [`ROOT_LABEL`](super::ROOT_LABEL), which is waited for, once and for all. Its
/// file system is never written to: what programs change is kept in memory, and gone with the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct UseRoot {
    /// The partition that the file system is on, from 1; where it is absent, the whole disk, or its only
    /// partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
}
command!(UseRoot, "use-root", Done);

/// `run`: runs a program of the appliance's, and returns when it has ended.
///
/// The program sees the appliance itself, or the root that [`UseRoot`] gave it, in both with
/// `/dev/disk/qplug`, and the tree at `/sysroot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Run {
    /// What to run: either a line for a shell, or a program and its arguments. Without a shell in the
    /// appliance, a line is cut into words, quotes are heeded, and anything else that a shell would do
    /// is refused.
    pub command: Line,
    /// Gets what the program prints.
    pub stdout: u32,
    /// Gets its complaints; they go to `stdout` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<u32>,
    /// What the program reads; nothing where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<u32>,
}
command!(Run, "run", Ended);

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// A line for a shell.
    Shell(String),
    /// A program and its arguments.
    Words(Vec<Name>),
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ended {
    /// Its exit code, where it exited by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
}
