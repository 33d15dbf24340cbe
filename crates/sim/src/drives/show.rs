//! `query-block` and `query-blockstats`: drives, and the disks of devices that have none.

use serde_json::{Value, json};

use super::{Drive, MadeBy};
use crate::config::Version;
use crate::device::Device;
use crate::graph::NodeId;
use crate::machine::Machine;

/// The firmware's image of QEMU 1.2.
const FIRMWARE: &str = "/usr/share/qemu/bios.bin";

/// A drive, a device with a disk, or both.
struct Shown<'a> {
    order: u64,
    drive: Option<&'a Drive>,
    device: Option<&'a Device>,
    node: Option<NodeId>,
}

impl Shown<'_> {
    fn name(&self) -> &str {
        self.drive.filter(|drive| !drive.is_dropped).map_or("", |drive| &drive.name)
    }

    fn is_cd(&self) -> bool {
        self.drive.is_some_and(|drive| drive.is_cd)
            || self.device.is_some_and(|device| device.tray.is_some())
    }

    fn is_firmware(&self) -> bool {
        self.drive.is_some_and(|drive| drive.made_by == MadeBy::Board)
    }
}

/// The speeds that a drive is held to. Between 1.7 and 2.9 a burst of a tenth is shown that nobody
/// asked for.
fn show_limits(drive: &Drive, version: Version, inserted: &mut Value) {
    for (limit, number) in &drive.limits {
        inserted[limit.as_str()] = json!(number);
        if [Version::V2_5, Version::V2_9].contains(&version) {
            inserted[format!("{limit}_max")] = json!(number / 10);
        }
        if version == Version::V2_9 {
            inserted[format!("{limit}_max_length")] = json!(1);
        }
    }
    if !drive.limits.is_empty() && version >= Version::V2_5 {
        inserted["group"] = json!(drive.name);
    }
}

impl Machine {
    /// `query-block`.
    pub(crate) fn query_block(&self) -> Value {
        let drives = self.shown_drives().into_iter().map(|shown| match self.version {
            Version::V0_14 | Version::Rhel6 => self.show_old_drive(&shown),
            _ => self.show_drive(&shown),
        });
        // What an nvme left behind still looks like a drive.
        let leaked = self.leaked.iter().filter_map(|leaked| {
            let (_, user) = self.graph.users().find(|(id, _)| id == leaked)?;
            Some(json!({
                "io-status": "ok", "device": "", "locked": false, "removable": false,
                "qdev": user.label, "type": "unknown",
                "inserted": self.graph.show(user.node, self.version, true),
            }))
        });
        drives.chain(leaked).collect()
    }

    fn show_drive(&self, shown: &Shown<'_>) -> Value {
        let version = self.version;
        // What nobody has might become a CD.
        let is_removable = shown.is_cd() || (shown.device.is_none() && !shown.is_firmware());
        let mut value = json!({
            "device": shown.name(), "locked": false, "removable": is_removable, "type": "unknown",
        });
        let has_status = shown.drive.is_none_or(|it| it.may_stop && !it.is_dropped);
        let is_plugged = shown.device.is_some() || shown.drive.is_some_and(|it| it.was_plugged);
        if has_status && is_plugged {
            value["io-status"] = json!("ok");
        }
        if let Some(device) = shown.device
            && version >= Version::V7_2
        {
            value["qdev"] = json!(device.drive_label());
        }
        match shown.device.and_then(|device| device.tray) {
            Some(tray) => value["tray_open"] = json!(tray.is_open),
            None if is_removable && version < Version::V2_9 => value["tray_open"] = json!(false),
            None => {}
        }
        if let Some(mut inserted) = self.show_inserted(shown) {
            if let Some(drive) = shown.drive {
                show_limits(drive, version, &mut inserted);
            }
            value["inserted"] = inserted;
        }
        value
    }

    fn show_inserted(&self, shown: &Shown<'_>) -> Option<Value> {
        if shown.is_firmware() {
            return Some(json!({
                "iops_rd": 0, "iops_wr": 0, "ro": true, "backing_file_depth": 0, "drv": "raw",
                "iops": 0, "bps_wr": 0, "encrypted": false, "bps": 0, "bps_rd": 0,
                "file": FIRMWARE, "encryption_key_missing": false,
            }));
        }
        Some(self.graph.show(shown.node?, self.version, true))
    }

    /// QEMU of before 0.15 tells of a drive what kind it was made as.
    fn show_old_drive(&self, shown: &Shown<'_>) -> Value {
        let kind = if shown.is_cd() { "cdrom" } else { "hd" };
        let mut value = json!({
            "device": shown.name(), "locked": false, "removable": shown.is_cd(), "type": kind,
        });
        if let Some(node) = shown.node {
            value["inserted"] = self.graph.show(node, self.version, true);
        }
        value
    }

    /// `query-blockstats`.
    pub(crate) fn query_blockstats(&self, nodes: bool) -> Value {
        if nodes {
            return self
                .graph
                .nodes()
                .map(|(id, _)| self.graph.show_stats(id, self.version))
                .collect();
        }
        let is_shown = |shown: &Shown<'_>| match self.version {
            Version::V2_5 => shown.node.is_some(),
            _ => true,
        };
        let drives = self.shown_drives().into_iter().filter(is_shown).map(|shown| {
            let mut value = match shown.node {
                Some(node) => self.graph.show_stats(node, self.version),
                None => crate::graph::no_stats(self.version),
            };
            value["device"] = json!(shown.name());
            if let Some(device) = shown.device
                && self.version >= Version::V7_2
            {
                value["qdev"] = json!(device.drive_label());
            }
            value
        });
        drives.collect()
    }

    /// The drives, in their order. A device that is leaving has its disk until the end.
    fn shown_drives(&self) -> Vec<Shown<'_>> {
        let mut all = Vec::new();
        for drive in self.drives.iter().filter(|drive| drive.device.is_none()) {
            let node = drive.user.and_then(|user| self.graph.used_by(user));
            all.push(Shown { order: drive.order, drive: Some(drive), device: None, node });
        }
        for (key, device) in self.devices.iter() {
            let node = device.user.and_then(|user| self.graph.used_by(user));
            let drive = self.drives.of(key);
            if node.is_some() || device.tray.is_some() || drive.is_some() {
                all.push(Shown { order: device.order, drive, device: Some(device), node });
            }
        }
        if self.version < Version::V7_2 {
            // Only what has a name is listed.
            all.retain(|shown| !shown.name().is_empty());
        }
        all.sort_by_key(|shown| shown.order);
        all
    }
}
