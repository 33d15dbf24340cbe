//! Carries a plan out, step by step, and undoes it when a step is refused.
//!
//! ```text
//!                   this port cannot, another is left
//!                    ┌──────────┐
//!  Nothing ──► open ─┴─► plug ──┴──► attached
//!               │  ▲      │
//!   OpenImage ──│──┘      ├── refused ──► close what was opened ──► Refused, NoRoom
//!               └─────────┴── somebody else was faster ──► close it ──► Overtaken: look again
//! ```

use std::collections::VecDeque;

use qplug_proto::ErrorReply;

use crate::command::{self, Command};
use crate::disk::Disk;
use crate::error::{After, Error};
use crate::inventory::Port;
use crate::operation::Answer;
use crate::plan::Found;
use crate::texts::Meaning;

/// How a run ends.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The disk is in this port.
    Attached(Port),
    /// Another client made a node or a device of this name meanwhile. What this run had made, if it
    /// was not taken over, is undone.
    Overtaken,
    /// Every port that looked free refused the disk, at last in these words; all was undone.
    NoRoom(ErrorReply),
    /// As the error says.
    Failed(Error),
}

/// What a run does.
const OPEN: &str = "open the image";
const PLUG: &str = "plug the device in";
const CLOSE: &str = "close the image again";

#[derive(Debug)]
enum Step {
    /// Open the image.
    Open,
    /// Plug the device into a port.
    Plug(Port),
    /// Undo `Open`, and end so.
    Close(Ended),
}

/// A run under way.
#[derive(Debug)]
pub(crate) struct Run {
    disk: Disk,
    ports: VecDeque<Port>,
    step: Step,
    sent: bool,
    /// Whether this run opened the image: what an earlier one left is not undone.
    opened: bool,
}

impl Run {
    /// Starts where the machine is. There must be a port.
    pub(crate) fn new(disk: Disk, found: Found, ports: VecDeque<Port>) -> Self {
        let mut run = Self { disk, ports, step: Step::Open, sent: false, opened: false };
        if found == Found::OpenImage
            && let Some(port) = run.ports.pop_front()
        {
            run.step = Step::Plug(port);
        }
        run
    }

    /// The next command.
    pub(crate) fn poll_transmit(&mut self) -> Option<Command> {
        if std::mem::replace(&mut self.sent, true) {
            return None;
        }
        Some(match &self.step {
            Step::Open => command::add_nodes(&self.disk),
            Step::Plug(port) => command::add_device(&self.disk, port),
            Step::Close(_) => command::remove_nodes(&self.disk.name),
        })
    }

    /// Takes in the answer to the command; the end, if this is it.
    pub(crate) fn handle_answer(&mut self, answer: Answer) -> Option<Ended> {
        let answer = match answer {
            Answer::Returned(_) => Ok(()),
            Answer::Refused(reply) => Err(reply),
            Answer::Lost(why) => return Some(self.lost(why)),
            Answer::NotSent(why) => return Some(self.not_sent(why)),
        };
        match std::mem::replace(&mut self.step, Step::Open) {
            Step::Open => self.handle_opened(answer),
            Step::Plug(port) => self.handle_plugged(port, answer),
            Step::Close(end) => Some(self.closed(end, answer)),
        }
    }

    fn handle_opened(&mut self, answer: Result<(), ErrorReply>) -> Option<Ended> {
        match answer {
            Ok(()) => {
                self.opened = true;
                match self.ports.pop_front() {
                    Some(port) => self.go_to(Step::Plug(port)),
                    None => self.end(Ended::Overtaken),
                }
            }
            Err(reply) if Meaning::of(&reply) == Some(Meaning::DuplicateNode) => {
                Some(Ended::Overtaken)
            }
            Err(reply) => Some(refused(OPEN, reply, After::Unchanged)),
        }
    }

    fn handle_plugged(&mut self, port: Port, answer: Result<(), ErrorReply>) -> Option<Ended> {
        let Err(reply) = answer else { return Some(Ended::Attached(port)) };
        match Meaning::of(&reply) {
            Some(Meaning::PortTaken | Meaning::NotHotpluggable | Meaning::NoBus)
                if self.disk.port.is_none() =>
            {
                if Meaning::of(&reply) == Some(Meaning::NotHotpluggable) {
                    self.ports.retain(|other| other.bus() != port.bus());
                }
                match self.ports.pop_front() {
                    Some(next) => self.go_to(Step::Plug(next)),
                    None => self.end(Ended::NoRoom(reply)),
                }
            }
            Some(Meaning::DuplicateDevice | Meaning::NoNode) => self.end(Ended::Overtaken),
            _ => {
                let after = if self.opened { After::Undone } else { After::AsFound };
                self.end(refused(PLUG, reply, after))
            }
        }
    }

    /// Ends so, once what this run opened is closed again.
    fn end(&mut self, end: Ended) -> Option<Ended> {
        if self.opened { self.go_to(Step::Close(end)) } else { Some(end) }
    }

    fn closed(&self, end: Ended, answer: Result<(), ErrorReply>) -> Ended {
        let Err(reply) = answer else { return end };
        match (Meaning::of(&reply), end) {
            // Somebody else closed it, or plugged it in.
            (Some(Meaning::NoNode), end) => end,
            (_, Ended::Overtaken) => Ended::Overtaken,
            (_, Ended::Failed(Error::Refused { doing, reply: cause, meaning, .. })) => {
                let after = After::Left { name: self.disk.name.clone(), why: reply.desc };
                Ended::Failed(Error::Refused { doing, reply: cause, meaning, after })
            }
            (_, _) => {
                let name = self.disk.name.clone();
                let after = After::Left { name, why: reply.desc.clone() };
                refused(CLOSE, reply, after)
            }
        }
    }

    fn go_to(&mut self, step: Step) -> Option<Ended> {
        self.step = step;
        self.sent = false;
        None
    }

    fn doing(&self) -> &'static str {
        match self.step {
            Step::Open => OPEN,
            Step::Plug(_) => PLUG,
            Step::Close(_) => CLOSE,
        }
    }

    fn lost(&self, why: String) -> Ended {
        let (name, doing) = (self.disk.name.clone(), self.doing());
        Ended::Failed(Error::Unknown { name, doing, why })
    }

    fn not_sent(&self, why: String) -> Ended {
        let after = if self.opened {
            After::Left { name: self.disk.name.clone(), why: why.clone() }
        } else {
            After::Unchanged
        };
        Ended::Failed(Error::NotSent { doing: self.doing(), why, after })
    }
}

fn refused(doing: &'static str, reply: ErrorReply, after: After) -> Ended {
    let meaning = Meaning::of(&reply);
    Ended::Failed(Error::Refused { doing, reply, meaning, after })
}
