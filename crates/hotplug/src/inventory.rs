//! The machine as its answers show it.
//!
//! | file | reads | tells |
//! |---|---|---|
//! | `inventory/pci.rs` | `query-pci` | the board, its ports, what sits in them |
//! | `inventory/block.rs` | `query-block`, `query-named-block-nodes` | nodes, disks, which uses which |
//! | `inventory/users.rs` | `query-block-jobs`, `query-block-exports` and the graph | what else uses a disk's nodes |

mod block;
mod pci;
mod users;

pub(crate) use block::{Blocks, Node, Nodes};
pub use pci::{Board, Port};
pub(crate) use pci::{Occupancy, Pci};
pub(crate) use users::{Exports, Graph, Jobs};

/// Whether `path` is the QOM path of this device, or of a part of it: virtio-blk's disk is said to
/// be at `/machine/peripheral/ID/virtio-backend`.
pub(crate) fn device_of_qom_path(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/machine/peripheral/")?;
    Some(rest.split('/').next().unwrap_or(rest))
}
