//! The task that moves bytes between the socket and the state machine, and wakes callers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use qplug_proto::{CommandId, ErrorReply, Event, Greeting, Incoming, ProtocolError};
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, broadcast, oneshot};

use crate::error::Closed;
use crate::events::EVENT_BACKLOG;
use crate::transport::Stream;

/// How much is read from the socket at a time.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// How a command ended.
#[derive(Debug)]
pub(crate) enum Answer {
    Replied(Result<Box<RawValue>, ErrorReply>),
    Overdue,
    Closed(Closed),
}

/// What the driver and the handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// Tells the driver that there is something to send.
    pub(crate) wake: Notify,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) protocol: qplug_proto::Client,
    pub(crate) waiters: HashMap<CommandId, oneshot::Sender<Answer>>,
    greeted: Option<oneshot::Sender<Greeting>>,
    /// Gone when the connection is, so that subscribers learn of it.
    events: Option<broadcast::Sender<Arc<Event>>>,
    pub(crate) closed: Option<Closed>,
}

impl Shared {
    pub(crate) fn new(protocol: qplug_proto::Client, greeted: oneshot::Sender<Greeting>) -> Self {
        let inner = Inner {
            protocol,
            waiters: HashMap::new(),
            greeted: Some(greeted),
            events: Some(broadcast::Sender::new(EVENT_BACKLOG)),
            closed: None,
        };
        Self { inner: Mutex::new(inner), wake: Notify::new() }
    }

    /// No code panics while it holds the lock, so a poisoned one still guards sound data.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the connection is closed.
    pub(crate) fn closed(&self) -> Closed {
        self.lock().closed.clone().unwrap_or(Closed::ByPeer)
    }

    /// A subscription; one to nothing when the connection is closed.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.lock()
            .events
            .as_ref()
            .map_or_else(|| broadcast::Sender::new(1).subscribe(), broadcast::Sender::subscribe)
    }

    fn close(&self, reason: Closed) {
        let mut inner = self.lock();
        for (_, waiter) in inner.waiters.drain() {
            let _ = waiter.send(Answer::Closed(reason.clone()));
        }
        inner.closed = Some(reason);
        inner.events = None;
        inner.greeted = None;
    }
}

impl Inner {
    /// Hands on what the protocol learned. Whoever gave up waiting is passed over.
    fn dispatch(&mut self) {
        while let Some(incoming) = self.protocol.poll_incoming() {
            match incoming {
                Incoming::Greeting(greeting) => {
                    if let Some(greeted) = self.greeted.take() {
                        let _ = greeted.send(greeting);
                    }
                }
                Incoming::Reply { id, result } => self.answer(id, Answer::Replied(result)),
                Incoming::Overdue(id) => self.answer(id, Answer::Overdue),
                Incoming::Event(event) => {
                    let data = event.data.as_deref().map(RawValue::get);
                    tracing::debug!("<- event {} {}", event.name, data.unwrap_or_default());
                    if let Some(events) = &self.events {
                        let _ = events.send(Arc::new(event));
                    }
                }
                Incoming::Unattributed(error) => tracing::warn!(%error, "error reply with no id"),
            }
        }
    }

    fn answer(&mut self, id: CommandId, answer: Answer) {
        if let Some(waiter) = self.waiters.remove(&id) {
            let _ = waiter.send(answer);
        }
    }
}

/// Runs a connection until it closes.
pub(crate) async fn run(stream: Stream, shared: Arc<Shared>) {
    let reason = move_bytes(stream, &shared).await;
    tracing::debug!(%reason, "connection closed");
    shared.close(reason);
}

/// Reads and writes at the same time: a QEMU whose replies nobody reads stops reading, and one of
/// the old ones stops its guest.
async fn move_bytes(stream: Stream, shared: &Shared) -> Closed {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    let mut unsent = Vec::new();
    loop {
        let timeout = {
            let mut inner = shared.lock();
            if let Some(bytes) = inner.protocol.poll_transmit() {
                unsent.extend(bytes);
            }
            inner.protocol.poll_timeout()
        };
        let outcome = tokio::select! {
            read = reader.read(&mut buffer) => match read {
                Ok(0) => return Closed::ByPeer,
                Ok(count) => with_protocol(shared, |it| it.handle_input(&buffer[..count])),
                Err(error) => return Closed::Io(error.to_string()),
            },
            written = writer.write(&unsent), if !unsent.is_empty() => match written {
                Ok(count) => {
                    unsent.drain(..count);
                    Ok(())
                }
                Err(error) => return Closed::Io(error.to_string()),
            },
            now = sleep_until(timeout) => with_protocol(shared, |it| it.handle_timeout(now)),
            () = shared.wake.notified() => Ok(()),
        };
        if let Err(error) = outcome {
            return Closed::Protocol(error);
        }
    }
}

fn with_protocol(
    shared: &Shared,
    action: impl FnOnce(&mut qplug_proto::Client) -> Result<(), ProtocolError>,
) -> Result<(), ProtocolError> {
    let mut inner = shared.lock();
    let outcome = action(&mut inner.protocol);
    inner.dispatch();
    outcome
}

/// Sleeps until the time is come, and tells it; for ever when there is none.
async fn sleep_until(timeout: Option<Instant>) -> Instant {
    match timeout {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
    tokio::time::Instant::now().into_std()
}
