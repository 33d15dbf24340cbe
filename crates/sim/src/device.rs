//! The devices of a machine.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::graph::UserId;
use crate::model::{Goes, Model};

/// Names a device, also while another of the same id comes after it.
pub(crate) type DeviceKey = u64;

/// Where a device sits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// On a PCI bus, by the bus's number.
    Pci { bus: usize, devfn: u8 },
    /// On a SCSI bus, by the bus's name.
    Scsi { bus: String, id: u32, lun: u32 },
    /// On a USB bus.
    Usb { port: u32 },
    /// On a virtio-serial bus.
    Serial { bus: String },
    /// On an IDE bus.
    Ide { bus: String },
}

/// The guest was asked to let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pending {
    /// Until when it is not asked again, by the guest's clock; always, where there is none.
    pub(crate) expires: Option<Duration>,
}

/// A tray with room for a medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tray {
    pub(crate) is_open: bool,
}

#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) id: Option<String>,
    /// The QOM path.
    pub(crate) path: String,
    pub(crate) model: &'static Model,
    pub(crate) place: Place,
    /// Its use of a node, if it has a drive.
    pub(crate) user: Option<UserId>,
    pub(crate) properties: Map<String, Value>,
    pub(crate) tray: Option<Tray>,
    pub(crate) pending: Option<Pending>,
    /// When it was plugged in, by the guest's clock.
    pub(crate) since: Duration,
    /// The guest let go, and QEMU is about to.
    pub(crate) is_leaving: bool,
    /// Whether it may be unplugged at all: not what was there from the start on a fixed bus.
    pub(crate) is_fixed: bool,
    /// Where its drive stands among all of them.
    pub(crate) order: u64,
}

impl Device {
    /// As `query-block` and the messages about its drive name it.
    pub(crate) fn drive_label(&self) -> String {
        match (self.model.name, &self.id) {
            ("virtio-blk-pci", _) => format!("{}/virtio-backend", self.path),
            ("usb-storage", id) => {
                format!("{}/{}.0/legacy[0]", self.path, id.as_deref().unwrap_or_default())
            }
            (_, Some(id)) => id.clone(),
            (_, None) => self.path.clone(),
        }
    }

    /// The part of it that says goodbye first: a `DEVICE_DELETED` with a path only.
    pub(crate) fn inner_path(&self) -> Option<String> {
        match self.model.name {
            "virtio-blk-pci" | "virtio-scsi-pci" => Some(format!("{}/virtio-backend", self.path)),
            "usb-storage" => Some(self.drive_label()),
            _ => None,
        }
    }

    /// The names of the buses that it brings along.
    pub(crate) fn buses(&self) -> impl Iterator<Item = String> {
        let id = self.id.as_deref();
        let buses = self.model.buses.iter();
        buses.filter_map(move |suffix| Some(format!("{}{suffix}", id?)))
    }

    pub(crate) fn text(&self, property: &str) -> Option<&str> {
        self.properties.get(property).and_then(Value::as_str)
    }

    /// Whether a disk may be shared by writers.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.properties.get("share-rw"), Some(value) if value == true || value == "on")
    }
}

/// All devices, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    all: BTreeMap<DeviceKey, Device>,
    next: DeviceKey,
    /// How many had no id.
    unnamed: u64,
}

impl Devices {
    pub(crate) fn add(&mut self, device: Device) -> DeviceKey {
        self.next += 1;
        self.all.insert(self.next, device);
        self.next
    }

    pub(crate) fn remove(&mut self, key: DeviceKey) -> Option<Device> {
        self.all.remove(&key)
    }

    pub(crate) fn at(&self, key: DeviceKey) -> Option<&Device> {
        self.all.get(&key)
    }

    pub(crate) fn at_mut(&mut self, key: DeviceKey) -> Option<&mut Device> {
        self.all.get_mut(&key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (DeviceKey, &Device)> {
        self.all.iter().map(|(key, device)| (*key, device))
    }

    /// Those that the guest has not let go of.
    pub(crate) fn present(&self) -> impl Iterator<Item = (DeviceKey, &Device)> {
        self.iter().filter(|(_, device)| !device.is_leaving)
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<(DeviceKey, &Device)> {
        self.present().find(|(_, device)| device.id.as_deref() == Some(id))
    }

    pub(crate) fn by_path(&self, path: &str) -> Option<(DeviceKey, &Device)> {
        self.present().find(|(_, device)| device.path == path)
    }

    /// By id, or by path where there is a slash in it.
    pub(crate) fn find(&self, name: &str) -> Option<(DeviceKey, &Device)> {
        if name.contains('/') { self.by_path(name) } else { self.by_id(name) }
    }

    /// The path of a device to be.
    pub(crate) fn path_for(&mut self, id: Option<&str>) -> String {
        match id {
            Some(id) => format!("/machine/peripheral/{id}"),
            None => {
                self.unnamed += 1;
                format!("/machine/peripheral-anon/device[{}]", self.unnamed - 1)
            }
        }
    }

    /// The devices on the buses that a device brings along, the first one first.
    pub(crate) fn behind(&self, key: DeviceKey) -> Vec<DeviceKey> {
        let Some(device) = self.at(key) else { return Vec::new() };
        let buses: Vec<_> = device.buses().collect();
        let sits_there = |device: &Device| match &device.place {
            Place::Scsi { bus, .. } | Place::Serial { bus } => buses.contains(bus),
            _ => false,
        };
        self.present().filter(|(_, device)| sits_there(device)).map(|(key, _)| key).collect()
    }

    /// The buses there are that devices bring along, for what goes there, in the order in which
    /// QEMU looks for one.
    pub(crate) fn buses_for(&self, goes: Goes) -> impl Iterator<Item = String> {
        let carries = move |device: &Device| device.model.carries == Some(goes);
        self.present()
            .filter(move |(_, device)| carries(device))
            .flat_map(|(_, device)| device.buses())
    }
}
