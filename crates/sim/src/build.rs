//! The devices that are there from the start.

use serde_json::Map;

use crate::bus::BusRef;
use crate::config::{Board, Config, Part, Version};
use crate::device::{Device, Place};
use crate::machine::Machine;
use crate::model::{Goes, Model};
use crate::pci::{Facts, Function, Hotplug};

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
