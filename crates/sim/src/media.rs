//! Drives whose medium can be changed, and the size and the speed of disks.

use std::time::Instant;

use qplug_proto::ErrorReply;
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::device::DeviceKey;
use crate::graph::{Blockdev, Claim, NodeId, Permissions, User, UserKind};
use crate::machine::Machine;
use crate::refusal::{Reply, generic, missing, no_device, no_device_nor_node};

impl Machine {
    /// The device that a command on a medium names.
    fn drive_called(&self, arguments: &mut Arguments) -> Result<(DeviceKey, String), ErrorReply> {
        let named = (arguments.text("device")?, arguments.text("id")?);
        let name = match named {
            (None, None) => return Err(generic("Need exactly one of 'device' and 'id'")),
            (Some(_), Some(_)) => return Err(generic("Need exactly one of 'device' and 'id'")),
            (Some(name), None) | (None, Some(name)) => name,
        };
        let by_label = self.devices.present().find(|(_, it)| it.drive_label() == name);
        let found = by_label.filter(|(_, device)| !device.model.inner.is_empty());
        if let Some((key, _)) = found {
            return Ok((key, name));
        }
        match self.devices.find(&name) {
            Some(_) => Err(generic("Device does not have a block device backend")),
            None => Err(no_device(&name)),
        }
    }

    fn removable(&self, arguments: &mut Arguments) -> Result<(DeviceKey, String), ErrorReply> {
        let (key, name) = self.drive_called(arguments)?;
        if self.devices.at(key).is_none_or(|device| device.tray.is_none()) {
            return Err(generic(format!("Device '{name}' is not removable")));
        }
        Ok((key, name))
    }

    fn is_tray_open(&self, key: DeviceKey) -> bool {
        let tray = self.devices.at(key).and_then(|device| device.tray);
        tray.is_some_and(|tray| tray.is_open)
    }

    fn move_tray(&mut self, key: DeviceKey, open: bool, now: Instant) {
        let Some(device) = self.devices.at_mut(key) else { return };
        let label = device.drive_label();
        let Some(tray) = &mut device.tray else { return };
        if tray.is_open != open {
            tray.is_open = open;
            let data = json!({"device": "", "tray-open": open, "id": label});
            self.emit("DEVICE_TRAY_MOVED", Some(data), now);
        }
    }

    pub(crate) fn blockdev_tray(
        &mut self,
        mut arguments: Arguments,
        open: bool,
        now: Instant,
    ) -> Reply {
        if open {
            arguments.boolean("force")?;
        }
        let (key, _) = self.removable(&mut arguments)?;
        arguments.finish()?;
        self.move_tray(key, open, now);
        Ok(json!({}))
    }

    pub(crate) fn blockdev_remove_medium(&mut self, mut arguments: Arguments) -> Reply {
        let (key, name) = self.removable(&mut arguments)?;
        arguments.finish()?;
        if !self.is_tray_open(key) {
            return Err(generic(format!("Tray of device '{name}' is not open")));
        }
        self.take_medium(key);
        Ok(json!({}))
    }

    fn take_medium(&mut self, key: DeviceKey) {
        let user = self.devices.at_mut(key).and_then(|device| device.user.take());
        if let Some(user) = user {
            self.graph.remove_user(user);
        }
    }

    pub(crate) fn blockdev_insert_medium(&mut self, mut arguments: Arguments) -> Reply {
        let node = arguments.text("node-name")?.ok_or_else(|| missing("node-name"))?;
        let (key, name) = self.drive_called(&mut arguments)?;
        arguments.finish()?;
        let Some(found) = self.graph.find(&node) else {
            return Err(generic(format!("Node '{node}' not found")));
        };
        if self.graph.users().any(|(_, user)| user.node == found) {
            return Err(generic(format!("Node '{node}' is already in use")));
        }
        let device = self.devices.at(key);
        if device.is_none_or(|device| device.tray.is_none()) {
            let _ = name;
            return Err(generic("Device is not removable"));
        }
        if !self.is_tray_open(key) {
            return Err(generic("Tray of the device is not open"));
        }
        if device.is_some_and(|device| device.user.is_some()) {
            return Err(generic("There already is a medium in the device"));
        }
        self.put_medium(key, found)?;
        Ok(json!({}))
    }

    fn put_medium(&mut self, key: DeviceKey, node: NodeId) -> Result<(), ErrorReply> {
        let Some(device) = self.devices.at(key) else { return Ok(()) };
        let label = device.drive_label();
        let claim = Claim::medium();
        let user = self.graph.add_user(User { node, label, kind: UserKind::Device, claim })?;
        if let Some(device) = self.devices.at_mut(key) {
            device.user = Some(user);
        }
        Ok(())
    }

    pub(crate) fn eject(&mut self, mut arguments: Arguments, now: Instant) -> Reply {
        arguments.boolean("force")?;
        let (key, _) = self.removable(&mut arguments)?;
        arguments.finish()?;
        self.move_tray(key, true, now);
        self.take_medium(key);
        Ok(json!({}))
    }

    pub(crate) fn blockdev_change_medium(
        &mut self,
        mut arguments: Arguments,
        now: Instant,
    ) -> Reply {
        let filename = arguments.required_text("filename")?;
        let format = arguments.text("format")?;
        arguments.boolean("force")?;
        arguments.text("read-only-mode")?;
        let (key, name) = self.drive_called(&mut arguments)?;
        arguments.finish()?;
        let format = format.unwrap_or_else(|| {
            self.files.look(&filename).map_or_else(|_| "raw".to_owned(), |image| image.format)
        });
        let medium = Blockdev::over_file(&format, &filename, true)?;
        let (graph, world) = self.graph_and_world();
        let node = graph.open(&medium, &world)?;
        if self.devices.at(key).is_none_or(|device| device.tray.is_none()) {
            self.graph.drop_unused(node);
            return Err(generic(format!("Device '{name}' is not removable")));
        }
        self.move_tray(key, true, now);
        self.take_medium(key);
        self.put_medium(key, node)?;
        self.move_tray(key, false, now);
        Ok(json!({}))
    }

    pub(crate) fn block_resize(&mut self, mut arguments: Arguments) -> Reply {
        let device = arguments.text("device")?.unwrap_or_default();
        let name = arguments.text("node-name")?.unwrap_or_default();
        let size = arguments.required_integer("size")?;
        arguments.finish()?;
        let node = self.graph.find(&name).ok_or_else(|| no_device_nor_node(&device, &name))?;
        let Ok(bytes) = u64::try_from(size) else {
            return Err(generic("Parameter 'size' expects a >0 size"));
        };
        let user = User {
            node,
            label: String::new(),
            kind: UserKind::Job,
            claim: Claim { needs: Permissions::RESIZE, shares: Permissions::ALL },
        };
        let user = self.graph.add_user(user)?;
        self.graph.remove_user(user);
        if self.graph.node(node).is_some_and(|node| node.driver.starts_with("null-")) {
            return Err(generic("Image format driver does not support resize"));
        }
        self.graph.resize(node, bytes.next_multiple_of(SECTOR));
        Ok(json!({}))
    }

    /// `block_set_io_throttle`: what is set is not shown anywhere here but in `query-block`.
    pub(crate) fn block_set_io_throttle(&mut self, mut arguments: Arguments) -> Reply {
        let named = (arguments.text("device")?, arguments.text("id")?);
        for limit in ["bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"] {
            arguments.required_integer(limit)?;
        }
        // Bursts, and the name of a group.
        drop(arguments.rest());
        let ((Some(name), None) | (None, Some(name))) = named else {
            return Err(generic("Need exactly one of 'device' and 'id'"));
        };
        let members = [("id".to_owned(), Value::from(name))].into_iter().collect();
        self.drive_called(&mut Arguments::nested(members, String::new()))?;
        Ok(json!({}))
    }
}

/// A disk's size is a whole number of these.
const SECTOR: u64 = 512;
