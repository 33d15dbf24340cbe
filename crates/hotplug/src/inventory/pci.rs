//! Boards and ports, from `query-pci`.
//!
//! `query-pci` shows what is behind a bridge only once firmware has numbered the buses. On a
//! machine that never ran, a port may hold a device that is not shown; QOM tells then.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Port;

/// The slots of a conventional PCI bus.
const SLOTS: u8 = 32;

/// The slots behind a bridge that take a disk whoever does the hot-plugging there: the bridge's own
/// controller (SHPC) refuses slot 0, ACPI would take it.
pub(super) const SLOTS_BEHIND_BRIDGE: Range<u8> = 1..SLOTS;

/// pcie-root-port, ioh3420, and the downstream port of a switch.
const PORTS: [(u16, u16); 3] = [(0x1b36, 0x000c), (0x8086, 0x3420), (0x104c, 0x8233)];

/// pci-bridge and pcie-pci-bridge, whose buses have their ids for names.
const BRIDGES: [(u16, u16); 2] = [(0x1b36, 0x0001), (0x1b36, 0x000e)];

/// USB 1 controllers: piix3's, piix4's and ich9's (UHCI), and pci-ohci.
const SLOW_USB: [(u16, u16); 9] = [
    (0x8086, 0x7020),
    (0x8086, 0x7112),
    (0x8086, 0x2934),
    (0x8086, 0x2935),
    (0x8086, 0x2936),
    (0x8086, 0x2937),
    (0x8086, 0x2938),
    (0x8086, 0x2939),
    (0x106b, 0x003f),
];

/// The class of USB controllers.
const USB_CONTROLLER: u16 = 0x0c03;

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
            Self::Unknown => f.write_str("unknown until the machine's firmware has run"),
        }
    }
}

/// The machine's PCI devices: what they say of its board, ports and USB buses.
#[derive(Debug, Deserialize)]
#[serde(from = "Vec<Bus>")]
pub(crate) struct Pci {
    board: Board,
    ports: Vec<(Port, Occupancy)>,
    /// The places of ports by what they hold.
    by_device: HashMap<String, usize>,
    /// The bus's number and the slot of each device that has an id.
    addresses: HashMap<String, (u32, u8)>,
    unnamed: usize,
    usb: Vec<UsbBus>,
}

/// The bus of a USB controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsbBus {
    /// Its name.
    pub(crate) name: String,
    /// Whether it is of USB 1, which QEMU's usb-uas does not go on.
    pub(crate) is_slow: bool,
}

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
#[serde(from = "ToldId")]
struct PciId {
    vendor: u16,
    device: u16,
}

/// An id as it is told: 0.14 says the one for the other.
#[derive(Deserialize)]
struct ToldId {
    vendor: u16,
    device: u16,
}

/// Intel, whose host bridges and controllers the old boards have. No device of it has this number.
const INTEL: u16 = 0x8086;

impl From<ToldId> for PciId {
    fn from(ToldId { vendor, device }: ToldId) -> Self {
        match device {
            INTEL => Self { vendor: device, device: vendor },
            _ => Self { vendor, device },
        }
    }
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

    fn is_one_of(&self, known: &[(u16, u16)]) -> bool {
        known.contains(&(self.id.vendor, self.id.device))
    }

    fn is_port(&self) -> bool {
        self.pci_bridge.is_some() && self.is_one_of(&PORTS)
    }

    /// The slots behind a bridge to conventional PCI.
    fn slots(&self) -> Option<Vec<(Port, Occupancy)>> {
        let bridge = self.pci_bridge.as_ref()?;
        if !self.is_one_of(&BRIDGES) || self.qdev_id.is_empty() {
            return None;
        }
        let free = match bridge.bus.secondary {
            0 => Occupancy::Unknown,
            _ => Occupancy::Free,
        };
        let slot = |slot| Port::Slot { bus: self.qdev_id.clone(), slot };
        Some(slots(&slot, SLOTS_BEHIND_BRIDGE, &bridge.devices, &free))
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

impl Default for Pci {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl From<Vec<Bus>> for Pci {
    fn from(buses: Vec<Bus>) -> Self {
        let root = buses.iter().find(|bus| bus.bus == 0).map_or(&[][..], |bus| &bus.devices);
        let host = root.iter().find(|device| device.slot == 0);
        let board = host.map_or(Board::Unknown, |device| Board::of_host_bridge(device.id));
        let all = devices(&buses);
        let mut ports = match board {
            Board::Pc => slots(&Port::own_slot, 0..SLOTS, root, &Occupancy::Free),
            _ => Vec::new(),
        };
        let mut unnamed = 0;
        if matches!(board, Board::Q35 | Board::Virt) {
            let found = all.iter().filter(|device| device.is_port());
            let (named, others): (Vec<_>, Vec<_>) =
                found.partition(|device| !device.qdev_id.is_empty());
            let port = |device: &&Device| (Port::Root(device.qdev_id.clone()), device.occupancy());
            ports.extend(named.iter().map(port));
            unnamed = others.len();
        }
        // Last, because a conventional bus is slower, and its unplug is the bridge's business.
        if board.is_known() {
            ports.extend(all.iter().filter_map(|device| device.slots()).flatten());
        }
        let usb = all.iter().filter(|device| {
            device.class_info.class == USB_CONTROLLER && !device.qdev_id.is_empty()
        });
        let usb = usb.map(|device| UsbBus {
            name: format!("{}.0", device.qdev_id),
            is_slow: device.is_one_of(&SLOW_USB),
        });
        let mut usb: Vec<_> = usb.collect();
        usb.sort_by_key(|bus| bus.is_slow);
        // A device without an id is told by what it is, which is no name.
        let with_id = all.iter().filter(|device| !device.qdev_id.is_empty());
        let addresses: HashMap<_, _> =
            with_id.map(|it| (it.qdev_id.clone(), (it.bus, it.slot))).collect();
        let holders = ports.iter().enumerate().filter_map(|(at, (_, occupancy))| match occupancy {
            Occupancy::Taken(device) if addresses.contains_key(device) => {
                Some((device.clone(), at))
            }
            _ => None,
        });
        Self { board, by_device: holders.collect(), addresses, ports, unnamed, usb }
    }
}

/// All devices, each before those behind it; the buses of further host bridges come after the first.
fn devices(buses: &[Bus]) -> Vec<&Device> {
    let mut all = Vec::new();
    let mut open: Vec<&Device> = buses.iter().flat_map(|bus| &bus.devices).collect();
    open.reverse();
    while let Some(device) = open.pop() {
        all.push(device);
        open.extend(device.bridged().iter().rev());
    }
    all
}

/// The slots of a bus on which these devices are; `free` is what is known of the others.
fn slots(
    port: &dyn Fn(u8) -> Port,
    range: Range<u8>,
    devices: &[Device],
    free: &Occupancy,
) -> Vec<(Port, Occupancy)> {
    let mut taken = HashMap::new();
    for device in devices {
        taken.entry(device.slot).or_insert_with(|| device.label());
    }
    let occupancy =
        |slot| taken.get(&slot).map_or_else(|| free.clone(), |it| Occupancy::Taken(it.clone()));
    range.map(|slot| (port(slot), occupancy(slot))).collect()
}

impl Pci {
    /// The kind of board, by its host bridge.
    pub(crate) fn board(&self) -> Board {
        self.board
    }

    /// Every place where a disk could be, in the order in which they are filled.
    ///
    /// Root ports without an id are left out: QEMU names their buses itself, the first one just like
    /// the root bus (`pcie.0`), so that a name does not tell which port is meant.
    pub(crate) fn ports(&self) -> &[(Port, Occupancy)] {
        &self.ports
    }

    /// How many root ports have no id, so that nothing can be plugged into them by name.
    pub(crate) fn unnamed_ports(&self) -> usize {
        self.unnamed
    }

    /// The buses of the USB controllers that have ids: each has its own, `ID.0`. The fast ones come
    /// first.
    pub(crate) fn usb_buses(&self) -> &[UsbBus] {
        &self.usb
    }

    /// The number of the bus and the slot of the device of this id, which its guest has too.
    pub(crate) fn address_of(&self, id: &str) -> Option<(u32, u8)> {
        self.addresses.get(id).copied()
    }

    /// Whether a device of this id is shown.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.addresses.contains_key(id)
    }

    /// Where the device of this id sits.
    pub(crate) fn port_of(&self, id: &str) -> Option<Port> {
        Some(self.ports[*self.by_device.get(id)?].0.clone())
    }
}

#[cfg(test)]
mod tests;
