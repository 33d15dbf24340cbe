//! Listing the disks of a machine: those that qplug made, whole or half, and all others.

use std::time::Instant;

use serde::Serialize;

use crate::bus::Bus;
use crate::command::Command;
use crate::dialect::Features;
use crate::error::Error;
use crate::inventory::{Blocks, DeviceDisk, Node, Nodes, Port, device_of_qom_path, device_path};
use crate::name::DiskName;
use crate::observe::{Look, Observed, Observer};
use crate::operation::{Answer, Operation};

/// A disk of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedDisk {
    /// The disk's name; for one that qplug did not make, its device's id.
    pub name: String,
    /// What qplug knows it for.
    pub state: DiskState,
    /// The bus that it is on; only for disks that qplug made.
    pub bus: Option<Bus>,
    /// The serial that the guest sees, where the device has one.
    pub serial: Option<String>,
    /// Where a Linux guest with udev finds the disk; only for disks that qplug made.
    pub guest_path: Option<String>,
    /// The port that it sits in, where that is known.
    pub port: Option<String>,
    /// The image, by its path where QEMU runs; absent in an empty drive.
    pub image: Option<String>,
    /// The image's format.
    pub format: Option<String>,
    /// The size that the guest sees, in bytes.
    pub bytes: Option<u64>,
    /// Whether the guest may only read it.
    pub read_only: Option<bool>,
}

/// What qplug knows a disk for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskState {
    /// Attached by qplug.
    Attached,
    /// The image is open and no device uses it: an attach or a detach ended early. Running the
    /// command again finishes it.
    HalfDone,
    /// The guest was asked to let go of it, and had not answered when the detach gave up waiting.
    /// Running the detach again goes on with it.
    Pending,
    /// Not made by qplug, and never touched by it.
    Foreign,
}

/// A listing under way.
#[derive(Debug)]
pub struct List {
    observer: Observer,
    /// Whether the devices of disks were asked, which comes second.
    closer: bool,
    outcome: Option<Result<Vec<ListedDisk>, Error>>,
}

/// The property of a device that leads to the bus it is on.
pub(crate) const PARENT: &str = "parent_bus";

/// The property of a SCSI disk that guests know it by, 0 for none.
const WWN: &str = "wwn";

impl List {
    /// A listing of all disks.
    #[must_use]
    pub fn new() -> Self {
        let mut observer = Observer::default();
        observer.look([Look::Pci, Look::Nodes, Look::Blocks, Look::Objects, Look::Devices]);
        Self { observer, closer: false, outcome: None }
    }

    fn go_on(&mut self) {
        while self.observer.is_done() && self.outcome.is_none() {
            let observed = &self.observer.observed;
            if self.closer {
                self.outcome = Some(Ok(disks(observed)));
            } else {
                self.closer = true;
                self.observer.look(closer_looks(observed));
            }
        }
    }
}

/// What to ask of each disk that qplug made.
fn closer_looks(observed: &Observed) -> Vec<Look> {
    let mut looks = Vec::new();
    let ours = devices(observed).filter_map(|disk| our_disk(observed, disk.id));
    for (name, _) in ours {
        let bus = observed.bus_of(&name);
        if bus == Some(Bus::VirtioScsi) {
            looks.push(Look::Property(device_path(name.as_str()), WWN));
        }
        if port_in_pci(observed, name.as_str()).is_none() {
            looks.push(Look::Property(plugged_device(&name, bus), PARENT));
        }
        looks.push(Look::Serial(name));
    }
    looks
}

/// The path of the device that is in the port: usb-uas has the disk inside.
fn plugged_device(name: &DiskName, bus: Option<Bus>) -> String {
    match bus {
        Some(Bus::UsbUas) => device_path(&name.uas()),
        _ => device_path(name.as_str()),
    }
}

fn devices(observed: &Observed) -> impl Iterator<Item = DeviceDisk<'_>> {
    observed.blocks.iter().flat_map(Blocks::devices)
}

/// The disk of this name, if the device has the name and our nodes are there. The device may hold
/// another node: a block job puts a filter over ours.
fn our_disk<'a>(observed: &'a Observed, id: &str) -> Option<(DiskName, &'a Node)> {
    let (name, nodes) = (DiskName::new(id).ok()?, observed.nodes.as_ref()?);
    // They come together: another client may have a node of such a name.
    nodes.node(&name.file_node())?;
    let node = nodes.format_node(&name)?;
    Some((name, node))
}

fn port_in_pci(observed: &Observed, id: &str) -> Option<Port> {
    observed.pci.as_ref()?.port_of(id)
}

/// The name of the port that holds our disk.
fn port(observed: &Observed, name: &DiskName, bus: Option<Bus>) -> Option<String> {
    if let Some(port) = port_in_pci(observed, name.as_str()) {
        return Some(port.to_string());
    }
    let path = observed.text(&plugged_device(name, bus), PARENT)?;
    let device = device_of_qom_path(path);
    match bus? {
        Bus::VirtioBlk if device.is_none() => Some(Port::ChannelSubsystem.to_string()),
        // Behind a bridge that no firmware has numbered, the slot is not known.
        Bus::VirtioBlk | Bus::Nvme => {
            let is_port =
                |id: &&str| observed.devices.as_ref().is_some_and(|it| it.is_root_port(id));
            device.filter(is_port).map(ToOwned::to_owned)
        }
        Bus::VirtioScsi => device.map(ToOwned::to_owned),
        Bus::UsbStorage | Bus::UsbUas => path.rsplit('/').next().map(ToOwned::to_owned),
    }
}

fn disks(observed: &Observed) -> Vec<ListedDisk> {
    let mut listed = Vec::new();
    for disk in devices(observed) {
        listed.push(match our_disk(observed, disk.id) {
            Some((name, node)) => attached(observed, &name, node),
            None => {
                let port = port_in_pci(observed, disk.id).map(|port| port.to_string());
                ListedDisk { port, ..over(disk.id, DiskState::Foreign, disk.node) }
            }
        });
    }
    for (name, node) in observed.nodes.iter().flat_map(Nodes::disks) {
        // What a drive holds is a medium, and is listed as what is in the drive.
        let is_held = |blocks: &Blocks| {
            blocks.device(name.as_str()).is_some() || blocks.holder(&node.name).is_some()
        };
        if !observed.blocks.as_ref().is_some_and(is_held) {
            let image = our_image(observed, &name);
            listed
                .push(ListedDisk { image, ..over(name.as_str(), DiskState::HalfDone, Some(node)) });
        }
    }
    listed
}

fn attached(observed: &Observed, name: &DiskName, node: &Node) -> ListedDisk {
    let is_pending = observed.objects.as_ref().is_some_and(|it| it.has(&name.pending()));
    let state = if is_pending { DiskState::Pending } else { DiskState::Attached };
    let bus = observed.bus_of(name);
    let serial = observed.serials.get(name).cloned().flatten();
    let wwn = observed.properties.get(&(device_path(name.as_str()), WWN));
    let wwn = wwn.and_then(serde_json::Value::as_u64).filter(|wwn| *wwn != 0);
    let path = |serial: &String| bus.map(|bus| bus.guest_path(serial, wwn));
    ListedDisk {
        bus,
        guest_path: serial.as_ref().and_then(path),
        serial,
        port: port(observed, name, bus),
        image: our_image(observed, name),
        ..over(name.as_str(), state, Some(node))
    }
}

/// The upper node of an encrypted image, or of one with layers, shows all its options instead.
fn our_image(observed: &Observed, name: &DiskName) -> Option<String> {
    observed.nodes.as_ref()?.image_of(name).map(ToOwned::to_owned)
}

/// A disk over this node, without what its device tells.
fn over(id: &str, state: DiskState, node: Option<&Node>) -> ListedDisk {
    ListedDisk {
        name: id.to_owned(),
        state,
        bus: None,
        serial: None,
        guest_path: None,
        port: None,
        image: node.map(|node| node.path.clone()),
        format: node.map(|node| node.driver.clone()),
        bytes: node.and_then(Node::bytes),
        read_only: node.map(|node| node.read_only),
    }
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl Operation for List {
    type Outcome = Result<Vec<ListedDisk>, Error>;

    fn speak(&mut self, features: &Features) {
        self.observer.speak(features);
    }

    fn poll_transmit(&mut self) -> Option<Command> {
        self.observer.poll_transmit()
    }

    fn handle_answer(&mut self, answer: Answer, _now: Instant) {
        match self.observer.handle_answer(answer) {
            Ok(()) => self.go_on(),
            Err(error) => self.outcome = Some(Err(error)),
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::script::Happens::Answer;
    use crate::operation::script::play;

    #[test]
    fn a_medium_in_its_drive_is_not_half_done() {
        let nodes = r#"[
            {"node-name": "cd0.medium-a.format", "drv": "raw", "file": "/a", "ro": true, "image": {"virtual-size": 1}},
            {"node-name": "cd0.medium-a.file", "drv": "file", "file": "/a", "ro": true, "image": {"virtual-size": 1}},
            {"node-name": "x.format", "drv": "raw", "file": "/x", "ro": true, "image": {"virtual-size": 1}},
            {"node-name": "x.file", "drv": "file", "file": "/x", "ro": true, "image": {"virtual-size": 1}}]"#;
        let blocks = r#"[{"device": "", "qdev": "cd0", "removable": true, "inserted":
            {"node-name": "cd0.medium-a.format", "drv": "raw", "file": "/a", "ro": true, "image": {"virtual-size": 1}}}]"#;
        let script = vec![
            Answer("query-pci", "", Ok("[]")),
            Answer("query-named-block-nodes", "", Ok(nodes)),
            Answer("query-block", "", Ok(blocks)),
            Answer("qom-list", "/objects", Ok("[]")),
            Answer("qom-list", "/machine/peripheral", Ok("[]")),
        ];
        let listed = play(List::new(), script).unwrap();
        let listed: Vec<_> = listed.iter().map(|disk| (disk.name.as_str(), disk.state)).collect();
        assert_eq!(listed, [("cd0", DiskState::Foreign), ("x", DiskState::HalfDone)]);
    }

    #[test]
    fn a_node_of_another_client_makes_no_disk_ours() {
        let nodes = r#"[
            {"node-name": "x.format", "drv": "raw", "file": "/x", "ro": true, "image": {"virtual-size": 1}},
            {"node-name": "theirs", "drv": "raw", "file": "/t", "ro": true, "image": {"virtual-size": 1}}]"#;
        let blocks = r#"[{"device": "", "qdev": "x", "inserted":
            {"node-name": "theirs", "drv": "raw", "file": "/t", "ro": true, "image": {"virtual-size": 1}}}]"#;
        let script = vec![
            Answer("query-pci", "", Ok("[]")),
            Answer("query-named-block-nodes", "", Ok(nodes)),
            Answer("query-block", "", Ok(blocks)),
            Answer("qom-list", "/objects", Ok("[]")),
            Answer("qom-list", "/machine/peripheral", Ok("[]")),
        ];
        let listed = play(List::new(), script).unwrap();
        let listed: Vec<_> = listed.iter().map(|disk| (disk.name.as_str(), disk.state)).collect();
        assert_eq!(listed, [("x", DiskState::Foreign)]);
    }
}
