//! Carries a plan out, step by step, and undoes it when a step is refused.
//!
//! ```text
//!            refused, another port left            refused
//!           ┌────────┐                        ┌──────────────► undone ──► Refused
//!  clear ──► open ──► plug ──► attached        close
//!             │        └───────────────────────┘
//!             └── refused: nothing to undo
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

/// How a run ends well.
pub(crate) type Ended = Result<Port, Failure>;

/// How a run ends badly.
#[derive(Debug)]
pub(crate) enum Failure {
    /// As the error says.
    Error(Error),
    /// Every port that looked free refused the disk; all was undone.
    NoRoom,
}

/// What a run is there for.
const PLUG: &str = "plug the device in";

/// The steps of an attach.
#[derive(Debug)]
enum Step {
    /// Close what an earlier run left open under the same name.
    Clear,
    /// Open the image.
    Open,
    /// Plug the device into a port.
    Plug(Port),
    /// Undo `Open`, because `Plug` was refused.
    Close(Option<ErrorReply>),
}

impl Step {
    fn doing(&self) -> &'static str {
        match self {
            Self::Clear => "close the image that was left open under this name",
            Self::Open => "open the image",
            Self::Plug(_) => PLUG,
            Self::Close(_) => "close the image again",
        }
    }
}

/// A run under way.
#[derive(Debug)]
pub(crate) struct Run {
    disk: Disk,
    ports: VecDeque<Port>,
    step: Step,
    sent: bool,
}

impl Run {
    /// Starts where the machine is. There must be a port.
    pub(crate) fn new(disk: Disk, found: Found, ports: VecDeque<Port>) -> Self {
        let mut run = Self { disk, ports, step: Step::Open, sent: false };
        match found {
            Found::Nothing => {}
            Found::OtherImage => run.step = Step::Clear,
            Found::OpenImage => {
                run.plug_next(None);
            }
        }
        run
    }

    /// The next command.
    pub(crate) fn poll_transmit(&mut self) -> Option<Command> {
        if std::mem::replace(&mut self.sent, true) {
            return None;
        }
        Some(match &self.step {
            Step::Clear | Step::Close(_) => command::remove_nodes(&self.disk.name),
            Step::Open => command::add_nodes(&self.disk),
            Step::Plug(port) => command::add_device(&self.disk, port),
        })
    }

    /// Takes in the answer to the command; the end, if this is it.
    pub(crate) fn handle_answer(&mut self, answer: Answer) -> Option<Ended> {
        let reply = match answer {
            Answer::Lost(why) => return Some(Err(self.lost(why))),
            Answer::Refused(reply) => Some(reply),
            Answer::Returned(_) => None,
        };
        let meaning = reply.as_ref().and_then(Meaning::of);
        match (std::mem::replace(&mut self.step, Step::Open), reply) {
            (Step::Clear, None) => self.go_to(Step::Open),
            (Step::Clear, Some(_)) if meaning == Some(Meaning::NoNode) => self.go_to(Step::Open),
            (Step::Open, None) => self.plug_next(None),
            (Step::Plug(port), None) => Some(Ok(port)),
            (Step::Plug(_), Some(reply)) if is_about_port(meaning) => self.plug_next(Some(reply)),
            (Step::Plug(_), Some(reply)) => self.go_to(Step::Close(Some(reply))),
            (step @ (Step::Clear | Step::Open), Some(reply)) => {
                Some(Err(refused(step.doing(), reply, After::Unchanged)))
            }
            (Step::Close(None), None) => Some(Err(Failure::NoRoom)),
            (Step::Close(cause), reply) => {
                let after = reply.as_ref().map_or(After::Undone, |reply| After::Left {
                    name: self.disk.name.clone(),
                    why: reply.desc.clone(),
                });
                // Without a cause the undoing itself is all that failed.
                let cause = cause.or(reply)?;
                Some(Err(refused(PLUG, cause, after)))
            }
        }
    }

    /// Goes to the next port. With none left, an only port's refusal is the cause to tell;
    /// otherwise there was no room.
    fn plug_next(&mut self, refusal: Option<ErrorReply>) -> Option<Ended> {
        match self.ports.pop_front() {
            Some(port) => self.go_to(Step::Plug(port)),
            None => {
                let chosen = self.disk.port.is_some();
                self.go_to(Step::Close(refusal.filter(|_| chosen)))
            }
        }
    }

    fn go_to(&mut self, step: Step) -> Option<Ended> {
        self.step = step;
        self.sent = false;
        None
    }

    fn lost(&self, why: String) -> Failure {
        let (name, doing) = (self.disk.name.clone(), self.step.doing());
        Failure::Error(Error::Unknown { name, doing, why })
    }
}

fn is_about_port(meaning: Option<Meaning>) -> bool {
    use Meaning::{NoBus, NotHotpluggable, PortTaken};
    matches!(meaning, Some(PortTaken | NotHotpluggable | NoBus))
}

fn refused(doing: &'static str, reply: ErrorReply, after: After) -> Failure {
    let meaning = Meaning::of(&reply);
    Failure::Error(Error::Refused { doing, reply, meaning, after })
}
