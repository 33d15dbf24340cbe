//! Looking at a machine: which queries tell what, and what they told.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use crate::command::{self, Command};
use crate::error::Error;
use crate::inventory::{
    Blocks, Devices, Drivers, Exports, Fdsets, Graph, Jobs, Migration, Nodes, Objects, Pci,
};
use crate::name::DiskName;
use crate::operation::{Answer, decode, decode_optional};

/// How many queries are on their way at once: a list asks a few of each disk, and a client takes no
/// more than `MAX_PENDING_COMMANDS` (proto).
const MAX_ASKED: usize = 512;

/// A query about the machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Look {
    Pci,
    Nodes,
    Blocks,
    Jobs,
    Exports,
    Graph,
    Migration,
    Objects,
    Devices,
    Fdsets,
    MachineType,
    Drivers,
    /// What hangs on this SCSI controller.
    Controller(String),
    Serial(DiskName),
    /// The children and links of what is at this QOM path.
    Children(String),
    /// Where this link of the bus at this QOM path leads to.
    Link(String, String),
    /// A property of what is at this QOM path.
    Property(String, &'static str),
}

/// The machine as far as it was looked at. What was not asked for is absent.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub(crate) pci: Option<Pci>,
    pub(crate) nodes: Option<Nodes>,
    pub(crate) blocks: Option<Blocks>,
    pub(crate) jobs: Option<Jobs>,
    pub(crate) exports: Option<Exports>,
    pub(crate) graph: Option<Graph>,
    pub(crate) migration: Option<Migration>,
    pub(crate) objects: Option<Objects>,
    pub(crate) devices: Option<Devices>,
    pub(crate) fdsets: Option<Fdsets>,
    pub(crate) machine_type: Option<String>,
    pub(crate) drivers: Option<Drivers>,
    /// How many disks hang on each SCSI controller; `None` where the machine does not tell.
    pub(crate) controllers: HashMap<String, Option<usize>>,
    /// The serials of devices; `None` for one that has no serial, or is not there.
    pub(crate) serials: HashMap<DiskName, Option<String>>,
    /// The children and links at each QOM path that was looked at.
    pub(crate) children: HashMap<String, Devices>,
    /// The paths of what sits on the bus at each QOM path.
    pub(crate) links: HashMap<String, Vec<String>>,
    /// Properties, by path and name; null where there is none.
    pub(crate) properties: HashMap<(String, &'static str), Value>,
}

/// Looks under way.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    outbox: VecDeque<Look>,
    asked: VecDeque<Look>,
    pub(crate) observed: Observed,
}

impl Look {
    fn command(&self) -> Command {
        match self {
            Self::Pci => command::query_pci(),
            Self::Nodes => command::query_nodes(),
            Self::Blocks => command::query_block(),
            Self::Jobs => command::query_jobs(),
            Self::Exports => command::query_exports(),
            Self::Graph => command::query_graph(),
            Self::Migration => command::query_migration(),
            Self::Objects => command::query_objects(),
            Self::Devices => command::query_devices(),
            Self::Fdsets => command::query_fdsets(),
            Self::MachineType => command::query_machine_type(),
            Self::Drivers => command::query_schema(),
            Self::Controller(id) => command::query_controller(id),
            Self::Serial(name) => command::query_serial(name),
            Self::Children(path) => command::query_children(path),
            Self::Link(path, link) => command::query_property(path, link),
            Self::Property(path, property) => command::query_property(path, property),
        }
    }
}

impl Observed {
    /// A property that is a text, such as a link: its path.
    pub(crate) fn text(&self, path: &str, property: &'static str) -> Option<&str> {
        self.properties.get(&(path.to_owned(), property))?.as_str()
    }
}

impl Observer {
    /// Asks the machine.
    pub(crate) fn look(&mut self, looks: impl IntoIterator<Item = Look>) {
        self.outbox.extend(looks);
    }

    /// Whether everything that was asked for is answered.
    pub(crate) fn is_done(&self) -> bool {
        self.outbox.is_empty() && self.asked.is_empty()
    }

    /// The next query to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<Command> {
        if self.asked.len() >= MAX_ASKED {
            return None;
        }
        let look = self.outbox.pop_front()?;
        let command = look.command();
        self.asked.push_back(look);
        Some(command)
    }

    /// Takes in the answer to the oldest query. What some machines do not have, or are too old to
    /// tell, is as good as empty.
    pub(crate) fn handle_answer(&mut self, answer: Answer) -> Result<(), Error> {
        let Some(look) = self.asked.pop_front() else { return Ok(()) };
        let (query, observed) = (look.command(), &mut self.observed);
        match look {
            Look::Pci => observed.pci = Some(decode_optional(&query, answer)?.unwrap_or_default()),
            Look::Nodes => observed.nodes = Some(decode(&query, answer)?),
            Look::Blocks => observed.blocks = Some(decode(&query, answer)?),
            Look::Jobs => {
                observed.jobs = Some(decode_optional(&query, answer)?.unwrap_or_default());
            }
            Look::Exports => {
                observed.exports = Some(decode_optional(&query, answer)?.unwrap_or_default());
            }
            Look::Graph => {
                observed.graph = Some(decode_optional(&query, answer)?.unwrap_or_default());
            }
            Look::Migration => {
                observed.migration = Some(decode_optional(&query, answer)?.unwrap_or_default());
            }
            Look::Objects => observed.objects = Some(decode(&query, answer)?),
            Look::Devices => observed.devices = Some(decode(&query, answer)?),
            Look::Fdsets => observed.fdsets = Some(decode(&query, answer)?),
            Look::MachineType => {
                observed.machine_type = Some(decode_optional(&query, answer)?.unwrap_or_default());
            }
            Look::Drivers => observed.drivers = Some(decode(&query, answer)?),
            Look::Controller(id) => {
                let devices: Option<Devices> = decode_optional(&query, answer)?;
                observed.controllers.insert(id, devices.map(|devices| devices.children()));
            }
            Look::Serial(name) => {
                observed.serials.insert(name, decode_optional(&query, answer)?);
            }
            Look::Children(path) => {
                let children = decode_optional(&query, answer)?.unwrap_or_default();
                observed.children.insert(path, children);
            }
            Look::Link(path, _) => {
                // A device that left in the meantime has none.
                let device = decode_optional(&query, answer)?;
                observed.links.entry(path).or_default().extend::<Option<String>>(device);
            }
            Look::Property(path, property) => {
                let value = decode_optional(&query, answer)?.unwrap_or_default();
                observed.properties.insert((path, property), value);
            }
        }
        Ok(())
    }
}
