//! Devices, from `info qtree`: what only the human monitor tells of a machine before 2.10.
//!
//! ```text
//! bus: main-system-bus                  a bus, and two blanks deeper its devices
//!   dev: i440FX-pcihost, id ""
//!     bus: pci.0
//!       dev: virtio-blk-pci, id "data"
//!         bus-prop: addr = 03.0         0.14; later without 'bus-prop:'
//!         bus: virtio-bus               from 1.5 on, the disk is a part of the device
//!           dev: virtio-blk-device, id ""
//!             drive = "data.format"     no quotes up to 1.2
//! ```

use std::collections::HashMap;

use crate::dialect;
use crate::error::Error;
use crate::operation::{Answer, decode};

/// The devices of a machine.
#[derive(Debug, Default)]
pub(crate) struct Tree(Vec<TreeDevice>);

/// A device that has an id, or a drive.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct TreeDevice {
    /// Its type, such as `virtio-blk-pci`.
    pub(crate) kind: String,
    /// Its id, if it has one.
    pub(crate) id: Option<String>,
    /// The drive or node that it uses.
    pub(crate) drive: Option<String>,
    /// The serial that the guest sees.
    pub(crate) serial: Option<String>,
}

/// Devices whose disk is a part of them, by the type of the part.
const PARTS: [&str; 2] = ["virtio-blk-device", "scsi-disk"];

impl Tree {
    /// Reads the answer to `info qtree`.
    ///
    /// # Errors
    /// When it shows no tree. There is always one: whoever took that for an empty one would take all
    /// drives for idle.
    pub(crate) fn read(answer: Answer) -> Result<Self, Error> {
        let query = dialect::show_tree();
        let text: String = decode(&query, answer)?;
        let reason = || "'info qtree' shows no tree of devices".to_owned();
        Self::parse(&text)
            .ok_or_else(|| Error::NotUnderstood { command: query.name, reason: reason() })
    }

    /// Reads what `info qtree` printed: nothing where it is no tree, which begins with the system's bus.
    /// Lines that say something else are passed over.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if !text.starts_with("bus: ") {
            return None;
        }
        let mut devices: Vec<TreeDevice> = Vec::new();
        // The devices that are open, with how deep each is.
        let mut open: Vec<(usize, usize)> = Vec::new();
        for line in text.lines() {
            let trimmed = line.trim_start();
            let depth = line.len() - trimmed.len();
            open.retain(|(at, _)| *at < depth);
            if let Some((kind, id)) = device(trimmed) {
                // A disk that is a part of a device is told of as that device's.
                let whole = open.last().filter(|_| id.is_none() && PARTS.contains(&kind.as_str()));
                let at = whole.map_or(devices.len(), |(_, at)| *at);
                if at == devices.len() {
                    devices.push(TreeDevice { kind, id, ..TreeDevice::default() });
                }
                open.push((depth, at));
            } else if let (Some((key, value)), Some((_, at))) = (property(trimmed), open.last()) {
                devices[*at].set(key, value);
            }
        }
        Some(Self(devices))
    }

    /// The device of this id.
    #[cfg(test)]
    fn device(&self, id: &str) -> Option<&TreeDevice> {
        self.0.iter().find(|device| device.id.as_deref() == Some(id))
    }

    /// All devices that have ids, with their types.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, &TreeDevice)> {
        self.0.iter().filter_map(|device| Some((device.id.as_deref()?, device)))
    }

    /// The device of each drive.
    pub(crate) fn by_drive(&self) -> HashMap<&str, &TreeDevice> {
        self.0.iter().filter_map(|device| Some((device.drive.as_deref()?, device))).collect()
    }
}

impl TreeDevice {
    fn set(&mut self, key: &str, value: &str) {
        let place = match key {
            "drive" => &mut self.drive,
            "serial" => &mut self.serial,
            _ => return,
        };
        *place = Some(value.to_owned());
    }
}

/// `dev: KIND, id "ID"`.
fn device(line: &str) -> Option<(String, Option<String>)> {
    let (kind, id) = line.strip_prefix("dev: ")?.split_once(", id \"")?;
    let id = id.strip_suffix('"')?;
    Some((kind.to_owned(), Some(id.to_owned()).filter(|id| !id.is_empty())))
}

/// `key = value`; none where the value is `<null>` or empty.
fn property(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_prefix("dev-prop: ").or(line.strip_prefix("bus-prop: ")).unwrap_or(line);
    let (key, value) = line.split_once(" = ")?;
    let value = value.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(value);
    Some((key, value)).filter(|(_, value)| !matches!(*value, "" | "<null>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(kind: &str, id: &str, drive: Option<&str>, serial: Option<&str>) -> TreeDevice {
        let text = |text: &str| Some(text.to_owned());
        TreeDevice {
            kind: kind.to_owned(),
            id: text(id),
            drive: drive.and_then(text),
            serial: serial.and_then(text),
        }
    }

    #[test]
    fn the_tree_of_0_14_has_prefixes_and_no_quotes() {
        let tree = Tree::parse(
            "bus: main-system-bus\r\n  type System\r\n  dev: i440FX-pcihost, id \"\"\r\n    bus: pci.0\r\n      \
             type PCI\r\n      dev: virtio-blk-pci, id \"vd1\"\r\n        dev-prop: drive = hd1\r\n        \
             bus-prop: addr = 03.0\r\n        class SCSI controller, addr 00:03.0, pci id 1af4:1001 (sub 1af4:0002)\r\n      \
             dev: piix3-ide, id \"\"\r\n        bus: ide.1\r\n          dev: ide-drive, id \"idecd\"\r\n            \
             dev-prop: drive = cd0\r\n            dev-prop: serial = \"QM00003\"\r\n",
        )
        .unwrap();
        assert_eq!(tree.device("vd1"), Some(&disk("virtio-blk-pci", "vd1", Some("hd1"), None)));
        assert_eq!(tree.by_drive()["cd0"].id.as_deref(), Some("idecd"));
        assert_eq!(tree.named().count(), 2);
    }

    #[test]
    fn a_disk_that_is_a_part_is_told_of_as_the_whole() {
        let tree = Tree::parse(
            "bus: main-system-bus\n  dev: pc, id \"\"\n    dev: virtio-blk-pci, id \"data\"\n      addr = 03.0\n      \
             bus: virtio-bus\n        dev: virtio-blk-device, id \"\"\n          drive = \"data.format\"\n          \
             serial = \"data\"\n    dev: virtio-scsi-pci, id \"s0\"\n      bus: s0.0\n        dev: scsi-hd, id \"two\"\n          \
             drive = \"\"\n          serial = \"b\"\n      numa_node = 1\n",
        )
        .unwrap();
        let data = disk("virtio-blk-pci", "data", Some("data.format"), Some("data"));
        assert_eq!(tree.device("data"), Some(&data));
        assert_eq!(tree.device("two"), Some(&disk("scsi-hd", "two", None, Some("b"))));
        assert_eq!(tree.device("s0").map(|it| it.drive.is_none()), Some(true));
    }

    #[test]
    fn what_is_no_tree_is_empty() {
        assert!(Tree::parse("unknown command: 'info'\r\n").is_none());
        assert!(Tree::parse("").is_none());
        let odd = Tree::parse("bus: main-system-bus\ndev: , id\n = \ndev: x, id \"\"").unwrap();
        assert_eq!(odd.named().count(), 0);
    }
}
