//! Events.

use serde::{Deserialize, Serialize};

/// A disk of the user's came, and can be used: its links are there. The data is a
/// [`Device`](super::Device).
pub const DISK_APPEARED: &str = "DISK_APPEARED";

/// A disk changed: its size, or its partitions. The data is a [`Device`](super::Device).
pub const DISK_CHANGED: &str = "DISK_CHANGED";

/// A disk left. The data is a [`DiskGone`].
pub const DISK_GONE: &str = "DISK_GONE";

/// The disk that left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskGone {
    /// The label that it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The kernel's name that it had.
    pub kernel_name: String,
    /// Its [`Device::sequence`](super::Device::sequence).
    pub sequence: u64,
}
