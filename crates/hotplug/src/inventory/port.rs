//! Where a disk can be plugged in.

use std::fmt;

use serde_json::{Map, Value, json};

/// A place that can take a disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Port {
    /// A PCI Express root port, by its id, which is its bus's name too.
    Root(String),
    /// A slot of a conventional PCI bus.
    Slot {
        /// The bus's name.
        bus: String,
        /// The slot's number, 0 to 31.
        slot: u8,
    },
    /// A virtio-scsi controller. QEMU chooses the target, of which there are 256 for each LUN.
    Controller {
        /// The controller's id.
        id: String,
        /// The logical unit number, 0 to 16383.
        lun: u16,
    },
    /// A USB bus, by its name. QEMU chooses the port.
    Usb(String),
    /// The channel subsystem of an s390x machine. QEMU chooses the device number.
    ChannelSubsystem,
}

/// The conventional root bus of a `pc`.
const ROOT_BUS: &str = "pci.0";

impl Port {
    /// A slot of the board's own conventional bus.
    pub(crate) fn own_slot(slot: u8) -> Self {
        Self::Slot { bus: ROOT_BUS.to_owned(), slot }
    }

    /// Whether it is a slot behind a bridge to conventional PCI.
    pub(crate) fn is_behind_bridge(&self) -> bool {
        matches!(self, Self::Slot { bus, .. } if bus != ROOT_BUS)
    }

    /// The name of the bus, where there is more than one to choose from.
    pub(crate) fn bus(&self) -> Option<String> {
        match self {
            Self::Root(id) => Some(id.clone()),
            Self::Slot { bus, .. } | Self::Usb(bus) => Some(bus.clone()),
            Self::Controller { id, .. } => Some(format!("{id}.0")),
            Self::ChannelSubsystem => None,
        }
    }

    /// Says in a `device_add`'s arguments that the device goes here.
    ///
    /// A root port has one slot that works. Left to choose, QEMU 7.2 plugs a second device into
    /// slot 1 of a machine that never ran, where no guest will find it.
    pub(crate) fn write(&self, arguments: &mut Map<String, Value>) {
        if let Some(bus) = self.bus() {
            arguments.insert("bus".to_owned(), bus.into());
        }
        match self {
            Self::Root(_) => {
                arguments.insert("addr".to_owned(), json!("0"));
            }
            Self::Slot { slot, .. } => {
                arguments.insert("addr".to_owned(), json!(format!("{slot:x}")));
            }
            // QEMU's own choice of a target is for LUN 0, unless another one is named.
            Self::Controller { lun, .. } if *lun > 0 => {
                arguments.insert("lun".to_owned(), json!(lun));
            }
            Self::Controller { .. } | Self::Usb(_) | Self::ChannelSubsystem => {}
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(id) | Self::Controller { id, .. } => f.write_str(id),
            Self::Slot { bus, slot } => write!(f, "{bus}/{slot}"),
            Self::Usb(bus) => f.write_str(bus),
            Self::ChannelSubsystem => f.write_str("css"),
        }
    }
}
