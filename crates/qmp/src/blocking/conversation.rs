//! Moves bytes between the socket and the state machine, and sorts what is learned.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::time::Instant;

use qplug_proto::{CommandId, ErrorReply, Incoming, MAX_PENDING_COMMANDS, Traffic, Unanswered};
use serde_json::value::RawValue;

use super::backlog::Backlog;
use super::socket::Socket;
use crate::error::Closed;
use crate::events::EventsError;
use crate::trace::Trace;

/// How often a connection that cannot be written to any more is read, to learn what the peer said
/// before it left.
const LAST_READS: usize = 1024;

#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) protocol: qplug_proto::Client,
    pub(super) backlog: Backlog,
    pub(super) socket: Socket,
    /// Ends of commands that somebody will still wait for. With [`MAX_PENDING_COMMANDS`] of them no
    /// more commands are given, so that there are at most twice as many.
    pub(super) ends: VecDeque<(CommandId, End)>,
    pub(super) closed: Option<Box<Loss>>,
    pub(super) trace: Option<Trace>,
}

/// How a command ended.
#[derive(Debug)]
pub(super) enum End {
    Replied(Result<Box<RawValue>, ErrorReply>),
    Overdue,
    Closed,
    NotSent,
}

/// How a command ended, with what a caller is to be told.
#[derive(Debug)]
pub(super) enum Found {
    Replied(Result<Box<RawValue>, ErrorReply>),
    Overdue,
    /// The connection closed when so many bytes had been sent.
    Closed {
        closed: Closed,
        sent_bytes: u64,
    },
}

/// How the connection closed.
#[derive(Debug)]
pub(super) struct Loss {
    reason: Closed,
    traffic: Traffic,
    sent_bytes: u64,
}

impl Conversation {
    pub(super) fn is_unix(&self) -> bool {
        self.socket.is_unix()
    }

    pub(super) fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref().map(|loss| &loss.reason)
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.closed.as_ref().map_or_else(|| self.protocol.traffic(), |loss| loss.traffic)
    }

    /// Whether so many ends were not asked for that no more should be waited for.
    pub(super) fn is_crowded(&self) -> bool {
        self.ends.len() >= MAX_PENDING_COMMANDS
    }

    /// Waits for the end of a command.
    pub(super) fn find(&mut self, id: CommandId, mut now: Instant, deadline: Instant) -> Found {
        if let Some(end) = self.take_end(id) {
            return self.found(end);
        }
        loop {
            if let Err(closed) = self.exchange(now, deadline) {
                self.close(closed);
            }
            if let Some(end) = self.take_incoming(id) {
                return self.found(end);
            }
            if self.closed.is_some() {
                return self.found(End::Closed);
            }
            now = Instant::now();
            if now >= deadline {
                // Events may come for ever: they do not put a deadline off.
                let _ = self.protocol.handle_timeout(now);
                let end = self.take_incoming(id).unwrap_or(End::Overdue);
                return self.found(end);
            }
        }
    }

    fn take_end(&mut self, id: CommandId) -> Option<End> {
        let at = self.ends.iter().position(|(of, _)| *of == id)?;
        self.ends.remove(at).map(|(_, end)| end)
    }

    /// Sorts all that was learned; the end of this command if it is among it.
    fn take_incoming(&mut self, id: CommandId) -> Option<End> {
        let mut found = None;
        while let Some(incoming) = self.protocol.poll_incoming() {
            match end_of(incoming) {
                Ok((of, end)) if of == id => found = Some(end),
                Ok(other) => self.ends.push_back(other),
                Err(incoming) => self.keep(incoming),
            }
        }
        found
    }

    fn found(&self, end: End) -> Found {
        let unsent = matches!(end, End::NotSent);
        match (end, &self.closed) {
            (End::Replied(result), _) => Found::Replied(result),
            (End::Overdue, _) => Found::Overdue,
            (End::Closed | End::NotSent, Some(loss)) => {
                let sent_bytes = if unsent { 0 } else { loss.sent_bytes };
                Found::Closed { closed: loss.reason.clone(), sent_bytes }
            }
            (End::Closed | End::NotSent, None) => {
                Found::Closed { closed: Closed::ByPeer, sent_bytes: u64::MAX }
            }
        }
    }

    /// Drops the end of a command, or will when it comes.
    pub(super) fn forget(&mut self, id: CommandId) {
        self.protocol.cancel(id);
        self.ends.retain(|(of, _)| *of != id);
    }

    /// Keeps what somebody may ask for later.
    pub(super) fn keep(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Event(event) => {
                tracing::debug!("<- event {}", event.name);
                self.backlog.push(event);
            }
            Incoming::Unattributed(error) => tracing::warn!(%error, "error reply with no id"),
            // Only an agent synchronizes, and this client speaks to none.
            Incoming::Greeting(_) | Incoming::Synchronized => {}
            Incoming::Reply { .. } | Incoming::Unknown { .. } | Incoming::NotSent(_) => {
                self.ends.extend(end_of(incoming).ok());
            }
        }
    }

    /// Reads once more and keeps what came; false when nothing did until `deadline`.
    pub(super) fn hear(&mut self, deadline: Instant) -> Result<bool, EventsError> {
        if let Some(loss) = &self.closed {
            return Err(EventsError::Closed(loss.reason.clone()));
        }
        let outcome = self.exchange(Instant::now(), deadline);
        let mut heard = outcome.as_ref().is_ok_and(|heard| *heard);
        if let Err(closed) = outcome {
            self.close(closed);
            // The next call tells that it is closed.
            heard = true;
        }
        self.keep_all();
        Ok(heard)
    }

    /// Sends what there is to send and keeps all that comes, until `stop` is ready to be read.
    pub(super) fn hear_until(&mut self, stop: BorrowedFd<'_>) {
        loop {
            let has_more = !self.protocol.poll_transmit().is_empty();
            match self.socket.wait_unless(stop, has_more) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return self.close(failed(&error)),
            }
            if self.hear(Instant::now()).is_err() {
                return;
            }
        }
    }

    pub(super) fn keep_all(&mut self) {
        while let Some(incoming) = self.protocol.poll_incoming() {
            self.keep(incoming);
        }
    }

    /// Sends what there is to send, then reads once; false when nothing moved until `deadline`.
    fn exchange(&mut self, now: Instant, deadline: Instant) -> Result<bool, Closed> {
        if !self.protocol.poll_transmit().is_empty() && !self.transmit(deadline)? {
            return Ok(false);
        }
        self.receive(now, deadline)
    }

    /// Sends everything; false when there was no room for all of it until `deadline`.
    pub(super) fn flush(&mut self, deadline: Instant) -> bool {
        match self.transmit(deadline) {
            Ok(all) => all,
            Err(closed) => {
                self.close(closed);
                true
            }
        }
    }

    pub(super) fn transmit(&mut self, deadline: Instant) -> Result<bool, Closed> {
        while !self.protocol.poll_transmit().is_empty() {
            if !self.transmit_some(&[], deadline)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends what was given last, with descriptors beside its first byte. Nothing else waits.
    pub(super) fn send_with_fds(&mut self, fds: &[BorrowedFd<'_>], deadline: Instant) {
        let waiting = self.protocol.poll_transmit().len();
        while self.closed.is_none() && self.protocol.poll_transmit().len() == waiting {
            match self.transmit_some(fds, deadline) {
                Ok(true) => {}
                Ok(false) => {
                    self.close(Closed::Io("no room for descriptors until the deadline".to_owned()));
                }
                Err(closed) => self.close(closed),
            }
        }
    }

    /// Sends what there is room for, and reads while there is none: a peer whose replies nobody
    /// reads may stop reading. False when there was no room until `deadline`.
    fn transmit_some(&mut self, fds: &[BorrowedFd<'_>], deadline: Instant) -> Result<bool, Closed> {
        match self.socket.write(self.protocol.poll_transmit(), fds) {
            Ok(Some(count)) => {
                if let Some(trace) = &self.trace {
                    trace.sent(&self.protocol.poll_transmit()[..count], fds.len());
                }
                self.protocol.handle_transmitted(count);
                return Ok(true);
            }
            Ok(None) => {}
            Err(error) => return Err(self.last_words(error)),
        }
        let ready = self.socket.wait_either(deadline).map_err(|error| failed(&error))?;
        if ready.to_read {
            let now = Instant::now();
            self.receive(now, now)?;
            // Replies that keep coming do not put a deadline off.
            return Ok(now < deadline);
        }
        Ok(ready.to_write)
    }

    pub(super) fn receive(&mut self, now: Instant, deadline: Instant) -> Result<bool, Closed> {
        let read = self.socket.read(self.protocol.space(), now, deadline);
        match read.map_err(|error| failed(&error))? {
            None => Ok(false),
            Some(0) => Err(Closed::ByPeer),
            Some(count) => {
                if let Some(trace) = &self.trace {
                    trace.received(&self.protocol.space()[..count]);
                }
                self.protocol.handle_filled(count)?;
                Ok(true)
            }
        }
    }

    /// The connection takes no more bytes. Reads what the peer said before that.
    fn last_words(&mut self, error: io::Error) -> Closed {
        let now = Instant::now();
        for _ in 0..LAST_READS {
            match self.receive(now, now) {
                Ok(true) => {}
                Ok(false) => break,
                Err(closed) => return closed,
            }
        }
        failed(&error)
    }

    fn close(&mut self, reason: Closed) {
        tracing::debug!(%reason, "connection closed");
        let traffic = self.protocol.traffic();
        let unsent = self.protocol.poll_transmit().len() as u64;
        let sent_bytes = traffic.bytes - unsent.min(traffic.bytes);
        self.closed = Some(Box::new(Loss { reason, traffic, sent_bytes }));
        self.protocol.handle_close();
    }
}

/// The end of a command, if that is what it is.
fn end_of(incoming: Incoming) -> Result<(CommandId, End), Incoming> {
    match incoming {
        Incoming::Reply { id, result } => Ok((id, End::Replied(result))),
        Incoming::Unknown { id, why: Unanswered::Overdue } => Ok((id, End::Overdue)),
        Incoming::Unknown { id, why: Unanswered::Closed } => Ok((id, End::Closed)),
        Incoming::NotSent(id) => Ok((id, End::NotSent)),
        other => Err(other),
    }
}

/// A connection that the peer reset, it closed.
fn failed(error: &io::Error) -> Closed {
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Closed::ByPeer,
        _ => Closed::Io(error.to_string()),
    }
}
