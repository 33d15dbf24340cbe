//! Drives whose medium can be changed, and the size and the speed of disks.

use std::time::Instant;

use qplug_proto::ErrorReply;
use serde_json::json;

use crate::arguments::Arguments;
use crate::config::Version;
use crate::device::DeviceKey;
use crate::graph::{Claim, NodeId, Permissions, User, UserKind, driver_names};
use crate::machine::Machine;
use crate::refusal::{self, Reply, generic, missing, no_device};
use crate::words;

/// What a command on a medium names.
struct Target {
    /// As it was named.
    name: String,
    /// The drive of that name, or of that device.
    drive: Option<String>,
    device: Option<DeviceKey>,
}

impl Machine {
    /// The drive or the device that a command on a medium names.
    fn target(&self, arguments: &mut Arguments) -> Result<Target, ErrorReply> {
        let by_drive = arguments.text("device")?;
        // A device can be named since 2.8.
        let has_id = self.version >= Version::V2_9;
        let by_device = if has_id { arguments.text("id")? } else { None };
        let name = match (by_drive, by_device) {
            (None, None) if !has_id => return Err(missing("device")),
            (None, None) | (Some(_), Some(_)) => {
                return Err(generic("Need exactly one of 'device' and 'id'"));
            }
            (Some(name), None) => match self.drives.find(&name) {
                Some(drive) => {
                    let drive_name = Some(drive.name.clone());
                    return Ok(Target { name, drive: drive_name, device: drive.device });
                }
                None if !has_id => return Err(no_device(&name)),
                None => name,
            },
            (None, Some(name)) => name,
        };
        let by_label = self.devices.present().find(|(_, it)| it.drive_label() == name);
        let found = by_label.filter(|(_, device)| !device.model.inner.is_empty());
        if let Some((key, _)) = found {
            let drive = self.drives.of(key).map(|drive| drive.name.clone());
            return Ok(Target { name, drive, device: Some(key) });
        }
        match self.devices.find(&name) {
            Some(_) => Err(generic("Device does not have a block device backend")),
            None => Err(no_device(&name)),
        }
    }

    /// A target that may lose its medium. What no device has may, since 0.15.
    fn removable(&self, arguments: &mut Arguments) -> Result<Target, ErrorReply> {
        let target = self.target(arguments)?;
        if !self.is_removable(&target) {
            return Err(refusal::not_removable(&target.name));
        }
        Ok(target)
    }

    fn is_removable(&self, target: &Target) -> bool {
        match target.device {
            Some(device) => self.devices.at(device).is_some_and(|device| device.tray.is_some()),
            None if self.version < Version::V1_2 => {
                let drive = target.drive.as_deref().and_then(|name| self.drives.find(name));
                drive.is_some_and(|drive| drive.is_cd)
            }
            None => true,
        }
    }

    /// Whether a medium can be taken out and put in: of a drive that no device has, always.
    fn is_open(&self, target: &Target) -> bool {
        let Some(device) = target.device.and_then(|device| self.devices.at(device)) else {
            return true;
        };
        device.tray.is_some_and(|tray| tray.is_open)
    }

    fn move_tray(&mut self, target: &Target, open: bool, now: Instant) {
        let Some(device) = target.device.and_then(|key| self.devices.at_mut(key)) else { return };
        let label = device.drive_label();
        let Some(tray) = &mut device.tray else { return };
        if tray.is_open != open {
            tray.is_open = open;
            let drive = target.drive.as_deref().unwrap_or_default();
            let mut data = json!({"device": drive, "tray-open": open});
            if self.version >= Version::V2_9 {
                data["id"] = json!(label);
            }
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
        let target = self.removable(&mut arguments)?;
        arguments.finish()?;
        self.move_tray(&target, open, now);
        Ok(json!({}))
    }

    pub(crate) fn blockdev_remove_medium(&mut self, mut arguments: Arguments) -> Reply {
        let target = self.removable(&mut arguments)?;
        arguments.finish()?;
        if !self.is_open(&target) {
            return Err(generic(format!("Tray of device '{}' is not open", target.name)));
        }
        self.take_medium(&target);
        Ok(json!({}))
    }

    fn take_medium(&mut self, target: &Target) {
        let drive = target.drive.as_deref().and_then(|name| self.drives.find_mut(name));
        let of_drive = drive.and_then(|drive| drive.user.take());
        let device = target.device.and_then(|key| self.devices.at_mut(key));
        let of_device = device.and_then(|device| device.user.take());
        for user in of_drive.into_iter().chain(of_device) {
            self.graph.remove_user(user);
        }
    }

    fn has_medium(&self, target: &Target) -> bool {
        let device = target.device.and_then(|key| self.devices.at(key));
        let drive = target.drive.as_deref().and_then(|name| self.drives.find(name));
        device.is_some_and(|device| device.user.is_some())
            || drive.is_some_and(|drive| drive.user.is_some())
    }

    pub(crate) fn blockdev_insert_medium(&mut self, mut arguments: Arguments) -> Reply {
        let node = arguments.text("node-name")?.ok_or_else(|| missing("node-name"))?;
        let target = self.target(&mut arguments)?;
        arguments.finish()?;
        let Some(found) = self.graph.find(&node) else {
            return Err(generic(format!("Node '{node}' not found")));
        };
        if self.graph.users().any(|(_, user)| user.node == found) {
            return Err(generic(format!("Node '{node}' is already in use")));
        }
        if !self.is_removable(&target) {
            return Err(generic("Device is not removable"));
        }
        if !self.is_open(&target) {
            return Err(generic("Tray of the device is not open"));
        }
        if self.has_medium(&target) {
            return Err(generic("There already is a medium in the device"));
        }
        self.put_medium(&target, found)?;
        Ok(json!({}))
    }

    fn put_medium(&mut self, target: &Target, node: NodeId) -> Result<(), ErrorReply> {
        let Some(device) = target.device.and_then(|key| self.devices.at(key)) else {
            let Some(drive) = &target.drive else { return Ok(()) };
            let user = self.use_as_drive(node, drive)?;
            if let Some(drive) = self.drives.find_mut(drive) {
                drive.user = Some(user);
            }
            return Ok(());
        };
        let label = target.drive.clone().unwrap_or_else(|| device.drive_label());
        let claim = Claim::medium();
        let user = self.graph.add_user(User { node, label, kind: UserKind::Device, claim })?;
        if let Some(device) = target.device.and_then(|key| self.devices.at_mut(key)) {
            device.user = Some(user);
        }
        Ok(())
    }

    /// `eject`. In QEMU of before 0.15 force also takes a hard disk's medium away.
    pub(crate) fn eject(&mut self, mut arguments: Arguments, now: Instant) -> Reply {
        let force = arguments.boolean("force")?.unwrap_or(false);
        let target = self.target(&mut arguments)?;
        let is_torn_out = force && self.version < Version::V1_2;
        if !is_torn_out && !self.is_removable(&target) {
            return Err(refusal::not_removable(&target.name));
        }
        arguments.finish()?;
        self.move_tray(&target, true, now);
        self.take_medium(&target);
        Ok(json!({}))
    }

    /// `change` of QMP, until 5.2.
    pub(crate) fn change(&mut self, mut arguments: Arguments, now: Instant) -> Reply {
        let filename = arguments.required_text("target")?;
        let format = arguments.text("arg")?;
        let target = self.target(&mut arguments)?;
        arguments.finish()?;
        self.change_medium(&target, &filename, format.as_deref(), now)
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
        let target = self.target(&mut arguments)?;
        arguments.finish()?;
        self.change_medium(&target, &filename, format.as_deref(), now)
    }

    /// Another medium. Until 2.4 the old one is out before the new one is opened.
    fn change_medium(
        &mut self,
        target: &Target,
        path: &str,
        format: Option<&str>,
        now: Instant,
    ) -> Reply {
        let is_old = self.version < Version::V2_5;
        if let Some(format) = format.filter(|name| !driver_names().any(|known| known == *name)) {
            return Err(words::no_format(self.version, format));
        }
        if is_old {
            if !self.is_removable(target) {
                return Err(refusal::not_removable(&target.name));
            }
            self.move_tray(target, true, now);
            self.take_medium(target);
        }
        let opened = self.open_medium(path, format, !is_old);
        let node = opened.map_err(|why| match is_old {
            true => generic(format!("Could not open '{path}'")),
            false => why,
        })?;
        if !self.is_removable(target) {
            self.graph.drop_unused(node);
            return Err(refusal::not_removable(&target.name));
        }
        self.move_tray(target, true, now);
        self.take_medium(target);
        self.put_medium(target, node)?;
        self.move_tray(target, false, now);
        Ok(json!({}))
    }

    pub(crate) fn block_resize(&mut self, mut arguments: Arguments) -> Reply {
        let device = arguments.text("device")?.unwrap_or_default();
        let name = match self.version < Version::V2_5 {
            true => String::new(),
            false => arguments.text("node-name")?.unwrap_or_default(),
        };
        let size = arguments.required_integer("size")?;
        arguments.finish()?;
        let of_drive = self.drives.find(&device).and_then(|drive| {
            let device = drive.device.and_then(|key| self.devices.at(key));
            self.graph.used_by(drive.user.or(device?.user)?)
        });
        let node = of_drive.or_else(|| self.graph.find(&name));
        let node = node.ok_or_else(|| words::no_drive_nor_node(self.version, &device, &name))?;
        let Ok(bytes) = u64::try_from(size) else {
            if self.version < Version::V1_2 {
                // With no reason.
                return Err(generic("An undefined error has ocurred"));
            }
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

    /// `block_set_io_throttle`: what is set shows in `query-block`, of drives only.
    pub(crate) fn block_set_io_throttle(&mut self, mut arguments: Arguments) -> Reply {
        let named = (arguments.any("device"), arguments.any("id"));
        let mut limits = Vec::new();
        for limit in ["bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"] {
            let number = arguments.required_integer(limit)?;
            limits.push((limit.to_owned(), u64::try_from(number).unwrap_or_default()));
        }
        // Bursts, and the name of a group.
        drop(arguments.rest());
        let named = ["device", "id"].into_iter().zip([named.0, named.1]);
        let members = named.filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let target = self.target(&mut Arguments::nested(members.collect(), String::new()))?;
        if let Some(drive) = target.drive.and_then(|name| self.drives.find_mut(&name)) {
            drive.limits = limits;
        }
        Ok(json!({}))
    }
}

/// A disk's size is a whole number of these.
const SECTOR: u64 = 512;
