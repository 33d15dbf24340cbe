//! `device_add`, and the devices that are there from the start.

use std::time::{Duration, Instant};

use qplug_proto::ErrorReply;
use serde_json::{Map, Value, json};

use crate::arguments::Arguments;
use crate::config::{Board, Config, Part, Version};
use crate::device::{Device, DeviceKey, Place, Tray};
use crate::graph::{Claim, NodeId, User, UserKind};
use crate::guest::Guest;
use crate::machine::{Machine, Timer};
use crate::model::{Drive, Goes, Model};
use crate::objects::is_identifier;
use crate::pci::{Facts, Function, Hotplug, address};
use crate::refusal::{Reply, generic, missing, no_device, no_hotplug};

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
        // Not typed in QEMU's schema: anything but a text is as good as nothing in 10.0.
        let driver = match (arguments.any("driver"), self.version) {
            (Some(Value::String(driver)), _) => driver,
            (Some(other), Version::V7_2) if !other.is_null() => other.to_string(),
            _ => return Err(missing("driver")),
        };
        let id = arguments.any("id").and_then(|id| id.as_str().map(ToOwned::to_owned));
        let bus = arguments.any("bus").and_then(|bus| bus.as_str().map(ToOwned::to_owned));
        if self.version < Version::V10_0 && id.as_deref().is_some_and(|id| !is_identifier(id)) {
            return Err(generic("Parameter 'id' expects an identifier"));
        }
        let model = find_model(&driver)?;
        let bus = self.find_bus(model, bus.as_deref())?;
        if self.migration.is_active() {
            return Err(generic("device_add not allowed while migrating"));
        }
        if let Some(id) = id.as_deref().filter(|id| self.devices.by_id(id).is_some()) {
            return Err(generic(format!("Duplicate device ID '{id}'")));
        }
        let properties = arguments.rest();
        model.check(&properties, self.version)?;
        self.plug(model, id, &bus, properties, true, now)?;
        Ok(json!({}))
    }

    /// The bus that is named, or the first that fits. It must take devices while the machine runs.
    fn find_bus(&self, model: &Model, named: Option<&str>) -> Result<BusRef, ErrorReply> {
        let first = || {
            let lacks =
                |bus: &str| generic(format!("No '{bus}' bus found for device '{}'", model.name));
            match model.goes {
                Goes::Pci => Ok(BusRef::Pci(0)),
                Goes::Scsi => {
                    let bus = self.devices.scsi_buses().next();
                    bus.map(|(bus, _)| BusRef::Scsi(bus)).ok_or_else(|| lacks("SCSI"))
                }
                Goes::Usb => {
                    let bus = self.devices.usb_buses().next();
                    bus.map(BusRef::Usb).ok_or_else(|| lacks("usb-bus"))
                }
                Goes::Ide => {
                    let last = match self.board {
                        Board::Q35 => "ide.5",
                        Board::Pc => "ide.1",
                    };
                    Ok(BusRef::Fixed(last.to_owned(), Goes::Ide))
                }
                Goes::Isa => Ok(BusRef::Fixed("isa.0".to_owned(), Goes::Isa)),
                Goes::Elsewhere("nvme-bus") => {
                    let mut nvmes = self.devices.present().map(|(_, device)| device);
                    let nvme = nvmes.find(|device| device.model.name == "nvme");
                    let id = nvme.and_then(|device| device.id.clone());
                    id.map(|id| BusRef::Fixed(id, model.goes)).ok_or_else(|| lacks("nvme-bus"))
                }
                Goes::Elsewhere(bus) => Err(lacks(bus)),
            }
        };
        let bus = match named {
            None => first()?,
            Some(name) => {
                self.bus_called(name).ok_or_else(|| generic(format!("Bus '{name}' not found")))?
            }
        };
        if !bus.fits(model.goes) {
            let kind = bus.kind();
            return Err(generic(format!("Device '{}' can't go on {kind} bus", model.name)));
        }
        match &bus {
            BusRef::Pci(at) if self.pci.bus(*at).hotplug.is_none() => {
                Err(no_hotplug(&self.pci.bus(*at).name))
            }
            BusRef::Fixed(name, _) => Err(no_hotplug(name)),
            bus => Ok(bus.clone()),
        }
    }

    fn bus_called(&self, name: &str) -> Option<BusRef> {
        if let Some(at) = self.pci.find(name) {
            return Some(BusRef::Pci(at));
        }
        if self.devices.scsi_buses().any(|(bus, _)| bus == name) {
            return Some(BusRef::Scsi(name.to_owned()));
        }
        if self.devices.usb_buses().any(|bus| bus == name) {
            return Some(BusRef::Usb(name.to_owned()));
        }
        let ide = match self.board {
            Board::Q35 => 0..6,
            Board::Pc => 0..2,
        };
        if ide.into_iter().any(|at| format!("ide.{at}") == name) {
            return Some(BusRef::Fixed(name.to_owned(), Goes::Ide));
        }
        if name == "isa.0" {
            return Some(BusRef::Fixed(name.to_owned(), Goes::Isa));
        }
        let is_nvme = self.devices.by_id(name).is_some_and(|(_, it)| it.model.name == "nvme");
        is_nvme.then(|| BusRef::Fixed(name.to_owned(), Goes::Elsewhere("nvme-bus")))
    }

    /// Puts a device into its place, and lets it have its drive.
    fn plug(
        &mut self,
        model: &'static Model,
        id: Option<String>,
        bus: &BusRef,
        properties: Map<String, Value>,
        is_hotplug: bool,
        now: Instant,
    ) -> Result<DeviceKey, ErrorReply> {
        let node = self.drive(model, &properties)?;
        if let Some(iothread) = properties.get("iothread").and_then(Value::as_str)
            && !self.objects.is_a(iothread, "iothread")
        {
            return Err(no_device(iothread));
        }
        let place = self.place(model, bus, &properties, is_hotplug)?;
        check_drive(model, node, &properties)?;
        check_serial(model, &properties, self.version)?;
        let path = self.devices.path_for(id.as_deref());
        let mut device = Device {
            id,
            path,
            model,
            place,
            user: None,
            properties,
            tray: model.is_cd.then_some(Tray { is_open: false }),
            pending: None,
            since: self.clock.at(now),
            is_leaving: false,
            is_fixed: !is_hotplug,
        };
        if let Some(node) = node {
            let read_only = self.graph.node(node).is_some_and(|node| node.read_only);
            let claim = match model.is_cd {
                true => Claim::medium(),
                false => Claim::disk(read_only, device.is_shared()),
            };
            let label = device.drive_label();
            let user = User { node, label, kind: UserKind::Device, claim };
            let added = self.graph.add_user(user);
            if added.is_err() && model.name == "nvme" {
                self.leak_drive(node, device.drive_label());
            }
            device.user = Some(added?);
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
        if is_hotplug {
            self.show_guest(key);
        }
        Ok(key)
    }

    /// QEMU forgets to let go of the drive of an nvme that it refuses: the node stays in use.
    fn leak_drive(&mut self, node: NodeId, label: String) {
        let claim = Claim::nothing();
        // What claims nothing is in conflict with nobody.
        let leaked = self.graph.add_user(User { node, label, kind: UserKind::Device, claim });
        self.leaked.extend(leaked);
    }

    /// The node that is to be a device's drive.
    fn drive(
        &self,
        model: &Model,
        properties: &Map<String, Value>,
    ) -> Result<Option<NodeId>, ErrorReply> {
        let Some(drive) = properties.get("drive").and_then(Value::as_str) else { return Ok(None) };
        let missing =
            || generic(format!("Property '{}.drive' can't find value '{drive}'", model.inner));
        self.graph.find(drive).map(Some).ok_or_else(missing)
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
            BusRef::Fixed(bus, _) => Ok(Place::Ide { bus: bus.clone() }),
        }
    }

    fn place_scsi(&self, bus: &str, properties: &Map<String, Value>) -> Result<Place, ErrorReply> {
        let number = |name: &str| properties.get(name).and_then(as_number);
        let taken = |id: u32, lun: u32| {
            let is_there = |device: &&crate::device::Device| {
                device.place == Place::Scsi { bus: bus.to_owned(), id, lun }
            };
            self.devices.present().map(|(_, device)| device).find(is_there)
        };
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
                Ok(port) if port <= USB_PORTS && !is_taken(port) => Ok(Place::Usb { port }),
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
            Place::Ide { .. } => return,
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

    /// What is there from the start.
    pub(crate) fn build(&mut self, config: &Config) {
        let native = config.native_hotplug;
        let hotplug = if native { Hotplug::Native } else { Hotplug::Acpi };
        let (name, path, root) = match config.board {
            Board::Q35 => ("pcie.0", "/machine/q35/pcie.0", None),
            Board::Pc => ("pci.0", "/machine/i440fx/pci.0", Some(Hotplug::Acpi)),
        };
        self.pci.add_bus(name, path.to_owned(), root, false);
        for (at, (devfn, model, facts)) in built_in(config.board).iter().enumerate() {
            let path = format!("/machine/unattached/device[{}]", at + 2);
            let (id, bus, child) = (None, None, 0);
            self.pci.put(0, *devfn, Function { model, id, path, facts: *facts, bus, child });
        }
        for part in &config.parts {
            self.build_part(part, hotplug);
        }
    }

    /// A part that does not fit is left out: it is a mistake of the test that describes it.
    fn build_part(&mut self, part: &Part, hotplug: Hotplug) {
        let now = self.started();
        let on = |bus: &Option<String>, machine: &Self| {
            let named = bus.as_deref().and_then(|bus| machine.pci.find(bus));
            BusRef::Pci(named.unwrap_or(0))
        };
        let (model, id, bus) = match part {
            Part::RootPort { id, .. } => ("pcie-root-port", id.clone(), BusRef::Pci(0)),
            Part::Bridge { id, bus } => {
                let model = if bus.is_some() { "pcie-pci-bridge" } else { "pci-bridge" };
                (model, Some(id.clone()), on(bus, self))
            }
            Part::Scsi { id, bus } => ("virtio-scsi-pci", Some(id.clone()), on(bus, self)),
            Part::Xhci { id } => ("qemu-xhci", Some(id.clone()), BusRef::Pci(0)),
            Part::IdeCd { id, bus } => {
                ("ide-cd", Some(id.clone()), BusRef::Fixed(bus.clone(), Goes::Ide))
            }
            Part::ScsiCd { id } => {
                let bus = self.devices.scsi_buses().next().map(|(bus, _)| bus);
                ("scsi-cd", Some(id.clone()), BusRef::Scsi(bus.unwrap_or_default()))
            }
        };
        let Some(model) = Model::find(model) else { return };
        let Ok(key) = self.plug(model, id.clone(), &bus, Map::new(), false, now) else { return };
        let bridge = match part {
            Part::RootPort { hotplug: true, .. } => Some((Some(hotplug), true)),
            // QEMU 10.0 takes it off the list of buses that do; before, the port said so itself.
            Part::RootPort { hotplug: false, .. }
                if hotplug == Hotplug::Native && self.version < Version::V10_0 =>
            {
                Some((Some(Hotplug::NativeOff), true))
            }
            Part::RootPort { hotplug: false, .. } => Some((None, true)),
            Part::Bridge { .. } => Some((Some(Hotplug::Acpi), false)),
            _ => None,
        };
        if let Some((hotplug, is_port)) = bridge {
            let Some(Device { path, place, .. }) = self.devices.at(key) else { return };
            let Place::Pci { bus, devfn } = *place else { return };
            let name = id.unwrap_or_default();
            let path = format!("{path}/{name}");
            let behind = self.pci.add_bus(&name, path, hotplug, is_port);
            self.pci.set_behind(bus, devfn, behind);
        }
    }
}

/// A bus to plug into.
#[derive(Debug, Clone)]
enum BusRef {
    Pci(usize),
    Scsi(String),
    Usb(String),
    /// One that takes nothing while the machine runs.
    Fixed(String, Goes),
}

impl BusRef {
    fn fits(&self, goes: Goes) -> bool {
        if let Self::Fixed(_, takes) = self {
            return *takes == goes;
        }
        matches!(
            (self, goes),
            (Self::Pci(_), Goes::Pci) | (Self::Scsi(_), Goes::Scsi) | (Self::Usb(_), Goes::Usb)
        )
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Pci(_) => "PCIE",
            Self::Scsi(_) => "SCSI",
            Self::Usb(_) => "usb-bus",
            Self::Fixed(_, Goes::Isa) => "ISA",
            Self::Fixed(..) => "IDE",
        }
    }
}

fn find_model(driver: &str) -> Result<&'static Model, ErrorReply> {
    match driver {
        "pci-device" | "device" | "scsi-device" | "usb-device" => {
            Err(generic("Parameter 'driver' expects a non-abstract device type"))
        }
        "i440FX-pcihost" | "q35-pcihost" | "ICH9-LPC" => {
            Err(generic("Parameter 'driver' expects a pluggable device type"))
        }
        _ => Model::find(driver)
            .ok_or_else(|| generic(format!("'{driver}' is not a valid device model name"))),
    }
}

fn check_drive(
    model: &Model,
    node: Option<NodeId>,
    properties: &Map<String, Value>,
) -> Result<(), ErrorReply> {
    if model.name == "nvme" && !properties.contains_key("serial") {
        return Err(generic("serial property not set"));
    }
    if model.drive == Drive::Needed && node.is_none() {
        return Err(generic("drive property not set"));
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

/// The built-in functions of a board: `devfn`, QOM type and what `query-pci` says.
fn built_in(board: Board) -> &'static [(u8, &'static str, Facts)] {
    const fn facts(device: u16, class: u16, desc: &'static str) -> Facts {
        Facts { vendor: 0x8086, device, class, desc: Some(desc) }
    }
    const Q35: &[(u8, &str, Facts)] = &[
        (0, "mch", facts(0x29c0, 0x0600, "Host bridge")),
        (0xf8, "ICH9-LPC", facts(0x2918, 0x0601, "ISA bridge")),
        (0xfa, "ich9-ahci", facts(0x2922, 0x0106, "SATA controller")),
        (0xfb, "ICH9-SMB", facts(0x2930, 0x0c05, "SMBus")),
    ];
    const PC: &[(u8, &str, Facts)] = &[
        (0, "i440FX", facts(0x1237, 0x0600, "Host bridge")),
        (8, "PIIX3", facts(0x7000, 0x0601, "ISA bridge")),
        (9, "piix3-ide", facts(0x7010, 0x0101, "IDE controller")),
        (11, "PIIX4_PM", facts(0x7113, 0x0680, "Bridge")),
    ];
    match board {
        Board::Q35 => Q35,
        Board::Pc => PC,
    }
}
