//! The devices that are there from the start.

use serde_json::Map;

use crate::bus::BusRef;
use crate::config::{Board, Config, Part, Version};
use crate::device::{Device, Place};
use crate::drives::{Drive, MadeBy};
use crate::human::Options;
use crate::machine::Machine;
use crate::model::{Goes, Model};
use crate::pci::{Facts, Function, Hotplug};
use crate::plug::Wanted;

impl Machine {
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
        if self.version == Version::V1_2 {
            self.build_firmware();
        }
    }

    /// QEMU 1.2 shows its firmware as a drive (recorded).
    fn build_firmware(&mut self) {
        let order = self.graph.number();
        self.drives.add(Drive::new("pflash0", MadeBy::Board, order));
    }

    /// A part that does not fit is left out: it is a mistake of the test that describes it.
    fn build_part(&mut self, part: &Part, hotplug: Hotplug) {
        let now = self.started();
        let on = |bus: &Option<String>, machine: &Self| {
            let named = bus.as_deref().and_then(|bus| machine.pci.find(bus));
            BusRef::Pci(named.unwrap_or(0))
        };
        let mut wanted = Wanted { is_at_start: true, ..Wanted::default() };
        let mut properties = Map::new();
        let (model, id, bus) = match part {
            Part::Drive(options) => {
                // `-drive` is for the board, unless it says else.
                let _ = self.add_drive(Options::read(options, None, self.version));
                return;
            }
            Part::Vga => {
                properties.insert("addr".to_owned(), "2".into());
                ("VGA", None, BusRef::Pci(0))
            }
            Part::RootPort { id, .. } => ("pcie-root-port", id.clone(), BusRef::Pci(0)),
            Part::Bridge { id, bus } => {
                let model = if bus.is_some() { "pcie-pci-bridge" } else { "pci-bridge" };
                (model, Some(id.clone()), on(bus, self))
            }
            Part::Scsi { id, bus } => ("virtio-scsi-pci", Some(id.clone()), on(bus, self)),
            Part::Xhci { id } => ("qemu-xhci", Some(id.clone()), BusRef::Pci(0)),
            Part::IdeCd { id, bus, drive } => {
                let is_old = self.version < Version::V1_2
                    || (drive.is_some() && self.version < Version::V7_2);
                let model = if is_old { "ide-drive" } else { "ide-cd" };
                wanted.drive = self.cd_drive(drive.as_deref(), id);
                (model, Some(id.clone()), BusRef::Fixed(bus.clone(), Goes::Ide))
            }
            Part::ScsiCd { id } => {
                wanted.drive = self.cd_drive(None, id);
                let bus = self.devices.buses_for(Goes::Scsi).next();
                let model = if self.version < Version::V1_2 { "scsi-disk" } else { "scsi-cd" };
                (model, Some(id.clone()), BusRef::Scsi(bus.unwrap_or_default()))
            }
        };
        let Some(model) = Model::find(model, self.version) else { return };
        let plugged = self.plug(model, id.clone(), &bus, properties, wanted, now);
        let Ok(key) = plugged else { return };
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

impl Machine {
    /// The drive of a CD drive. QEMU of before 2.9 has none without, so that it gets one that is
    /// called like the device.
    fn cd_drive(&mut self, drive: Option<&str>, device: &str) -> Option<String> {
        if drive.is_some() || self.version >= Version::V2_9 {
            return drive.map(ToOwned::to_owned);
        }
        let options = format!("if=none,id={device},media=cdrom");
        let added = self.add_drive(Options::read(&options, None, self.version));
        added.is_ok().then(|| device.to_owned())
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
