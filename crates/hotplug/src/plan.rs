//! From what is there and what is wanted to the steps between them. Pure.

use std::collections::VecDeque;

use qplug_proto::ErrorReply;

use crate::disk::Disk;
use crate::error::Error;
use crate::inventory::{Blocks, Node, Nodes, Occupancy, Pci, Port};
use crate::name::DiskName;

/// The machine as far as an attach must know it.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub(crate) pci: Pci,
    pub(crate) nodes: Nodes,
    /// Asked for only where the name occurs in the machine already.
    pub(crate) blocks: Blocks,
    /// The serial of the device that has the name, if it has one.
    pub(crate) serial: Option<String>,
}

/// What lies between the machine and the disk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// The very disk is there.
    Already(Option<Port>),
    /// Steps to take.
    Steps {
        /// What is there of the disk already.
        found: Found,
        /// Where it may be plugged: the first that takes it is used.
        ports: VecDeque<Port>,
    },
}

/// What an attach finds of its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// Its nodes: an attach ended before it plugged the device.
    OpenImage,
}

impl Observed {
    /// Whether the name occurs at all, so that a closer look is needed.
    pub(crate) fn shows(&self, disk: &Disk) -> bool {
        self.nodes.format_node(&disk.name).is_some()
            || self.pci.port_of(disk.name.as_str()).is_some()
    }
}

/// Plans an attach.
///
/// # Errors
/// When the disk cannot be attached to this machine; nothing has been changed then.
pub(crate) fn attach(observed: &Observed, disk: &Disk) -> Result<Plan, Error> {
    let node = observed.nodes.format_node(&disk.name);
    if let Some(device) = observed.blocks.device(disk.name.as_str()) {
        // A block job may have put a filter between the device and our node.
        return match node {
            Some(node) if is_disk(node, disk, observed.serial.as_deref()) => {
                Ok(Plan::Already(observed.pci.port_of(disk.name.as_str())))
            }
            _ => Err(Error::NameTaken {
                name: disk.name.clone(),
                holds: node.or(device.node).map_or_else(|| "a device".to_owned(), describe),
            }),
        };
    }
    if let Some(by) = other_user(observed, disk) {
        return Err(Error::ImageInUse { image: disk.path.clone(), by });
    }
    let found = match node {
        None => Found::Nothing,
        Some(node) if is_image(node, disk) => Found::OpenImage,
        // Closing it here would be rash: another client may be about to plug it in.
        Some(node) => {
            let (name, image) = (disk.name.clone(), node.path.clone());
            return Err(Error::NameHalfDone { name, image });
        }
    };
    Ok(Plan::Steps { found, ports: ports(observed, disk)? })
}

/// Who else in this machine has the image open, where one of the two writes.
fn other_user(observed: &Observed, disk: &Disk) -> Option<String> {
    let node = observed.nodes.over(&disk.path).find(|node| {
        let ours = node.name == disk.name.format_node() || node.name == disk.name.file_node();
        let both_read = node.read_only && disk.read_only;
        !ours && !both_read
    })?;
    let name = DiskName::of_format_node(&node.name);
    Some(name.map_or_else(|| format!("the node {}", node.name), |name| name.to_string()))
}

/// The ports to try. Those that are known to be free come first: behind a bridge that no firmware
/// has numbered, only QEMU itself can tell.
fn ports(observed: &Observed, disk: &Disk) -> Result<VecDeque<Port>, Error> {
    let ports = observed.pci.ports();
    let free = || ports.iter().filter(|(_, occupancy)| *occupancy == Occupancy::Free);
    if let Some(wanted) = &disk.port {
        let found = ports.iter().find(|(port, _)| port.to_string() == *wanted);
        return match found {
            Some((port, Occupancy::Free | Occupancy::Unknown)) => Ok([port.clone()].into()),
            Some((port, occupancy)) => {
                Err(Error::PortUnfit { port: port.clone(), why: occupancy.to_string() })
            }
            None => Err(Error::NoSuchPort {
                port: wanted.clone(),
                free: free().map(|(port, _)| port.to_string()).collect(),
            }),
        };
    }
    let unknown = ports.iter().filter(|(_, occupancy)| *occupancy == Occupancy::Unknown);
    let candidates: VecDeque<Port> = free().chain(unknown).map(|(port, _)| port.clone()).collect();
    if candidates.is_empty() {
        return Err(no_room(&observed.pci));
    }
    Ok(candidates)
}

/// Says that there is no room, because QEMU refused the ports that looked free.
pub(crate) fn all_refused(pci: &Pci, refusal: &ErrorReply) -> Error {
    let places = format!("QEMU refuses the ports that looked free: {}", refusal.desc);
    Error::NoFreePort { board: pci.board(), places }
}

/// Says that there is no room, and what there is.
fn no_room(pci: &Pci) -> Error {
    let total = pci.ports().len();
    let mut places = match pci.board() {
        crate::Board::Pc => format!("all {total} slots are taken"),
        _ if total == 0 => "it has no root port with an id".to_owned(),
        _ => format!("its {total} root ports are taken or fixed"),
    };
    if pci.unnamed_ports() > 0 {
        places +=
            &format!("; {} more have no id, so nothing can be plugged in", pci.unnamed_ports());
    }
    Error::NoFreePort { board: pci.board(), places }
}

fn is_image(node: &Node, disk: &Disk) -> bool {
    node.path == disk.path
        && node.driver == disk.format.as_str()
        && node.read_only == disk.read_only
}

fn is_disk(node: &Node, disk: &Disk, serial: Option<&str>) -> bool {
    is_image(node, disk) && serial == Some(disk.serial.as_str())
}

fn describe(node: &Node) -> String {
    let access = if node.read_only { "read-only" } else { "writable" };
    format!("a {access} {} disk over {}", node.driver, node.path)
}
