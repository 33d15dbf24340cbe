//! Ports that no disk of a plan has, for those whose own port turns out to be taken.

use std::collections::{HashSet, VecDeque};

use crate::inventory::Port;
use crate::texts::Meaning;

/// The last logical unit number of a virtio-scsi controller (`VIRTIO_SCSI_MAX_LUN`).
const MAX_LUN: u16 = 16383;

/// What is left to try.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Spares {
    /// PCI ports.
    pub(crate) pci: VecDeque<Port>,
    /// USB buses, each of which takes many disks.
    pub(crate) usb: Vec<Port>,
    /// Ports that were asked for by name: nothing is tried instead of them.
    pub(crate) fixed: HashSet<Port>,
}

impl Spares {
    /// What to try after this port refused.
    pub(crate) fn instead_of(&mut self, port: &Port, meaning: Meaning) -> Option<Port> {
        let is_full = meaning == Meaning::PortTaken;
        match port {
            Port::Controller { id, lun } => {
                let next = lun.checked_add(1).filter(|lun| is_full && *lun <= MAX_LUN)?;
                Some(Port::Controller { id: id.clone(), lun: next })
            }
            _ if !self.are_for(port) => None,
            Port::Usb(_) => {
                let at = self.usb.iter().position(|bus| bus == port)?;
                self.usb.get(at + 1).cloned()
            }
            Port::Root(_) | Port::Slot { .. } => {
                // A bus that takes nothing takes nothing in its other slots either.
                if !is_full {
                    self.pci.retain(|spare| spare.bus() != port.bus());
                }
                self.pci.pop_front()
            }
            Port::ChannelSubsystem => None,
        }
    }

    /// Whether another port would do as well.
    pub(crate) fn are_for(&self, port: &Port) -> bool {
        !self.fixed.contains(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(slot: u8) -> Port {
        Port::Slot { bus: "br0".to_owned(), slot }
    }

    #[test]
    fn a_bus_that_takes_nothing_is_not_tried_again() {
        let root = Port::Root("rp1".to_owned());
        let mut spares = Spares { pci: [slot(2), root.clone()].into(), ..Spares::default() };
        assert_eq!(spares.clone().instead_of(&slot(1), Meaning::PortTaken), Some(slot(2)));
        assert_eq!(spares.instead_of(&slot(1), Meaning::NotHotpluggable), Some(root.clone()));
        assert_eq!(spares.instead_of(&root, Meaning::PortTaken), None);
    }

    #[test]
    fn a_port_that_was_asked_for_by_name_has_no_substitute() {
        let mut spares =
            Spares { pci: [slot(2)].into(), fixed: [slot(1)].into(), ..Spares::default() };
        assert_eq!(spares.instead_of(&slot(1), Meaning::PortTaken), None);
        assert!(!spares.are_for(&slot(1)) && spares.are_for(&slot(2)));
    }

    #[test]
    fn a_controller_has_256_targets_for_each_logical_unit_number() {
        let port = |lun| Port::Controller { id: "scsi0".to_owned(), lun };
        let mut spares = Spares::default();
        assert_eq!(spares.instead_of(&port(0), Meaning::PortTaken), Some(port(1)));
        assert_eq!(spares.instead_of(&port(MAX_LUN), Meaning::PortTaken), None);
        assert_eq!(spares.instead_of(&port(0), Meaning::NoBus), None);
    }

    #[test]
    fn a_full_usb_bus_gives_way_to_the_next_for_every_disk() {
        let bus = |n| Port::Usb(format!("usb{n}.0"));
        let mut spares = Spares { usb: vec![bus(0), bus(1)], ..Spares::default() };
        for _ in 0..2 {
            assert_eq!(spares.instead_of(&bus(0), Meaning::PortTaken), Some(bus(1)));
            assert_eq!(spares.instead_of(&bus(1), Meaning::PortTaken), None);
        }
    }
}
