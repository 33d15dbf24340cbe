//! Detaching disks: look, send each on its way, and remove what they shared.
//!
//! ```text
//!  look ──► those that leave, all at once ──► what they shared, where nothing uses it ──► outcomes
//!   └── no such disk, not ours, or busy with a job or an export: nothing is sent for it
//! ```
//!
//! A timeout is neither success nor failure: the guest was asked, and may still let go. The same
//! command run again goes on with the wait, or finds the device gone and closes the image.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use qplug_proto::Event;

use crate::command::Command;
use crate::crowd::Crowd;
use crate::departure;
use crate::dialect::Features;
use crate::error::Error;
use crate::name::DiskName;
use crate::observe::Observer;
use crate::operation::{Answer, Operation};

/// How long a guest is given to let go of a controller, once the disks are out: longer than a native
/// hot-plug port takes. What it keeps is marked, and 'recover' goes on with it.
const SHARED_WITHIN: Duration = Duration::from_secs(10);

/// How a detach ends, unless it is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detached {
    /// The guest has let go, and the image is closed.
    Removed {
        /// Whether the device was gone before, and only the image was left to be closed.
        was_gone: bool,
    },
    /// The guest said no. The disk is still there.
    Refused,
    /// The guest was asked and has not answered. It may still let go.
    Pending,
}

/// Which disks are to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// These.
    Named(Vec<DiskName>),
    /// All that qplug attached.
    All,
}

/// What became of each disk, in the order of the wish, or by name. One that is named twice is in it
/// once.
pub type Departures = Vec<(DiskName, Result<Detached, Error>)>;

/// A detach under way.
#[derive(Debug)]
pub struct Detach {
    which: Which,
    timeout: Duration,
    /// Whether what the disks shared goes too, where nothing uses it then.
    clears_shared: bool,
    observer: Observer,
    stage: Stage,
    names: Vec<DiskName>,
    crowd: Crowd,
    /// Which disk each of the crowd is, by its place in `names`; what they shared comes behind.
    disks: Vec<usize>,
    outcomes: Vec<Option<Result<Detached, Error>>>,
    failed: Option<Error>,
    done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Look,
    Disks,
    LookAtShared,
    Shared,
}

impl Detach {
    /// A detach that waits at most `timeout` for the guest.
    #[must_use]
    pub fn new(which: Which, timeout: Duration) -> Self {
        let mut detach = Self {
            which,
            timeout,
            clears_shared: true,
            observer: Observer::default(),
            stage: Stage::Look,
            names: Vec::new(),
            crowd: Crowd::default(),
            disks: Vec::new(),
            outcomes: Vec::new(),
            failed: None,
            done: false,
        };
        detach.look();
        detach
    }

    /// The same for disks whose controller another client takes out.
    pub(crate) fn leaving_what_is_shared(self) -> Self {
        Self { clears_shared: false, ..self }
    }

    /// Looks at what is not known yet; begins, once all is.
    fn look(&mut self) {
        let looks = departure::looks(&self.which, &self.observer.observed);
        if !looks.is_empty() {
            return self.observer.look(looks);
        }
        self.names = match &self.which {
            // Who is named twice leaves once.
            Which::Named(names) => {
                let mut seen = HashSet::new();
                names.iter().filter(|name| seen.insert(*name)).cloned().collect()
            }
            Which::All => departure::all(&self.observer.observed),
        };
        self.stage = Stage::Disks;
        for (at, name) in self.names.iter().enumerate() {
            let planned = departure::plan(&self.observer.observed, name);
            self.outcomes.push(None);
            match planned {
                Ok(goods) => {
                    self.crowd.send_away(goods, self.timeout);
                    self.disks.push(at);
                }
                Err(error) => self.outcomes[at] = Some(Err(error)),
            }
        }
        self.go_on();
    }

    fn go_on(&mut self) {
        while let Some((number, outcome)) = self.crowd.poll_outcome() {
            if let Some(at) = self.disks.get(number) {
                self.outcomes[*at] = Some(outcome);
            }
        }
        if !self.crowd.is_gone() || !self.observer.is_done() {
            return;
        }
        match self.stage {
            Stage::Look => self.look(),
            Stage::Disks => self.look_at_shared(),
            Stage::LookAtShared => self.remove_shared(),
            Stage::Shared => self.done = true,
        }
    }

    /// Looks whether something is left that the disks shared, and nothing uses.
    fn look_at_shared(&mut self) {
        self.stage = Stage::LookAtShared;
        let removed = |outcome: &Option<Result<Detached, Error>>| {
            matches!(outcome, Some(Ok(Detached::Removed { .. })))
        };
        if self.clears_shared && self.outcomes.iter().any(removed) {
            // Some are gone. Whether another one is in a group, QEMU says when it is removed.
            self.observer.observed.nodes = None;
            self.observer.look(departure::looks_at_shared(&self.observer.observed));
            self.go_on();
        } else {
            self.done = true;
        }
    }

    fn remove_shared(&mut self) {
        let more = departure::closer_looks_at_shared(&self.observer.observed);
        if !more.is_empty() {
            return self.observer.look(more);
        }
        self.stage = Stage::Shared;
        for goods in departure::plan_shared(&self.observer.observed) {
            self.crowd.send_away(goods, self.timeout.min(SHARED_WITHIN));
        }
        self.go_on();
    }
}

impl Operation for Detach {
    /// An error when the machine could not be looked at.
    type Outcome = Result<Departures, Error>;

    fn speak(&mut self, features: &Features) {
        self.observer.speak(features);
    }

    fn poll_transmit(&mut self) -> Option<Command> {
        self.observer.poll_transmit().or_else(|| self.crowd.poll_transmit())
    }

    fn handle_answer(&mut self, answer: Answer, now: Instant) {
        if matches!(self.stage, Stage::Look | Stage::LookAtShared) {
            match self.observer.handle_answer(answer) {
                Ok(()) => {}
                Err(error) if self.stage == Stage::Look => {
                    self.failed = Some(error);
                    return;
                }
                // The disks are out; 'recover' finds what they shared.
                Err(_) => {
                    self.done = true;
                    return;
                }
            }
        } else {
            self.crowd.handle_answer(answer, now);
        }
        self.go_on();
    }

    fn handle_event(&mut self, event: &Event, _now: Instant) {
        self.crowd.handle_event(event);
        self.go_on();
    }

    fn handle_missed(&mut self, _now: Instant) {
        self.crowd.handle_missed();
    }

    fn handle_lost(&mut self, why: String) {
        self.crowd.handle_lost(&why);
        self.stage = Stage::Shared;
        self.go_on();
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.crowd.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.crowd.handle_timeout(now);
        self.go_on();
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        if !std::mem::take(&mut self.done) {
            return None;
        }
        let outcomes = std::mem::take(&mut self.outcomes).into_iter().flatten();
        Some(Ok(std::mem::take(&mut self.names).into_iter().zip(outcomes).collect()))
    }
}

#[cfg(test)]
mod tests;
