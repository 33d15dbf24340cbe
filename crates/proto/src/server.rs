//! The server's side of the conversation, as a state machine: the twin of [`crate::Client`].
//!
//! As faithful as QEMU's own monitor (7.2 and 10.0, and older ones: [`Generation`]), so that a client
//! cannot tell them apart: negotiation, ids, errors and their words, one in-band command at a time, out-of-band commands
//! that overtake, events that wait for the negotiation, and some that are limited to one a second.
//!
//! Callers hand in [`Server::handle_input`], [`Server::handle_timeout`], [`Server::reply`] and
//! [`Server::emit`], and then poll, in this order, [`Server::poll_request`] (a command to carry out),
//! [`Server::poll_transmit`] (bytes to send) and [`Server::poll_timeout`]. While
//! [`Server::wants_input`] is false, they leave the peer's bytes where they are.

mod agent;
mod classes;
mod envelope;
mod throttle;

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::value::RawValue;

use crate::generation::Generation;
use crate::lenient::Reader;
use crate::message::{ErrorReply, Event, Greeting};
use envelope::Envelope;
use throttle::Throttle;

/// How many commands a server with out-of-band enabled queues (QEMU's `QMP_REQ_QUEUE_LEN_MAX`).
/// At the bound it stops reading, so that out-of-band commands starve too.
pub const OOB_QUEUE_LIMIT: usize = 8;

/// How many bytes may wait to be sent before a server stops reading commands; events go on.
pub const OUTPUT_HIGH_WATER: usize = 1 << 20;

/// The bytes of events and replies that a peer may leave unread. At the bound the peer is given up
/// on: [`Server::is_overrun`].
pub const OUTPUT_LIMIT: usize = 64 << 20;

/// Names a request of this connection, to give its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u64);

/// A command to carry out.
#[derive(Debug)]
pub struct Request {
    /// To reply with.
    pub id: RequestId,
    /// The command's name.
    pub command: String,
    /// Its arguments, an object, in strict JSON; absent where the client gave none.
    pub arguments: Option<Box<RawValue>>,
    /// Whether it was given with `exec-oob`. A command that cannot run out of band is refused with
    /// [`ErrorReply::no_oob`].
    pub out_of_band: bool,
}

/// A request whose reply is outstanding.
#[derive(Debug)]
struct Running {
    id: RequestId,
    /// The client's id, in strict JSON.
    client_id: Option<String>,
    out_of_band: bool,
}

/// What the server speaks.
#[derive(Debug, PartialEq, Eq)]
enum Dialect {
    /// QMP, with the capabilities that the greeting offered.
    Qmp { capabilities: Vec<String> },
    /// The guest agent's.
    Agent,
}

/// The state machine of a QMP server, for one client.
#[derive(Debug)]
pub struct Server {
    dialect: Dialect,
    generation: Generation,
    reader: Reader,
    /// Bytes that came while the queue was full.
    unread: VecDeque<u8>,
    negotiated: bool,
    oob_enabled: bool,
    /// In-band messages, and errors that keep their place among them.
    queue: VecDeque<Result<Envelope, ErrorReply>>,
    /// Out-of-band messages, which overtake.
    overtaking: VecDeque<Envelope>,
    running: Vec<Running>,
    next_id: u64,
    transmit: Vec<u8>,
    is_overrun: bool,
    throttle: Throttle,
}

impl Server {
    /// A server on a fresh connection. It greets at once; the capability `oob` is offered if the
    /// greeting names it.
    #[must_use]
    pub fn new(greeting: Greeting) -> Self {
        Self::of(Generation::default(), greeting)
    }

    /// The same, as a QEMU of this generation.
    #[must_use]
    pub fn of(generation: Generation, greeting: Greeting) -> Self {
        let text = envelope::greeting(&greeting);
        let dialect = Dialect::Qmp { capabilities: greeting.capabilities };
        let mut server = Self::speaking(dialect, generation);
        server.send(&text);
        server
    }

    /// A guest agent's server: no greeting, no negotiation, no events, and lines that end in LF.
    /// It answers `guest-sync` and `guest-sync-delimited` by itself, the latter behind a byte 0xFF.
    #[must_use]
    pub fn agent() -> Self {
        Self { negotiated: true, ..Self::speaking(Dialect::Agent, Generation::default()) }
    }

    fn speaking(dialect: Dialect, generation: Generation) -> Self {
        Self {
            dialect,
            generation,
            reader: Reader::new(generation),
            unread: VecDeque::new(),
            negotiated: false,
            oob_enabled: false,
            queue: VecDeque::new(),
            overtaking: VecDeque::new(),
            running: Vec::new(),
            next_id: 0,
            transmit: Vec::new(),
            is_overrun: false,
            throttle: Throttle::default(),
        }
    }

    /// Takes in bytes as they came from the peer. Whatever they are, they are answered.
    pub fn handle_input(&mut self, bytes: &[u8]) {
        self.unread.extend(bytes);
        self.read();
    }

    /// Takes in that it is `now`: events that were held back may be due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for event in self.throttle.due(now) {
            self.send(&event);
        }
    }

    /// Gives the reply to a request. A request that is not outstanding is passed over.
    pub fn reply(&mut self, id: RequestId, result: Result<Box<RawValue>, ErrorReply>) {
        let Some(at) = self.running.iter().position(|running| running.id == id) else { return };
        let running = self.running.remove(at);
        self.answer(running.client_id.as_deref(), &result);
        self.read();
    }

    /// Tells the client of an event. Before the negotiation it is lost, as in QEMU, and an agent's
    /// client is told of none. Some events are
    /// limited to one a second: the latest of those that come sooner is sent when the second is over.
    pub fn emit(&mut self, event: &Event, now: Instant) {
        if !self.negotiated || self.dialect == Dialect::Agent {
            return;
        }
        let text = envelope::event(event);
        if let Some(text) = self.throttle.admit(event, text, now) {
            self.send(&text);
        }
    }

    /// The next command to carry out: an out-of-band one at once, an in-band one only when the one
    /// before it was replied to.
    pub fn poll_request(&mut self) -> Option<Request> {
        loop {
            if let Some(envelope) = self.overtaking.pop_front() {
                if let Some(request) = self.admit(envelope) {
                    return Some(request);
                }
                continue;
            }
            if self.running.iter().any(|running| !running.out_of_band) {
                return None;
            }
            let next = self.queue.pop_front()?;
            let request = match next {
                Ok(envelope) => self.admit(envelope),
                Err(error) => {
                    self.answer(None, &Err(error));
                    None
                }
            };
            self.read();
            if request.is_some() {
                return request;
            }
        }
    }

    /// The bytes to send now; `None` when there are none.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        (!self.transmit.is_empty()).then(|| std::mem::take(&mut self.transmit))
    }

    /// When [`Server::handle_timeout`] wants to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.throttle.next_due()
    }

    /// Whether more bytes of the peer's should be read now.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.unread.is_empty() && self.transmit.len() < OUTPUT_HIGH_WATER
    }

    /// Whether the client negotiated, so that commands are carried out and events sent.
    #[must_use]
    pub fn is_negotiated(&self) -> bool {
        self.negotiated
    }

    /// Whether the peer left more than [`OUTPUT_LIMIT`] bytes unread, and should be disconnected:
    /// what is to be sent from then on is dropped.
    #[must_use]
    pub fn is_overrun(&self) -> bool {
        self.is_overrun
    }

    /// How many in-band messages may wait behind the one that runs.
    fn queue_limit(&self) -> usize {
        if self.oob_enabled { OOB_QUEUE_LIMIT } else { 1 }
    }

    /// Reads messages as long as there is room for them.
    fn read(&mut self) {
        while self.has_room() {
            let Some(byte) = self.unread.pop_front() else { break };
            for input in self.reader.push(byte).into_iter().flatten() {
                match Envelope::parse(input, self.oob_enabled, self.generation) {
                    Ok(envelope) if envelope.out_of_band => self.overtaking.push_back(envelope),
                    other => self.queue.push_back(other),
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        let out_of_band = self.running.iter().filter(|running| running.out_of_band).count();
        let in_band = self.running.len() - out_of_band;
        self.queue.len() + in_band < self.queue_limit()
            && self.overtaking.len() + out_of_band < OOB_QUEUE_LIMIT
    }

    /// Makes a request of a message, or answers it here: errors of the envelope, and negotiation.
    fn admit(&mut self, envelope: Envelope) -> Option<Request> {
        let command = match &envelope.command {
            Err(error) => {
                self.answer(envelope.id.as_deref(), &Err(error.clone()));
                return None;
            }
            Ok(command) => command.clone(),
        };
        if self.dialect == Dialect::Agent {
            if let Some(answer) = agent::synchronize(&command, envelope.arguments.as_deref()) {
                if answer.is_ok() && agent::is_delimited(&command) {
                    self.transmit.push(agent::MARK);
                }
                self.answer(envelope.id.as_deref(), &answer);
                return None;
            }
        } else if let Some(result) = self.negotiate(&command, &envelope) {
            self.answer(envelope.id.as_deref(), &result);
            return None;
        }
        let id = RequestId(self.next_id);
        self.next_id += 1;
        let out_of_band = envelope.out_of_band;
        self.running.push(Running { id, client_id: envelope.id, out_of_band });
        Some(Request { id, command, arguments: envelope.arguments, out_of_band })
    }

    /// The answer to a negotiation, or to a command that comes before it.
    fn negotiate(
        &mut self,
        command: &str,
        envelope: &Envelope,
    ) -> Option<Result<Box<RawValue>, ErrorReply>> {
        let enabled = || envelope::enabled(envelope.arguments.as_deref(), self.generation);
        match (self.negotiated, command) {
            (true, "qmp_capabilities") if envelope.out_of_band => {
                Some(Err(ErrorReply::no_oob(command)))
            }
            (true, "qmp_capabilities") => Some(enabled().and_then(|_| {
                Err(ErrorReply::new("CommandNotFound", self.generation.too_late(command)))
            })),
            (true, _) => None,
            (false, "qmp_capabilities") => {
                Some(enabled().and_then(|enabled| self.enable(&enabled)))
            }
            (false, _) => {
                let words = self.generation.too_early(command);
                Some(Err(ErrorReply::new("CommandNotFound", words)))
            }
        }
    }

    fn enable(&mut self, capabilities: &[String]) -> Result<Box<RawValue>, ErrorReply> {
        let Dialect::Qmp { capabilities: offered } = &self.dialect else {
            return Ok(envelope::empty());
        };
        if let Some(name) = capabilities.iter().find(|name| !offered.contains(name)) {
            let text = format!("Capability '{name}' is not available");
            return Err(ErrorReply::new("GenericError", text));
        }
        self.oob_enabled = !capabilities.is_empty();
        self.negotiated = true;
        Ok(envelope::empty())
    }

    /// Sends a reply, with the class and the data that an error of this generation has.
    fn answer(&mut self, id: Option<&str>, result: &Result<Box<RawValue>, ErrorReply>) {
        let text = match result {
            Err(error) if self.generation == Generation::V0_14 => {
                envelope::reply(id, &Err(classes::classed(error)))
            }
            other => envelope::reply(id, other),
        };
        self.send(&text);
    }

    fn send(&mut self, text: &str) {
        if self.is_overrun {
            return;
        }
        self.transmit.extend_from_slice(text.as_bytes());
        let line_end: &[u8] = if self.dialect == Dialect::Agent { b"\n" } else { b"\r\n" };
        self.transmit.extend_from_slice(line_end);
        self.is_overrun = self.transmit.len() > OUTPUT_LIMIT;
    }
}
