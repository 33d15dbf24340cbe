//! The QMP commands that a hotplug gives, and nothing but them.
//!
//! QEMU reads its monitor a byte at a time (about 4 µs each), so a command carries what it must and
//! no more.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use qplug_qmp::redact::redacted;
use serde::de::IgnoredAny;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::dialect;
use crate::inventory::Port;
use crate::name::DiskName;
use crate::operation::Answer;

/// The command that passes a line on to the human monitor.
pub(crate) const HUMAN: &str = "human-monitor-command";

/// A QMP command.
#[derive(Clone, PartialEq)]
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

    /// What an answer to this command says: the human monitor's failures are replies that succeed.
    pub(crate) fn read(&self, answer: Answer) -> Answer {
        match self.name {
            HUMAN => dialect::understand(answer),
            _ => answer,
        }
    }

    /// The arguments, for people and programs that look on.
    fn shown_arguments(&self) -> Option<Value> {
        let arguments = self.arguments.as_ref()?;
        Some(redacted(self.name, arguments).unwrap_or_else(|| arguments.clone()))
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

/// As `qplug exec` takes it in a shell: the name, and `key=value` for each argument. What is secret
/// is blotted out.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        let Some(Value::Object(arguments)) = self.shown_arguments() else { return Ok(()) };
        for (key, value) in &arguments {
            let value = match value {
                // A text that looks like something else.
                Value::String(text) if text.starts_with(['{', '[', '"']) || is_json(text) => {
                    value.to_string()
                }
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            write!(f, " {key}={}", quoted(&value))?;
        }
        Ok(())
    }
}

/// As it is displayed: what is secret is not shown here either.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({self})")
    }
}

/// As it goes over the wire, but for its id. What is secret is blotted out.
impl Serialize for Command {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let arguments = self.shown_arguments();
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("execute", self.name)?;
        if let Some(arguments) = &arguments {
            members.serialize_entry("arguments", arguments)?;
        }
        members.end()
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The text as a word for a shell.
fn quoted(text: &str) -> String {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "_-./:=,@%+".contains(character);
    match text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
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

/// What devices read and wrote so far.
pub(crate) fn query_stats() -> Command {
    Command::plain("query-blockstats")
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

/// The QOM path of what plugs devices into a root port, and asks the guest to let go of them. The
/// port's bus is a child of it, and has its name.
pub(crate) fn query_plugger(port: &str) -> Command {
    query_property(&format!("/machine/peripheral/{port}/{port}"), "hotplug-handler")
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

/// The commands that this QEMU has.
pub(crate) fn query_commands() -> Command {
    Command::plain("query-commands")
}

/// The events that this QEMU has (1.2 to 5.2).
pub(crate) fn query_events() -> Command {
    Command::plain("query-events")
}

/// The options that drives have (QEMU 1.5).
pub(crate) fn query_drive_options() -> Command {
    Command::with("query-command-line-options", json!({"option": "drive"}))
}

/// The types that are of this kind, or this one itself (QEMU 1.2).
pub(crate) fn query_types(implements: &str) -> Command {
    Command::with("qom-list-types", json!({"implements": implements}))
}

/// A line for the human monitor.
pub(crate) fn human(line: String) -> Command {
    Command::with(HUMAN, json!({"command-line": line}))
}

/// Opens an image as a drive, as RHEL 6 has it.
pub(crate) fn add_red_hat_drive(options: Vec<(String, String)>) -> Command {
    let options = options.into_iter().map(|(key, value)| (key, value.into()));
    Command::with("__com.redhat_drive_add", Value::Object(options.collect()))
}

/// Closes such a drive.
pub(crate) fn remove_red_hat_drive(id: &str) -> Command {
    Command::with("__com.redhat_drive_del", json!({"id": id}))
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

/// Makes an object, as QEMU before 5.0 takes it.
pub(crate) fn add_object_with_props(
    kind: &str,
    id: &str,
    properties: Map<String, Value>,
) -> Command {
    let mut arguments = json!({"qom-type": kind, "id": id});
    if !properties.is_empty() {
        arguments["props"] = Value::Object(properties);
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

/// Opens a drive's tray, or asks the guest that has locked it.
pub(crate) fn open_tray(drive: &str, force: bool) -> Command {
    let mut arguments = json!({"id": drive});
    if force {
        arguments["force"] = json!(true);
    }
    Command::with("blockdev-open-tray", arguments)
}

/// Closes a drive's tray.
pub(crate) fn close_tray(drive: &str) -> Command {
    Command::with("blockdev-close-tray", json!({"id": drive}))
}

/// Takes the medium out of a drive whose tray is open.
pub(crate) fn remove_medium(drive: &str) -> Command {
    Command::with("blockdev-remove-medium", json!({"id": drive}))
}

/// Puts a node into a drive that is empty and open.
pub(crate) fn insert_medium(drive: &str, node: &str) -> Command {
    Command::with("blockdev-insert-medium", json!({"id": drive, "node-name": node}))
}

/// A drive with a tray, as commands are told of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tray<'a> {
    /// By its device's id or path (QEMU 2.8).
    Device(&'a str),
    /// By its old name.
    Drive(&'a str),
}

impl Tray<'_> {
    fn write(self, arguments: &mut Value) {
        match self {
            Self::Device(id) => arguments["id"] = json!(id),
            Self::Drive(name) => arguments["device"] = json!(name),
        }
    }
}

/// Opens an image and puts it into a drive, all in one (QEMU 2.5).
pub(crate) fn change_medium(tray: Tray<'_>, path: &str, format: &str, read_only: bool) -> Command {
    let mode = if read_only { "read-only" } else { "read-write" };
    let mut arguments = json!({"filename": path, "format": format, "read-only-mode": mode});
    tray.write(&mut arguments);
    Command::with("blockdev-change-medium", arguments)
}

/// Takes the medium out of a drive, as QEMU before 2.12 does it.
pub(crate) fn eject(tray: Tray<'_>, force: bool) -> Command {
    let mut arguments = json!({});
    tray.write(&mut arguments);
    if force {
        arguments["force"] = json!(true);
    }
    Command::with("eject", arguments)
}

/// Puts a file into a drive, in place of what is in it (up to QEMU 5.2).
pub(crate) fn change(drive: &str, path: &str, format: &str) -> Command {
    Command::with("change", json!({"device": drive, "target": path, "arg": format}))
}

/// Gives the disk over this drive another size, in bytes.
pub(crate) fn resize_drive(drive: &str, bytes: u64) -> Command {
    Command::with("block_resize", json!({"device": drive, "size": bytes}))
}

/// Gives the disk over this node another size, in bytes.
pub(crate) fn resize(node: &str, bytes: u64) -> Command {
    Command::with("block_resize", json!({"node-name": node, "size": bytes}))
}

/// Takes a snapshot within the images of all these disks (each the node that its device holds, or its
/// drive), or of none.
pub(crate) fn snapshot<'a>(disks: impl Iterator<Item = &'a str>, tag: &str) -> Command {
    let action = |disk| json!({"type": "blockdev-snapshot-internal-sync", "data": {"device": disk, "name": tag}});
    Command::with("transaction", json!({"actions": disks.map(action).collect::<Vec<_>>()}))
}

/// Deletes a snapshot within the image of a disk.
pub(crate) fn delete_snapshot(disk: &str, tag: &str) -> Command {
    let arguments = json!({"device": disk, "name": tag});
    Command::with("blockdev-snapshot-delete-internal-sync", arguments)
}

/// Limits the speed of a device's disk.
pub(crate) fn throttle_device(device: &str, limits: Map<String, Value>) -> Command {
    let mut arguments = json!({"id": device});
    if let Value::Object(object) = &mut arguments {
        object.extend(limits);
    }
    Command::with("block_set_io_throttle", arguments)
}

/// Limits the speed of a drive.
pub(crate) fn throttle_drive(drive: &str, limits: Map<String, Value>) -> Command {
    let mut arguments = json!({"device": drive});
    if let Value::Object(object) = &mut arguments {
        object.extend(limits);
    }
    Command::with("block_set_io_throttle", arguments)
}

/// Sets a device's property.
pub(crate) fn set_property(path: &str, property: &str, value: Value) -> Command {
    Command::with("qom-set", json!({"path": path, "property": property, "value": value}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_as_a_shell_takes_it() {
        let port = Port::Root("rp0".to_owned());
        let command = add_device("virtio-blk-pci", "data", Map::new(), &port);
        let shown = r#"device_add driver=virtio-blk-pci id=data bus=rp0 addr='"0"'"#;
        assert_eq!(command.to_string(), shown);
        let command = add_nodes(json!({"driver": "raw", "file": {"filename": "it's"}}));
        let shown = r#"blockdev-add driver=raw file='{"filename":"it'\''s"}'"#;
        assert_eq!(command.to_string(), shown);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let mut properties = Map::new();
        properties.insert("data".to_owned(), "hush".into());
        let command = add_object("secret", "qplug.disk.data.secret", properties);
        let json = serde_json::to_string(&command).unwrap();
        for shown in [command.to_string(), json] {
            assert!(shown.contains("***") && !shown.contains("hush"), "{shown}");
        }
    }
}
