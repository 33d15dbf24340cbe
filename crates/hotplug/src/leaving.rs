//! A device on its way out: ask the guest, wait until it has let go, close the image, and remove
//! what was there for the device alone.
//!
//! ```text
//!  [mark ──► count ──►] ask ──► wait ──► [unmark ──►] close ──► clear ──► Removed
//!              │        ▲  │     │ └──── the guest says no ──► Refused
//!              │        └──┴─────┤ ask again
//!              │                 └────── the deadline ──► mark ──► Pending
//!              └── a disk has come to use it ──► unmark ──► it stays
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `leaving/looking.rs` | seeing that a device is gone where nothing says so |
//! | `leaving/closing.rs` | what is done once it is gone |

mod closing;
mod looking;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::command::{self, Command};
use crate::detach::Detached;
use crate::error::{After, Error};
use crate::inventory::Devices;
use crate::operation::{Answer, decode_optional};
use crate::texts::Meaning;
use looking::LookAgain;
use qplug_proto::ErrorReply;

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

/// What a detach does.
const ASK: &str = "ask the guest to let go";
const CLOSE: &str = "close the image";
const CLEAR: &str = "remove what was there for the disk alone";

/// What is to go.
#[derive(Debug)]
pub(crate) struct Goods {
    /// Whose it is, in words.
    pub(crate) name: String,
    /// The device; `None` when it is gone, and only the rest is left.
    pub(crate) device: Option<String>,
    /// What closes its image, if it has one.
    pub(crate) close: Option<Command>,
    /// What removes the rest.
    pub(crate) rest: VecDeque<Command>,
    /// The object that says that it is on its way out.
    pub(crate) mark: String,
    /// What makes it; nothing where the machine has no such objects.
    pub(crate) make_mark: Option<Command>,
    /// Whether the machine says when the guest has let go; else it is asked again and again.
    pub(crate) is_announced: bool,
    /// Whether that is to be said before the guest is asked, not only when it does not answer.
    pub(crate) marked_first: bool,
    /// Whether it is said already.
    pub(crate) is_marked: bool,
    /// What shows whether something uses it, asked once the mark is there: whoever came to use it
    /// before that is seen, and whoever comes later sees the mark.
    pub(crate) count: Option<Command>,
}

/// A device on its way out.
#[derive(Debug)]
pub(crate) struct Leaving {
    goods: Goods,
    timeout: Duration,
    state: State,
    /// The command to send, once.
    outbox: Option<Command>,
    asked: Option<Asked>,
    look_again: Option<LookAgain>,
    /// Whether the mark is this detach's, and not another client's.
    made_mark: bool,
    /// QEMU's words when it last refused to ask the guest, because that was busy with the port.
    busy: Option<ErrorReply>,
    was_gone: bool,
    /// How it ends once the mark of a device that stays is gone.
    staying: Option<Result<Detached, Error>>,
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
    /// The mark is being made, before anything else.
    Marking,
    /// What uses it is being asked about.
    Counting,
    /// `device_del` is on its way. The event may overtake its reply.
    Asking {
        gone: bool,
        /// The guest has said no.
        refused: bool,
    },
    /// The guest is to answer; `ask_at` is when to ask again.
    Waiting {
        ask_at: Instant,
    },
    /// The machine does not say when the guest has answered, and is being looked at: first at its PCI
    /// devices, then at all of them, for it does not show what is behind a bridge that has no number
    /// yet, or while the guest boots anew.
    Looking {
        ask_at: Instant,
        at_all: bool,
    },
    /// The device is gone, and its mark is being removed: it must not outlive the nodes, or it would
    /// be taken for the mark of the next disk of this name.
    Unmarking,
    /// The device stays, and the mark is being removed.
    Staying,
    /// `blockdev-del` is on its way.
    Closing {
        tries: u32,
    },
    /// The node still had a user.
    ClosingAgain {
        tries: u32,
        at: Instant,
    },
    /// Removing the rest.
    Clearing,
    /// The deadline has come, and the mark is being made. The guest may still be faster.
    GivingUp {
        gone: bool,
    },
    Over,
}

impl Leaving {
    /// Sends these goods on their way, and waits at most `timeout` for the guest.
    pub(crate) fn new(goods: Goods, timeout: Duration) -> Self {
        let mut leaving = Self {
            was_gone: goods.device.is_none(),
            goods,
            timeout,
            state: State::Over,
            outbox: None,
            asked: None,
            look_again: None,
            made_mark: false,
            busy: None,
            staying: None,
            outcome: None,
        };
        if leaving.goods.device.is_none() {
            leaving.close(0);
        } else if leaving.goods.marked_first
            && !leaving.goods.is_marked
            && let Some(mark) = leaving.goods.make_mark.clone()
        {
            leaving.state = State::Marking;
            leaving.outbox = Some(mark);
        } else {
            leaving.count();
        }
        leaving
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Command> {
        self.outbox.take()
    }

    pub(crate) fn has_command(&self) -> bool {
        self.outbox.is_some()
    }

    pub(crate) fn poll_outcome(&mut self) -> Option<Result<Detached, Error>> {
        self.outcome.take()
    }

    /// What the command on its way does.
    pub(crate) fn doing(&self) -> &'static str {
        match self.state {
            State::Unmarking | State::Closing { .. } => CLOSE,
            State::Clearing => CLEAR,
            _ => ASK,
        }
    }

    /// Looks whether nothing uses it, where that is to be looked at.
    fn count(&mut self) {
        match self.goods.count.clone() {
            Some(count) => {
                self.state = State::Counting;
                self.outbox = Some(count);
            }
            None => self.ask(),
        }
    }

    /// A controller that is not there any more is found out by asking.
    fn handle_counted(&mut self, count: &Command, answer: Answer) {
        let devices = decode_optional::<Devices>(count, answer).ok().flatten();
        if devices.is_none_or(|devices| devices.children() == 0) {
            return self.ask();
        }
        // A mark of another client's says what that one does.
        self.goods.is_marked &= self.made_mark;
        self.stay(Err(Error::InUseAgain { shared: self.goods.name.clone() }));
    }

    fn ask(&mut self) {
        self.state = State::Asking { gone: false, refused: false };
        self.outbox = self.goods.device.as_deref().map(command::remove_device);
    }

    fn end(&mut self, outcome: Result<Detached, Error>) {
        self.state = State::Over;
        self.outcome = Some(outcome);
    }

    pub(crate) fn handle_answer(&mut self, answer: Answer, now: Instant) {
        let doing = self.doing();
        if let State::Looking { ask_at, at_all } = self.state {
            return self.handle_looked(ask_at, at_all, answer, now);
        }
        if let (State::Counting, Some(count)) = (self.state, self.goods.count.clone()) {
            match answer {
                Answer::Lost(why) => return self.lose(doing, why),
                Answer::NotSent(why) => return self.not_sent(doing, why),
                answer => return self.handle_counted(&count, answer),
            }
        }
        let sent = match self.state {
            State::Closing { .. } => self.goods.close.as_ref(),
            State::Clearing => self.goods.rest.front(),
            _ => None,
        };
        let answer = match sent {
            Some(sent) => sent.read(answer),
            None => answer,
        };
        let reply = match answer {
            Answer::Returned(_) => Ok(()),
            Answer::Refused(reply) => Err(reply),
            Answer::Lost(why) => return self.lose(doing, why),
            Answer::NotSent(why) => return self.not_sent(doing, why),
        };
        match self.state {
            State::Marking => {
                self.goods.is_marked = true;
                self.made_mark = reply.is_ok();
                self.count();
            }
            State::Asking { gone, refused } => self.handle_asked(gone, refused, reply, now),
            State::Closing { tries } => self.handle_closed(tries, reply, now),
            State::Clearing => self.handle_cleared(reply),
            State::Unmarking => self.handle_unmarked(reply),
            State::Staying => {
                if let Some(outcome) = self.staying.take() {
                    self.end(outcome);
                }
            }
            // A QEMU that cannot make the mark has a detach that is pending all the same.
            State::GivingUp { gone: false } => self.end(Ok(Detached::Pending)),
            State::GivingUp { gone: true } => {
                self.goods.is_marked = reply.is_ok();
                self.close(0);
            }
            State::Waiting { .. }
            | State::Looking { .. }
            | State::Counting
            | State::ClosingAgain { .. }
            | State::Over => {}
        }
    }

    fn handle_asked(
        &mut self,
        gone: bool,
        refused: bool,
        reply: Result<(), ErrorReply>,
        now: Instant,
    ) {
        let asked = self.asked.get_or_insert(Asked { at: now, passed_on: false });
        let again = ask_again_at(asked.at, now);
        if gone {
            return self.close(0);
        }
        if refused {
            return self.stay(Ok(Detached::Refused));
        }
        let Err(reply) = reply else {
            asked.passed_on = true;
            return self.wait(again, now);
        };
        match Meaning::of(&reply) {
            Some(Meaning::NoDevice) => self.close(0),
            Some(Meaning::AlreadyUnplugging) => {
                asked.passed_on = true;
                self.wait(again, now);
            }
            Some(Meaning::GuestBusy) => {
                self.busy = Some(reply);
                self.state = State::Waiting { ask_at: now + BUSY_PAUSE };
            }
            // The guest was asked before, and may let go all the same.
            _ if asked.passed_on => self.state = State::Waiting { ask_at: again },
            meaning => {
                let after = After::Unchanged;
                let error = Err(Error::Refused { doing: ASK, reply, meaning, after });
                // A mark of before tells of a guest that was asked before.
                match self.goods.marked_first {
                    true => self.stay(error),
                    false => self.end(error),
                }
            }
        }
    }

    fn lose(&mut self, doing: &'static str, why: String) {
        self.end(Err(Error::Unknown { name: self.goods.name.clone(), doing, why }));
    }

    fn not_sent(&mut self, doing: &'static str, why: String) {
        let after = match self.state {
            // The guest was asked before, and may let go all the same.
            _ if self.asked.is_some_and(|asked| asked.passed_on) && doing == ASK => {
                return self.lose(doing, why);
            }
            State::Unmarking | State::Closing { .. } => After::StillOpen,
            State::Clearing => {
                let left =
                    |undo: &Command| crate::error::Left { undo: undo.clone(), why: why.clone() };
                After::Left(self.goods.rest.iter().map(left).collect())
            }
            _ => After::Unchanged,
        };
        self.end(Err(Error::NotSent { doing, why, after }));
    }

    /// The device is gone from the machine.
    pub(crate) fn handle_deleted(&mut self) {
        match self.state {
            State::Asking { refused, .. } => self.state = State::Asking { gone: true, refused },
            State::Waiting { .. } => self.close(0),
            State::GivingUp { .. } => self.state = State::GivingUp { gone: true },
            _ => {}
        }
    }

    /// The guest says no.
    pub(crate) fn handle_refusal(&mut self) {
        match self.state {
            // The reply comes first: whoever is asked next is not to get it.
            State::Asking { gone: false, .. } => {
                self.state = State::Asking { gone: false, refused: true };
            }
            State::Waiting { .. } => self.stay(Ok(Detached::Refused)),
            _ => {}
        }
    }

    /// The device stays, and is not on its way out any more.
    fn stay(&mut self, outcome: Result<Detached, Error>) {
        if !std::mem::take(&mut self.goods.is_marked) {
            return self.end(outcome);
        }
        self.state = State::Staying;
        self.staying = Some(outcome);
        self.outbox = Some(command::remove_object(&self.goods.mark));
    }

    /// The event that is waited for may be among those missed: QEMU says so when it is asked again.
    pub(crate) fn handle_missed(&mut self) {
        if let State::Waiting { .. } = self.state {
            self.ask();
        }
    }

    pub(crate) fn handle_lost(&mut self, why: String) {
        if !matches!(self.state, State::Over) {
            self.lose("unplug the device and close the image", why);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { ask_at } => {
                let look_at = self.look_again.map(|it| it.at);
                self.deadline().into_iter().chain(look_at).chain([ask_at]).min()
            }
            State::ClosingAgain { at, .. } => Some(at),
            _ => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Waiting { .. } if self.deadline().is_some_and(|deadline| deadline <= now) => {
                self.give_up();
            }
            // Where nothing tells, one that is gone is not to be asked: by now its name may be another's.
            State::Waiting { ask_at } if ask_at <= now && self.look_again.is_some() => {
                self.look(ask_at, false);
            }
            State::Waiting { ask_at } if ask_at <= now => self.ask(),
            State::Waiting { ask_at } if self.look_again.is_some_and(|it| it.at <= now) => {
                self.look(ask_at, false);
            }
            State::ClosingAgain { tries, at } if at <= now => self.close(tries),
            _ => {}
        }
    }

    /// A time that no clock can name is never reached.
    fn deadline(&self) -> Option<Instant> {
        self.asked.and_then(|asked| asked.at.checked_add(self.timeout))
    }

    /// Whether the guest was asked at all makes the difference.
    fn give_up(&mut self) {
        let passed_on = self.asked.is_some_and(|asked| asked.passed_on);
        match self.busy.take() {
            Some(reply) if !passed_on => {
                let (meaning, after) = (Meaning::of(&reply), After::Unchanged);
                let error = Err(Error::Refused { doing: ASK, reply, meaning, after });
                match self.goods.marked_first {
                    true => self.stay(error),
                    false => self.end(error),
                }
            }
            _ if self.goods.is_marked => self.end(Ok(Detached::Pending)),
            _ => match self.goods.make_mark.clone() {
                Some(mark) => {
                    self.state = State::GivingUp { gone: false };
                    self.outbox = Some(mark);
                }
                None => self.end(Ok(Detached::Pending)),
            },
        }
    }
}

/// When to ask again, after an asking at `now`.
fn ask_again_at(first: Instant, now: Instant) -> Instant {
    let planned = ASK_AGAIN_AFTER.iter().map(|after| first + *after).find(|at| *at > now);
    planned.unwrap_or_else(|| now + ASK_AGAIN_EVERY)
}
