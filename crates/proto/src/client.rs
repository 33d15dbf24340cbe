//! The client's side of the conversation, as a state machine.
//!
//! Methods come in four kinds. Callers hand in what happened with [`Client::handle_input`] and
//! [`Client::handle_timeout`], ask for a command with [`Client::execute`], and then poll, in this
//! order, [`Client::poll_transmit`] (bytes to send), [`Client::poll_incoming`] (what was learned)
//! and [`Client::poll_timeout`] (when to call back at the latest). Answers of the polls change only
//! through a call of one of the others.

use std::collections::VecDeque;
use std::time::Instant;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::frame::{FrameError, Framer};
use crate::message::{ErrorReply, Event, Greeting, Message};

/// How many commands may wait for their replies at once. QEMU answers 100 pipelined commands in
/// order; the bound only keeps a runaway caller from filling memory.
pub const MAX_PENDING_COMMANDS: usize = 4096;

/// What a client sends to end the negotiation. It carries no id: nothing else is in flight then.
const NEGOTIATION: &[u8] = b"{\"execute\":\"qmp_capabilities\"}\n";

/// Names a command of this connection, to match its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(u32);

/// What a client learned from its peer or from the clock.
#[derive(Debug)]
pub enum Incoming {
    /// The peer is a QMP server. Negotiation follows by itself, and commands may be given from the
    /// start: they travel behind it.
    Greeting(Greeting),
    /// A command was answered.
    Reply {
        /// Which command.
        id: CommandId,
        /// What it returned, unparsed, or why QEMU refused it.
        result: Result<Box<RawValue>, ErrorReply>,
    },
    /// Something happened in the machine.
    Event(Event),
    /// A command's deadline passed with no reply. Its outcome is unknown; a late reply is dropped.
    Overdue(CommandId),
    /// QEMU could not parse something that it was sent. It does not say what.
    Unattributed(ErrorReply),
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
}

/// What was sent so far, negotiation included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Commands sent.
    pub commands: u64,
    /// Bytes sent.
    pub bytes: u64,
}

/// Where the conversation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Connected; commands given now are held back.
    AwaitingGreeting { deadline: Option<Instant> },
    /// Negotiation sent, its reply outstanding.
    Negotiating,
    /// Commands and events.
    Ready,
}

/// A command whose reply is outstanding.
#[derive(Debug)]
struct Pending {
    id: CommandId,
    deadline: Option<Instant>,
}

/// The state machine of a QMP client.
#[derive(Debug)]
pub struct Client {
    state: State,
    framer: Framer,
    /// Bytes that may be sent now.
    transmit: Vec<u8>,
    /// Commands given before the greeting came.
    held_back: Vec<u8>,
    pending: VecDeque<Pending>,
    incoming: VecDeque<Incoming>,
    next_id: u32,
    traffic: Traffic,
}

impl Client {
    /// A client on a fresh connection, which gives its peer until `greeting_deadline` to greet.
    #[must_use]
    pub fn new(greeting_deadline: Option<Instant>) -> Self {
        Self {
            state: State::AwaitingGreeting { deadline: greeting_deadline },
            framer: Framer::default(),
            transmit: Vec::new(),
            held_back: Vec::new(),
            pending: VecDeque::new(),
            incoming: VecDeque::new(),
            next_id: 0,
            traffic: Traffic::default(),
        }
    }

    /// Gives a command. Its reply, or [`Incoming::Overdue`] at `deadline`, will name the id.
    ///
    /// # Errors
    /// When the command cannot be sent; see [`ExecuteError`].
    pub fn execute(
        &mut self,
        command: &str,
        arguments: Option<&impl Serialize>,
        deadline: Option<Instant>,
    ) -> Result<CommandId, ExecuteError> {
        if self.pending.len() >= MAX_PENDING_COMMANDS {
            return Err(ExecuteError::Full);
        }
        let id = CommandId(self.next_id);
        let bytes = encode(command, arguments, id)?;
        self.next_id = self.next_id.wrapping_add(1);
        self.traffic.commands += 1;
        self.traffic.bytes += bytes.len() as u64;
        match self.state {
            State::AwaitingGreeting { .. } => self.held_back.extend(bytes),
            State::Negotiating | State::Ready => self.transmit.extend(bytes),
        }
        self.pending.push_back(Pending { id, deadline });
        Ok(id)
    }

    /// Takes in bytes as they came from the peer.
    ///
    /// # Errors
    /// When the peer broke the protocol. What came before is still there to be polled.
    pub fn handle_input(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        self.framer.push(bytes);
        while let Some(frame) = self.framer.next_frame()? {
            let message = Message::parse(frame).map_err(|error| ProtocolError::Message {
                reason: error.to_string(),
                start: start_of(frame),
            })?;
            if let (State::AwaitingGreeting { .. }, Message::Reply { .. } | Message::Event(_)) =
                (self.state, &message)
            {
                return Err(ProtocolError::NoGreeting { start: start_of(frame) });
            }
            self.handle_message(message)?;
        }
        Ok(())
    }

    /// Takes in that it is `now`.
    ///
    /// # Errors
    /// [`ProtocolError::Silent`] when the greeting is overdue.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ProtocolError> {
        let due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if let State::AwaitingGreeting { deadline } = self.state
            && due(deadline)
        {
            return Err(ProtocolError::Silent);
        }
        let incoming = &mut self.incoming;
        self.pending.retain(|pending| {
            if due(pending.deadline) {
                incoming.push_back(Incoming::Overdue(pending.id));
            }
            !due(pending.deadline)
        });
        Ok(())
    }

    /// The bytes to send now, all at once; `None` when there are none.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        (!self.transmit.is_empty()).then(|| std::mem::take(&mut self.transmit))
    }

    /// The next thing learned, oldest first.
    pub fn poll_incoming(&mut self) -> Option<Incoming> {
        self.incoming.pop_front()
    }

    /// When [`Client::handle_timeout`] wants to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let greeting = match self.state {
            State::AwaitingGreeting { deadline } => deadline,
            State::Negotiating | State::Ready => None,
        };
        self.pending.iter().filter_map(|pending| pending.deadline).chain(greeting).min()
    }

    /// What was sent so far, or waits to be.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    fn handle_message(&mut self, message: Message) -> Result<(), ProtocolError> {
        match message {
            Message::Greeting(greeting) => self.handle_greeting(greeting),
            Message::Event(event) => self.incoming.push_back(Incoming::Event(event)),
            Message::Reply { id: None, result } if self.state == State::Negotiating => {
                result.map_err(ProtocolError::Negotiation)?;
                self.state = State::Ready;
            }
            Message::Reply { id: None, result } => {
                if let Err(error) = result {
                    self.incoming.push_back(Incoming::Unattributed(error));
                }
            }
            Message::Reply { id: Some(id), result } => self.handle_reply(&id, result),
        }
        Ok(())
    }

    fn handle_greeting(&mut self, greeting: Greeting) {
        // A second greeting is odd, but harmless: the conversation goes on.
        if !matches!(self.state, State::AwaitingGreeting { .. }) {
            return;
        }
        self.transmit.extend_from_slice(NEGOTIATION);
        self.transmit.append(&mut self.held_back);
        self.traffic.commands += 1;
        self.traffic.bytes += NEGOTIATION.len() as u64;
        self.state = State::Negotiating;
        self.incoming.push_back(Incoming::Greeting(greeting));
    }

    /// A reply with an id that is not pending belongs to a command given up on, and is dropped.
    fn handle_reply(&mut self, id: &RawValue, result: Result<Box<RawValue>, ErrorReply>) {
        let Some(id) = id.get().parse().ok().map(CommandId) else { return };
        let Some(at) = self.pending.iter().position(|pending| pending.id == id) else { return };
        self.pending.remove(at);
        self.incoming.push_back(Incoming::Reply { id, result });
    }
}

/// One line: QEMU needs no line end, but costs only 4 µs for it, and line-based peers want one.
fn encode(
    command: &str,
    arguments: Option<&impl Serialize>,
    id: CommandId,
) -> Result<Vec<u8>, ExecuteError> {
    #[derive(Serialize)]
    struct Command<'a, A> {
        execute: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        arguments: Option<&'a A>,
        id: u32,
    }
    let command = Command { execute: command, arguments, id: id.0 };
    let mut bytes =
        serde_json::to_vec(&command).map_err(|error| ExecuteError::Encode(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The start of a frame, for an error that shows what came.
fn start_of(frame: &[u8]) -> String {
    const SHOWN: usize = 80;
    String::from_utf8_lossy(&frame[..frame.len().min(SHOWN)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const GREETING: &[u8] = b"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, \"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n";
    const NO_ARGUMENTS: Option<&()> = None;

    fn ready() -> Client {
        let mut client = Client::new(None);
        client.handle_input(GREETING).unwrap();
        client.handle_input(b"{\"return\": {}}\r\n").unwrap();
        assert!(matches!(client.poll_incoming(), Some(Incoming::Greeting(_))));
        client.poll_transmit();
        client
    }

    #[test]
    fn commands_given_early_travel_behind_the_negotiation_in_one_write() {
        let mut client = Client::new(None);
        client.execute("query-status", NO_ARGUMENTS, None).unwrap();
        assert_eq!(client.poll_transmit(), None);
        client.handle_input(GREETING).unwrap();
        let sent = client.poll_transmit().unwrap();
        assert_eq!(
            String::from_utf8(sent.clone()).unwrap(),
            "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"query-status\",\"id\":0}\n"
        );
        assert_eq!(client.traffic(), Traffic { commands: 2, bytes: sent.len() as u64 });
    }

    #[test]
    fn replies_and_events_come_out_in_the_order_they_came_in() {
        let mut client = ready();
        let a = client.execute("a", NO_ARGUMENTS, None).unwrap();
        let b = client.execute("b", Some(&serde_json::json!({"x": 1})), None).unwrap();
        let input = b"{\"return\": 1, \"id\": 0}\r\n{\"event\": \"E\"}\r\n{\"error\": {\"class\": \"C\", \"desc\": \"d\"}, \"id\": 1}\r\n";
        client.handle_input(input).unwrap();
        assert!(
            matches!(client.poll_incoming(), Some(Incoming::Reply { id, result: Ok(_) }) if id == a)
        );
        assert!(
            matches!(client.poll_incoming(), Some(Incoming::Event(event)) if event.name == "E")
        );
        assert!(
            matches!(client.poll_incoming(), Some(Incoming::Reply { id, result: Err(_) }) if id == b)
        );
        assert!(client.poll_incoming().is_none());
    }

    #[test]
    fn an_overdue_command_is_reported_once_and_its_late_reply_dropped() {
        let mut client = ready();
        let start = Instant::now();
        let deadline = start + Duration::from_secs(1);
        let id = client.execute("slow", NO_ARGUMENTS, Some(deadline)).unwrap();
        assert_eq!(client.poll_timeout(), Some(deadline));
        client.handle_timeout(start).unwrap();
        assert!(client.poll_incoming().is_none());
        client.handle_timeout(deadline).unwrap();
        assert!(matches!(client.poll_incoming(), Some(Incoming::Overdue(late)) if late == id));
        assert_eq!(client.poll_timeout(), None);
        client.handle_input(b"{\"return\": {}, \"id\": 0}").unwrap();
        assert!(client.poll_incoming().is_none());
    }

    #[test]
    fn replies_with_unknown_ids_disturb_nothing() {
        let mut client = ready();
        client
            .handle_input(b"{\"return\": {}, \"id\": \"x\"} {\"return\": {}, \"id\": 9}")
            .unwrap();
        client
            .handle_input(b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"d\"}}")
            .unwrap();
        assert!(matches!(client.poll_incoming(), Some(Incoming::Unattributed(_))));
        assert!(client.poll_incoming().is_none());
    }

    #[test]
    fn a_silent_peer_and_one_that_does_not_greet_are_told_apart() {
        let deadline = Instant::now();
        let mut client = Client::new(Some(deadline));
        assert_eq!(client.poll_timeout(), Some(deadline));
        assert_eq!(client.handle_timeout(deadline), Err(ProtocolError::Silent));
        let mut client = Client::new(None);
        let error = client.handle_input(b"{\"return\": {}}").unwrap_err();
        assert!(matches!(error, ProtocolError::NoGreeting { .. }), "{error}");
    }

    #[test]
    fn a_refused_negotiation_ends_the_conversation() {
        let mut client = Client::new(None);
        client.handle_input(GREETING).unwrap();
        let refusal = b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}";
        let error = client.handle_input(refusal).unwrap_err();
        assert!(matches!(error, ProtocolError::Negotiation(_)), "{error}");
    }

    #[test]
    fn pending_commands_are_bounded() {
        let mut client = ready();
        for _ in 0..MAX_PENDING_COMMANDS {
            client.execute("a", NO_ARGUMENTS, None).unwrap();
        }
        assert_eq!(client.execute("a", NO_ARGUMENTS, None), Err(ExecuteError::Full));
    }
}
