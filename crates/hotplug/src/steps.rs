//! The steps that plug a disk in, each with its undo.
//!
//! ```text
//!  descriptors → objects → nodes → device [→ the disk in it → attached]      (usb-uas)
//! ```

use serde_json::{Map, Value, json};

use crate::bus::Bus;
use crate::command;
use crate::dialect::Features;
use crate::disk::{Disk, DiskError};
use crate::error::Error;
use crate::inventory::{Port, device_path};
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

/// The property of a USB device that says whether the guest is shown it.
pub(crate) const SHOWN: &str = "attached";

impl Disk {
    /// The steps that come before anything is plugged in.
    pub(crate) fn steps_to_open(&self, features: &Features) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        if features.has_drives() {
            let drive = self.name.format_node();
            let close = features.close(&drive);
            return Ok(vec![Step::add_drive(OPEN, self.add_drive(features)?, close, drive)]);
        }
        for (set, descriptor, owner) in self.storage.descriptors(&self.name) {
            let add = command::add_descriptor(descriptor, set, &owner);
            let undo = command::remove_descriptors(set.into());
            steps.push(Step::new(HAND_OVER, add, Some(undo)));
        }
        steps.extend(self.objects().into_iter().map(|object| object.step(features)));
        let add = command::add_nodes(self.tree().map_err(DiskError::from)?);
        steps.push(Step::new(OPEN, add, Some(features.close(&self.top_node(features)))));
        Ok(steps)
    }

    /// The steps that plug the disk into a port, once its nodes are there.
    pub(crate) fn steps_to_plug(&self, bus: Bus, port: Port, features: &Features) -> Vec<Step> {
        let (name, driver) = (self.name.as_str(), driver(bus, &port));
        if bus != Bus::UsbUas {
            let add = command::add_device(driver, name, self.properties(bus, features), &port);
            return vec![Step::plug(PLUG, add, command::remove_device(name), port)];
        }
        // QEMU shows a hot-plugged one to the guest only when told that its disks are there
        // (docs/system/devices/usb.rst).
        let uas = self.name.uas();
        let inner = Port::Usb(format!("{uas}.0"));
        let add_disk = command::add_device("scsi-hd", name, self.properties(bus, features), &inner);
        // The guest knows the disk by the serial of its USB device.
        let mut properties = Map::new();
        properties.insert("serial".to_owned(), self.serial.as_str().into());
        let add = command::add_device(driver, &uas, properties, &port);
        vec![
            Step::plug(PLUG, add, command::remove_device(&uas), port),
            Step::new(PLUG, add_disk, None),
            self.step_to_show(),
        ]
    }

    /// The step that shows the guest a disk whose USB device is hidden yet.
    pub(crate) fn step_to_show(&self) -> Step {
        let path = device_path(&self.name.uas());
        Step::new(SHOW, command::set_property(&path, SHOWN, json!(true)), None)
    }

    /// The nodes as `blockdev-add` takes them, the one that the device uses outermost.
    pub(crate) fn tree(&self) -> Result<Value, OptionError> {
        let mut format = self.storage.nodes(&self.name, self.read_only, &self.access);
        self.access.write_set(&mut format)?;
        let Some(throttle) = &self.throttle else { return Ok(format) };
        let mut limits = json!({
            "driver": "throttle",
            "node-name": self.name.limits_node(),
            "throttle-group": throttle.group_id(&self.name),
        });
        // The device looks at this one, and discards pass only where each node lets them.
        self.access.write_both(&mut limits, self.read_only);
        limits["file"] = format;
        Ok(limits)
    }

    /// The node that the device uses.
    pub(crate) fn top_node(&self, features: &Features) -> String {
        match self.throttle {
            Some(_) if !features.has_drives() => self.name.limits_node(),
            _ => self.name.format_node(),
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

    fn properties(&self, bus: Bus, features: &Features) -> Map<String, Value> {
        let mut properties = Map::new();
        properties.insert("drive".to_owned(), self.top_node(features).into());
        if !features.has_drive_serials() {
            properties.insert("serial".to_owned(), self.serial.as_str().into());
        }
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
        self.device.write(&mut properties, self.access.write_cache(), features);
        properties
    }
}

impl Object {
    pub(crate) fn step(self, features: &Features) -> Step {
        let undo = command::remove_object(&self.id);
        let add = features.make(self.kind, &self.id, self.properties);
        Step::new(MAKE, add, Some(undo))
    }
}

/// Limits as a throttle group's property.
pub(crate) fn limits(limits: &Map<String, Value>) -> Map<String, Value> {
    let mut properties = Map::new();
    properties.insert("limits".to_owned(), Value::Object(limits.clone()));
    properties
}

/// The step that makes a throttle group that disks share.
pub(crate) fn make_group(id: &str, of: &Map<String, Value>, features: &Features) -> Step {
    Object { id: id.to_owned(), kind: "throttle-group", properties: limits(of) }.step(features)
}

/// The step that makes an I/O thread.
pub(crate) fn make_iothread(id: &str, features: &Features) -> Step {
    Object { id: id.to_owned(), kind: "iothread", properties: Map::new() }.step(features)
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
