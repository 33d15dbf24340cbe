//! Detaching disks: look, send each on its way, and remove what they shared.
//!
//! ```text
//!  look ──► those that leave, all at once ──► what they shared, where nothing uses it ──► outcomes
//!   └── no such disk, not ours, or busy with a job or an export: nothing is sent for it
//! ```
//!
//! A timeout is neither success nor failure: the guest was asked, and may still let go. The same
//! command run again goes on with the wait, or finds the device gone and closes the image.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use qplug_proto::Event;
use serde::Deserialize;

use crate::command::Command;
use crate::departure;
use crate::error::Error;
use crate::leaving::{Goods, Leaving};
use crate::name::DiskName;
use crate::observe::Observer;
use crate::operation::{Answer, Operation};

/// How many commands are on their way at once.
const MAX_IN_FLIGHT: usize = 64;

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

/// What became of each disk, in the order of the wish, or by name.
pub type Departures = Vec<(DiskName, Result<Detached, Error>)>;

/// A detach under way.
#[derive(Debug)]
pub struct Detach {
    which: Which,
    timeout: Duration,
    observer: Observer,
    stage: Stage,
    names: Vec<DiskName>,
    /// What is on its way out, and the disk that it is, by its place in `names`.
    leaving: Vec<(Leaving, Option<usize>)>,
    by_device: HashMap<String, usize>,
    /// Those that have a command to send.
    ready: VecDeque<usize>,
    /// Those whose commands are on their way, oldest first.
    sent: VecDeque<usize>,
    timers: BTreeSet<(Instant, usize)>,
    armed: HashMap<usize, Instant>,
    /// How many have no outcome yet.
    open: usize,
    outcomes: Vec<Option<Result<Detached, Error>>>,
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
            observer: Observer::default(),
            stage: Stage::Look,
            names: Vec::new(),
            leaving: Vec::new(),
            by_device: HashMap::new(),
            ready: VecDeque::new(),
            sent: VecDeque::new(),
            timers: BTreeSet::new(),
            armed: HashMap::new(),
            open: 0,
            outcomes: Vec::new(),
            done: false,
        };
        detach.look();
        detach
    }

    /// Looks at what is not known yet; begins, once all is.
    fn look(&mut self) {
        let looks = departure::looks(&self.which, &self.observer.observed);
        if !looks.is_empty() {
            return self.observer.look(looks);
        }
        self.names = match &self.which {
            Which::Named(names) => names.clone(),
            Which::All => departure::all(&self.observer.observed),
        };
        self.stage = Stage::Disks;
        let plans: Vec<_> =
            self.names.iter().map(|name| departure::plan(&self.observer.observed, name)).collect();
        for (at, plan) in plans.into_iter().enumerate() {
            self.outcomes.push(None);
            match plan {
                Ok(goods) => self.send_away(goods, Some(at)),
                Err(error) => self.outcomes[at] = Some(Err(error)),
            }
        }
        if self.open == 0 {
            self.look_at_shared();
        }
    }

    fn send_away(&mut self, goods: Goods, disk: Option<usize>) {
        let at = self.leaving.len();
        if let Some(device) = &goods.device {
            self.by_device.insert(device.clone(), at);
        }
        self.leaving.push((Leaving::new(goods, self.timeout), disk));
        self.open += 1;
        self.attend(at);
    }

    /// Takes note of what this one wants now, or how it ended.
    fn attend(&mut self, at: usize) {
        let (leaving, disk) = &mut self.leaving[at];
        if let Some(outcome) = leaving.poll_outcome() {
            if let Some(disk) = disk {
                self.outcomes[*disk] = Some(outcome);
            }
            self.open -= 1;
        }
        if leaving.has_command() {
            self.ready.push_back(at);
        }
        let timeout = leaving.poll_timeout();
        if self.armed.get(&at).copied() != timeout {
            if let Some(before) = self.armed.remove(&at) {
                self.timers.remove(&(before, at));
            }
            if let Some(timeout) = timeout {
                self.armed.insert(at, timeout);
                self.timers.insert((timeout, at));
            }
        }
    }

    fn next_stage(&mut self) {
        if self.open > 0 || !self.observer.is_done() {
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
        if self.outcomes.iter().any(removed) {
            self.observer.look(departure::looks_at_shared(&self.observer.observed));
        }
        self.next_stage();
    }

    fn remove_shared(&mut self) {
        let more = departure::closer_looks_at_shared(&self.observer.observed);
        if !more.is_empty() {
            return self.observer.look(more);
        }
        self.stage = Stage::Shared;
        for goods in departure::plan_shared(&self.observer.observed) {
            self.send_away(goods, None);
        }
        self.next_stage();
    }

    fn fail(&mut self, error: Error) {
        let mut error = Some(error);
        if self.names.is_empty()
            && let Which::Named(names) = &self.which
        {
            self.names.clone_from(names);
            self.outcomes.resize_with(names.len(), || None);
        }
        for outcome in &mut self.outcomes {
            outcome.get_or_insert_with(|| Err(error.take().unwrap_or(Error::NotTried)));
        }
        self.done = true;
    }
}

impl Operation for Detach {
    type Outcome = Departures;

    fn poll_transmit(&mut self) -> Option<Command> {
        if let Some(command) = self.observer.poll_transmit() {
            return Some(command);
        }
        while self.sent.len() < MAX_IN_FLIGHT {
            let at = self.ready.pop_front()?;
            if let Some(command) = self.leaving[at].0.poll_transmit() {
                self.sent.push_back(at);
                return Some(command);
            }
        }
        None
    }

    fn handle_answer(&mut self, answer: Answer, now: Instant) {
        if matches!(self.stage, Stage::Look | Stage::LookAtShared) {
            match self.observer.handle_answer(answer) {
                Ok(()) => {}
                Err(error) if self.stage == Stage::Look => return self.fail(error),
                // The disks are out; 'recover' finds what they shared.
                Err(_) => {
                    self.done = true;
                    return;
                }
            }
        } else if let Some(at) = self.sent.pop_front() {
            self.leaving[at].0.handle_answer(answer, now);
            self.attend(at);
        }
        self.next_stage();
    }

    fn handle_event(&mut self, event: &Event, _now: Instant) {
        let at = device_of(event).and_then(|device| self.by_device.get(&device).copied());
        let Some(at) = at else { return };
        match event.name.as_str() {
            "DEVICE_DELETED" => self.leaving[at].0.handle_deleted(),
            "DEVICE_UNPLUG_GUEST_ERROR" => self.leaving[at].0.handle_refusal(),
            _ => return,
        }
        self.attend(at);
        self.next_stage();
    }

    fn handle_missed(&mut self, _now: Instant) {
        for at in 0..self.leaving.len() {
            self.leaving[at].0.handle_missed();
            self.attend(at);
        }
    }

    fn handle_lost(&mut self, why: String) {
        for at in 0..self.leaving.len() {
            self.leaving[at].0.handle_lost(why.clone());
            self.attend(at);
        }
        self.done = true;
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some((due, at)) = self.timers.first().copied().filter(|(due, _)| *due <= now) {
            self.timers.remove(&(due, at));
            self.armed.remove(&at);
            self.leaving[at].0.handle_timeout(now);
            self.attend(at);
        }
        self.next_stage();
    }

    fn poll_outcome(&mut self) -> Option<Departures> {
        if !std::mem::take(&mut self.done) {
            return None;
        }
        let outcomes = std::mem::take(&mut self.outcomes).into_iter().flatten();
        Some(std::mem::take(&mut self.names).into_iter().zip(outcomes).collect())
    }
}

/// The device that the event names. A virtio-blk disk first loses its backend, in an event that has
/// a path only.
fn device_of(event: &Event) -> Option<String> {
    #[derive(Deserialize)]
    struct Data {
        device: Option<String>,
    }
    let data = event.data.as_ref()?;
    serde_json::from_str::<Data>(data.get()).ok()?.device
}

#[cfg(test)]
mod tests;
