//! Looking at a machine: which queries tell what, and what they told.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use crate::command::{self, Command};
use crate::dialect::{self, Features};
use crate::error::Error;
use crate::inventory::{
    Blocks, Devices, Drivers, Drives, Exports, Fdsets, Graph, Jobs, Migration, Nodes, Objects, Pci,
    Tree, TreeDevice,
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

/// What is asked, so that something is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Query {
    /// What has an answer of its own.
    Look(Look),
    /// `query-block` of a machine that needs the tree beside it; whether its drives are the nodes.
    Drives { are_nodes: bool },
    /// The tree of devices.
    Tree,
}

/// The machine as far as it was looked at. What was not asked for is absent.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// What the machine can.
    pub(crate) features: Features,
    pub(crate) drives: Drives,
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
    looks: VecDeque<Look>,
    outbox: VecDeque<Query>,
    asked: VecDeque<Query>,
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

impl Query {
    fn command(&self) -> Command {
        match self {
            Self::Look(look) => look.command(),
            Self::Drives { .. } => command::query_block(),
            Self::Tree => dialect::show_tree(),
        }
    }
}

impl Observed {
    /// Takes the tree in: the devices and serials of all disks, and which disk is in which.
    fn plant(&mut self, tree: &Tree) {
        if self.features.has_drives() {
            self.devices = Some(Devices::from(tree));
            let serial = |device: &TreeDevice| device.serial.clone();
            let named =
                tree.named().filter_map(|(id, it)| Some((DiskName::new(id).ok()?, serial(it))));
            self.serials.extend(named);
        }
        let nodes = self.nodes.as_ref().filter(|_| !self.features.has_drives());
        self.blocks = Some(self.drives.blocks(tree, nodes));
    }

    /// A property that is a text, such as a link: its path.
    pub(crate) fn text(&self, path: &str, property: &'static str) -> Option<&str> {
        self.properties.get(&(path.to_owned(), property))?.as_str()
    }
}

impl Observer {
    /// Tells what the machine can, before the first command is sent.
    pub(crate) fn speak(&mut self, features: &Features) {
        self.observed.features = features.clone();
    }

    /// Forgets what was seen.
    pub(crate) fn forget(&mut self) {
        let features = std::mem::take(&mut self.observed.features);
        *self = Self::default();
        self.observed.features = features;
    }

    /// Asks the machine.
    pub(crate) fn look(&mut self, looks: impl IntoIterator<Item = Look>) {
        self.looks.extend(looks);
    }

    /// Whether everything that was asked for is answered.
    pub(crate) fn is_done(&self) -> bool {
        self.looks.is_empty() && self.outbox.is_empty() && self.asked.is_empty()
    }

    /// The next query to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<Command> {
        if self.asked.len() >= MAX_ASKED {
            return None;
        }
        while self.outbox.is_empty() {
            let look = self.looks.pop_front()?;
            self.ask(look);
        }
        let query = self.outbox.pop_front()?;
        let command = query.command();
        self.asked.push_back(query);
        Some(command)
    }

    /// What this machine is asked, so that the look has an answer.
    fn ask(&mut self, look: Look) {
        let features = &self.observed.features;
        let are_nodes = features.has_drives();
        if let Look::Serial(name) = &look
            && are_nodes
        {
            // The tree does not tell of a device that is not there.
            self.observed.serials.entry(name.clone()).or_default();
        }
        let queries = match look {
            Look::Blocks if are_nodes => vec![Query::Drives { are_nodes }, Query::Tree],
            // The node that a device holds is known by its name alone.
            Look::Blocks if !features.names_devices => {
                vec![Query::Look(Look::Nodes), Query::Drives { are_nodes }, Query::Tree]
            }
            Look::Nodes if are_nodes => vec![Query::Drives { are_nodes }],
            // One tree has the devices and the serials of all.
            Look::Devices | Look::Serial(_) if are_nodes && self.asked.contains(&Query::Tree) => {
                Vec::new()
            }
            Look::Devices | Look::Serial(_) if are_nodes => vec![Query::Tree],
            look => vec![Query::Look(look)],
        };
        self.outbox.extend(queries);
    }

    /// Takes in the answer to the oldest query. What some machines do not have, or are too old to
    /// tell, is as good as empty.
    pub(crate) fn handle_answer(&mut self, answer: Answer) -> Result<(), Error> {
        let Some(query) = self.asked.pop_front() else { return Ok(()) };
        let command = query.command();
        match query {
            Query::Look(look) => self.observed.take_in(look, &command, answer),
            Query::Drives { are_nodes } => {
                self.observed.drives = decode(&command, answer)?;
                if are_nodes {
                    self.observed.nodes = Some(self.observed.drives.nodes());
                }
                Ok(())
            }
            Query::Tree => {
                // Without it, disks in use would look like drives that nothing uses, which may be closed.
                self.observed.plant(&Tree::read(answer)?);
                Ok(())
            }
        }
    }
}

impl Observed {
    fn take_in(&mut self, look: Look, query: &Command, answer: Answer) -> Result<(), Error> {
        let observed = self;
        match look {
            Look::Pci => observed.pci = Some(decode_optional(query, answer)?.unwrap_or_default()),
            Look::Nodes => observed.nodes = Some(decode(query, answer)?),
            Look::Blocks => observed.blocks = Some(decode(query, answer)?),
            Look::Jobs => {
                observed.jobs = Some(decode_optional(query, answer)?.unwrap_or_default());
            }
            Look::Exports => {
                observed.exports = Some(decode_optional(query, answer)?.unwrap_or_default());
            }
            Look::Graph => {
                observed.graph = Some(decode_optional(query, answer)?.unwrap_or_default());
            }
            Look::Migration => {
                observed.migration = Some(decode_optional(query, answer)?.unwrap_or_default());
            }
            Look::Objects => {
                observed.objects = Some(decode_optional(query, answer)?.unwrap_or_default())
            }
            Look::Devices => {
                observed.devices = Some(decode_optional(query, answer)?.unwrap_or_default())
            }
            Look::Fdsets => {
                observed.fdsets = Some(decode_optional(query, answer)?.unwrap_or_default())
            }
            Look::MachineType => {
                observed.machine_type = Some(decode_optional(query, answer)?.unwrap_or_default());
            }
            Look::Drivers => observed.drivers = Some(decode(query, answer)?),
            Look::Controller(id) => {
                let devices: Option<Devices> = decode_optional(query, answer)?;
                observed.controllers.insert(id, devices.map(|devices| devices.children()));
            }
            Look::Serial(name) => {
                observed.serials.insert(name, decode_optional(query, answer)?);
            }
            Look::Children(path) => {
                let children = decode_optional(query, answer)?.unwrap_or_default();
                observed.children.insert(path, children);
            }
            Look::Link(path, _) => {
                // A device that left in the meantime has none.
                let device = decode_optional(query, answer)?;
                observed.links.entry(path).or_default().extend::<Option<String>>(device);
            }
            Look::Property(path, property) => {
                let value = decode_optional(query, answer)?.unwrap_or_default();
                observed.properties.insert((path, property), value);
            }
        }
        Ok(())
    }
}
