//! The steps that plug a disk in, each with its undo.
//!
//! ```text
//!  descriptors → objects → nodes → device [→ the disk in it → attached]      (usb-uas)
//! ```

use serde_json::{Map, Value, json};

use crate::bus::Bus;
use crate::command;
use crate::disk::Disk;
use crate::inventory::Port;
use crate::name::SHARED_CONTROLLER;
use crate::options::OptionError;
use crate::step::Step;
use crate::storage::Object;

/// What the steps do.
const HAND_OVER: &str = "hand a descriptor over";
const MAKE: &str = "make an object";
const OPEN: &str = "open the image";
const PLUG: &str = "plug the device in";
const PLUG_CONTROLLER: &str = "plug a SCSI controller in";
const SHOW: &str = "show the disk to the guest";

impl Disk {
    /// The steps that come before anything is plugged in.
    pub(crate) fn steps_to_open(&self) -> Result<Vec<Step>, OptionError> {
        let mut steps = Vec::new();
        for (set, descriptor, owner) in self.storage.descriptors(&self.name) {
            let add = command::add_descriptor(descriptor, set, &owner);
            let undo = command::remove_descriptors(set.into());
            steps.push(Step::new(HAND_OVER, add, Some(undo)));
        }
        steps.extend(self.objects().into_iter().map(Object::step));
        let add = command::add_nodes(self.tree()?);
        steps.push(Step::new(OPEN, add, Some(command::remove_nodes(&self.top_node()))));
        Ok(steps)
    }

    /// The steps that plug the disk into a port, once its nodes are there.
    pub(crate) fn steps_to_plug(&self, bus: Bus, port: Port) -> Vec<Step> {
        let (name, driver) = (self.name.as_str(), driver(bus, &port));
        if bus != Bus::UsbUas {
            let add = command::add_device(driver, name, self.properties(bus), &port);
            return vec![Step::plug(PLUG, add, command::remove_device(name), port)];
        }
        // QEMU shows a hot-plugged one to the guest only when told that its disks are there
        // (docs/system/devices/usb.rst).
        let uas = self.name.uas();
        let inner = Port::Usb(format!("{uas}.0"));
        let add_disk = command::add_device("scsi-hd", name, self.properties(bus), &inner);
        let path = format!("/machine/peripheral/{uas}");
        let show = command::set_property(&path, "attached", json!(true));
        // The guest knows the disk by the serial of its USB device.
        let mut properties = Map::new();
        properties.insert("serial".to_owned(), self.serial.as_str().into());
        let add = command::add_device(driver, &uas, properties, &port);
        vec![
            Step::plug(PLUG, add, command::remove_device(&uas), port),
            Step::new(PLUG, add_disk, None),
            Step::new(SHOW, show, None),
        ]
    }

    /// The nodes as `blockdev-add` takes them, the one that the device uses outermost.
    pub(crate) fn tree(&self) -> Result<Value, OptionError> {
        let mut format = self.storage.nodes(&self.name, self.read_only, &self.access);
        self.access.write_set(&mut format)?;
        Ok(match &self.throttle {
            None => format,
            Some(throttle) => json!({
                "driver": "throttle",
                "node-name": self.name.limits_node(),
                "throttle-group": throttle.group_id(&self.name),
                "file": format,
            }),
        })
    }

    /// The node that the device uses.
    pub(crate) fn top_node(&self) -> String {
        match self.throttle {
            None => self.name.format_node(),
            Some(_) => self.name.limits_node(),
        }
    }

    /// The objects that only this disk uses.
    pub(crate) fn objects(&self) -> Vec<Object> {
        let mut objects = self.storage.objects(&self.name);
        if let Some(throttle) = &self.throttle
            && throttle.group.is_none()
        {
            objects.push(Object {
                id: self.name.throttle_group(),
                kind: "throttle-group",
                properties: limits(&throttle.limits),
            });
        }
        objects
    }

    /// Whether objects must be looked at before the disk can be planned.
    pub(crate) fn needs_objects(&self) -> bool {
        self.throttle.is_some() || self.iothread.is_some() || !self.objects().is_empty()
    }

    fn properties(&self, bus: Bus) -> Map<String, Value> {
        let mut properties = Map::new();
        properties.insert("drive".to_owned(), self.top_node().into());
        properties.insert("serial".to_owned(), self.serial.as_str().into());
        if let Some(id) = bus.device_id(self.serial.as_str()) {
            properties.insert("device_id".to_owned(), id.into());
        }
        if let Some(iothread) = &self.iothread {
            properties.insert("iothread".to_owned(), iothread.as_str().into());
        }
        if let Some(queues) = self.device.queues {
            let key = if bus == Bus::Nvme { "max_ioqpairs" } else { "num-queues" };
            properties.insert(key.to_owned(), queues.into());
        }
        self.device.write(&mut properties, self.access.write_cache());
        properties
    }
}

impl Object {
    pub(crate) fn step(self) -> Step {
        let undo = command::remove_object(&self.id);
        Step::new(MAKE, command::add_object(self.kind, &self.id, self.properties), Some(undo))
    }
}

/// Limits as a throttle group's property.
pub(crate) fn limits(limits: &Map<String, Value>) -> Map<String, Value> {
    let mut properties = Map::new();
    properties.insert("limits".to_owned(), Value::Object(limits.clone()));
    properties
}

/// The step that makes a throttle group that disks share.
pub(crate) fn make_group(id: &str, of: &Map<String, Value>) -> Step {
    Object { id: id.to_owned(), kind: "throttle-group", properties: limits(of) }.step()
}

/// The step that makes an I/O thread.
pub(crate) fn make_iothread(id: &str) -> Step {
    Object { id: id.to_owned(), kind: "iothread", properties: Map::new() }.step()
}

/// The id of a SCSI controller of qplug's own.
pub(crate) fn controller_id(number: u32) -> String {
    format!("{SHARED_CONTROLLER}{number}")
}

/// The step that plugs one in.
pub(crate) fn plug_controller(number: u32, port: Port) -> Step {
    let id = controller_id(number);
    let driver = if port == Port::ChannelSubsystem { "virtio-scsi-ccw" } else { "virtio-scsi-pci" };
    let add = command::add_device(driver, &id, Map::new(), &port);
    Step::plug(PLUG_CONTROLLER, add, command::remove_device(&id), port)
}

fn driver(bus: Bus, port: &Port) -> &'static str {
    match bus {
        Bus::VirtioBlk if *port == Port::ChannelSubsystem => "virtio-blk-ccw",
        Bus::VirtioBlk => "virtio-blk-pci",
        Bus::VirtioScsi => "scsi-hd",
        Bus::Nvme => "nvme",
        Bus::UsbStorage => "usb-storage",
        Bus::UsbUas => "usb-uas",
    }
}
