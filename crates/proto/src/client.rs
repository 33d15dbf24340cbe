//! The client's side of the conversation, as a state machine.
//!
//! Methods come in four kinds. Callers hand in what happened ([`Client::handle_input`], or
//! [`Client::space`] with [`Client::handle_filled`]; [`Client::handle_timeout`];
//! [`Client::handle_close`]), ask for a command with [`Client::execute`] or
//! [`Client::execute_oob`], and then poll, in this order, [`Client::poll_transmit`] (bytes to send),
//! [`Client::poll_incoming`] (what was learned) and [`Client::poll_timeout`] (when to call back at the
//! latest). Answers of the polls change only through a call of one of the others.

mod dialect;
mod outbox;

use std::collections::VecDeque;
use std::time::Instant;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::frame::{FrameError, Framer};
use crate::message::{ErrorReply, Event, Greeting, Message, without_bare_numbers};
pub use dialect::Dialect;
use dialect::State;
use outbox::Outbox;
pub use outbox::Traffic;

/// How many commands may wait for their replies at once, those given up on included. QEMU answers
/// 100 pipelined commands in order; the bound only keeps a runaway caller from filling memory.
pub const MAX_PENDING_COMMANDS: usize = 4096;

/// How many in-band commands are in flight at once when out-of-band ones are enabled. From 8 on,
/// QEMU stops reading, and an out-of-band command would wait like any other.
pub const OOB_IN_FLIGHT: usize = 7;

/// Names a command of this connection, to match its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(u32);

/// What a client learned from its peer or from the clock.
#[derive(Debug)]
pub enum Incoming {
    /// The peer is a QMP server. Negotiation follows by itself, and commands may be given from the
    /// start: they travel behind it.
    Greeting(Greeting),
    /// A guest agent is in step; see [`Dialect::Agent`].
    Synchronized,
    /// A command was answered.
    Reply {
        /// Which command.
        id: CommandId,
        /// What it returned, unparsed, or why QEMU refused it.
        result: Result<Box<RawValue>, ErrorReply>,
    },
    /// A command was sent, and there will be no answer: nobody knows whether it was carried out. It
    /// is no failure. A late reply is dropped.
    Unknown {
        /// Which command.
        id: CommandId,
        /// Why there is no answer.
        why: Unanswered,
    },
    /// The connection closed before this command was handed out to be sent.
    NotSent(CommandId),
    /// Something happened in the machine.
    Event(Event),
    /// QEMU could not parse something that it was sent. It does not say what.
    Unattributed(ErrorReply),
}

/// Why a command that was sent has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// Its deadline passed.
    Overdue,
    /// The connection closed.
    Closed,
}

/// The peer broke the protocol. Nothing more can be learned over this connection: close it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The bytes cannot be messages.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A message is not one that a QMP server sends.
    #[error("not a QMP message ({reason}): {start}")]
    Message {
        /// What the parser found wrong.
        reason: String,
        /// How the message begins.
        start: String,
    },
    /// The first message was not a greeting.
    #[error("the first message is not a QMP greeting: {start}")]
    NoGreeting {
        /// How the message begins.
        start: String,
    },
    /// QEMU refused the negotiation.
    #[error("capability negotiation was refused: {0}")]
    Negotiation(ErrorReply),
    /// The greeting did not come within its deadline. QEMU lets a second client connect and then
    /// keeps silent until the first one leaves, so this is what a monitor in use looks like.
    #[error("connected, but no greeting came")]
    Silent,
}

/// A command that cannot be given now; nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// The arguments cannot be written as JSON.
    #[error("the arguments cannot be written as JSON: {0}")]
    Encode(String),
    /// [`MAX_PENDING_COMMANDS`] commands wait for replies already.
    #[error("{MAX_PENDING_COMMANDS} commands wait for their replies already")]
    Full,
    /// The command was to run out of band, and that was not asked for at negotiation, or the server
    /// does not offer it (QEMU before 3.0, and monitors without an I/O thread).
    #[error("this connection has no out-of-band commands")]
    NoOob,
}

/// A command whose reply is outstanding.
#[derive(Debug)]
struct Pending {
    id: CommandId,
    deadline: Option<Instant>,
    in_band: bool,
    /// Nobody waits for the reply any more, but it may still come.
    given_up: bool,
}

/// The state machine of a QMP client.
#[derive(Debug)]
pub struct Client {
    state: State,
    framer: Framer,
    outbox: Outbox,
    /// In the order in which they were given; the last [`Outbox::waiting`] of the in-band ones are
    /// not sent yet.
    pending: VecDeque<Pending>,
    /// How many of them are in-band ones.
    in_band: usize,
    incoming: VecDeque<Incoming>,
    next_id: u32,
}

impl Client {
    /// A client on a fresh connection, which gives its peer until `deadline` to greet, or, where the
    /// dialect has no greeting, to answer the first synchronization.
    #[must_use]
    pub fn new(dialect: Dialect, deadline: Option<Instant>) -> Self {
        let mut client = Self {
            state: State::AwaitingGreeting {
                deadline,
                oob: dialect == Dialect::QmpWithOob,
                left_over: false,
            },
            framer: Framer::default(),
            outbox: Outbox::default(),
            pending: VecDeque::new(),
            in_band: 0,
            incoming: VecDeque::new(),
            next_id: 0,
        };
        if let Dialect::Agent { token } = dialect {
            client.state = State::Synchronizing { deadline, token, seen_mark: false };
            client.outbox.send(&dialect::synchronize(token));
        }
        client
    }

    /// Begins anew on another connection, after [`Client::handle_close`]. Ids go on from where they
    /// were, so that an answer kept from before cannot be taken for a later one's.
    pub fn begin_anew(&mut self, dialect: Dialect, deadline: Option<Instant>) {
        let (next_id, incoming) = (self.next_id, std::mem::take(&mut self.incoming));
        *self = Self { next_id, incoming, ..Self::new(dialect, deadline) };
    }

    /// Gives a command. Its reply, or [`Incoming::Unknown`] at `deadline`, will name the id.
    ///
    /// # Errors
    /// When the command cannot be sent; see [`ExecuteError`].
    pub fn execute(
        &mut self,
        command: &str,
        arguments: Option<&impl Serialize>,
        deadline: Option<Instant>,
    ) -> Result<CommandId, ExecuteError> {
        self.give("execute", command, arguments, deadline)
    }

    /// Gives a command that overtakes those in flight. QEMU has few: `migrate-recover`,
    /// `migrate-pause`, `yank` and `query-yank` in 7.2.
    ///
    /// # Errors
    /// When the command cannot be sent; see [`ExecuteError`].
    pub fn execute_oob(
        &mut self,
        command: &str,
        arguments: Option<&impl Serialize>,
        deadline: Option<Instant>,
    ) -> Result<CommandId, ExecuteError> {
        if !self.state.has_oob() {
            return Err(ExecuteError::NoOob);
        }
        self.give("exec-oob", command, arguments, deadline)
    }

    /// Gives up on a command's reply. It may have been carried out, or may still be.
    pub fn cancel(&mut self, id: CommandId) {
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.id == id) {
            pending.given_up = true;
            pending.deadline = None;
        }
    }

    /// Room for bytes of the peer's, to be read into directly; see [`Client::handle_filled`].
    pub fn space(&mut self) -> &mut [u8] {
        self.framer.space()
    }

    /// Takes in that `count` bytes were read into [`Client::space`].
    ///
    /// # Errors
    /// When the peer broke the protocol. What came before is still there to be polled.
    pub fn handle_filled(&mut self, count: usize) -> Result<(), ProtocolError> {
        self.framer.filled(count);
        self.read()
    }

    /// Takes in bytes as they came from the peer.
    ///
    /// # Errors
    /// When the peer broke the protocol. What came before is still there to be polled.
    pub fn handle_input(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        self.framer.push(bytes);
        self.read()
    }

    /// Takes in that it is `now`.
    ///
    /// # Errors
    /// [`ProtocolError::Silent`] when the greeting is overdue.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ProtocolError> {
        let due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if due(self.state.deadline()) {
            return Err(ProtocolError::Silent);
        }
        for pending in self.pending.iter_mut().filter(|pending| due(pending.deadline)) {
            pending.given_up = true;
            pending.deadline = None;
            self.incoming.push_back(Incoming::Unknown { id: pending.id, why: Unanswered::Overdue });
        }
        Ok(())
    }

    /// Takes in that the connection is closed: every command gets its end.
    pub fn handle_close(&mut self) {
        let mut sent = self.in_flight();
        for pending in self.pending.drain(..) {
            let was_sent = !pending.in_band || sent > 0;
            sent = sent.saturating_sub(usize::from(pending.in_band));
            if pending.given_up {
                continue;
            }
            self.incoming.push_back(if was_sent {
                Incoming::Unknown { id: pending.id, why: Unanswered::Closed }
            } else {
                Incoming::NotSent(pending.id)
            });
        }
        self.in_band = 0;
        self.outbox = Outbox::default();
    }

    /// The bytes to send now, all at once; empty when there are none. Say with
    /// [`Client::handle_transmitted`] how many of them went.
    #[must_use]
    pub fn poll_transmit(&self) -> &[u8] {
        self.outbox.bytes()
    }

    /// Takes in that so many bytes of [`Client::poll_transmit`] were sent.
    pub fn handle_transmitted(&mut self, count: usize) {
        self.outbox.sent(count);
    }

    /// The next thing learned, oldest first.
    pub fn poll_incoming(&mut self) -> Option<Incoming> {
        self.incoming.pop_front()
    }

    /// When [`Client::handle_timeout`] wants to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = self.pending.iter().filter_map(|pending| pending.deadline);
        deadlines.chain(self.state.deadline()).min()
    }

    /// Whether no command waits for its answer, and nothing waits to be sent.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.outbox.bytes().is_empty()
    }

    /// Whether an in-band command given now goes out at once, and not only after others' replies.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.in_flight() < self.state.in_flight_limit()
    }

    /// What was sent so far, or waits to be.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.outbox.traffic()
    }

    fn give(
        &mut self,
        verb: &str,
        command: &str,
        arguments: Option<&impl Serialize>,
        deadline: Option<Instant>,
    ) -> Result<CommandId, ExecuteError> {
        if self.pending.len() >= MAX_PENDING_COMMANDS {
            return Err(ExecuteError::Full);
        }
        let id = CommandId(self.next_id);
        let in_band = verb == "execute";
        let go = !in_band || self.in_flight() < self.state.in_flight_limit();
        let wire_id = self.state.has_ids().then_some(id.0);
        let encoded = if go {
            self.outbox.encode(verb, command, arguments, wire_id)
        } else {
            self.outbox.encode_later(verb, command, arguments, wire_id)
        };
        encoded.map_err(|error| ExecuteError::Encode(error.to_string()))?;
        self.next_id = self.next_id.wrapping_add(1);
        self.in_band += usize::from(in_band);
        self.pending.push_back(Pending { id, deadline, in_band, given_up: false });
        Ok(id)
    }

    fn read(&mut self) -> Result<(), ProtocolError> {
        if let State::Synchronizing { seen_mark: false, .. } = self.state
            && !self.framer.skip_past(dialect::MARK)
        {
            return Ok(());
        }
        self.state.mark_seen();
        // Taken out, so that a frame may be borrowed while the rest changes.
        let mut framer = std::mem::take(&mut self.framer);
        let outcome = self.read_frames(&mut framer);
        self.framer = framer;
        outcome
    }

    fn read_frames(&mut self, framer: &mut Framer) -> Result<(), ProtocolError> {
        while let Some(frame) = framer.next_frame()? {
            match Message::parse(frame) {
                Ok(message) => self.handle_message(message, frame)?,
                Err(error) => {
                    if framer.recheck() {
                        continue;
                    }
                    let frame = framer.last_frame();
                    let broken = || ProtocolError::Message {
                        reason: error.to_string(),
                        start: start_of(frame),
                    };
                    let mended = without_bare_numbers(frame).ok_or_else(broken)?;
                    let message = Message::parse(&mended).map_err(|_| broken())?;
                    self.handle_message(message, &mended)?;
                }
            }
            framer.accept();
        }
        Ok(())
    }

    fn handle_message(&mut self, message: Message<'_>, frame: &[u8]) -> Result<(), ProtocolError> {
        match (message, self.state) {
            (Message::Greeting(greeting), State::AwaitingGreeting { oob, .. }) => {
                let oob = oob && greeting.capabilities.iter().any(|name| name == "oob");
                self.outbox.negotiate(oob);
                self.state = State::Negotiating { oob };
                self.release();
                self.incoming.push_back(Incoming::Greeting(greeting));
            }
            // A second greeting is odd, but harmless: the conversation goes on.
            (Message::Greeting(_), _) => {}
            (
                Message::Reply { .. },
                State::AwaitingGreeting { deadline, oob, left_over: false },
            ) => {
                self.state = State::AwaitingGreeting { deadline, oob, left_over: true };
            }
            (Message::Reply { .. }, State::AwaitingGreeting { .. }) => {
                return Err(ProtocolError::NoGreeting { start: start_of(frame) });
            }
            (Message::Event { name, data, timestamp }, _) => {
                let data = data.map(ToOwned::to_owned);
                let event = Event { name: name.into_owned(), data, timestamp };
                self.incoming.push_back(Incoming::Event(event));
            }
            // Nothing of ours is answered before the negotiation: any other reply is one that an
            // earlier client had asked for.
            (Message::Reply { id: Some(id), result }, State::Negotiating { oob }) => {
                if id == outbox::NEGOTIATION_ID {
                    result.map_err(ProtocolError::Negotiation)?;
                    self.state = State::Ready { oob };
                }
            }
            (Message::Reply { result, .. }, State::Synchronizing { token, .. }) => {
                // An answer to an earlier client's question is passed over.
                if result.is_ok_and(|value| value.get() == token.to_string()) {
                    self.state = State::Agent;
                    self.incoming.push_back(Incoming::Synchronized);
                    self.release();
                }
            }
            (Message::Reply { result, .. }, State::Agent) => {
                self.handle_reply(self.pending.front().map(|pending| pending.id), result);
            }
            (Message::Reply { id: Some(id), result }, _) => {
                self.handle_reply(id.parse().ok().map(CommandId), result);
            }
            (Message::Reply { id: None, result: Err(error) }, _) => {
                self.incoming.push_back(Incoming::Unattributed(error));
            }
            (Message::Reply { id: None, result: Ok(_) }, _) => {}
        }
        Ok(())
    }

    /// A reply whose id is not pending is nobody's, and is dropped; so is one to a command that
    /// was not sent yet.
    fn handle_reply(&mut self, id: Option<CommandId>, result: Result<&RawValue, ErrorReply>) {
        let Some(id) = id else { return };
        let Some(at) = self.pending.iter().position(|pending| pending.id == id) else { return };
        if self.is_waiting(at) {
            return;
        }
        let Some(pending) = self.pending.remove(at) else { return };
        self.in_band -= usize::from(pending.in_band);
        if !pending.given_up {
            let result = result.map(ToOwned::to_owned);
            self.incoming.push_back(Incoming::Reply { id, result });
        }
        self.release();
    }

    /// Whether the pending command in this place was not sent yet.
    fn is_waiting(&self, at: usize) -> bool {
        self.outbox.waiting() > 0
            && self.pending[at].in_band
            && self.pending.iter().take(at).filter(|it| it.in_band).count() >= self.in_flight()
    }

    /// How many in-band commands were sent and not answered.
    fn in_flight(&self) -> usize {
        self.in_band - self.outbox.waiting()
    }

    /// Sends what waited, as far as the dialect lets commands be in flight.
    fn release(&mut self) {
        while self.outbox.waiting() > 0 && self.in_flight() < self.state.in_flight_limit() {
            self.outbox.release();
        }
    }
}

/// The start of a frame, for an error that shows what came.
fn start_of(frame: &[u8]) -> String {
    const SHOWN: usize = 80;
    String::from_utf8_lossy(&frame[..frame.len().min(SHOWN)]).into_owned()
}

#[cfg(test)]
mod tests;
