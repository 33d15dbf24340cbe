//! Carries out the steps of one disk, or of something that disks share, and undoes them when one is
//! refused.
//!
//! ```text
//!                    this port cannot, another is left
//!                       ┌──────────┐
//!  step ──► step ──► plug in ──────┴──► step ──► Done
//!   │        │          │                │
//!   └────────┴──────────┴────────────────┴── refused, or somebody else was faster ──►
//!                        the undo of each, last first ──► Failed, NoRoom, Overtaken
//! ```
//!
//! A drive is taken back only where no device has it: another client may have gone on with what was
//! half done, and QEMU would take it from under that one's disk.

use qplug_proto::ErrorReply;

use crate::command::Command;
use crate::dialect;
use crate::error::{After, Error, Left};
use crate::inventory::{Port, Tree};
use crate::operation::Answer;
use crate::spares::Spares;
use crate::step::Step;
use crate::texts::Meaning;

/// How a run ends.
#[derive(Debug)]
pub(crate) enum Ended {
    /// All steps were carried out; the port is the one of the last step that had one.
    Done(Option<Port>),
    /// Another client made something of the same name meanwhile, or took something away. What this
    /// run had made is undone.
    Overtaken,
    /// Every port that looked free refused, at last in these words; all was undone.
    NoRoom(ErrorReply),
    /// As the error says.
    Failed(Error),
}

/// A run under way.
#[derive(Debug)]
pub(crate) struct Run {
    /// Whose it is, in words.
    name: String,
    steps: Vec<Step>,
    /// The step whose turn it is: forwards, or backwards when there is an end already.
    at: usize,
    /// What the run comes to, once everything is undone.
    end: Option<Ended>,
    /// What could not be undone.
    left: Vec<Left>,
    sent: bool,
    /// Whether no device has the drive that is to be taken back.
    is_idle: bool,
    /// Whether an earlier run had left something that this one goes on with.
    resumes: bool,
}

impl Run {
    /// A run of these steps, of which there must be one.
    pub(crate) fn new(name: String, steps: Vec<Step>, resumes: bool) -> Self {
        Self {
            name,
            steps,
            at: 0,
            end: None,
            left: Vec::new(),
            sent: false,
            is_idle: false,
            resumes,
        }
    }

    /// The next command; none while one is on its way.
    pub(crate) fn poll_transmit(&mut self) -> Option<Command> {
        if std::mem::replace(&mut self.sent, true) {
            return None;
        }
        match self.drive_to_look_at() {
            Some(_) => Some(dialect::show_tree()),
            None => self.command().cloned(),
        }
    }

    /// The command whose turn it is.
    fn command(&self) -> Option<&Command> {
        let step = self.steps.get(self.at)?;
        match self.end {
            None => Some(&step.command),
            Some(_) => step.undo.as_ref(),
        }
    }

    /// The drive that is to be taken back, as long as nobody knows whether a device has it.
    fn drive_to_look_at(&self) -> Option<&str> {
        self.end.as_ref().filter(|_| !self.is_idle)?;
        self.steps.get(self.at)?.drive.as_deref()
    }

    /// Has the command sent again whose answer was not handed in.
    pub(crate) fn try_again(&mut self) {
        self.sent = false;
    }

    /// Takes in the answer to the command; the end, if this is it.
    pub(crate) fn handle_answer(&mut self, answer: Answer, spares: &mut Spares) -> Option<Ended> {
        self.sent = false;
        if self.drive_to_look_at().is_some() {
            return self.handle_looked(answer);
        }
        let answer = match self.command()?.read(answer) {
            Answer::Returned(_) => Ok(()),
            Answer::Refused(reply) if self.is_cleared(&reply) => Ok(()),
            Answer::Refused(reply) => Err(reply),
            Answer::Lost(why) => return Some(self.lost(why)),
            Answer::NotSent(why) => return Some(self.not_sent(why)),
        };
        match (self.end.is_some(), answer) {
            (false, Ok(())) => {
                self.at += 1;
                let port = || self.steps.iter().rev().find_map(|step| step.port.clone());
                (self.at == self.steps.len()).then(|| Ended::Done(port()))
            }
            (false, Err(reply)) => self.handle_refused(reply, spares),
            (true, answer) => self.handle_undone(answer),
        }
    }

    /// Whether the step is to remove what somebody else has removed meanwhile.
    fn is_cleared(&self, reply: &ErrorReply) -> bool {
        let step = &self.steps[self.at];
        self.end.is_none() && step.clears && Meaning::is_gone(reply, &step.command)
    }

    fn handle_refused(&mut self, reply: ErrorReply, spares: &mut Spares) -> Option<Ended> {
        let meaning = Meaning::of(&reply);
        let step = &mut self.steps[self.at];
        if let (Some(port), Some(meaning)) = (&step.port, meaning)
            && meaning.is_about_the_port()
        {
            if matches!(port, Port::Controller { .. }) && meaning == Meaning::NoBus {
                // Somebody has unplugged it meanwhile.
                return self.turn_back(Ended::Overtaken);
            }
            match spares.instead_of(port, meaning) {
                Some(next) => {
                    step.move_to(next);
                    return None;
                }
                None if spares.are_for(port) => return self.turn_back(Ended::NoRoom(reply)),
                None => {}
            }
        }
        if meaning.is_some_and(Meaning::is_about_others) {
            return self.turn_back(Ended::Overtaken);
        }
        let (doing, after) = (step.doing, self.after());
        self.turn_back(Ended::Failed(Error::Refused { doing, reply, meaning, after }))
    }

    /// What state the machine is in once everything is undone.
    fn after(&self) -> After {
        let undoes = self.steps[..self.at].iter().any(|step| step.undo.is_some());
        match (self.resumes, undoes) {
            (true, _) => After::AsFound,
            (false, true) => After::Undone,
            (false, false) => After::Unchanged,
        }
    }

    fn turn_back(&mut self, end: Ended) -> Option<Ended> {
        self.end = Some(end);
        self.step_back()
    }

    /// To the next step back that has an undo; the end, if there is none.
    fn step_back(&mut self) -> Option<Ended> {
        match self.steps[..self.at].iter().rposition(|step| step.undo.is_some()) {
            Some(at) => {
                self.at = at;
                None
            }
            None => self.finish(),
        }
    }

    /// Takes the drive back if no device has it. Where nobody can tell, it is left.
    fn handle_looked(&mut self, answer: Answer) -> Option<Ended> {
        let answer = match answer {
            Answer::Lost(why) => return Some(self.lost(why)),
            Answer::NotSent(why) => return Some(self.not_sent(why)),
            answer => answer,
        };
        let drive = self.drive_to_look_at()?;
        match Tree::read(answer) {
            Ok(tree) if !tree.by_drive().contains_key(drive) => {
                self.is_idle = true;
                return None;
            }
            Ok(_) => {}
            Err(error) => {
                let undo = self.steps[self.at].undo.clone();
                self.left.extend(undo.map(|undo| Left { undo, why: error.to_string() }));
            }
        }
        self.step_back()
    }

    fn handle_undone(&mut self, answer: Result<(), ErrorReply>) -> Option<Ended> {
        if let Err(reply) = answer
            // Gone already, or somebody else has taken it over.
            && let Some(undo) = self.steps[self.at].undo.clone()
            && !Meaning::is_gone(&reply, &undo)
            && !matches!(self.end, Some(Ended::Overtaken))
        {
            self.left.push(Left { undo, why: reply.desc });
        }
        self.step_back()
    }

    fn finish(&mut self) -> Option<Ended> {
        let left = std::mem::take(&mut self.left);
        let end = self.end.take()?;
        if left.is_empty() {
            return Some(end);
        }
        let after = After::Left(left);
        Some(match end {
            Ended::Failed(Error::Refused { doing, reply, meaning, .. }) => {
                Ended::Failed(Error::Refused { doing, reply, meaning, after })
            }
            Ended::NoRoom(reply) => {
                let meaning = Meaning::of(&reply);
                let doing = "find a port that takes it";
                Ended::Failed(Error::Refused { doing, reply, meaning, after })
            }
            end => end,
        })
    }

    fn doing(&self) -> &'static str {
        match self.end {
            None => self.steps[self.at].doing,
            Some(_) => "undo what was done",
        }
    }

    fn lost(&self, why: String) -> Ended {
        Ended::Failed(Error::Unknown { name: self.name.clone(), doing: self.doing(), why })
    }

    /// What was done before it stays, and what had an undo would have been taken back.
    fn not_sent(&mut self, why: String) -> Ended {
        let done = self.at + usize::from(self.end.is_some());
        let undos = self.steps[..done].iter().rev().filter_map(|step| step.undo.clone());
        let mut left = std::mem::take(&mut self.left);
        left.extend(undos.map(|undo| Left { undo, why: why.clone() }));
        let after = if left.is_empty() { After::Unchanged } else { After::Left(left) };
        Ended::Failed(Error::NotSent { doing: self.doing(), why, after })
    }
}
