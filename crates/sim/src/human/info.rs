//! `info`: what the human monitor shows.

use serde_json::Value;

use crate::config::Version;
use crate::machine::Machine;

impl Machine {
    /// `info` with what is to be shown.
    pub(super) fn human_info(&self, what: Option<&str>) -> String {
        match what {
            Some("block") => self.info_block(),
            Some("pci") => self.info_pci(),
            Some("qtree") => self.info_qtree(),
            Some("status") => self.info_status(),
            Some("version") => {
                let (major, minor, micro) = self.version.numbers();
                format!("{major}.{minor}.{micro}\n")
            }
            Some(other) if self.version >= Version::V7_2 => {
                format!("unknown command: 'info {other}'\n")
            }
            Some(other) if self.version >= Version::V2_5 => format!("unknown command: '{other}'\n"),
            // Older ones list what there is.
            _ => ["block", "pci", "qtree", "status", "version"]
                .map(|name| format!("info {name}  -- see QEMU\n"))
                .concat(),
        }
    }

    fn info_status(&self) -> String {
        let status = self.query_status();
        let is_running = status["running"] == true;
        let why = match status["status"].as_str() {
            Some(why) if !is_running && why != "paused" => format!(" ({why})"),
            _ => String::new(),
        };
        format!("VM status: {}{why}\n", if is_running { "running" } else { "paused" })
    }

    fn info_block(&self) -> String {
        let drives = self.query_block();
        let drives = drives.as_array().map(Vec::as_slice).unwrap_or_default();
        let version = self.version;
        let lines = drives.iter().map(|drive| match version < Version::V2_5 {
            true => old_block(drive, version),
            false => block(drive),
        });
        let between = if version < Version::V2_5 { "" } else { "\n" };
        lines.collect::<Vec<_>>().join(between)
    }

    /// Without regions and interrupt lines.
    fn info_pci(&self) -> String {
        let mut printed = String::new();
        for bus in self.pci.show(self.is_numbered).as_array().into_iter().flatten() {
            info_pci_bus(&bus["devices"], self.version, &mut printed);
        }
        printed
    }
}

fn info_pci_bus(devices: &Value, version: Version, printed: &mut String) {
    for device in devices.as_array().into_iter().flatten() {
        let number = |name: &str| device[name].as_u64().unwrap_or_default();
        let (mut vendor, mut product) = (&device["id"]["vendor"], &device["id"]["device"]);
        if version < Version::V1_2 {
            // Only QMP mixes them up.
            std::mem::swap(&mut vendor, &mut product);
        }
        let class = &device["class_info"];
        let desc = match class["desc"].as_str() {
            Some(desc) => desc.to_owned(),
            None => format!("Class {:04}", class["class"]),
        };
        *printed += &format!(
            "  Bus {:2}, device {:3}, function {}:\n    {desc}: PCI device {:04x}:{:04x}\n      id \
             \"{}\"\n",
            number("bus"),
            number("slot"),
            number("function"),
            vendor.as_u64().unwrap_or_default(),
            product.as_u64().unwrap_or_default(),
            device["qdev_id"].as_str().unwrap_or_default(),
        );
        info_pci_bus(&device["pci_bridge"]["devices"], version, printed);
    }
}

/// A drive on a line of its own.
fn old_block(drive: &Value, version: Version) -> String {
    let bit = |value: &Value| u8::from(value == true);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut line = format!("{}:", text(&drive["device"]));
    if version < Version::V1_2 {
        line += &format!(" type={}", text(&drive["type"]));
    }
    let is_removable = drive["removable"] == true;
    line += &format!(" removable={}", bit(&drive["removable"]));
    if is_removable {
        line += &format!(" locked={}", bit(&drive["locked"]));
    }
    if let Some(open) = drive.get("tray_open") {
        line += &format!(" tray-open={}", bit(open));
    }
    if let Some(status) = drive.get("io-status") {
        line += &format!(" io-status={}", text(status));
    }
    let Some(inserted) = drive.get("inserted") else { return line + " [not inserted]\n" };
    line += &format!(" file={}", text(&inserted["file"]));
    if let Some(backing) = inserted.get("backing_file") {
        line += &format!(" backing_file={}", text(backing));
    }
    let (ro, driver) = (bit(&inserted["ro"]), text(&inserted["drv"]));
    line += &format!(" ro={ro} drv={driver} encrypted={}", bit(&inserted["encrypted"]));
    if version >= Version::V1_2 {
        for limit in ["bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"] {
            line += &format!(" {limit}={}", inserted[limit]);
        }
    }
    line + "\n"
}

/// A drive in a paragraph.
fn block(drive: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let inserted = drive.get("inserted");
    let name = text(&drive["device"]);
    let node = inserted.map(|inserted| text(&inserted["node-name"]));
    let mut printed = match (name.is_empty(), node) {
        (true, Some(node)) => node,
        (false, Some(node)) => format!("{name} ({node})"),
        (_, None) => name,
    };
    match inserted {
        None => printed += ": [not inserted]\n",
        Some(inserted) => {
            let read_only = if inserted["ro"] == true { ", read-only" } else { "" };
            let (file, driver) = (text(&inserted["file"]), text(&inserted["drv"]));
            printed += &format!(": {file} ({driver}{read_only})\n");
        }
    }
    if let Some(device) = drive.get("qdev") {
        printed += &format!("    Attached to:      {}\n", text(device));
    }
    if drive["removable"] == true {
        let tray = if drive["tray_open"] == true { "open" } else { "closed" };
        printed += &format!("    Removable device: not locked, tray {tray}\n");
    }
    if let Some(inserted) = inserted {
        let direct = if inserted["cache"]["direct"] == true { ", direct" } else { "" };
        let unsafe_ = if inserted["cache"]["no-flush"] == true { ", ignore flushes" } else { "" };
        printed += &format!("    Cache mode:       writeback{direct}{unsafe_}\n");
    }
    printed
}
