//! Many devices on their way out at once, whose guests' answers are waited for together.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use qplug_proto::Event;
use serde::Deserialize;

use crate::command::Command;
use crate::detach::Detached;
use crate::error::Error;
use crate::leaving::{Goods, Leaving};
use crate::operation::Answer;
use crate::window::Window;

/// Those on their way out. Each is known by its number, in the order in which they were sent away.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    leaving: Vec<Leaving>,
    by_device: HashMap<String, usize>,
    /// Those that have a command to send.
    ready: VecDeque<usize>,
    /// Those whose commands are on their way.
    sent: Window,
    timers: BTreeSet<(Instant, usize)>,
    armed: HashMap<usize, Instant>,
    outcomes: VecDeque<(usize, Result<Detached, Error>)>,
    /// How many have no outcome yet.
    open: usize,
}

impl Crowd {
    /// Sends goods on their way; their number.
    pub(crate) fn send_away(&mut self, goods: Goods, timeout: Duration) -> usize {
        let at = self.leaving.len();
        if let Some(device) = &goods.device {
            self.by_device.insert(device.clone(), at);
        }
        self.leaving.push(Leaving::new(goods, timeout));
        self.open += 1;
        self.attend(at);
        at
    }

    /// Whether all have an outcome.
    pub(crate) fn is_gone(&self) -> bool {
        self.open == 0
    }

    /// The next outcome.
    pub(crate) fn poll_outcome(&mut self) -> Option<(usize, Result<Detached, Error>)> {
        self.outcomes.pop_front()
    }

    /// The next command to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<Command> {
        while self.sent.has_room() {
            let at = self.ready.pop_front()?;
            if let Some(command) = self.leaving[at].poll_transmit() {
                self.sent.push(at);
                return Some(command);
            }
        }
        None
    }

    pub(crate) fn handle_answer(&mut self, answer: Answer, now: Instant) {
        if let Some(at) = self.sent.pop() {
            self.leaving[at].handle_answer(answer, now);
            self.attend(at);
        }
    }

    pub(crate) fn handle_event(&mut self, event: &Event) {
        let at = device_of(event).and_then(|device| self.by_device.get(&device).copied());
        let Some(at) = at else { return };
        match event.name.as_str() {
            "DEVICE_DELETED" => self.leaving[at].handle_deleted(),
            "DEVICE_UNPLUG_GUEST_ERROR" => self.leaving[at].handle_refusal(),
            _ => return,
        }
        self.attend(at);
    }

    pub(crate) fn handle_missed(&mut self) {
        for at in 0..self.leaving.len() {
            self.leaving[at].handle_missed();
            self.attend(at);
        }
    }

    pub(crate) fn handle_lost(&mut self, why: &str) {
        for at in 0..self.leaving.len() {
            self.leaving[at].handle_lost(why.to_owned());
            self.attend(at);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some((due, at)) = self.timers.first().copied().filter(|(due, _)| *due <= now) {
            self.timers.remove(&(due, at));
            self.armed.remove(&at);
            self.leaving[at].handle_timeout(now);
            self.attend(at);
        }
    }

    /// Takes note of what this one wants now, or how it ended.
    fn attend(&mut self, at: usize) {
        let leaving = &mut self.leaving[at];
        if let Some(outcome) = leaving.poll_outcome() {
            self.outcomes.push_back((at, outcome));
            self.open -= 1;
        }
        if leaving.has_command() {
            self.ready.push_back(at);
        }
        let timeout = leaving.poll_timeout();
        if self.armed.get(&at).copied() == timeout {
            return;
        }
        if let Some(before) = self.armed.remove(&at) {
            self.timers.remove(&(before, at));
        }
        if let Some(timeout) = timeout {
            self.armed.insert(at, timeout);
            self.timers.insert((timeout, at));
        }
    }
}

/// The device that the event names. A virtio-blk disk first loses its backend, in an event that has
/// a path only.
pub(crate) fn device_of(event: &Event) -> Option<String> {
    #[derive(Deserialize)]
    struct Data {
        device: Option<String>,
    }
    let data = event.data.as_ref()?;
    serde_json::from_str::<Data>(data.get()).ok()?.device
}
