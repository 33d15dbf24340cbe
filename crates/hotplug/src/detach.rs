//! Detaching a disk: ask the guest, wait until it has let go, close the image.
//!
//! ```text
//!  look ──► ask ──► wait ──► close ──► Removed
//!   │        ▲  │     │ └──── the guest says no ──► Refused
//!   │        └──┴─────┤ ask again
//!   │                 └────── the deadline ──────► Pending
//!   └── no such disk, not ours, or busy with a job or an export: nothing is sent
//! ```
//!
//! A timeout is neither success nor failure: the guest was asked, and may still let go. The same
//! command run again goes on with the wait, or finds the device gone and closes the image.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use qplug_proto::{ErrorReply, Event};
use serde::Deserialize;

use crate::command::{self, Command};
use crate::error::{After, Error};
use crate::inventory::{Blocks, Exports, Graph, Jobs, Nodes};
use crate::name::DiskName;
use crate::operation::{Answer, Operation, decode, decode_optional};
use crate::texts::Meaning;

/// How long after the first asking the guest is asked again. An unplug that comes before the guest
/// has looked at a new disk is lost, and only asking again helps. The gap between 3 s and 9 s is
/// there for native hot-plug ports: QEMU refuses a second asking within 5 s, and one that comes
/// right after, while Linux still blinks (it lets go at 6.2 s), would cancel the first.
/// Later on, it is asked every [`ASK_AGAIN_EVERY`].
const ASK_AGAIN_AFTER: [Duration; 4] = [
    Duration::from_millis(700),
    Duration::from_millis(3000),
    Duration::from_secs(9),
    Duration::from_secs(18),
];

/// How often a guest is asked that has been silent for long, and may be booting.
const ASK_AGAIN_EVERY: Duration = Duration::from_secs(60);

/// The pause before asking a guest again that was busy with the port.
const BUSY_PAUSE: Duration = Duration::from_millis(250);

/// The pause before closing an image again that still had a user.
const CLOSE_PAUSE: Duration = Duration::from_millis(10);

/// How often closing is tried: QEMU drops the last use of a node a moment after DEVICE_DELETED.
const CLOSE_TRIES: u32 = 100;

/// What a detach does.
const ASK: &str = "ask the guest to let go";
const CLOSE: &str = "close the image";

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

/// A detach under way.
#[derive(Debug)]
pub struct Detach {
    name: DiskName,
    timeout: Duration,
    state: State,
    outbox: VecDeque<Command>,
    blocks: Blocks,
    jobs: Jobs,
    /// Set from the first asking on.
    asked: Option<Asked>,
    /// QEMU's words when it last refused to ask the guest, because that was busy with the port.
    busy: Option<ErrorReply>,
    was_gone: bool,
    outcome: Option<Result<Detached, Error>>,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Instant,
    /// Whether QEMU passed a request on to the guest.
    passed_on: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Looking for the device.
    LookForDevice,
    /// Looking for block jobs.
    LookForJobs,
    /// Looking for exports.
    LookForExports,
    /// There are jobs; looking for what they work on.
    LookAtGraph,
    /// The device is not there, or holds another node than ours; looking for our nodes.
    LookForNodes,
    /// `device_del` is on its way. The event may overtake its reply.
    Asking { gone: bool },
    /// The guest is to answer; `ask_at` is when to ask again.
    Waiting { ask_at: Instant },
    /// `blockdev-del` is on its way.
    Closing { tries: u32 },
    /// The node still had a user.
    ClosingAgain { tries: u32, at: Instant },
}

impl Detach {
    /// A detach that waits at most `timeout` for the guest.
    #[must_use]
    pub fn new(name: DiskName, timeout: Duration) -> Self {
        Self {
            name,
            timeout,
            state: State::LookForDevice,
            outbox: [command::query_block(), command::query_jobs(), command::query_exports()]
                .into(),
            blocks: Blocks::default(),
            jobs: Jobs::default(),
            asked: None,
            busy: None,
            was_gone: false,
            outcome: None,
        }
    }

    fn look_for_exports(&mut self, answer: Answer) -> Result<(), Error> {
        let exports: Option<Exports> = decode_optional(&command::query_exports(), answer)?;
        if let Some(by) = exports.unwrap_or_default().of(&self.name) {
            return Err(Error::Busy { name: self.name.clone(), by });
        }
        if self.jobs.is_empty() {
            self.decide();
        } else {
            self.state = State::LookAtGraph;
            self.outbox.push_back(command::query_graph());
        }
        Ok(())
    }

    fn look_at_graph(&mut self, answer: Answer) -> Result<(), Error> {
        let graph: Option<Graph> = decode_optional(&command::query_graph(), answer)?;
        if let Some(by) = self.jobs.on(&self.name, &graph.unwrap_or_default()) {
            return Err(Error::Busy { name: self.name.clone(), by });
        }
        self.decide();
        Ok(())
    }

    /// Asks the guest at once where the device holds our node; else the nodes must tell more.
    fn decide(&mut self) {
        let node = self.blocks.device(self.name.as_str()).and_then(|device| device.node);
        if node.is_some_and(|node| node.name == self.name.format_node()) {
            self.ask();
        } else {
            self.state = State::LookForNodes;
            self.outbox.push_back(command::query_nodes());
        }
    }

    fn look_for_nodes(&mut self, answer: Answer) -> Result<(), Error> {
        let nodes: Nodes = decode(&command::query_nodes(), answer)?;
        let ours = nodes.format_node(&self.name).is_some();
        let name = self.name.clone();
        match self.blocks.device(self.name.as_str()) {
            // Our node is under a filter that no job and no export accounts for.
            Some(_) if ours => Err(Error::Busy { name, by: "a filter node over it".to_owned() }),
            Some(device) => {
                let holds = match device.node.map(|node| node.name.as_str()) {
                    None | Some("") => "it holds no named node".to_owned(),
                    Some(node) => format!("it holds the node {node}"),
                };
                Err(Error::NotOurs { name, holds })
            }
            None if ours => {
                self.was_gone = true;
                self.close(0);
                Ok(())
            }
            None => {
                let known = nodes.disks().map(|(name, _)| name.to_string()).collect();
                Err(Error::NoSuchDisk { name, known })
            }
        }
    }

    fn ask(&mut self) {
        self.state = State::Asking { gone: false };
        self.outbox.push_back(command::remove_device(&self.name));
    }

    fn close(&mut self, tries: u32) {
        self.state = State::Closing { tries };
        self.outbox.push_back(command::remove_nodes(&self.name));
    }

    fn handle_asked(&mut self, gone: bool, answer: Answer, now: Instant) -> Result<(), Error> {
        let first = Asked { at: now, passed_on: false };
        let asked = self.asked.get_or_insert(first);
        let again = ask_again_at(asked.at, now);
        if gone {
            self.close(0);
            return Ok(());
        }
        let reply = match answer {
            Answer::Returned(_) => {
                asked.passed_on = true;
                self.state = State::Waiting { ask_at: again };
                return Ok(());
            }
            Answer::Lost(why) => return Err(self.unknown(ASK, why)),
            // The guest was asked before, and may let go all the same.
            Answer::NotSent(why) if asked.passed_on => return Err(self.unknown(ASK, why)),
            Answer::NotSent(why) => return Err(self.not_sent(ASK, why, After::Unchanged)),
            Answer::Refused(reply) => reply,
        };
        match Meaning::of(&reply) {
            Some(Meaning::NoDevice) => self.close(0),
            Some(Meaning::AlreadyUnplugging) => {
                asked.passed_on = true;
                self.state = State::Waiting { ask_at: again };
            }
            Some(Meaning::GuestBusy) => {
                self.busy = Some(reply);
                self.state = State::Waiting { ask_at: now + BUSY_PAUSE };
            }
            meaning => {
                let after = After::Unchanged;
                return Err(Error::Refused { doing: ASK, reply, meaning, after });
            }
        }
        Ok(())
    }

    fn handle_closed(&mut self, tries: u32, answer: Answer, now: Instant) -> Result<(), Error> {
        let reply = match answer {
            Answer::Lost(why) => return Err(self.unknown(CLOSE, why)),
            Answer::NotSent(why) => return Err(self.not_sent(CLOSE, why, After::StillOpen)),
            Answer::Returned(_) => {
                self.outcome = Some(Ok(Detached::Removed { was_gone: self.was_gone }));
                return Ok(());
            }
            Answer::Refused(reply) => reply,
        };
        match Meaning::of(&reply) {
            Some(Meaning::NoNode) => {
                self.outcome = Some(Ok(Detached::Removed { was_gone: self.was_gone }));
            }
            Some(Meaning::NodeInUse) if tries < CLOSE_TRIES => {
                self.state = State::ClosingAgain { tries: tries + 1, at: now + CLOSE_PAUSE };
            }
            meaning => {
                let after = After::StillOpen;
                return Err(Error::Refused { doing: CLOSE, reply, meaning, after });
            }
        }
        Ok(())
    }

    fn unknown(&self, doing: &'static str, why: String) -> Error {
        Error::Unknown { name: self.name.clone(), doing, why }
    }

    fn not_sent(&self, doing: &'static str, why: String, after: After) -> Error {
        Error::NotSent { doing, why, after }
    }

    /// A time that no clock can name is never reached.
    fn deadline(&self) -> Option<Instant> {
        self.asked.and_then(|asked| asked.at.checked_add(self.timeout))
    }

    /// The deadline has come: whether the guest was asked at all makes the difference.
    fn give_up(&mut self) {
        let passed_on = self.asked.is_some_and(|asked| asked.passed_on);
        self.outcome = Some(match self.busy.take() {
            Some(reply) if !passed_on => {
                let meaning = Meaning::of(&reply);
                Err(Error::Refused { doing: ASK, reply, meaning, after: After::Unchanged })
            }
            _ => Ok(Detached::Pending),
        });
    }
}

impl Operation for Detach {
    type Outcome = Result<Detached, Error>;

    fn poll_transmit(&mut self) -> Option<Command> {
        self.outbox.pop_front()
    }

    fn handle_answer(&mut self, answer: Answer, now: Instant) {
        let result = match self.state {
            State::LookForDevice => {
                self.state = State::LookForJobs;
                decode(&command::query_block(), answer).map(|blocks| self.blocks = blocks)
            }
            State::LookForJobs => {
                self.state = State::LookForExports;
                let jobs = decode_optional(&command::query_jobs(), answer);
                jobs.map(|jobs| self.jobs = jobs.unwrap_or_default())
            }
            State::LookForExports => self.look_for_exports(answer),
            State::LookAtGraph => self.look_at_graph(answer),
            State::LookForNodes => self.look_for_nodes(answer),
            State::Asking { gone } => self.handle_asked(gone, answer, now),
            State::Closing { tries } => self.handle_closed(tries, answer, now),
            State::Waiting { .. } | State::ClosingAgain { .. } => Ok(()),
        };
        if let Err(error) = result {
            self.outcome = Some(Err(error));
        }
    }

    fn handle_event(&mut self, event: &Event, _now: Instant) {
        if !names_device(event, &self.name) {
            return;
        }
        match (event.name.as_str(), self.state) {
            ("DEVICE_DELETED", State::Asking { .. }) => self.state = State::Asking { gone: true },
            ("DEVICE_DELETED", State::Waiting { .. }) => self.close(0),
            ("DEVICE_UNPLUG_GUEST_ERROR", State::Asking { .. } | State::Waiting { .. }) => {
                self.outcome = Some(Ok(Detached::Refused));
            }
            _ => {}
        }
    }

    /// The event that is waited for may be among them: QEMU says so when it is asked again.
    fn handle_missed(&mut self, _now: Instant) {
        if let State::Waiting { .. } = self.state {
            self.ask();
        }
    }

    fn handle_lost(&mut self, why: String) {
        self.outcome = Some(Err(self.unknown("unplug the device and close the image", why)));
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { ask_at } => self.deadline().into_iter().chain([ask_at]).min(),
            State::ClosingAgain { at, .. } => Some(at),
            _ => None,
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Waiting { .. } if self.deadline().is_some_and(|deadline| deadline <= now) => {
                self.give_up();
            }
            State::Waiting { ask_at } if ask_at <= now => self.ask(),
            State::ClosingAgain { tries, at } if at <= now => self.close(tries),
            _ => {}
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}

/// When to ask again, after an asking at `now`.
fn ask_again_at(first: Instant, now: Instant) -> Instant {
    let planned = ASK_AGAIN_AFTER.iter().map(|after| first + *after).find(|at| *at > now);
    planned.unwrap_or_else(|| now + ASK_AGAIN_EVERY)
}

/// Whether the event names the device itself. A virtio-blk disk first loses its backend, in an
/// event that has a path only.
fn names_device(event: &Event, name: &DiskName) -> bool {
    #[derive(Deserialize)]
    struct Data {
        device: Option<String>,
    }
    let data = event.data.as_ref().and_then(|data| serde_json::from_str::<Data>(data.get()).ok());
    data.and_then(|data| data.device).is_some_and(|device| device == name.as_str())
}

#[cfg(test)]
mod tests;
