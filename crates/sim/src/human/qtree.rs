//! `info qtree`: buses and devices as they hang together, with a few properties of each.

use serde_json::Value;

use crate::config::{Board, Version};
use crate::device::{Device, DeviceKey, Place};
use crate::machine::Machine;
use crate::model::Goes;
use crate::pci::Function;

/// The tree as it is printed.
struct Tree {
    printed: String,
    indent: usize,
    version: Version,
}

/// Whose a property is: only the oldest say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Device,
    Bus,
}

impl Tree {
    fn line(&mut self, text: &str) {
        self.printed.extend(std::iter::repeat_n("  ", self.indent));
        self.printed.push_str(text);
        self.printed.push('\n');
    }

    fn property(&mut self, of: Of, name: &str, value: &str) {
        let prefix = match (self.version < Version::V1_2, of) {
            (false, _) => "",
            (true, Of::Device) => "dev-prop: ",
            (true, Of::Bus) => "bus-prop: ",
        };
        self.line(&format!("{prefix}{name} = {value}"));
    }

    /// The name of a drive: in quotes since every property is one of QOM's.
    fn drive(&mut self, name: &str) {
        let shown = match name {
            name if self.version >= Version::V2_5 => format!("\"{name}\""),
            "" => "<null>".to_owned(),
            name => name.to_owned(),
        };
        self.property(Of::Device, "drive", &shown);
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        let shown = match value {
            Some(value) => format!("\"{value}\""),
            None if self.version < Version::V2_5 => "<null>".to_owned(),
            None => "\"\"".to_owned(),
        };
        self.property(Of::Device, name, &shown);
    }

    fn number(&mut self, of: Of, name: &str, value: u64) {
        let shown = match self.version < Version::V2_5 {
            true => value.to_string(),
            false => format!("{value} (0x{value:x})"),
        };
        self.property(of, name, &shown);
    }

    fn switch(&mut self, of: Of, name: &str, value: bool) {
        let shown = match (self.version < Version::V2_5, value) {
            (true, true) => "on",
            (true, false) => "off",
            (false, true) => "true",
            (false, false) => "false",
        };
        self.property(of, name, shown);
    }

    /// What is within a device or a bus.
    fn within(&mut self, head: &str, print: impl FnOnce(&mut Self)) {
        self.line(head);
        self.indent += 1;
        print(self);
        self.indent -= 1;
    }
}

impl Machine {
    pub(super) fn info_qtree(&self) -> String {
        let mut tree = Tree { printed: String::new(), indent: 0, version: self.version };
        let host = match self.board {
            Board::Q35 => "q35-pcihost",
            Board::Pc => "i440FX-pcihost",
        };
        tree.within("bus: main-system-bus", |tree| {
            tree.line("type System");
            tree.within(&format!("dev: {host}, id \"\""), |tree| {
                let mut numbers = 0..;
                self.print_pci_bus(0, &mut numbers, tree);
            });
        });
        tree.printed
    }

    /// A PCI bus, the newest device first.
    fn print_pci_bus(&self, at: usize, numbers: &mut std::ops::RangeFrom<u32>, tree: &mut Tree) {
        let bus = self.pci.bus(at);
        let number = numbers.next().unwrap_or_default();
        tree.within(&format!("bus: {}", bus.name), |tree| {
            tree.line(if bus.is_express() { "type PCIE" } else { "type PCI" });
            for (devfn, function) in bus.newest_first() {
                let id = function.id.as_deref().unwrap_or_default();
                tree.within(&format!("dev: {}, id \"{id}\"", function.model), |tree| {
                    self.print_function(number, devfn, function, tree);
                    if let Some(behind) = function.bus {
                        self.print_pci_bus(behind, numbers, tree);
                    }
                });
            }
        });
    }

    fn print_function(&self, bus: u32, devfn: u8, function: &Function, tree: &mut Tree) {
        let device = self.devices.by_path(&function.path);
        let is_split = self.version >= Version::V2_5 && function.model.starts_with("virtio-");
        if let Some((key, device)) = device
            && !is_split
        {
            self.print_disk(key, device, tree);
        }
        let (slot, number) = (devfn / 8, devfn % 8);
        tree.property(Of::Bus, "addr", &format!("{slot:02x}.{number}"));
        tree.number(Of::Bus, "rombar", 1);
        tree.switch(Of::Bus, "multifunction", function.model == "PIIX3");
        let facts = function.facts;
        tree.line(&format!(
            "class {}, addr {bus:02x}:{slot:02x}.{number}, pci id {:04x}:{:04x} (sub 1af4:1100)",
            facts.desc.map_or_else(|| format!("Class {:04x}", facts.class), ToOwned::to_owned),
            facts.vendor,
            facts.device,
        ));
        if function.model.ends_with("-ide") || function.model.ends_with("-ahci") {
            self.print_ide(tree);
        }
        let Some((key, device)) = device else { return };
        if is_split {
            tree.within("bus: virtio-bus", |tree| {
                tree.line("type virtio-pci-bus");
                tree.within(&format!("dev: {}, id \"\"", device.model.inner), |tree| {
                    self.print_disk(key, device, tree);
                    self.print_brought(device, tree);
                });
            });
        } else {
            self.print_brought(device, tree);
        }
    }

    /// The buses that a device brings along.
    fn print_brought(&self, device: &Device, tree: &mut Tree) {
        let is_old = self.version < Version::V2_5;
        let kind = match device.model.carries {
            Some(Goes::Scsi) => "SCSI",
            Some(Goes::Usb) if is_old => "USB",
            Some(Goes::Usb) => "usb-bus",
            Some(Goes::Serial) => "virtio-serial-bus",
            _ => return,
        };
        for bus in device.buses() {
            tree.within(&format!("bus: {bus}"), |tree| {
                tree.line(&format!("type {kind}"));
                let sits_there = |other: &Device| match &other.place {
                    Place::Scsi { bus: its, .. } | Place::Serial { bus: its } => *its == bus,
                    Place::Usb { .. } => kind.to_ascii_lowercase().starts_with("usb"),
                    _ => false,
                };
                self.print_devices(sits_there, tree);
            });
        }
    }

    fn print_ide(&self, tree: &mut Tree) {
        let buses = match self.board {
            Board::Q35 => 6,
            Board::Pc => 2,
        };
        for number in (0..buses).rev() {
            let name = format!("ide.{number}");
            tree.within(&format!("bus: {name}"), |tree| {
                tree.line("type IDE");
                let sits_there =
                    |other: &Device| matches!(&other.place, Place::Ide { bus } if *bus == name);
                self.print_devices(sits_there, tree);
            });
        }
    }

    fn print_devices(&self, sits_there: impl Fn(&Device) -> bool, tree: &mut Tree) {
        let found: Vec<_> = self.devices.present().filter(|(_, it)| sits_there(it)).collect();
        for (key, device) in found.into_iter().rev() {
            let id = device.id.as_deref().unwrap_or_default();
            tree.within(&format!("dev: {}, id \"{id}\"", device.model.name), |tree| {
                self.print_disk(key, device, tree);
                match &device.place {
                    Place::Scsi { id, lun, .. } => {
                        if self.version >= Version::V1_2 {
                            tree.number(Of::Bus, "channel", 0);
                        }
                        tree.number(Of::Bus, "scsi-id", u64::from(*id));
                        if self.version >= Version::V1_2 {
                            tree.number(Of::Bus, "lun", u64::from(*lun));
                        }
                    }
                    Place::Ide { .. } => tree.number(Of::Bus, "unit", 0),
                    _ => {}
                }
                self.print_brought(device, tree);
            });
        }
    }

    /// The drive of a device, and its serial.
    fn print_disk(&self, key: DeviceKey, device: &Device, tree: &mut Tree) {
        if device.model.inner.is_empty() || device.model.carries == Some(Goes::Scsi) {
            return;
        }
        let drive = self.drives.of(key).filter(|drive| !drive.is_dropped);
        let node = device.user.and_then(|user| self.graph.used_by(user));
        let node = node.and_then(|node| self.graph.node(node)).map(|node| node.name.as_str());
        let name = drive.map(|drive| drive.name.as_str()).or(node).unwrap_or_default();
        let is_usb = device.model.name == "usb-storage";
        tree.drive(name);
        let has_serial = self.version >= Version::V1_2 || !device.model.name.starts_with("virtio");
        if has_serial {
            let own =
                device.properties.get("serial").and_then(Value::as_str).map(ToOwned::to_owned);
            tree.text("serial", own.or_else(|| ide_serial(device)).as_deref());
        }
        if is_usb {
            // It shares its drive with the SCSI disk within it.
            let id = device.id.as_deref().unwrap_or_default();
            tree.within(&format!("bus: {id}.0"), |tree| {
                tree.line("type SCSI");
                tree.within("dev: scsi-disk, id \"\"", |tree| tree.drive(name));
            });
        }
    }
}

/// What QEMU makes up for the serial of the first drive on an IDE bus that is given none: two drives
/// a bus are counted.
fn ide_serial(device: &Device) -> Option<String> {
    let Place::Ide { bus } = &device.place else { return None };
    let number: u32 = bus.strip_prefix("ide.")?.parse().ok()?;
    Some(format!("QM{:05}", number * 2 + 1))
}
