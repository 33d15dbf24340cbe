//! Listing the disks of a machine: those that qplug made, whole or half, and all others.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use serde::Serialize;

use crate::command::{self, Command};
use crate::error::Error;
use crate::inventory::{Blocks, Node, Nodes, Pci};
use crate::name::DiskName;
use crate::operation::{Answer, Operation, decode, decode_optional};

/// A disk of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedDisk {
    /// The disk's name; for one that qplug did not make, its device's id.
    pub name: String,
    /// What qplug knows it for.
    pub state: DiskState,
    /// The serial that the guest sees, where the device has one.
    pub serial: Option<String>,
    /// Where a Linux guest with udev finds the disk; only for disks that qplug made.
    pub guest_path: Option<String>,
    /// The port that it sits in, where that is known.
    pub port: Option<String>,
    /// The image, by its path where QEMU runs; absent in an empty drive.
    pub image: Option<String>,
    /// The image's format.
    pub format: Option<String>,
    /// The size that the guest sees, in bytes.
    pub bytes: Option<u64>,
    /// Whether the guest may only read it.
    pub read_only: Option<bool>,
}

/// What qplug knows a disk for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskState {
    /// Attached by qplug.
    Attached,
    /// The image is open and no device uses it: an attach or a detach ended early. Running the
    /// command again finishes it.
    HalfDone,
    /// Not made by qplug, and never touched by it.
    Foreign,
}

/// A listing under way.
#[derive(Debug)]
pub struct List {
    outbox: VecDeque<Command>,
    looks: VecDeque<Look>,
    pci: Pci,
    nodes: Nodes,
    blocks: Blocks,
    serials: HashMap<DiskName, String>,
    outcome: Option<Result<Vec<ListedDisk>, Error>>,
}

#[derive(Debug)]
enum Look {
    Pci,
    Nodes,
    Blocks,
    Serial(DiskName),
}

impl List {
    /// A listing of all disks.
    #[must_use]
    pub fn new() -> Self {
        let queries = [command::query_pci(), command::query_nodes(), command::query_block()];
        Self {
            outbox: queries.into(),
            looks: [Look::Pci, Look::Nodes, Look::Blocks].into(),
            pci: Pci::default(),
            nodes: Nodes::default(),
            blocks: Blocks::default(),
            serials: HashMap::new(),
            outcome: None,
        }
    }

    fn handle_look(&mut self, look: Look, answer: Answer) -> Result<(), Error> {
        match look {
            Look::Pci => self.pci = decode(&command::query_pci(), answer)?,
            Look::Nodes => self.nodes = decode(&command::query_nodes(), answer)?,
            Look::Blocks => {
                self.blocks = decode(&command::query_block(), answer)?;
                self.ask_for_serials();
            }
            // A disk that left in the meantime has none, which is no reason to fail.
            Look::Serial(name) => {
                if let Some(serial) = decode_optional(&command::query_serial(&name), answer)? {
                    self.serials.insert(name, serial);
                }
            }
        }
        if self.looks.is_empty() {
            self.outcome = Some(Ok(self.disks()));
        }
        Ok(())
    }

    fn ask_for_serials(&mut self) {
        let ids = self.blocks.devices().filter_map(|disk| self.our_disk(disk.id));
        let names: Vec<DiskName> = ids.map(|(name, _)| name).collect();
        for name in names {
            self.outbox.push_back(command::query_serial(&name));
            self.looks.push_back(Look::Serial(name));
        }
    }

    fn disks(&self) -> Vec<ListedDisk> {
        let mut listed = Vec::new();
        for disk in self.blocks.devices() {
            listed.push(match self.our_disk(disk.id) {
                Some((name, node)) => {
                    let serial = self.serials.get(&name).cloned();
                    self.listed(disk.id, DiskState::Attached, serial, Some(node))
                }
                None => self.listed(disk.id, DiskState::Foreign, None, disk.node),
            });
        }
        for (name, node) in self.nodes.disks() {
            if self.blocks.device(name.as_str()).is_none() {
                listed.push(self.listed(name.as_str(), DiskState::HalfDone, None, Some(node)));
            }
        }
        listed
    }

    /// The disk of this name, if the device has the name and our node is there. The device may hold
    /// another node: a block job puts a filter over ours.
    fn our_disk(&self, id: &str) -> Option<(DiskName, &Node)> {
        let name = DiskName::new(id).ok()?;
        let node = self.nodes.format_node(&name)?;
        Some((name, node))
    }

    fn listed(
        &self,
        id: &str,
        state: DiskState,
        serial: Option<String>,
        node: Option<&Node>,
    ) -> ListedDisk {
        // The upper node of an encrypted image, or of one with layers, shows all its options.
        let image = |node: &Node| {
            let name = DiskName::of_format_node(&node.name);
            let image = name.and_then(|name| self.nodes.image_of(&name));
            image.unwrap_or(&node.path).to_owned()
        };
        ListedDisk {
            name: id.to_owned(),
            state,
            guest_path: serial.as_deref().map(|it| crate::Bus::VirtioBlk.guest_path(it)),
            serial,
            port: self.pci.port_of(id).map(|port| port.to_string()),
            image: node.map(image),
            format: node.map(|node| node.driver.clone()),
            bytes: node.map(Node::bytes),
            read_only: node.map(|node| node.read_only),
        }
    }
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl Operation for List {
    type Outcome = Result<Vec<ListedDisk>, Error>;

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
