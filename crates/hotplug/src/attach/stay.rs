//! Whether disks stay that were plugged into a controller of qplug's own, which leaves with its last
//! disk: another client may have found it empty just before, and asked the guest to let go of it.
//!
//! ```text
//!  this client                          the other one, which takes the controller out
//!  plug the disk in                     mark the controller
//!  is the controller marked?            count what uses it: a disk, so it stays
//!  is the disk still there?             none: ask the guest; the mark goes when the controller is gone
//! ```
//!
//! One of the two is seen: a disk that was plugged in before the count, or else a mark, or else that
//! both are gone already. What is seen to be on its way out is detached, image and all, and may be
//! planned again.

use std::time::{Duration, Instant};

use qplug_proto::Event;

use crate::command::Command;
use crate::detach::{Detach, Detached, Which};
use crate::dialect::Features;
use crate::error::Error;
use crate::inventory::Port;
use crate::name::{DiskName, SHARED_CONTROLLER};
use crate::observe::{Look, Observer};
use crate::operation::{Answer, Operation};
use crate::places::pending_mark;

/// How long a guest is given to let go of a disk whose controller is on its way out.
const LET_GO_WITHIN: Duration = Duration::from_secs(10);

/// What is done to such a disk.
const DOING: &str = "see whether its SCSI controller stays";

/// Disks, by their places in the list, and whether they can be planned again.
pub(super) type Taken = Vec<(usize, Result<(), Error>)>;

/// A look at controllers, and the way out for disks that do not stay.
#[derive(Debug, Default)]
pub(super) struct Stay {
    /// Disks that were plugged in: places in the list, names, controllers.
    disks: Vec<(usize, DiskName, String)>,
    observer: Observer,
    /// Why the machine could not be looked at.
    failed: Option<Error>,
    /// Those that do not stay.
    leaving: Vec<(usize, DiskName)>,
    detach: Option<Detach>,
    ended: Option<Taken>,
}

impl Stay {
    /// Takes note of a disk that was plugged in.
    pub(super) fn add(&mut self, at: usize, name: &DiskName, port: Option<&Port>) {
        if let Some(Port::Controller { id, .. }) = port
            && id.starts_with(SHARED_CONTROLLER)
        {
            self.disks.push((at, name.clone(), id.clone()));
        }
    }

    /// Looks at the machine, if there is any such disk.
    pub(super) fn begin(&mut self, features: &Features) {
        self.observer = Observer::default();
        self.observer.speak(features);
        match self.disks.is_empty() {
            true => self.ended = Some(Vec::new()),
            // In this order: the mark is removed once the controller is gone, disks and all.
            false => self.observer.look([Look::Objects, Look::Devices]),
        }
    }

    /// Which of the disks did not stay, once all is known.
    pub(super) fn poll_ended(&mut self) -> Option<Taken> {
        self.ended.take()
    }

    fn handle_look(&mut self) {
        let observed = &self.observer.observed;
        let is_marked =
            |id: &str| observed.objects.as_ref().is_some_and(|it| it.has(&pending_mark(id)));
        let is_there = |name: &DiskName| {
            observed.devices.as_ref().is_some_and(|devices| devices.has(name.as_str()))
        };
        let stays = |name: &DiskName, id: &str| is_there(name) && !is_marked(id);
        let disks = std::mem::take(&mut self.disks).into_iter();
        let leaving = disks.filter(|(_, name, id)| !stays(name, id));
        self.leaving = leaving.map(|(at, name, _)| (at, name)).collect();
        if self.leaving.is_empty() {
            self.ended = Some(Vec::new());
            return;
        }
        let names = self.leaving.iter().map(|(_, name)| name.clone()).collect();
        let detach = Detach::new(Which::Named(names), LET_GO_WITHIN);
        let mut detach = detach.leaving_what_is_shared();
        detach.speak(&observed.features);
        self.detach = Some(detach);
    }

    /// The disks were plugged in, and what became of them is unknown.
    fn lose(&mut self, why: &str) {
        let disks = std::mem::take(&mut self.disks).into_iter();
        let unknown = disks.map(|(at, name, _)| {
            let name = name.to_string();
            (at, Err(Error::Unknown { name, doing: DOING, why: why.to_owned() }))
        });
        self.ended = Some(unknown.collect());
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Command> {
        match &mut self.detach {
            Some(detach) => detach.poll_transmit(),
            None => self.observer.poll_transmit(),
        }
    }

    pub(super) fn handle_answer(&mut self, answer: Answer, now: Instant) {
        if let Some(detach) = &mut self.detach {
            detach.handle_answer(answer, now);
            return self.collect();
        }
        if let Err(error) = self.observer.handle_answer(answer) {
            self.failed.get_or_insert(error);
        }
        // The answers of all queries are waited for: the next ones are of other commands.
        if self.observer.is_done() {
            match self.failed.take() {
                None => self.handle_look(),
                Some(error) => self.lose(&error.to_string()),
            }
        }
    }

    pub(super) fn handle_event(&mut self, event: &Event, now: Instant) {
        self.with_detach(|detach| detach.handle_event(event, now));
    }

    pub(super) fn handle_missed(&mut self, now: Instant) {
        self.with_detach(|detach| detach.handle_missed(now));
    }

    pub(super) fn handle_lost(&mut self, why: String) {
        self.with_detach(|detach| detach.handle_lost(why));
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.detach.as_ref().and_then(Operation::poll_timeout)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.with_detach(|detach| detach.handle_timeout(now));
    }

    fn with_detach(&mut self, happens: impl FnOnce(&mut Detach)) {
        if let Some(detach) = &mut self.detach {
            happens(detach);
            self.collect();
        }
    }

    fn collect(&mut self) {
        let Some(outcome) = self.detach.as_mut().and_then(Operation::poll_outcome) else { return };
        self.detach = None;
        let leaving = std::mem::take(&mut self.leaving).into_iter();
        let mut outcomes = outcome.map(Vec::into_iter);
        let ended = leaving.map(|(at, name)| {
            let unknown =
                |why: String| Err(Error::Unknown { name: name.to_string(), doing: DOING, why });
            let out = match &mut outcomes {
                Err(error) => unknown(error.to_string()),
                Ok(outcomes) => match outcomes.next() {
                    Some((_, Ok(Detached::Removed { .. }) | Err(Error::NoSuchDisk { .. }))) => {
                        Ok(())
                    }
                    Some((_, Err(error))) => Err(error),
                    _ => unknown("the guest has not let go of the disk again".to_owned()),
                },
            };
            (at, out)
        });
        self.ended = Some(ended.collect());
    }
}
