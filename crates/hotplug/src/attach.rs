//! Attaching a disk: look, plan, run.
//!
//! A look costs two queries. Only where the name occurs in the machine already are two more asked,
//! to tell a repeated attach from a name that is taken.

use std::collections::VecDeque;
use std::time::Instant;

use serde::Serialize;

use crate::command::{self, Command};
use crate::disk::Disk;
use crate::error::Error;
use crate::inventory::Port;
use crate::operation::{Answer, Operation, decode, decode_optional};
use crate::plan::{self, Observed, Plan};
use crate::run::{Ended, Run};

/// A disk that is in the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// The disk's name.
    pub name: String,
    /// The serial that the guest sees.
    pub serial: String,
    /// Where a Linux guest with udev finds the disk.
    pub guest_path: String,
    /// The port that it sits in; absent where only the guest's firmware could tell.
    pub port: Option<String>,
    /// The image, by its path where QEMU runs.
    pub image: String,
    /// The image's format.
    pub format: String,
    /// Whether the guest may only read it.
    pub read_only: bool,
    /// Whether it was there before, so that nothing was changed.
    pub already: bool,
}

/// An attach under way.
#[derive(Debug)]
pub struct Attach {
    disk: Disk,
    observed: Observed,
    outbox: VecDeque<Command>,
    looks: VecDeque<Look>,
    run: Option<Run>,
    /// How often another client was faster.
    overtaken: u32,
    outcome: Option<Result<Attached, Error>>,
}

/// How often an attach looks again because another client made something of its name meanwhile.
const MAX_OVERTAKEN: u32 = 3;

/// A query whose answer is outstanding.
#[derive(Debug, Clone, Copy)]
enum Look {
    Pci,
    Nodes,
    Blocks,
    Serial,
}

impl Attach {
    /// An attach of this disk. Nothing is changed before the machine was looked at.
    #[must_use]
    pub fn new(disk: Disk) -> Self {
        let mut attach = Self {
            disk,
            observed: Observed::default(),
            outbox: VecDeque::new(),
            looks: VecDeque::new(),
            run: None,
            overtaken: 0,
            outcome: None,
        };
        attach.look(&[Look::Pci, Look::Nodes]);
        attach
    }

    fn look(&mut self, looks: &[Look]) {
        for look in looks {
            self.outbox.push_back(self.query(*look));
            self.looks.push_back(*look);
        }
    }

    fn query(&self, look: Look) -> Command {
        match look {
            Look::Pci => command::query_pci(),
            Look::Nodes => command::query_nodes(),
            Look::Blocks => command::query_block(),
            Look::Serial => command::query_serial(&self.disk.name),
        }
    }

    fn handle_look(&mut self, look: Look, answer: Answer) -> Result<(), Error> {
        let query = self.query(look);
        match look {
            Look::Pci => self.observed.pci = decode(&query, answer)?,
            Look::Nodes => self.observed.nodes = decode(&query, answer)?,
            Look::Blocks => self.observed.blocks = decode(&query, answer)?,
            // A device without a serial, or no device at all, is an answer too.
            Look::Serial => self.observed.serial = decode_optional(&query, answer)?,
        }
        if !self.looks.is_empty() {
            return Ok(());
        }
        if matches!(look, Look::Nodes) && self.observed.shows(&self.disk) {
            self.look(&[Look::Blocks, Look::Serial]);
            return Ok(());
        }
        match plan::attach(&self.observed, &self.disk)? {
            Plan::Already(port) => self.outcome = Some(Ok(self.attached(port.as_ref(), true))),
            Plan::Steps { found, ports } => {
                self.run = Some(Run::new(self.disk.clone(), found, ports));
            }
        }
        Ok(())
    }

    fn handle_ended(&mut self, ended: Ended) {
        self.outcome = Some(match ended {
            Ended::Attached(port) => Ok(self.attached(Some(&port), false)),
            Ended::NoRoom(refusal) => Err(plan::all_refused(&self.observed.pci, &refusal)),
            Ended::Failed(error) => Err(error),
            Ended::Overtaken if self.overtaken < MAX_OVERTAKEN => {
                self.overtaken += 1;
                self.run = None;
                self.observed = Observed::default();
                return self.look(&[Look::Pci, Look::Nodes]);
            }
            Ended::Overtaken => Err(Error::NameTaken {
                name: self.disk.name.clone(),
                holds: "used by other clients of this machine again and again".to_owned(),
            }),
        });
    }

    fn attached(&self, port: Option<&Port>, already: bool) -> Attached {
        Attached {
            name: self.disk.name.to_string(),
            serial: self.disk.serial.as_str().to_owned(),
            guest_path: self.disk.serial.guest_path(),
            port: port.map(ToString::to_string),
            image: self.disk.path.clone(),
            format: self.disk.format.to_string(),
            read_only: self.disk.read_only,
            already,
        }
    }
}

impl Operation for Attach {
    type Outcome = Result<Attached, Error>;

    fn poll_transmit(&mut self) -> Option<Command> {
        self.outbox.pop_front().or_else(|| self.run.as_mut()?.poll_transmit())
    }

    fn handle_answer(&mut self, answer: Answer, _now: Instant) {
        if let Some(look) = self.looks.pop_front() {
            if let Err(error) = self.handle_look(look, answer) {
                self.outcome = Some(Err(error));
            }
        } else if let Some(ended) = self.run.as_mut().and_then(|run| run.handle_answer(answer)) {
            self.handle_ended(ended);
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}

#[cfg(test)]
mod tests;
