//! The QMP commands that a hotplug gives, and nothing but them.
//!
//! QEMU reads its monitor a byte at a time (about 4 µs each), so a command carries what it must and
//! no more.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::inventory::Port;
use crate::name::DiskName;

/// A QMP command.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// Its arguments, if it has any.
    pub arguments: Option<Value>,
    /// The descriptor that travels beside it, if one does.
    pub descriptor: Option<Descriptor>,
}

/// An open file that QEMU is to have too.
#[derive(Debug, Clone)]
pub struct Descriptor(pub Arc<OwnedFd>);

impl PartialEq for Descriptor {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Command {
    fn plain(name: &'static str) -> Self {
        Self { name, arguments: None, descriptor: None }
    }

    fn with(name: &'static str, arguments: Value) -> Self {
        Self { name, arguments: Some(arguments), descriptor: None }
    }

    /// Has a `device_add` go to this port, in place of the one that it names.
    pub(crate) fn plug_into(&mut self, port: &Port) {
        if let Some(Value::Object(arguments)) = &mut self.arguments {
            for key in ["bus", "addr", "lun"] {
                arguments.remove(key);
            }
            port.write(arguments);
        }
    }
}

/// As `qplug exec` takes it: the name, and `key=value` for each argument that has a plain value.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        let Some(Value::Object(arguments)) = &self.arguments else { return Ok(()) };
        for (key, value) in arguments {
            match value {
                Value::String(text) => write!(f, " {key}={text}")?,
                value => write!(f, " {key}={value}")?,
            }
        }
        Ok(())
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

/// Whether the machine is being migrated.
pub(crate) fn query_migration() -> Command {
    Command::plain("query-migrate")
}

/// The sets of descriptors that QEMU was given.
pub(crate) fn query_fdsets() -> Command {
    Command::plain("query-fdsets")
}

/// All that this QEMU can do.
pub(crate) fn query_schema() -> Command {
    Command::plain("query-qmp-schema")
}

/// The objects that the user, or somebody else, made: secrets, throttle groups, I/O threads.
pub(crate) fn query_objects() -> Command {
    Command::with("qom-list", json!({"path": "/objects"}))
}

/// The devices that have ids, with their types.
pub(crate) fn query_devices() -> Command {
    Command::with("qom-list", json!({"path": "/machine/peripheral"}))
}

/// What hangs on a SCSI controller.
pub(crate) fn query_controller(id: &str) -> Command {
    let path = format!("/machine/peripheral/{id}/virtio-backend/{id}.0");
    Command::with("qom-list", json!({"path": path}))
}

/// The serial of an attached disk.
pub(crate) fn query_serial(name: &DiskName) -> Command {
    let path = format!("/machine/peripheral/{name}");
    Command::with("qom-get", json!({"path": path, "property": "serial"}))
}

/// The children and links of what is at this QOM path: for a bus, what sits on it, also where no
/// firmware has numbered the buses.
pub(crate) fn query_children(path: &str) -> Command {
    Command::with("qom-list", json!({"path": path}))
}

/// A property of what is at this QOM path.
pub(crate) fn query_property(path: &str, property: &str) -> Command {
    Command::with("qom-get", json!({"path": path, "property": property}))
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

/// Opens an image: all its nodes in one command, so that they come and go together.
pub(crate) fn add_nodes(tree: Value) -> Command {
    Command::with("blockdev-add", tree)
}

/// Closes the image whose topmost node this is.
pub(crate) fn remove_nodes(top: &str) -> Command {
    Command::with("blockdev-del", json!({"node-name": top}))
}

/// Makes an object.
pub(crate) fn add_object(kind: &str, id: &str, properties: Map<String, Value>) -> Command {
    let mut arguments = json!({"qom-type": kind, "id": id});
    if let Value::Object(object) = &mut arguments {
        object.extend(properties);
    }
    Command::with("object-add", arguments)
}

/// Removes an object.
pub(crate) fn remove_object(id: &str) -> Command {
    Command::with("object-del", json!({"id": id}))
}

/// Hands a descriptor over, as the set of this number; `owner` says whose it is.
pub(crate) fn add_descriptor(descriptor: Descriptor, set: u32, owner: &str) -> Command {
    let arguments = json!({"fdset-id": set, "opaque": owner});
    Command { descriptor: Some(descriptor), ..Command::with("add-fd", arguments) }
}

/// Takes a set of descriptors back. One that is in use goes when it no longer is.
pub(crate) fn remove_descriptors(set: u64) -> Command {
    Command::with("remove-fd", json!({"fdset-id": set}))
}

/// Plugs a device in.
pub(crate) fn add_device(
    driver: &str,
    id: &str,
    properties: Map<String, Value>,
    port: &Port,
) -> Command {
    let mut command = Command::with("device_add", json!({"driver": driver, "id": id}));
    if let Some(Value::Object(arguments)) = &mut command.arguments {
        arguments.extend(properties);
        port.write(arguments);
    }
    command
}

/// Asks the guest to let go of a device.
pub(crate) fn remove_device(id: &str) -> Command {
    Command::with("device_del", json!({"id": id}))
}

/// Sets a device's property.
pub(crate) fn set_property(path: &str, property: &str, value: Value) -> Command {
    Command::with("qom-set", json!({"path": path, "property": property, "value": value}))
}
