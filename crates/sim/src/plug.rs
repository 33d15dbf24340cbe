//! `device_add`: a device finds its place, its drive, and in time its guest.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use qplug_proto::ErrorReply;
use serde_json::{Map, Value, json};

use crate::arguments::Arguments;
use crate::bus::BusRef;
use crate::config::Version;
use crate::device::{Device, DeviceKey, Place, Tray};
use crate::drives::MadeBy;
use crate::graph::{Claim, NodeId, User, UserId, UserKind};
use crate::guest::Guest;
use crate::machine::{Fate, Machine, Timer};
use crate::model::{Drive, Model};
use crate::objects::is_identifier;
use crate::pci::{Function, Hotplug, SLOTS, address};
use crate::refusal::{self, Reply, generic, no_device};
use crate::words;

/// The greatest number of a SCSI target, and of a unit behind it (virtio-scsi's).
const MAX_SCSI_ID: u32 = 255;
const MAX_SCSI_LUN: u32 = 16_383;

/// The ports of a `qemu-xhci`.
const USB_PORTS: u32 = 8;

/// How long a guest takes to find a disk, by bus: measured with Linux 6.1 under TCG.
const FINDS_BEHIND_PORT: Duration = Duration::from_millis(150);
pub(crate) const FINDS_BEHIND_NATIVE_PORT: Duration = Duration::from_millis(300);
const FINDS_IN_SLOT: Duration = Duration::from_millis(1000);
const FINDS_ON_SCSI: Duration = Duration::from_millis(150);
const FINDS_ON_USB: Duration = Duration::from_millis(1400);

/// How often a guest reads from a disk that it finds: the partition table and some more.
const FIRST_READS: u64 = 10;

impl Machine {
    /// `device_add`, in the order in which QEMU finds reasons against it.
    pub(crate) fn device_add(&mut self, mut arguments: Arguments, now: Instant) -> Reply {
        let version = self.version;
        // Not typed in QEMU's schema: anything but a text is as good as nothing in 10.0.
        let driver = match arguments.any("driver") {
            Some(Value::String(driver)) => Some(driver),
            Some(other) if version < Version::V10_0 && !other.is_null() => Some(other.to_string()),
            _ => None,
        };
        let id = arguments.any("id").and_then(|id| id.as_str().map(ToOwned::to_owned));
        let bus = arguments.any("bus").and_then(|bus| bus.as_str().map(ToOwned::to_owned));
        if version < Version::V7_2 {
            self.check_id(id.as_deref())?;
        }
        let driver = driver.ok_or_else(|| refusal::missing("driver"))?;
        if version == Version::V7_2 && id.as_deref().is_some_and(|id| !is_identifier(id)) {
            return Err(refusal::no_identifier());
        }
        let model = find_model(&driver, version)?;
        let bus = self.find_bus(model, bus.as_deref())?;
        if self.migration.is_active() {
            return Err(generic("device_add not allowed while migrating"));
        }
        if let Some(id) = id.as_deref().filter(|id| self.devices.by_id(id).is_some()) {
            return Err(generic(format!("Duplicate device ID '{id}'")));
        }
        let properties = arguments.rest();
        if version < Version::V1_2 && properties.get("addr").is_some_and(is_beyond) {
            self.fate = Fate::Hung;
            return Err(generic("no answer ever comes"));
        }
        model.check(&properties, version)?;
        let wanted = self.drive(model, &properties)?;
        self.check_netdev(model, &properties)?;
        let plugged = self.plug(model, id, &bus, properties, wanted, now);
        plugged.map_err(|why| match version < Version::V2_5 {
            true => refusal::init_failed(model.name),
            false => why,
        })?;
        Ok(json!({}))
    }

    /// Until QEMU 5.2 an id is looked at before all else.
    fn check_id(&self, id: Option<&str>) -> Result<(), ErrorReply> {
        match id {
            Some(id) if !is_identifier(id) => Err(refusal::no_identifier()),
            Some(id) if self.devices.by_id(id).is_some() => Err(refusal::duplicate("device", id)),
            _ => Ok(()),
        }
    }

    /// Puts a device into its place, and lets it have its drive. Without `wanted` it is there from
    /// the start.
    pub(crate) fn plug(
        &mut self,
        model: &'static Model,
        id: Option<String>,
        bus: &BusRef,
        properties: Map<String, Value>,
        wanted: Wanted,
        now: Instant,
    ) -> Result<DeviceKey, ErrorReply> {
        let is_hotplug = !wanted.is_at_start;
        if let Some(iothread) = properties.get("iothread").and_then(Value::as_str)
            && !self.objects.is_a(iothread, "iothread")
        {
            return Err(no_device(iothread));
        }
        let place = self.place(model, bus, &properties, is_hotplug)?;
        let of_drive = wanted.drive.as_deref().and_then(|name| self.drives.find(name));
        let node = wanted.node.or_else(|| self.graph.used_by(of_drive?.user?));
        let is_cd = model.is_cd || of_drive.is_some_and(|drive| drive.is_cd);
        check_drive(model, node, is_cd, &wanted, &properties)?;
        check_serial(model, &properties, self.version)?;
        let order = of_drive.map_or_else(|| self.graph.number(), |drive| drive.order);
        let path = self.devices.path_for(id.as_deref());
        let mut device = Device {
            id,
            path,
            model,
            place,
            user: None,
            properties,
            tray: is_cd.then_some(Tray { is_open: false }),
            pending: None,
            since: self.clock.at(now),
            is_leaving: false,
            is_fixed: !is_hotplug,
            order,
        };
        if let Some(node) = node {
            device.user = Some(self.take_drive(&device, node, wanted.drive.as_deref())?);
        }
        if let Place::Pci { bus, devfn } = device.place {
            let function = Function {
                model: model.name,
                id: device.id.clone(),
                path: device.path.clone(),
                facts: model.facts_on(self.pci.bus(bus).is_express()),
                bus: None,
                child: 0,
            };
            self.pci.put(bus, devfn, function);
        }
        let key = self.devices.add(device);
        if let Some(drive) = wanted.drive.as_deref().and_then(|name| self.drives.find_mut(name)) {
            drive.device = Some(key);
            drive.user = None;
            drive.was_plugged = true;
        }
        if is_hotplug {
            self.show_guest(key);
        }
        Ok(key)
    }

    /// A device takes its node, which a drive may have had until now.
    fn take_drive(
        &mut self,
        device: &Device,
        node: NodeId,
        drive: Option<&str>,
    ) -> Result<UserId, ErrorReply> {
        let read_only = self.graph.node(node).is_some_and(|node| node.read_only);
        let claim = match device.tray.is_some() {
            true => Claim::medium(),
            false => Claim::disk(read_only, device.is_shared()),
        };
        let of_drive = drive.and_then(|name| self.drives.find(name)?.user);
        if let (Some(user), Some(name)) = (of_drive, drive) {
            self.graph.change_claim(user, name.to_owned(), UserKind::Device, claim)?;
            return Ok(user);
        }
        let (label, kind) = (device.drive_label(), UserKind::Device);
        let added = self.graph.add_user(User { node, label, kind, claim });
        if added.is_err() && device.model.name == "nvme" {
            self.leak_drive(node, device.drive_label());
        }
        added
    }

    /// QEMU forgets to let go of the drive of an nvme that it refuses: the node stays in use.
    fn leak_drive(&mut self, node: NodeId, label: String) {
        let claim = Claim::nothing();
        // What claims nothing is in conflict with nobody.
        let leaked = self.graph.add_user(User { node, label, kind: UserKind::Device, claim });
        self.leaked.extend(leaked);
    }

    /// The drive or the node that a device is to have.
    fn drive(&self, model: &Model, properties: &Map<String, Value>) -> Result<Wanted, ErrorReply> {
        let Some(name) = properties.get("drive").and_then(Value::as_str) else {
            return Ok(Wanted::default());
        };
        let (version, holder) = (self.version, model.drive_holder(self.version));
        if let Some(drive) = self.drives.find(name) {
            if drive.device.is_some() || drive.made_by == MadeBy::Board {
                return Err(words::drive_in_use(version, holder, name));
            }
            return Ok(Wanted { drive: Some(name.to_owned()), ..Wanted::default() });
        }
        // A node without a drive can be had since 2.9.
        let node = self.graph.find(name).filter(|_| version >= Version::V2_9);
        let node = node.ok_or_else(|| refusal::no_drive(holder, name))?;
        Ok(Wanted { node: Some(node), ..Wanted::default() })
    }

    fn place(
        &self,
        model: &Model,
        bus: &BusRef,
        properties: &Map<String, Value>,
        is_hotplug: bool,
    ) -> Result<Place, ErrorReply> {
        match bus {
            BusRef::Pci(bus) => {
                if is_hotplug && self.pci.bus(*bus).hotplug == Some(Hotplug::NativeOff) {
                    return Err(generic(format!(
                        "Hot-plug failed: unsupported by the port device '{}'",
                        self.pci.bus(*bus).name
                    )));
                }
                let address = properties.get("addr").and_then(address);
                let devfn = self.pci.place(*bus, address, model.name, is_hotplug)?;
                Ok(Place::Pci { bus: *bus, devfn })
            }
            BusRef::Scsi(bus) => self.place_scsi(bus, properties),
            BusRef::Usb(bus) => self.place_usb(bus, properties),
            BusRef::Serial(bus) => Ok(Place::Serial { bus: bus.clone() }),
            BusRef::Fixed(bus, _) => Ok(Place::Ide { bus: bus.clone() }),
        }
    }

    fn place_scsi(&self, bus: &str, properties: &Map<String, Value>) -> Result<Place, ErrorReply> {
        let number = |name: &str| properties.get(name).and_then(as_number);
        // By number, as there may be many.
        let sits: BTreeMap<_, _> = self
            .devices
            .present()
            .filter_map(|(_, device)| match &device.place {
                Place::Scsi { bus: its, id, lun } if its == bus => Some(((*id, *lun), device)),
                _ => None,
            })
            .collect();
        let taken = |id: u32, lun: u32| sits.get(&(id, lun));
        if let Some(channel) = number("channel").filter(|channel| *channel != 0) {
            return Err(generic(format!("bad scsi channel id: {channel}")));
        }
        if let Some(id) = number("scsi-id").filter(|id| *id > MAX_SCSI_ID) {
            return Err(generic(format!("bad scsi device id: {id}")));
        }
        if let Some(lun) = number("lun").filter(|lun| *lun > MAX_SCSI_LUN) {
            return Err(generic(format!("bad scsi device lun: {lun}")));
        }
        let (id, lun) = match (number("scsi-id"), number("lun")) {
            (Some(id), Some(lun)) => (id, lun),
            (Some(id), None) => {
                let free = (0..=MAX_SCSI_LUN).find(|lun| taken(id, *lun).is_none());
                (id, free.ok_or_else(|| generic("no free lun"))?)
            }
            (None, lun) => {
                let lun = lun.unwrap_or(0);
                let free = (0..=MAX_SCSI_ID).find(|id| taken(*id, lun).is_none());
                (free.ok_or_else(|| generic("no free target"))?, lun)
            }
        };
        if let Some(other) = taken(id, lun) {
            let other = other.id.as_deref().unwrap_or("(null)");
            return Err(generic(format!("lun already used by '{other}'")));
        }
        Ok(Place::Scsi { bus: bus.to_owned(), id, lun })
    }

    fn place_usb(&self, bus: &str, properties: &Map<String, Value>) -> Result<Place, ErrorReply> {
        let is_taken = |port: u32| {
            self.devices.present().any(|(_, device)| device.place == Place::Usb { port })
        };
        match properties.get("port").and_then(Value::as_str) {
            None => {
                // QEMU puts a hub into the last port, so there is always another one.
                let port = (1..).find(|port| !is_taken(*port)).unwrap_or_default();
                Ok(Place::Usb { port })
            }
            Some(text) => match text.parse() {
                Ok(port) if (1..=USB_PORTS).contains(&port) && !is_taken(port) => {
                    Ok(Place::Usb { port })
                }
                _ => Err(generic(format!("usb port {text} (bus {bus}) not found (in use?)"))),
            },
        }
    }

    /// A guest that is up finds the disk in a while; one that pulls disks out does so.
    fn show_guest(&mut self, key: DeviceKey) {
        let Some(device) = self.devices.at(key) else { return };
        let takes = match &device.place {
            Place::Pci { bus: 0, .. } => FINDS_IN_SLOT,
            Place::Pci { bus, .. } if self.pci.bus(*bus).hotplug == Some(Hotplug::Native) => {
                FINDS_BEHIND_NATIVE_PORT
            }
            Place::Pci { .. } => FINDS_BEHIND_PORT,
            Place::Scsi { .. } => FINDS_ON_SCSI,
            Place::Usb { .. } => FINDS_ON_USB,
            Place::Serial { .. } | Place::Ide { .. } => return,
        };
        let from = device.since.max(self.boots_until);
        if self.guest != Guest::Dead {
            self.timers.at_guest(from + takes, Timer::Find(key));
        }
        if let Guest::PullsOut(after) = self.guest {
            self.timers.at_guest(from + after, Timer::LetGo(key));
        }
    }

    /// The guest's driver found the disk, and read from it.
    pub(crate) fn find_disk(&mut self, key: DeviceKey) {
        let user = self.devices.at(key).and_then(|device| device.user);
        let node = user.and_then(|id| self.graph.users().find(|(user, _)| *user == id));
        if let Some(node) = node.map(|(_, user)| user.node) {
            self.graph.count_reads(node, FIRST_READS);
        }
    }
}

/// What a device is to have for its drive.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) drive: Option<String>,
    pub(crate) node: Option<NodeId>,
    /// Whether the machine begins with the device.
    pub(crate) is_at_start: bool,
}

fn find_model(driver: &str, version: Version) -> Result<&'static Model, ErrorReply> {
    match driver {
        "pci-device" | "device" | "scsi-device" | "usb-device" if version >= Version::V2_5 => {
            Err(generic("Parameter 'driver' expects a non-abstract device type"))
        }
        "i440FX-pcihost" | "q35-pcihost" | "ICH9-LPC" if version >= Version::V2_5 => {
            Err(generic("Parameter 'driver' expects a pluggable device type"))
        }
        _ => Model::find(driver, version).ok_or_else(|| words::no_model(version, driver)),
    }
}

/// Whether an address names a slot that no bus has. QEMU 0.14 does not look, and reads what lies
/// behind the slots: recorded, one such address left it with no answer to anything any more.
fn is_beyond(address: &Value) -> bool {
    let slot = address.as_str().and_then(|text| text.split('.').next());
    let slot = slot.map(|slot| u64::from_str_radix(slot.trim_start_matches("0x"), 16));
    matches!(slot, Some(Ok(slot)) if slot >= u64::from(SLOTS))
}

fn check_drive(
    model: &Model,
    node: Option<NodeId>,
    is_cd: bool,
    wanted: &Wanted,
    properties: &Map<String, Value>,
) -> Result<(), ErrorReply> {
    if model.name == "nvme" && !properties.contains_key("serial") {
        return Err(generic("serial property not set"));
    }
    if model.drive == Drive::Needed && node.is_none() && !is_cd {
        return Err(generic(match wanted.drive {
            Some(_) => "Device needs media, but drive is empty",
            None => "drive property not set",
        }));
    }
    if properties.get("num-queues").and_then(as_number) == Some(0) {
        return Err(generic("num-queues property must be larger than 0"));
    }
    Ok(())
}

/// Only some devices of QEMU 10.0 mind a serial that is too long; the others cut it off.
fn check_serial(
    model: &Model,
    properties: &Map<String, Value>,
    version: Version,
) -> Result<(), ErrorReply> {
    let serial = properties.get("serial").and_then(Value::as_str).unwrap_or_default();
    match model.serial_limit {
        Some(limit) if version >= Version::V10_0 && serial.len() > limit => {
            Err(generic(format!("The serial number can't be longer than {limit} characters")))
        }
        _ => Ok(()),
    }
}

/// A number, also as a text, as QEMU 7.2 takes it.
fn as_number(value: &Value) -> Option<u32> {
    match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64().and_then(|number| number.try_into().ok()),
    }
}
