//! Boards and ports, from `query-pci`.
//!
//! `query-pci` shows what is behind a bridge only once firmware has numbered the buses. On a
//! machine that never ran, a port may hold a device that is not shown; QOM tells then.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Port;

/// The slots of a conventional PCI bus.
const SLOTS: u8 = 32;

/// The kind of machine, by what its root bus lets be plugged while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Board {
    /// `pc` (i440fx): slots of the root bus.
    Pc,
    /// `q35`: root ports, none of which can be added while the machine runs.
    Q35,
    /// `virt` and other boards with a generic PCI Express host: root ports.
    Virt,
    /// `s390-ccw-virtio`: the channel subsystem.
    S390x,
    /// `microvm`: nothing can be plugged in.
    Microvm,
    /// A board whose rules qplug does not know.
    Unknown,
}

/// What is known of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Occupancy {
    /// It takes a disk.
    Free,
    /// It holds a device: its id, or what it is when it has none.
    Taken(String),
    /// It takes no device while the machine runs (`hotplug=off`).
    Fixed,
    /// Firmware has not numbered the buses yet, so it is not shown.
    Unknown,
}

impl Board {
    fn of_host_bridge(id: PciId) -> Self {
        match (id.vendor, id.device) {
            (0x8086, 0x1237) => Self::Pc,
            (0x8086, 0x29c0) => Self::Q35,
            (0x1b36, 0x0008) => Self::Virt,
            _ => Self::Unknown,
        }
    }

    /// The board of this type, where its PCI devices do not tell.
    pub(crate) fn or_of_type(self, machine_type: &str) -> Self {
        match self {
            Self::Unknown if machine_type.starts_with("s390-ccw-virtio") => Self::S390x,
            Self::Unknown if machine_type.starts_with("microvm") => Self::Microvm,
            board => board,
        }
    }

    /// Whether the board's rules are known.
    pub(crate) fn is_known(self) -> bool {
        self != Self::Unknown
    }

    /// What makes room on such a board.
    #[must_use]
    pub fn how_to_make_room(self) -> &'static str {
        match self {
            Self::Pc => "detach a disk",
            Self::Q35 | Self::Virt => {
                "detach a disk, or start QEMU with more root ports \
                 (-device pcie-root-port,id=rp9,chassis=9)"
            }
            Self::S390x => "detach a disk",
            Self::Unknown | Self::Microvm => "use a pc, q35, virt or s390-ccw-virtio machine",
        }
    }
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pc => "pc",
            Self::Q35 => "q35",
            Self::Virt => "virt",
            Self::S390x => "s390-ccw-virtio",
            Self::Microvm => "microvm",
            Self::Unknown => "unknown",
        })
    }
}

impl fmt::Display for Occupancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Free => f.write_str("free"),
            Self::Taken(by) => write!(f, "holds {by}"),
            Self::Fixed => f.write_str("takes nothing while the machine runs (hotplug=off)"),
            Self::Unknown => f.write_str("unknown until the machine's firmware has run"),
        }
    }
}

/// The machine's PCI devices.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Pci(Vec<Bus>);

#[derive(Debug, Deserialize)]
struct Bus {
    bus: u32,
    devices: Vec<Device>,
}

#[derive(Debug, Deserialize)]
struct Device {
    /// The bus's number, once firmware has given it one.
    #[serde(default)]
    bus: u32,
    slot: u8,
    id: PciId,
    class_info: Class,
    qdev_id: String,
    pci_bridge: Option<Bridge>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct PciId {
    vendor: u16,
    device: u16,
}

#[derive(Debug, Deserialize)]
struct Class {
    desc: Option<String>,
    class: u16,
}

#[derive(Debug, Deserialize)]
struct Bridge {
    bus: BridgeBus,
    #[serde(default)]
    devices: Vec<Device>,
}

#[derive(Debug, Deserialize)]
struct BridgeBus {
    secondary: u32,
}

impl Device {
    /// The device's id, or a word for what it is.
    fn label(&self) -> String {
        if !self.qdev_id.is_empty() {
            return self.qdev_id.clone();
        }
        let class = self.class_info.desc.clone();
        class.unwrap_or_else(|| format!("a device of class {:04x}", self.class_info.class))
    }

    /// pcie-root-port, ioh3420, and the downstream port of a switch.
    fn is_port(&self) -> bool {
        let known = [(0x1b36, 0x000c), (0x8086, 0x3420), (0x104c, 0x8233)];
        self.pci_bridge.is_some() && known.contains(&(self.id.vendor, self.id.device))
    }

    fn occupancy(&self) -> Occupancy {
        match &self.pci_bridge {
            Some(bridge) => match bridge.devices.first() {
                Some(device) => Occupancy::Taken(device.label()),
                None if bridge.bus.secondary == 0 => Occupancy::Unknown,
                None => Occupancy::Free,
            },
            None => Occupancy::Taken(self.label()),
        }
    }

    fn bridged(&self) -> &[Device] {
        self.pci_bridge.as_ref().map_or(&[], |bridge| &bridge.devices)
    }
}

impl Pci {
    fn root(&self) -> &[Device] {
        self.0.iter().find(|bus| bus.bus == 0).map_or(&[], |bus| &bus.devices)
    }

    /// The kind of board, by its host bridge.
    pub(crate) fn board(&self) -> Board {
        let host = self.root().iter().find(|device| device.slot == 0);
        host.map_or(Board::Unknown, |device| Board::of_host_bridge(device.id))
    }

    /// Every place where a disk could be, in the order in which they are filled.
    pub(crate) fn ports(&self) -> Vec<(Port, Occupancy)> {
        match self.board() {
            Board::Pc => self.slots(),
            Board::Q35 | Board::Virt => self.root_ports(),
            Board::S390x | Board::Microvm | Board::Unknown => Vec::new(),
        }
    }

    fn slots(&self) -> Vec<(Port, Occupancy)> {
        let mut taken = HashMap::new();
        for device in self.root() {
            taken.entry(device.slot).or_insert_with(|| device.label());
        }
        (0..SLOTS)
            .map(|slot| {
                let occupancy = taken.remove(&slot).map_or(Occupancy::Free, Occupancy::Taken);
                (Port::Slot { bus: "pci.0".to_owned(), slot }, occupancy)
            })
            .collect()
    }

    /// Root ports without an id are left out: QEMU names their buses itself, the first one just like
    /// the root bus (`pcie.0`), so that a name does not tell which port is meant.
    fn root_ports(&self) -> Vec<(Port, Occupancy)> {
        let mut ports = Vec::new();
        let mut open = vec![self.root().iter()];
        while let Some(level) = open.last_mut() {
            let Some(device) = level.next() else {
                open.pop();
                continue;
            };
            if device.is_port() && !device.qdev_id.is_empty() {
                ports.push((Port::Root(device.qdev_id.clone()), device.occupancy()));
            }
            open.push(device.bridged().iter());
        }
        ports
    }

    /// How many root ports have no id, so that nothing can be plugged into them by name.
    pub(crate) fn unnamed_ports(&self) -> usize {
        self.root().iter().filter(|device| device.is_port() && device.qdev_id.is_empty()).count()
    }

    /// The buses of the USB controllers that have ids: each has its own, `ID.0`.
    pub(crate) fn usb_buses(&self) -> Vec<String> {
        const USB_CONTROLLER: u16 = 0x0c03;
        let mut buses = Vec::new();
        let mut open: Vec<&Device> = self.root().iter().rev().collect();
        while let Some(device) = open.pop() {
            if device.class_info.class == USB_CONTROLLER && !device.qdev_id.is_empty() {
                buses.push(format!("{}.0", device.qdev_id));
            }
            open.extend(device.bridged().iter().rev());
        }
        buses
    }

    /// The number of the bus and the slot of the device of this id, which its guest has too.
    pub(crate) fn address_of(&self, id: &str) -> Option<(u32, u8)> {
        let mut open: Vec<&Device> = self.0.iter().flat_map(|bus| &bus.devices).collect();
        while let Some(device) = open.pop() {
            if device.qdev_id == id {
                return Some((device.bus, device.slot));
            }
            open.extend(device.bridged());
        }
        None
    }

    /// Where the device of this id sits.
    pub(crate) fn port_of(&self, id: &str) -> Option<Port> {
        let holds = |(_, occupancy): &(Port, Occupancy)| *occupancy == Occupancy::Taken(id.into());
        self.ports().into_iter().find(holds).map(|(port, _)| port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTED_Q35: &str = r#"[{"bus": 0, "devices": [
        {"slot": 0, "id": {"vendor": 32902, "device": 10688}, "class_info": {"class": 1536, "desc": "Host bridge"}, "qdev_id": ""},
        {"slot": 1, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "rp0",
         "pci_bridge": {"bus": {"secondary": 1}, "devices": [
            {"slot": 0, "id": {"vendor": 6900, "device": 4162}, "class_info": {"class": 256}, "qdev_id": "data"}]}},
        {"slot": 2, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "rp1",
         "pci_bridge": {"bus": {"secondary": 2}, "devices": []}},
        {"slot": 3, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "",
         "pci_bridge": {"bus": {"secondary": 3}}},
        {"slot": 4, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "rp2",
         "pci_bridge": {"bus": {"secondary": 0}}}]}]"#;

    const PC: &str = r#"[{"bus": 0, "devices": [
        {"slot": 0, "id": {"vendor": 32902, "device": 4663}, "class_info": {"class": 1536, "desc": "Host bridge"}, "qdev_id": ""},
        {"slot": 1, "id": {"vendor": 32902, "device": 28672}, "class_info": {"class": 1537, "desc": "ISA bridge"}, "qdev_id": ""},
        {"slot": 1, "id": {"vendor": 32902, "device": 28688}, "class_info": {"class": 257}, "qdev_id": ""},
        {"slot": 3, "id": {"vendor": 6900, "device": 4096}, "class_info": {"class": 512}, "qdev_id": "net0"}]}]"#;

    #[test]
    fn root_ports_are_free_taken_or_not_yet_known() {
        let pci: Pci = serde_json::from_str(BOOTED_Q35).unwrap();
        assert_eq!(pci.board(), Board::Q35);
        let root = |id: &str| Port::Root(id.to_owned());
        let expected = [
            (root("rp0"), Occupancy::Taken("data".to_owned())),
            (root("rp1"), Occupancy::Free),
            (root("rp2"), Occupancy::Unknown),
        ];
        assert_eq!(pci.ports(), expected);
        assert_eq!(pci.unnamed_ports(), 1);
        assert_eq!(pci.port_of("data"), Some(root("rp0")));
        assert_eq!(pci.port_of("rp1"), None);
    }

    #[test]
    fn a_pc_has_32_slots_some_of_them_taken() {
        let pci: Pci = serde_json::from_str(PC).unwrap();
        assert_eq!(pci.board(), Board::Pc);
        let ports = pci.ports();
        assert_eq!(ports.len(), 32);
        let free = ports.iter().filter(|(_, occupancy)| *occupancy == Occupancy::Free).count();
        assert_eq!(free, 29);
        assert_eq!(ports[3].1, Occupancy::Taken("net0".to_owned()));
        assert_eq!(pci.port_of("net0").unwrap().to_string(), "pci.0/3");
    }

    #[test]
    fn a_machine_without_pci_has_no_ports() {
        let pci: Pci = serde_json::from_str("[]").unwrap();
        assert_eq!((pci.board(), pci.ports()), (Board::Unknown, vec![]));
    }
}
