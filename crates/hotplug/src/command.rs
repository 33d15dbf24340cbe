//! The QMP commands that a hotplug gives, and nothing but them.
//!
//! QEMU reads its monitor a byte at a time (about 4 µs each), so a command carries what it must and
//! no more.

use serde_json::{Value, json};

use crate::disk::Disk;
use crate::inventory::Port;
use crate::name::DiskName;

/// A QMP command.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// Its arguments, if it has any.
    pub arguments: Option<Value>,
}

impl Command {
    fn plain(name: &'static str) -> Self {
        Self { name, arguments: None }
    }

    fn with(name: &'static str, arguments: Value) -> Self {
        Self { name, arguments: Some(arguments) }
    }
}

/// The PCI devices, which tell the machine's board, its ports, and what sits in them.
pub(crate) fn query_pci() -> Command {
    Command::plain("query-pci")
}

/// The disks that devices use.
pub(crate) fn query_block() -> Command {
    Command::plain("query-block")
}

/// The block jobs that run.
pub(crate) fn query_jobs() -> Command {
    Command::plain("query-block-jobs")
}

/// The exports of nodes.
pub(crate) fn query_exports() -> Command {
    Command::plain("query-block-exports")
}

/// Which node lies on which.
pub(crate) fn query_graph() -> Command {
    Command::plain("x-debug-query-block-graph")
}

/// All nodes, used or not.
pub(crate) fn query_nodes() -> Command {
    Command::plain("query-named-block-nodes")
}

/// The serial of an attached disk.
pub(crate) fn query_serial(name: &DiskName) -> Command {
    let path = format!("/machine/peripheral/{name}");
    Command::with("qom-get", json!({"path": path, "property": "serial"}))
}

/// Whether a root port takes devices while the machine runs.
pub(crate) fn query_hotplug(port: &str) -> Command {
    let path = format!("/machine/peripheral/{port}");
    Command::with("qom-get", json!({"path": path, "property": "hotplug"}))
}

/// The properties of a root port's bus, among them what sits on it, also where no firmware has
/// numbered the buses.
pub(crate) fn query_bus(port: &str) -> Command {
    Command::with("qom-list", json!({"path": bus_path(port)}))
}

/// The QOM path of the device that is this child of a root port's bus.
pub(crate) fn query_occupant(port: &str, child: &str) -> Command {
    Command::with("qom-get", json!({"path": bus_path(port), "property": child}))
}

/// A root port's bus is a child of it, and has its name.
fn bus_path(port: &str) -> String {
    format!("/machine/peripheral/{port}/{port}")
}

/// The machine's type, such as `pc-q35-7.2-machine`.
pub(crate) fn query_machine_type() -> Command {
    Command::with("qom-get", json!({"path": "/machine", "property": "type"}))
}

/// Whether the machine runs.
pub(crate) fn query_status() -> Command {
    Command::plain("query-status")
}

/// The name that `-name` gave the machine.
pub(crate) fn query_name() -> Command {
    Command::plain("query-name")
}

/// Opens the image: both nodes in one command, so that they come and go together.
pub(crate) fn add_nodes(disk: &Disk) -> Command {
    let mut file = json!({
        "driver": disk.protocol.driver(),
        "node-name": disk.name.file_node(),
        "filename": disk.path,
    });
    let mut format = json!({
        "driver": disk.format.as_str(),
        "node-name": disk.name.format_node(),
    });
    if disk.read_only {
        file["read-only"] = json!(true);
        format["read-only"] = json!(true);
    }
    format["file"] = file;
    Command::with("blockdev-add", format)
}

/// Closes the image.
pub(crate) fn remove_nodes(name: &DiskName) -> Command {
    Command::with("blockdev-del", json!({"node-name": name.format_node()}))
}

/// Plugs the disk into a port.
pub(crate) fn add_device(disk: &Disk, port: &Port) -> Command {
    Command::with(
        "device_add",
        json!({
            "driver": "virtio-blk-pci",
            "id": disk.name.as_str(),
            "drive": disk.name.format_node(),
            "serial": disk.serial.as_str(),
            "bus": port.bus(),
            "addr": format!("{:x}", port.slot()),
        }),
    )
}

/// Asks the guest to let go of a disk.
pub(crate) fn remove_device(name: &DiskName) -> Command {
    Command::with("device_del", json!({"id": name.as_str()}))
}
