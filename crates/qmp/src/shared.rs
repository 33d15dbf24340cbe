//! What the driver and the handles of a connection share.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use qplug_proto::{Dialect, Greeting, Incoming, Unanswered as Why};
use serde_json::value::RawValue;
use tokio::sync::{broadcast, oneshot};

use crate::error::Closed;
use crate::events::{EVENT_BACKLOG, Item};
use crate::trace::Trace;
use crate::transport::Stream;
use crate::waiters::{Answer, Unanswered, Waiters};

/// What the driver and the handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) protocol: qplug_proto::Client,
    /// Here and not with the driver, so that whoever gives a command on an idle connection can send
    /// it at once.
    pub(crate) stream: Option<Stream>,
    /// When the driver wakes by itself.
    pub(crate) wakes_at: Option<Instant>,
    pub(crate) waiters: Waiters,
    greeted: Option<oneshot::Sender<Greeting>>,
    pub(crate) just_greeted: bool,
    subscribers: Subscribers,
    /// How many events were told since the driver last looked.
    pub(crate) told: usize,
    /// Why nothing can be sent now.
    pub(crate) closed: Option<Closed>,
    /// Wakes the driver when there is something to send.
    pub(crate) driver: Option<Waker>,
    /// Descriptors that go with a command, and how many bytes go before it. In order.
    fds: VecDeque<(usize, Vec<OwnedFd>)>,
    /// Whether the transport can carry them.
    pub(crate) carries_fds: bool,
    pub(crate) trace: Option<Trace>,
}

impl Shared {
    pub(crate) fn new(
        protocol: qplug_proto::Client,
        greeted: oneshot::Sender<Greeting>,
        trace: Option<Trace>,
    ) -> Self {
        let inner = Inner {
            protocol,
            stream: None,
            wakes_at: None,
            waiters: Waiters::default(),
            greeted: Some(greeted),
            just_greeted: false,
            subscribers: Subscribers::None,
            told: 0,
            closed: None,
            driver: None,
            fds: VecDeque::new(),
            carries_fds: false,
            trace,
        };
        Self { inner: Mutex::new(inner) }
    }

    /// No code panics while it holds the lock, so a poisoned one still guards sound data.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the connection is closed.
    pub(crate) fn closed(&self) -> Closed {
        self.lock().reason()
    }

    /// A subscription; one to nothing when the connection is closed for good.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Item> {
        let mut inner = self.lock();
        match &inner.subscribers {
            Subscribers::Some(sender) => sender.subscribe(),
            Subscribers::None => {
                let (sender, receiver) = broadcast::channel(EVENT_BACKLOG);
                inner.subscribers = Subscribers::Some(sender);
                receiver
            }
            Subscribers::Closed => broadcast::Sender::new(1).subscribe(),
        }
    }

    /// Begins with a stream that is connected.
    pub(crate) fn take_over(&self, stream: Stream) {
        let mut inner = self.lock();
        inner.carries_fds = stream.carries_fds();
        inner.wakes_at = None;
        inner.stream = Some(stream);
        if let Some(trace) = &inner.trace {
            trace.begin();
        }
    }

    /// Ends the connection: every command gets its end.
    pub(crate) fn lose(&self, reason: Closed) {
        tracing::debug!(%reason, "connection lost");
        let mut inner = self.lock();
        inner.closed = Some(reason);
        inner.stream = None;
        inner.protocol.handle_close();
        inner.fds.clear();
        inner.dispatch();
    }

    /// Nobody comes back any more.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed.get_or_insert(Closed::ByUs);
        inner.stream = None;
        inner.protocol.handle_close();
        inner.dispatch();
        inner.subscribers = Subscribers::Closed;
        inner.greeted = None;
    }

    /// Begins anew on a fresh connection. Commands are taken again once it is greeted.
    pub(crate) fn begin_anew(&self, dialect: Dialect, deadline: Option<Instant>) {
        self.lock().protocol.begin_anew(dialect, deadline);
    }
}

/// Who is told of events. The backlog takes memory, so it is made for the first who asks.
#[derive(Debug)]
enum Subscribers {
    None,
    Some(broadcast::Sender<Item>),
    /// Gone with the connection, so that they learn of it.
    Closed,
}

impl Subscribers {
    fn tell(&self, item: Item) {
        if let Self::Some(sender) = self {
            let _ = sender.send(item);
        }
    }
}

impl Inner {
    /// Hands on what the protocol learned. Whoever gave up waiting is passed over.
    pub(crate) fn dispatch(&mut self) {
        while let Some(incoming) = self.protocol.poll_incoming() {
            match incoming {
                Incoming::Greeting(greeting) => {
                    match self.greeted.take() {
                        Some(greeted) => {
                            self.just_greeted = true;
                            let _ = greeted.send(greeting);
                        }
                        None => self.subscribers.tell(Item::Reconnected),
                    }
                    self.closed = None;
                }
                Incoming::Reply { id, result } => self.waiters.answer(id, Answer::Replied(result)),
                Incoming::Unknown { id, why: Why::Overdue } => {
                    self.waiters.answer(id, Answer::Unanswered(Unanswered::Overdue));
                }
                Incoming::Unknown { id, why: Why::Closed } => {
                    let why = Unanswered::Closed(self.reason());
                    self.waiters.answer(id, Answer::Unanswered(why));
                }
                Incoming::NotSent(id) => {
                    let why = Unanswered::NotSent(self.reason());
                    self.waiters.answer(id, Answer::Unanswered(why));
                }
                // An agent has no greeting, and nobody asks for it.
                Incoming::Synchronized => {
                    if let Some(greeted) = self.greeted.take() {
                        self.just_greeted = true;
                        let _ = greeted.send(Greeting::default());
                    }
                }
                Incoming::Event(event) => {
                    let data = event.data.as_deref().map(RawValue::get);
                    tracing::debug!("<- event {} {}", event.name, data.unwrap_or_default());
                    self.told += 1;
                    self.subscribers.tell(Item::Event(Arc::new(event)));
                }
                Incoming::Unattributed(error) => tracing::warn!(%error, "error reply with no id"),
            }
        }
    }

    /// Sends the command that was just given. When nothing else is in flight it goes out from here,
    /// which saves the driver a turn; else the driver gathers it with others.
    pub(crate) fn send(&mut self, was_idle: bool) {
        let due = self.protocol.poll_timeout();
        let in_time = due.is_none_or(|due| self.wakes_at.is_some_and(|at| at <= due));
        if was_idle && in_time && self.fds.is_empty() {
            let sent = self.stream.as_mut().map(|it| it.try_send(self.protocol.poll_transmit()));
            // What is wrong with the stream the driver will find out.
            if let Some(Ok(count)) = sent {
                self.handle_transmitted(count, 0);
                if self.protocol.poll_transmit().is_empty() {
                    return;
                }
            }
        }
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Sends descriptors with the command that is given next, which must have room.
    pub(crate) fn pass(&mut self, fds: Vec<OwnedFd>) {
        let before = self.protocol.poll_transmit().len();
        self.fds.push_back((before, fds));
    }

    /// The bytes to write next, and the descriptors that go beside the first of them: up to the
    /// next command that has some.
    pub(crate) fn outgoing(&self) -> (&[u8], Option<&[OwnedFd]>) {
        let bytes = self.protocol.poll_transmit();
        match self.fds.front() {
            Some((0, fds)) => (bytes, Some(fds)),
            Some((before, _)) => (&bytes[..bytes.len().min(*before)], None),
            None => (bytes, None),
        }
    }

    /// Takes in that so many of them were written, and their descriptors with them.
    pub(crate) fn handle_written(&mut self, count: usize) {
        let with = self.fds.front().is_some_and(|(before, _)| *before == 0);
        let passed = if with { self.fds.pop_front().map_or(0, |(_, fds)| fds.len()) } else { 0 };
        for (before, _) in &mut self.fds {
            *before = before.saturating_sub(count);
        }
        self.handle_transmitted(count, passed);
    }

    fn handle_transmitted(&mut self, count: usize, descriptors: usize) {
        if let Some(trace) = &self.trace {
            trace.sent(&self.protocol.poll_transmit()[..count], descriptors);
        }
        self.protocol.handle_transmitted(count);
    }

    fn reason(&self) -> Closed {
        self.closed.clone().unwrap_or(Closed::ByPeer)
    }
}
