//! Where the disks of a plan go: the best bus that has room, and a port of it for each.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::bus::Bus;
use crate::disk::Disk;
use crate::error::Error;
use crate::inventory::{Board, Devices, Occupancy, Pci, Port};
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
    /// The places of ports in `all`, by their names.
    by_name: HashMap<String, usize>,
    unnamed: usize,
    /// Those that are free, or may be, and that no disk of the plan has.
    spares: Spares,
    /// USB buses that usb-uas does not go on.
    slow: HashSet<Port>,
    /// SCSI controllers that can be used, with the disks on each.
    controllers: Vec<Controller>,
    /// SCSI controllers that are being unplugged.
    leaving: Vec<String>,
    /// The number of the next controller of qplug's own.
    next_controller: u32,
    /// PCI ports that disks of the plan ask for by name.
    named: HashSet<Port>,
    /// A port that is kept for a controller.
    kept: Option<Port>,
    /// A controller that the plan plugs in.
    planned: Option<(u32, Port)>,
}

/// A SCSI controller.
#[derive(Debug)]
struct Controller {
    id: String,
    disks: usize,
}

impl Places {
    /// What there is.
    pub(crate) fn of(observed: &Observed) -> Self {
        let (board, all) = (board(observed), ports(observed));
        let (controllers, leaving) = controllers(observed);
        let devices = observed.devices.as_ref();
        let named = all.iter().enumerate().map(|(at, (port, _))| (port.to_string(), at));
        let usb = || observed.pci.iter().flat_map(Pci::usb_buses);
        let usb = || usb().map(|bus| (Port::Usb(bus.name.clone()), bus.is_slow));
        let spares = Spares {
            pci: by_merit(&all),
            usb: usb().map(|(port, _)| port).collect(),
            fixed: HashSet::new(),
        };
        // Nor one whose mark a crash left: it would be taken for one that is leaving.
        let is_new = |n: &u32| {
            let id = steps::controller_id(*n);
            let objects = observed.objects.as_ref();
            let is_marked = objects.is_some_and(|it| it.has(&pending_mark(&id)));
            !is_marked && !devices.is_some_and(|it| it.has(&id))
        };
        Self {
            board,
            by_name: named.collect(),
            all,
            unnamed: observed.pci.as_ref().map_or(0, Pci::unnamed_ports),
            spares,
            slow: usb().filter(|(_, is_slow)| *is_slow).map(|(port, _)| port).collect(),
            controllers,
            leaving,
            next_controller: (0..).find(is_new).unwrap_or(0),
            named: HashSet::new(),
            kept: None,
            planned: None,
        }
    }

    /// What is left over, and the controller to plug in, if one is needed.
    pub(crate) fn into_parts(mut self) -> (Spares, Option<(u32, Port)>) {
        self.spares.pci.extend(self.kept.take());
        (self.spares, self.planned)
    }

    /// Whether not each of so many disks can have a port of its own, so that some may have to go to
    /// a SCSI controller.
    pub(crate) fn are_short(&self, disks: usize) -> bool {
        self.spares.pci.len() < disks && self.board != Board::S390x
    }

    /// Keeps the ports of these names for the disks that ask for them, whatever their turn.
    pub(crate) fn keep_named<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let ports = names.filter_map(|name| self.by_name.get(name));
        let wanted: HashSet<_> = ports.map(|at| &self.all[*at].0).collect();
        let (named, others): (VecDeque<_>, VecDeque<_>) =
            self.spares.pci.drain(..).partition(|port| wanted.contains(port));
        self.named = named.into_iter().collect();
        self.spares.pci = others;
    }

    /// Makes ready for so many disks that want a port each: where these are too few, one port is
    /// for the controller that takes the rest.
    pub(crate) fn keep_room(&mut self, disks: usize) {
        if self.are_short(disks) && self.controllers.is_empty() {
            self.kept = self.spares.pci.pop_front();
        }
    }

    /// Whether a PCI port has this name.
    pub(crate) fn has_pci(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Takes the port that the disk asked for by name.
    pub(crate) fn take_named(&mut self, disk: &Disk, wanted: &str) -> Result<(Bus, Port), Error> {
        if let Some(at) = self.controllers.iter().position(|it| it.id == wanted) {
            let port = self.on_controller(at);
            return self.fixed(disk, Bus::VirtioScsi, port);
        }
        if self.leaving.iter().any(|id| id == wanted) {
            let port = Port::Controller { id: wanted.to_owned(), lun: 0 };
            return Err(Error::PortUnfit { port, why: "is being unplugged".to_owned() });
        }
        let usb = Port::Usb(wanted.to_owned());
        if self.spares.usb.contains(&usb) {
            return self.fixed(disk, disk.bus.unwrap_or(Bus::UsbStorage), usb);
        }
        match self.by_name.get(wanted).map(|at| self.all[*at].clone()) {
            Some((port, Occupancy::Free | Occupancy::Unknown)) => {
                if port != Port::ChannelSubsystem && !self.named.remove(&port) {
                    let why = "is given to another disk of the list".to_owned();
                    return Err(Error::PortUnfit { port, why });
                }
                let bus = disk.bus.unwrap_or(Bus::VirtioBlk);
                self.fixed(disk, bus, port)
            }
            Some((port, occupancy)) => Err(Error::PortUnfit { port, why: occupancy.to_string() }),
            None => Err(Error::NoSuchPort { port: wanted.to_owned(), free: self.free() }),
        }
    }

    fn fixed(&mut self, disk: &Disk, bus: Bus, port: Port) -> Result<(Bus, Port), Error> {
        let fits = match port {
            Port::Controller { .. } => bus == Bus::VirtioScsi,
            Port::Usb(_) => self.fits_usb(bus, &port),
            Port::Root(_) | Port::Slot { .. } => bus.is_pci(),
            Port::ChannelSubsystem => bus == Bus::VirtioBlk,
        };
        if !fits || disk.bus.is_some_and(|wanted| wanted != bus) {
            let bus = disk.bus.unwrap_or(bus);
            return Err(Error::PortUnfit { port, why: format!("takes no {bus} disk") });
        }
        self.spares.fixed.insert(port.clone());
        Ok((bus, port))
    }

    fn fits_usb(&self, bus: Bus, port: &Port) -> bool {
        bus == Bus::UsbStorage || bus == Bus::UsbUas && !self.slow.contains(port)
    }

    /// Takes a port for a disk that goes anywhere, or anywhere on its bus.
    pub(crate) fn take(&mut self, disk: &Disk) -> Result<(Bus, Port), Error> {
        let found = match disk.bus {
            // It has a better claim to a port than a controller that may not be needed.
            Some(bus) if bus.is_pci() => {
                self.take_on(bus).or_else(|| self.kept.take().map(|port| (bus, port)))
            }
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
            Bus::UsbStorage | Bus::UsbUas => {
                self.spares.usb.iter().find(|port| self.fits_usb(bus, port))?.clone()
            }
            Bus::VirtioScsi => self.take_controller()?,
        };
        Some((bus, port))
    }

    fn take_controller(&mut self) -> Option<Port> {
        if self.controllers.is_empty() {
            let port = match self.board {
                Board::S390x => Port::ChannelSubsystem,
                _ => self.kept.take().or_else(|| self.spares.pci.pop_front())?,
            };
            self.planned = Some((self.next_controller, port));
            let id = steps::controller_id(self.next_controller);
            self.controllers.push(Controller { id, disks: 0 });
        }
        Some(self.on_controller(0))
    }

    fn on_controller(&mut self, at: usize) -> Port {
        let controller = &mut self.controllers[at];
        let lun = u16::try_from(controller.disks / TARGETS).unwrap_or(u16::MAX);
        controller.disks += 1;
        Port::Controller { id: controller.id.clone(), lun }
    }

    fn free(&self) -> Vec<String> {
        let controllers = self.controllers.iter().map(|it| it.id.clone());
        let ports = self.spares.pci.iter().chain(&self.spares.usb).map(ToString::to_string);
        ports.chain(controllers).collect()
    }

    /// Says that there is no room, and what there is.
    fn no_room(&self, bus: Option<Bus>) -> Error {
        match bus {
            Some(bus) if bus.is_usb() && self.spares.usb.is_empty() => return Error::NoUsbBus,
            Some(bus) if bus.is_usb() => {
                let places = "its USB controllers are of USB 1, where QEMU has no usb-uas";
                return Error::NoFreePort { board: self.board, places: places.to_owned() };
            }
            _ => {}
        }
        let total = self.all.len();
        let mut places = match self.board {
            Board::Pc => format!("all {total} slots are taken"),
            Board::Microvm => "a microvm's devices are there from the start".to_owned(),
            _ if total == 0 => "it has no root port with an id".to_owned(),
            _ => format!("its {total} ports are taken or fixed"),
        };
        if self.unnamed > 0 {
            places += &format!("; {} more have no id, so nothing can be plugged in", self.unnamed);
        }
        Error::NoFreePort { board: self.board, places }
    }
}

/// The ports that can be tried, the best first: those of the board before those behind a bridge, and
/// those known to be free before those of which only QEMU itself can tell, because no firmware has
/// numbered the buses.
fn by_merit(all: &[(Port, Occupancy)]) -> VecDeque<Port> {
    let can_be = |(_, occupancy): &&(Port, Occupancy)| {
        matches!(occupancy, Occupancy::Free | Occupancy::Unknown)
    };
    let mut ports: Vec<_> = all.iter().filter(can_be).collect();
    ports.sort_by_key(|(port, occupancy)| (port.is_behind_bridge(), *occupancy != Occupancy::Free));
    ports.into_iter().map(|(port, _)| port.clone()).collect()
}

/// The kind of machine, by its PCI devices, else by its type.
pub(crate) fn board(observed: &Observed) -> Board {
    let board = observed.pci.as_ref().map_or(Board::Unknown, Pci::board);
    board.or_of_type(observed.machine_type.as_deref().unwrap_or_default())
}

/// Every port that is for one device, and the channel subsystem. `query-pci` does not show those
/// behind a bridge that no firmware has numbered; the devices do, where they were looked at.
pub(crate) fn ports(observed: &Observed) -> Vec<(Port, Occupancy)> {
    let shown = match board(observed) {
        Board::S390x => return vec![(Port::ChannelSubsystem, Occupancy::Free)],
        _ => observed.pci.as_ref().map_or(&[][..], Pci::ports),
    };
    let buses: HashSet<_> = shown.iter().filter_map(|(port, _)| port.bus()).collect();
    let is_hidden = |port: &Port| !port.bus().is_some_and(|bus| buses.contains(&bus));
    let hidden = observed.devices.iter().flat_map(Devices::ports).filter(is_hidden);
    let mut all = shown.to_vec();
    all.extend(hidden.map(|port| (port, Occupancy::Unknown)));
    all
}

/// The controllers that can be used, and those that are being unplugged.
fn controllers(observed: &Observed) -> (Vec<Controller>, Vec<String>) {
    let all = observed.devices.iter().flat_map(|devices| devices.controllers());
    let is_leaving =
        |id: &&str| observed.objects.as_ref().is_some_and(|it| it.has(&pending_mark(id)));
    let (leaving, usable): (Vec<_>, Vec<_>) = all.partition(is_leaving);
    let disks = |id: &str| observed.controllers.get(id).copied().flatten().unwrap_or(0);
    let usable = usable.into_iter().map(|id| Controller { id: id.to_owned(), disks: disks(id) });
    (usable.collect(), leaving.into_iter().map(ToOwned::to_owned).collect())
}

/// The object that says that a controller is being unplugged.
pub(crate) fn pending_mark(id: &str) -> String {
    format!("{id}.pending")
}

#[cfg(test)]
mod tests;
