//! Listing what can be plugged where.
//!
//! `query-pci` alone cannot say whether a port is fixed, nor what it holds before firmware ran. QOM
//! can, at a query or two a port, which an attach saves and this listing spends.

use std::collections::VecDeque;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::command::{self, Command};
use crate::error::Error;
use crate::inventory::{Board, Occupancy, Pci, Port, device_of_qom_path};
use crate::operation::{Answer, Operation, decode, decode_optional};

/// The places of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ports {
    /// The kind of machine.
    pub board: Board,
    /// Every place, in the order in which an attach fills them.
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
}

/// A listing under way.
#[derive(Debug)]
pub struct ListPorts {
    outbox: VecDeque<Command>,
    looks: VecDeque<Look>,
    pci: Pci,
    ports: Vec<(Port, Occupancy)>,
    outcome: Option<Result<Ports, Error>>,
}

/// A query whose answer is outstanding; the number is the port's place in the list.
#[derive(Debug)]
enum Look {
    Pci,
    Hotplug(usize),
    Bus(usize),
    Occupant(usize),
}

/// A property, as `qom-list` gives it.
#[derive(Debug, Deserialize)]
struct QomProperty {
    name: String,
}

impl ListPorts {
    /// A listing of all ports.
    #[must_use]
    pub fn new() -> Self {
        Self {
            outbox: [command::query_pci()].into(),
            looks: [Look::Pci].into(),
            pci: Pci::default(),
            ports: Vec::new(),
            outcome: None,
        }
    }

    fn ask(&mut self, command: Command, look: Look) {
        self.outbox.push_back(command);
        self.looks.push_back(look);
    }

    fn handle_pci(&mut self, answer: Answer) -> Result<(), Error> {
        self.pci = decode(&command::query_pci(), answer)?;
        self.ports = self.pci.ports().to_vec();
        for at in 0..self.ports.len() {
            let (Port::Root(id), occupancy) = &self.ports[at] else { continue };
            let (hotplug, bus) = (command::query_hotplug(id), command::query_bus(id));
            match occupancy {
                Occupancy::Free => self.ask(hotplug, Look::Hotplug(at)),
                Occupancy::Unknown => {
                    self.ask(hotplug, Look::Hotplug(at));
                    self.ask(bus, Look::Bus(at));
                }
                Occupancy::Taken(_) | Occupancy::Fixed => {}
            }
        }
        Ok(())
    }

    /// What QOM cannot say stays as it was: the property is younger than the port.
    fn handle_look(&mut self, look: Look, answer: Answer) -> Result<(), Error> {
        match look {
            Look::Pci => self.handle_pci(answer)?,
            Look::Hotplug(at) => {
                let Port::Root(id) = &self.ports[at].0 else { return Ok(()) };
                let query = command::query_hotplug(id);
                if decode_optional(&query, answer)? == Some(false) {
                    self.ports[at].1 = Occupancy::Fixed;
                }
            }
            Look::Bus(at) => {
                let (Port::Root(id), _) = &self.ports[at] else { return Ok(()) };
                let query = command::query_bus(id);
                let properties: Vec<QomProperty> = decode(&query, answer)?;
                match properties.iter().find(|property| property.name.starts_with("child[")) {
                    Some(child) => {
                        self.ask(command::query_occupant(id, &child.name), Look::Occupant(at));
                    }
                    None if self.ports[at].1 == Occupancy::Unknown => {
                        self.ports[at].1 = Occupancy::Free;
                    }
                    None => {}
                }
            }
            Look::Occupant(at) => {
                let (Port::Root(id), occupancy) = &mut self.ports[at] else { return Ok(()) };
                let query = command::query_occupant(id, "child[0]");
                let path: String = decode(&query, answer)?;
                *occupancy =
                    Occupancy::Taken(device_of_qom_path(&path).unwrap_or(&path).to_owned());
            }
        }
        if self.looks.is_empty() {
            self.outcome = Some(Ok(self.listed()));
        }
        Ok(())
    }

    fn listed(&self) -> Ports {
        let listed = self.ports.iter().map(|(port, occupancy)| ListedPort {
            port: port.to_string(),
            kind: match port {
                Port::Root(_) => PortKind::RootPort,
                Port::Slot { .. } => PortKind::Slot,
                Port::Controller { .. } => PortKind::ScsiController,
                Port::Usb(_) => PortKind::UsbBus,
                Port::ChannelSubsystem => PortKind::ChannelSubsystem,
            },
            state: match occupancy {
                Occupancy::Free | Occupancy::Unknown => PortState::Free,
                Occupancy::Taken(_) => PortState::Taken,
                Occupancy::Fixed => PortState::Fixed,
            },
            holds: match occupancy {
                Occupancy::Taken(device) => Some(device.clone()),
                _ => None,
            },
        });
        Ports {
            board: self.pci.board(),
            ports: listed.collect(),
            unnamed: self.pci.unnamed_ports(),
        }
    }
}

impl Default for ListPorts {
    fn default() -> Self {
        Self::new()
    }
}

impl Operation for ListPorts {
    type Outcome = Result<Ports, Error>;

    fn poll_transmit(&mut self) -> Option<Command> {
        self.outbox.pop_front()
    }

    fn handle_answer(&mut self, answer: Answer, _now: Instant) {
        let Some(look) = self.looks.pop_front() else { return };
        if let Err(error) = self.handle_look(look, answer) {
            self.outcome = Some(Err(error));
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}
