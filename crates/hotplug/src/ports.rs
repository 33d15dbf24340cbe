//! Listing what can be plugged where.
//!
//! `query-pci` alone cannot say whether a port is fixed, nor what it holds before firmware ran. QOM
//! can, at a query or two a port, which an attach saves and this listing spends.

use std::collections::HashMap;
use std::time::Instant;

use serde::Serialize;

use crate::command::Command;
use crate::dialect::Features;
use crate::error::Error;
use crate::inventory::{Board, Devices, Occupancy, Pci, Port, device_of_qom_path, device_path};
use crate::observe::{Look, Observed, Observer};
use crate::operation::{Answer, Operation};
use crate::places::{self, pending_mark};

/// The places of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ports {
    /// The kind of machine.
    pub board: Board,
    /// Every place: the board's own ports, slots behind bridges, SCSI controllers, USB buses. An
    /// attach fills them in that order, those that are known to be free first.
    pub ports: Vec<ListedPort>,
    /// How many root ports have no id, so that nothing can be plugged in by name.
    pub unnamed: usize,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedPort {
    /// Its name, as `--port` takes it.
    pub port: String,
    /// What a port of this kind is.
    pub kind: PortKind,
    /// Whether it takes a disk, and why not.
    pub state: PortState,
    /// The device that it holds.
    pub holds: Option<String>,
    /// How many devices are on it, where it takes many.
    pub devices: Option<usize>,
}

/// The kinds of places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortKind {
    /// A PCI Express root port, or a downstream port of a switch: one device.
    RootPort,
    /// A slot of a conventional PCI bus.
    Slot,
    /// A virtio-scsi controller: many disks.
    ScsiController,
    /// A USB bus: as many disks as it has ports.
    UsbBus,
    /// The channel subsystem of an s390x machine: many disks.
    ChannelSubsystem,
}

/// Whether a place takes a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortState {
    /// It does.
    Free,
    /// It holds a device.
    Taken,
    /// It takes none while the machine runs.
    Fixed,
    /// It is on its way out of the machine.
    Leaving,
}

/// A listing under way.
#[derive(Debug)]
pub struct ListPorts {
    observer: Observer,
    stage: Stage,
    outcome: Option<Result<Ports, Error>>,
}

/// What is being looked at.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Machine,
    Buses,
    /// What sits on buses that no firmware has numbered.
    Links,
    Addresses,
    Over,
}

impl ListPorts {
    /// A listing of all ports.
    #[must_use]
    pub fn new() -> Self {
        let mut observer = Observer::default();
        observer.look([Look::Pci, Look::MachineType, Look::Devices, Look::Objects]);
        Self { observer, stage: Stage::Machine, outcome: None }
    }

    /// To the next stage that has something to look at, or to the end.
    fn go_on(&mut self) {
        while self.observer.is_done() {
            let observed = &self.observer.observed;
            let (next, looks) = match self.stage {
                Stage::Machine => (Stage::Buses, buses(observed)),
                Stage::Buses => (Stage::Links, links(observed)),
                Stage::Links => (Stage::Addresses, addresses(observed)),
                Stage::Addresses => {
                    self.outcome = Some(Ok(listed(observed)));
                    (Stage::Over, Vec::new())
                }
                Stage::Over => return,
            };
            self.stage = next;
            self.observer.look(looks);
        }
    }
}

/// The path of a bus that is a child of its device, and has its name.
fn bus_path(port: &Port) -> Option<String> {
    match port {
        Port::Root(id) => Some(format!("{}/{id}", device_path(id))),
        Port::Slot { bus, .. } if port.is_behind_bridge() => {
            Some(format!("{}/{bus}", device_path(bus)))
        }
        Port::Usb(bus) => Some(format!("{}/{bus}", device_path(controller_of(bus)))),
        Port::Slot { .. } | Port::Controller { .. } | Port::ChannelSubsystem => None,
    }
}

/// The controller whose USB bus this is.
fn controller_of(bus: &str) -> &str {
    bus.strip_suffix(".0").unwrap_or(bus)
}

/// What to ask about each port and bus.
fn buses(observed: &Observed) -> Vec<Look> {
    let mut looks = Vec::new();
    for (port, occupancy) in places::ports(observed) {
        if let (Port::Root(id), Occupancy::Free | Occupancy::Unknown) = (port, occupancy) {
            looks.push(Look::Property(device_path(&id), "hotplug"));
        }
    }
    looks.extend(unknown_buses(observed).into_iter().map(Look::Children));
    let usb = observed.pci.iter().flat_map(Pci::usb_buses);
    let usb = usb.filter_map(|bus| bus_path(&Port::Usb(bus.name.clone())));
    looks.extend(usb.map(Look::Children));
    let controllers = observed.devices.iter().flat_map(Devices::controllers);
    looks.extend(controllers.map(|id| Look::Controller(id.to_owned())));
    looks
}

/// The paths of the buses that no firmware has numbered, each once.
fn unknown_buses(observed: &Observed) -> Vec<String> {
    let unknown = places::ports(observed).into_iter().filter(|(_, it)| *it == Occupancy::Unknown);
    let mut paths: Vec<_> = unknown.filter_map(|(port, _)| bus_path(&port)).collect();
    paths.dedup();
    paths
}

/// What sits on a bus: the names of its links.
fn children<'a>(observed: &'a Observed, bus: &str) -> Vec<(&'a str, &'a str)> {
    observed.children.get(bus).map(Devices::links).unwrap_or_default()
}

/// What each link of an unknown bus leads to.
fn links(observed: &Observed) -> Vec<Look> {
    let mut looks = Vec::new();
    for bus in unknown_buses(observed) {
        for (link, _) in children(observed, &bus) {
            looks.push(Look::Link(bus.clone(), link.to_owned()));
        }
    }
    looks
}

/// In which slot each device behind an unknown bridge sits.
fn addresses(observed: &Observed) -> Vec<Look> {
    let address = |path: &String| Look::Property(path.clone(), ADDRESS);
    observed.links.values().flatten().map(address).collect()
}

/// The property that tells where on its bus a PCI device sits: the slot times eight, and the function.
/// Its twin `legacy-addr`, such as `03.0`, is gone in 11.1.
const ADDRESS: &str = "addr";

fn listed(observed: &Observed) -> Ports {
    let held = held(observed);
    let listed = |(port, occupancy): &(Port, Occupancy)| match port {
        Port::ChannelSubsystem => {
            let is_ccw = |(_, kind): &(&str, &str)| kind.ends_with("-ccw");
            let all = observed.devices.iter().flat_map(Devices::all);
            shared(port, all.filter(is_ccw).count())
        }
        _ => pci_port(observed, &held, port, occupancy),
    };
    let mut ports: Vec<_> = places::ports(observed).iter().map(listed).collect();
    for id in observed.devices.iter().flat_map(Devices::controllers) {
        let disks = observed.controllers.get(id).copied().flatten().unwrap_or(0);
        let mut port = shared(&Port::Controller { id: id.to_owned(), lun: 0 }, disks);
        if observed.objects.as_ref().is_some_and(|objects| objects.has(&pending_mark(id))) {
            port.state = PortState::Leaving;
        }
        ports.push(port);
    }
    for bus in observed.pci.iter().flat_map(Pci::usb_buses) {
        let port = Port::Usb(bus.name.clone());
        let on_it = bus_path(&port).map(|path| children(observed, &path)).unwrap_or_default();
        // Where its ports run short, QEMU puts in hubs of its own.
        let devices = on_it.iter().filter(|(_, kind)| *kind != "link<usb-hub>").count();
        ports.push(shared(&port, devices));
    }
    let unnamed = observed.pci.as_ref().map_or(0, Pci::unnamed_ports);
    Ports { board: places::board(observed), ports, unnamed }
}

/// What sits behind bridges that no firmware has numbered, by port.
fn held(observed: &Observed) -> HashMap<Port, String> {
    let mut held = HashMap::new();
    for (port, occupancy) in places::ports(observed) {
        let Some(path) = bus_path(&port).filter(|_| occupancy == Occupancy::Unknown) else {
            continue;
        };
        for device in observed.links.get(&path).into_iter().flatten() {
            let is_here = match port {
                Port::Slot { slot, .. } => slot_of(observed, device) == Some(slot),
                _ => true,
            };
            if is_here {
                let id = device_of_qom_path(device).unwrap_or(device);
                held.insert(port.clone(), id.to_owned());
            }
        }
    }
    held
}

/// The slot of the device at this path.
fn slot_of(observed: &Observed, device: &str) -> Option<u8> {
    let address = observed.properties.get(&(device.to_owned(), ADDRESS))?.as_u64()?;
    u8::try_from(address >> 3).ok()
}

/// What QOM cannot say stays as it was: the property is younger than the port.
fn pci_port(
    observed: &Observed,
    held: &HashMap<Port, String>,
    port: &Port,
    occupancy: &Occupancy,
) -> ListedPort {
    let hotplug = match port {
        Port::Root(id) => observed.properties.get(&(device_path(id), "hotplug")),
        _ => None,
    };
    let is_fixed = hotplug.and_then(serde_json::Value::as_bool) == Some(false);
    let (state, holds) = match (occupancy, held.get(port)) {
        (Occupancy::Taken(device), _) | (_, Some(device)) => (PortState::Taken, Some(device)),
        (Occupancy::Free | Occupancy::Unknown, None) if is_fixed => (PortState::Fixed, None),
        (Occupancy::Free | Occupancy::Unknown, None) => (PortState::Free, None),
    };
    let holds = holds.cloned();
    ListedPort { port: port.to_string(), kind: kind(port), state, holds, devices: None }
}

/// A place that many disks share.
fn shared(port: &Port, devices: usize) -> ListedPort {
    ListedPort {
        port: port.to_string(),
        kind: kind(port),
        state: PortState::Free,
        holds: None,
        devices: Some(devices),
    }
}

fn kind(port: &Port) -> PortKind {
    match port {
        Port::Root(_) => PortKind::RootPort,
        Port::Slot { .. } => PortKind::Slot,
        Port::Controller { .. } => PortKind::ScsiController,
        Port::Usb(_) => PortKind::UsbBus,
        Port::ChannelSubsystem => PortKind::ChannelSubsystem,
    }
}

impl Default for ListPorts {
    fn default() -> Self {
        Self::new()
    }
}

impl Operation for ListPorts {
    type Outcome = Result<Ports, Error>;

    fn speak(&mut self, features: &Features) {
        self.observer.speak(features);
    }

    fn poll_transmit(&mut self) -> Option<Command> {
        self.observer.poll_transmit()
    }

    fn handle_answer(&mut self, answer: Answer, _now: Instant) {
        match self.observer.handle_answer(answer) {
            Ok(()) => self.go_on(),
            Err(error) => self.outcome = Some(Err(error)),
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}
