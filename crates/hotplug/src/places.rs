//! Where the disks of a plan go: the best bus that has room, and a port of it for each.

use std::collections::VecDeque;

use crate::bus::Bus;
use crate::disk::Disk;
use crate::error::Error;
use crate::inventory::{Board, Occupancy, Pci, Port};
use crate::observe::Observed;
use crate::spares::Spares;
use crate::steps;

/// Targets of a SCSI controller for each logical unit number (`VIRTIO_SCSI_MAX_TARGET` + 1).
const TARGETS: usize = 256;

/// The places of a machine, as a plan fills them.
#[derive(Debug)]
pub(crate) struct Places {
    board: Board,
    /// Every PCI port, and what is known of it.
    all: Vec<(Port, Occupancy)>,
    unnamed: usize,
    /// Those that are free, or may be, and that no disk of the plan has.
    spares: Spares,
    /// SCSI controllers that can be used, with the disks on each.
    controllers: Vec<(String, usize)>,
    /// The number of the next controller of qplug's own.
    next_controller: u32,
    /// A controller that the plan plugs in.
    planned: Option<(u32, Port)>,
}

impl Places {
    /// What there is.
    pub(crate) fn of(observed: &Observed) -> Self {
        let nothing = Pci::default();
        let pci = observed.pci.as_ref().unwrap_or(&nothing);
        let machine_type = observed.machine_type.as_deref().unwrap_or_default();
        let board = pci.board().or_of_type(machine_type);
        let all = match board {
            Board::S390x => vec![(Port::ChannelSubsystem, Occupancy::Free)],
            _ => pci.ports(),
        };
        let with = |wanted: Occupancy| {
            let has = move |(_, occupancy): &&(Port, Occupancy)| *occupancy == wanted;
            all.iter().filter(has).map(|(port, _)| port.clone()).collect::<VecDeque<_>>()
        };
        // Behind a bridge that no firmware has numbered, only QEMU itself can tell.
        let mut free = with(Occupancy::Free);
        free.extend(with(Occupancy::Unknown));
        let usb = pci.usb_buses().into_iter().map(Port::Usb).collect();
        let spares = Spares { pci: free, usb, fixed: Vec::new() };
        let (controllers, next_controller) = controllers(observed);
        Self {
            board,
            unnamed: pci.unnamed_ports(),
            all,
            spares,
            controllers,
            next_controller,
            planned: None,
        }
    }

    /// What is left over, and the controller to plug in, if one is needed.
    pub(crate) fn into_parts(self) -> (Spares, Option<(u32, Port)>) {
        (self.spares, self.planned)
    }

    /// Whether disks that go anywhere may have to go to a SCSI controller.
    pub(crate) fn are_short(&self, disks: usize) -> bool {
        self.spares.pci.len() < disks && self.board != Board::S390x
    }

    /// Whether a PCI port has this name.
    pub(crate) fn has_pci(&self, name: &str) -> bool {
        self.all.iter().any(|(port, _)| port.to_string() == name)
    }

    /// Takes the port that the disk asked for by name.
    pub(crate) fn take_named(&mut self, disk: &Disk, wanted: &str) -> Result<(Bus, Port), Error> {
        if let Some(at) = self.controllers.iter().position(|(id, _)| id == wanted) {
            let port = self.on_controller(at);
            return self.fixed(disk, Bus::VirtioScsi, port);
        }
        let usb = Port::Usb(wanted.to_owned());
        if self.spares.usb.contains(&usb) {
            return self.fixed(disk, disk.bus.unwrap_or(Bus::UsbStorage), usb);
        }
        match self.all.iter().find(|(port, _)| port.to_string() == wanted) {
            Some((port, Occupancy::Free | Occupancy::Unknown)) => {
                let port = port.clone();
                if port != Port::ChannelSubsystem {
                    let before = self.spares.pci.len();
                    self.spares.pci.retain(|spare| *spare != port);
                    if self.spares.pci.len() == before {
                        let why = "is given to another disk of the list".to_owned();
                        return Err(Error::PortUnfit { port, why });
                    }
                }
                self.fixed(disk, disk.bus.unwrap_or(Bus::VirtioBlk), port)
            }
            Some((port, occupancy)) => {
                Err(Error::PortUnfit { port: port.clone(), why: occupancy.to_string() })
            }
            None => Err(Error::NoSuchPort { port: wanted.to_owned(), free: self.free() }),
        }
    }

    fn fixed(&mut self, disk: &Disk, bus: Bus, port: Port) -> Result<(Bus, Port), Error> {
        let fits = match port {
            Port::Controller { .. } => bus == Bus::VirtioScsi,
            Port::Usb(_) => bus.is_usb(),
            Port::Root(_) | Port::Slot { .. } => bus.is_pci(),
            Port::ChannelSubsystem => bus == Bus::VirtioBlk,
        };
        if !fits || disk.bus.is_some_and(|wanted| wanted != bus) {
            let bus = disk.bus.unwrap_or(bus);
            return Err(Error::PortUnfit { port, why: format!("takes no {bus} disk") });
        }
        self.spares.fixed.push(port.clone());
        Ok((bus, port))
    }

    /// Takes a port for a disk that goes anywhere, or anywhere on its bus.
    pub(crate) fn take(&mut self, disk: &Disk) -> Result<(Bus, Port), Error> {
        let found = match disk.bus {
            Some(bus) => self.take_on(bus),
            // In the order in which guests like them.
            None => [Bus::VirtioBlk, Bus::VirtioScsi, Bus::UsbStorage]
                .into_iter()
                .find_map(|bus| self.take_on(bus)),
        };
        found.ok_or_else(|| self.no_room(disk.bus))
    }

    fn take_on(&mut self, bus: Bus) -> Option<(Bus, Port)> {
        let port = match bus {
            Bus::VirtioBlk if self.board == Board::S390x => Port::ChannelSubsystem,
            Bus::VirtioBlk | Bus::Nvme => self.spares.pci.pop_front()?,
            // QEMU chooses the port of a USB bus, and says when there is none left.
            Bus::UsbStorage | Bus::UsbUas => self.spares.usb.front()?.clone(),
            Bus::VirtioScsi => self.take_controller()?,
        };
        Some((bus, port))
    }

    fn take_controller(&mut self) -> Option<Port> {
        if self.controllers.is_empty() {
            let port = match self.board {
                Board::S390x => Port::ChannelSubsystem,
                _ => self.spares.pci.pop_front()?,
            };
            self.planned = Some((self.next_controller, port));
            self.controllers.push((steps::controller_id(self.next_controller), 0));
        }
        Some(self.on_controller(0))
    }

    fn on_controller(&mut self, at: usize) -> Port {
        let (id, disks) = &mut self.controllers[at];
        let lun = u16::try_from(*disks / TARGETS).unwrap_or(u16::MAX);
        *disks += 1;
        Port::Controller { id: id.clone(), lun }
    }

    fn free(&self) -> Vec<String> {
        let controllers = self.controllers.iter().map(|(id, _)| id.clone());
        let ports = self.spares.pci.iter().chain(&self.spares.usb).map(ToString::to_string);
        ports.chain(controllers).collect()
    }

    /// Says that there is no room, and what there is.
    fn no_room(&self, bus: Option<Bus>) -> Error {
        if bus.is_some_and(Bus::is_usb) && self.spares.usb.is_empty() {
            return Error::NoUsbBus;
        }
        let total = self.all.len();
        let mut places = match self.board {
            Board::Pc => format!("all {total} slots are taken"),
            Board::Microvm => "a microvm's devices are there from the start".to_owned(),
            _ if total == 0 => "it has no root port with an id".to_owned(),
            _ => format!("its {total} root ports are taken or fixed"),
        };
        if self.unnamed > 0 {
            places += &format!("; {} more have no id, so nothing can be plugged in", self.unnamed);
        }
        Error::NoFreePort { board: self.board, places }
    }
}

/// The controllers that can be used: not those that are being unplugged.
fn controllers(observed: &Observed) -> (Vec<(String, usize)>, u32) {
    let Some(devices) = &observed.devices else { return (Vec::new(), 0) };
    let leaving =
        |id: &str| observed.objects.as_ref().is_some_and(|objects| objects.has(&pending_mark(id)));
    let count = |id: &str| observed.controllers.get(id).copied().unwrap_or(0);
    let usable = devices.controllers().into_iter().filter(|id| !leaving(id));
    let usable = usable.map(|id| (id.to_owned(), count(id))).collect();
    let number = (0..).find(|n| !devices.has(&steps::controller_id(*n))).unwrap_or(0);
    (usable, number)
}

/// The object that says that a controller is being unplugged.
pub(crate) fn pending_mark(id: &str) -> String {
    format!("{id}.pending")
}
