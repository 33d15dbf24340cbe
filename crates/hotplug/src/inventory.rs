//! The machine as its answers show it.
//!
//! | file | reads | tells |
//! |---|---|---|
//! | `inventory/pci.rs` | `query-pci` | the board, its ports, what sits in them |
//! | `inventory/block.rs` | `query-block`, `query-named-block-nodes` | nodes, disks, which uses which |
//! | `inventory/port.rs` | | a place that takes a disk |
//! | `inventory/qom.rs` | `qom-list` | devices and objects, by their ids |
//! | `inventory/other.rs` | `query-migrate`, `query-qmp-schema`, `query-fdsets` | what else decides |
//! | `inventory/tree.rs`, `inventory/old.rs` | `info qtree`, with `query-block` | the same of machines before 2.10 |
//! | `inventory/users.rs` | `query-block-jobs`, `query-block-exports` and the graph | what else uses a disk's nodes |

mod block;
mod old;
mod other;
mod pci;
mod port;
mod qom;
mod tree;
mod users;

pub(crate) use block::{Blocks, DeviceDisk, Node, Nodes};
pub(crate) use old::Drives;
pub(crate) use other::{Drivers, Fdsets, Migration};
pub use pci::Board;
pub(crate) use pci::{Occupancy, Pci};
pub use port::Port;
pub(crate) use qom::{Devices, Objects, device_path};
pub(crate) use tree::{Tree, TreeDevice};
pub(crate) use users::{Exports, Graph, Jobs};

/// Whether `path` is the QOM path of this device, or of a part of it: virtio-blk's disk is said to
/// be at `/machine/peripheral/ID/virtio-backend`.
pub(crate) fn device_of_qom_path(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/machine/peripheral/")?;
    Some(rest.split('/').next().unwrap_or(rest))
}
