//! The greeting, with which a conversation begins.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use qplug_proto::{Dialect, Greeting, Incoming, ProtocolError};

use super::backlog::Backlog;
use super::conversation::Conversation;
use super::socket::{LONGEST_WAIT, Socket};
use crate::error::{Closed, ConnectError};
use crate::options::Options;

impl Conversation {
    /// Waits for the greeting, and sends the negotiation.
    pub(super) fn begin(
        socket: OwnedFd,
        address: &str,
        options: &Options,
    ) -> Result<(Self, Greeting), ConnectError> {
        let limit = options.connect_timeout;
        let named = || address.to_owned();
        let patience = options.command_timeout;
        let socket = Socket::new(socket, patience)
            .map_err(|source| ConnectError::Io { address: named(), source })?;
        let now = Instant::now();
        let deadline = now + limit.min(LONGEST_WAIT);
        let dialect = if options.oob { Dialect::QmpWithOob } else { Dialect::Qmp };
        let mut conversation = Self {
            protocol: qplug_proto::Client::new(dialect, Some(deadline)),
            backlog: Backlog::default(),
            socket,
            ends: VecDeque::new(),
            closed: None,
            trace: options.trace.clone(),
        };
        match conversation.greet(now, deadline) {
            Ok(greeting) => Ok((conversation, greeting)),
            Err(closed) => Err(not_met(closed, named(), limit)),
        }
    }

    fn greet(&mut self, mut now: Instant, deadline: Instant) -> Result<Greeting, Closed> {
        let greeting = loop {
            match self.protocol.poll_incoming() {
                Some(Incoming::Greeting(greeting)) => break greeting,
                Some(other) => self.keep(other),
                None => {
                    if now >= deadline {
                        self.protocol.handle_timeout(now)?;
                    }
                    self.receive(now, deadline)?;
                    now = Instant::now();
                }
            }
        };
        self.keep_all();
        self.transmit(deadline)?;
        Ok(greeting)
    }
}

fn not_met(closed: Closed, address: String, limit: Duration) -> ConnectError {
    match closed {
        Closed::Protocol(ProtocolError::Silent) => ConnectError::Busy { address, limit },
        Closed::Protocol(error) => ConnectError::NotQmp { address, error },
        Closed::ByPeer | Closed::ByUs => ConnectError::Closed { address },
        Closed::Io(text) => ConnectError::Io { address, source: io::Error::other(text) },
    }
}
