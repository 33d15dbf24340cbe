//! Which bus a device goes to, and whether it takes one while the machine runs.

use qplug_proto::ErrorReply;

use crate::config::{Board, Version};
use crate::machine::Machine;
use crate::model::{Goes, Model};
use crate::pci::Pci;
use crate::refusal;
use crate::words;

/// A bus to plug into.
#[derive(Debug, Clone)]
pub(crate) enum BusRef {
    Pci(usize),
    Scsi(String),
    Usb(String),
    Serial(String),
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
            (Self::Pci(_), Goes::Pci)
                | (Self::Scsi(_), Goes::Scsi)
                | (Self::Usb(_), Goes::Usb)
                | (Self::Serial(_), Goes::Serial)
        )
    }

    fn kind(&self, pci: &Pci, version: Version) -> &'static str {
        match self {
            Self::Pci(at) if pci.bus(*at).is_express() => "PCIE",
            Self::Pci(_) => "PCI",
            Self::Scsi(_) => "SCSI",
            Self::Usb(_) if version < Version::V2_5 => "USB",
            Self::Usb(_) => "usb-bus",
            Self::Serial(_) => "virtio-serial-bus",
            Self::Fixed(_, Goes::Isa) => "ISA",
            Self::Fixed(..) => "IDE",
        }
    }
}

impl Machine {
    /// The bus that is named, or the first that fits. It must take devices while the machine runs.
    pub(crate) fn find_bus(
        &self,
        model: &Model,
        named: Option<&str>,
    ) -> Result<BusRef, ErrorReply> {
        let version = self.version;
        let first = || {
            let lacks = |bus: &str| refusal::no_bus_for(model.name, bus);
            let mut brought = self.devices.buses_for(model.goes);
            match model.goes {
                Goes::Pci => Ok(BusRef::Pci(0)),
                Goes::Scsi => brought.next().map(BusRef::Scsi).ok_or_else(|| lacks("SCSI")),
                Goes::Usb => {
                    let kind = if version < Version::V2_5 { "USB" } else { "usb-bus" };
                    brought.next().map(BusRef::Usb).ok_or_else(|| lacks(kind))
                }
                Goes::Serial => {
                    brought.next().map(BusRef::Serial).ok_or_else(|| lacks("virtio-serial-bus"))
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
            Some(name) => self.bus_called(name).ok_or_else(|| refusal::no_bus(name))?,
        };
        if !bus.fits(model.goes) {
            let kind = bus.kind(&self.pci, version);
            return Err(words::wrong_bus(version, model.name, kind));
        }
        match &bus {
            BusRef::Pci(at) if self.pci.bus(*at).hotplug.is_none() => {
                Err(refusal::no_hotplug(&self.pci.bus(*at).name))
            }
            BusRef::Fixed(name, _) => Err(refusal::no_hotplug(name)),
            bus => Ok(bus.clone()),
        }
    }

    fn bus_called(&self, name: &str) -> Option<BusRef> {
        if let Some(at) = self.pci.find(name) {
            return Some(BusRef::Pci(at));
        }
        let brought = [
            (Goes::Scsi, BusRef::Scsi as fn(String) -> BusRef),
            (Goes::Usb, BusRef::Usb),
            (Goes::Serial, BusRef::Serial),
        ];
        for (goes, of) in brought {
            if self.devices.buses_for(goes).any(|bus| bus == name) {
                return Some(of(name.to_owned()));
            }
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
}
