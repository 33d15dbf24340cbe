//! Deleting a snapshot, a disk after the other: QEMU has no transaction for it.

use std::collections::VecDeque;
use std::time::Instant;

use super::plan::{able, handle, named};
use super::{DELETE, Snapped};
use crate::command::{self, Command};
use crate::dialect::Features;
use crate::error::{After, Error};
use crate::inventory::DeviceDisk;
use crate::observe::{Look, Observer};
use crate::operation::{Answer, Operation};
use crate::texts::Meaning;

/// What became of each disk.
pub type Deletions = Vec<(String, Result<(), Error>)>;

/// Deleting a snapshot. Each disk ends for itself.
#[derive(Debug)]
pub struct DeleteSnapshot {
    /// As it is in the images: one that another program made may be called anything.
    tag: String,
    which: Snapped,
    observer: Observer,
    /// The disks that have it, and what QEMU calls them here.
    disks: VecDeque<(String, String)>,
    /// The disk that it is being deleted from.
    under_way: Option<String>,
    deleted: Deletions,
    outcome: Option<Result<Deletions, Error>>,
}

impl DeleteSnapshot {
    /// Deletes the snapshot of this name from these disks.
    #[must_use]
    pub fn new(tag: &str, which: Snapped) -> Self {
        let mut observer = Observer::default();
        observer.look([Look::Blocks]);
        Self {
            tag: tag.to_owned(),
            which,
            observer,
            disks: VecDeque::new(),
            under_way: None,
            deleted: Vec::new(),
            outcome: None,
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        let observed = &self.observer.observed;
        able(&observed.features)?;
        let has_it = |disk: &DeviceDisk<'_>| {
            disk.node.is_some_and(|node| node.snapshots().iter().any(|it| it.name == self.tag))
        };
        let lacks_it = |disks| Error::NoSuchSnapshot { tag: self.tag.clone(), disks };
        let disks = match &self.which {
            Snapped::Named(names) => {
                let disks = named(observed, names)?;
                let lacking = disks.iter().filter(|disk| !has_it(disk));
                let lacking: Vec<_> = lacking.map(|disk| disk.id.to_owned()).collect();
                if !lacking.is_empty() {
                    return Err(lacks_it(lacking));
                }
                disks
            }
            Snapped::All => {
                let all = observed.blocks.iter().flat_map(|blocks| blocks.devices());
                let disks: Vec<_> = all.filter(has_it).collect();
                if disks.is_empty() {
                    return Err(lacks_it(Vec::new()));
                }
                disks
            }
        };
        let pair = |disk: &DeviceDisk<'_>| (disk.id.to_owned(), handle(disk).to_owned());
        self.disks = disks.iter().map(pair).collect();
        Ok(())
    }

    fn handle_deleted(&mut self, name: String, answer: Answer) {
        let result = match answer {
            Answer::Returned(_) => Ok(()),
            Answer::Refused(reply) => {
                let meaning = Meaning::of(&reply);
                Err(Error::Refused { doing: DELETE, reply, meaning, after: After::Unchanged })
            }
            Answer::Lost(why) => Err(Error::Unknown { name: name.clone(), doing: DELETE, why }),
            Answer::NotSent(why) => {
                Err(Error::NotSent { doing: DELETE, why, after: After::Unchanged })
            }
        };
        self.deleted.push((name, result));
        if self.disks.is_empty() {
            self.outcome = Some(Ok(std::mem::take(&mut self.deleted)));
        }
    }
}

impl Operation for DeleteSnapshot {
    type Outcome = Result<Deletions, Error>;

    fn speak(&mut self, features: &Features) {
        self.observer.speak(features);
    }

    fn poll_transmit(&mut self) -> Option<Command> {
        if let Some(query) = self.observer.poll_transmit() {
            return Some(query);
        }
        if self.under_way.is_some() {
            return None;
        }
        let (name, node) = self.disks.pop_front()?;
        self.under_way = Some(name);
        Some(command::delete_snapshot(&node, &self.tag))
    }

    fn handle_answer(&mut self, answer: Answer, _now: Instant) {
        if let Some(name) = self.under_way.take() {
            return self.handle_deleted(name, answer);
        }
        let begun = match self.observer.handle_answer(answer) {
            Ok(()) if self.observer.is_done() => self.begin(),
            looked => looked,
        };
        if let Err(error) = begun {
            self.outcome = Some(Err(error));
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}
