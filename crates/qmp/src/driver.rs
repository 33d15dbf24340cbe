//! The task that moves bytes between the socket and the state machine, and wakes callers.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use qplug_proto::{CommandId, Dialect, ErrorReply, Greeting, Incoming, Unanswered};
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{broadcast, oneshot};
use tokio::time::Sleep;

use crate::address::Address;
use crate::error::Closed;
use crate::events::{EVENT_BACKLOG, Item};
use crate::options::{Options, Reconnect};
use crate::transport::{self, Stream};

/// How often a driver reads before others on its thread have their turn.
const MOVES_IN_A_ROW: usize = 16;

/// How a command ended.
#[derive(Debug)]
pub(crate) enum Answer {
    Replied(Result<Box<RawValue>, ErrorReply>),
    Overdue,
    NotSent(Closed),
    Closed(Closed),
}

/// What the driver and the handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) protocol: qplug_proto::Client,
    pub(crate) waiters: HashMap<CommandId, oneshot::Sender<Answer>>,
    greeted: Option<oneshot::Sender<Greeting>>,
    just_greeted: bool,
    subscribers: Subscribers,
    /// Why nothing can be sent now.
    pub(crate) closed: Option<Closed>,
    /// Wakes the driver when there is something to send.
    pub(crate) driver: Option<Waker>,
}

impl Shared {
    pub(crate) fn new(protocol: qplug_proto::Client, greeted: oneshot::Sender<Greeting>) -> Self {
        let inner = Inner {
            protocol,
            waiters: HashMap::new(),
            greeted: Some(greeted),
            just_greeted: false,
            subscribers: Subscribers::None,
            closed: None,
            driver: None,
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

    /// Ends the connection: every command gets its end.
    fn lose(&self, reason: Closed) {
        tracing::debug!(%reason, "connection lost");
        let mut inner = self.lock();
        inner.closed = Some(reason);
        inner.protocol.handle_close();
        inner.dispatch();
    }

    /// Nobody comes back any more.
    fn close(&self) {
        let mut inner = self.lock();
        inner.subscribers = Subscribers::Closed;
        inner.greeted = None;
    }

    /// Begins anew on a fresh connection. Commands are taken again once it is greeted.
    fn begin_anew(&self, protocol: qplug_proto::Client) {
        self.lock().protocol = protocol;
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
    fn dispatch(&mut self) {
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
                Incoming::Reply { id, result } => self.answer(id, Answer::Replied(result)),
                Incoming::Unknown { id, why: Unanswered::Overdue } => {
                    self.answer(id, Answer::Overdue);
                }
                Incoming::Unknown { id, why: Unanswered::Closed } => {
                    self.answer(id, Answer::Closed(self.reason()));
                }
                Incoming::NotSent(id) => self.answer(id, Answer::NotSent(self.reason())),
                // Only an agent says so, and this client speaks to none.
                Incoming::Synchronized => {}
                Incoming::Event(event) => {
                    let data = event.data.as_deref().map(RawValue::get);
                    tracing::debug!("<- event {} {}", event.name, data.unwrap_or_default());
                    self.subscribers.tell(Item::Event(Arc::new(event)));
                }
                Incoming::Unattributed(error) => tracing::warn!(%error, "error reply with no id"),
            }
        }
    }

    fn reason(&self) -> Closed {
        self.closed.clone().unwrap_or(Closed::ByPeer)
    }

    fn answer(&mut self, id: CommandId, answer: Answer) {
        if let Some(waiter) = self.waiters.remove(&id) {
            let _ = waiter.send(answer);
        }
    }
}

/// Runs a connection until it closes, and comes back as often as the options say.
pub(crate) async fn run(
    mut stream: Stream,
    shared: Arc<Shared>,
    address: Address,
    options: Options,
) {
    loop {
        let mut timer = Timer::default();
        let reason = poll_fn(|context| poll(&mut stream, &mut timer, &shared, context)).await;
        shared.lose(reason);
        drop(stream);
        stream = match connect_again(&address, &options).await {
            Some(stream) => stream,
            None => return shared.close(),
        };
        shared.begin_anew(protocol(&options));
    }
}

/// The protocol's state machine for a connection that is just there.
pub(crate) fn protocol(options: &Options) -> qplug_proto::Client {
    // A time that no clock can name is never reached.
    let deadline = tokio::time::Instant::now().checked_add(options.connect_timeout);
    let deadline = deadline.map(tokio::time::Instant::into_std);
    let dialect = if options.oob { Dialect::QmpWithOob } else { Dialect::Qmp };
    qplug_proto::Client::new(dialect, deadline)
}

/// A new connection, unless the options do not want one or it takes too long.
async fn connect_again(address: &Address, options: &Options) -> Option<Stream> {
    let Reconnect { first_pause, longest_pause, give_up_after } = options.reconnect?;
    let give_up_at = tokio::time::Instant::now() + give_up_after;
    let mut pause = first_pause;
    while tokio::time::Instant::now() + pause < give_up_at {
        tokio::time::sleep(pause).await;
        match transport::connect(address, options).await {
            Ok(stream) => return Some(stream),
            Err(error) => tracing::debug!(%error, "not there yet"),
        }
        pause = (pause * 2).min(longest_pause);
    }
    None
}

/// Moves bytes until nothing moves. Reads and writes at the same time: a QEMU whose replies nobody
/// reads stops reading, and one of the old ones stops its guest.
fn poll(
    stream: &mut Stream,
    timer: &mut Timer,
    shared: &Shared,
    context: &mut Context<'_>,
) -> Poll<Closed> {
    let mut inner = shared.lock();
    let mut stream = Pin::new(stream);
    for _ in 0..MOVES_IN_A_ROW {
        let mut moved = false;
        if std::mem::take(&mut inner.just_greeted) {
            // Whoever waited for the greeting has a turn first: the first commands then go out in
            // the same write as the negotiation.
            break;
        }
        while !inner.protocol.poll_transmit().is_empty() {
            match stream.as_mut().poll_write(context, inner.protocol.poll_transmit()) {
                Poll::Ready(Ok(count)) => inner.protocol.handle_transmitted(count),
                Poll::Ready(Err(error)) => return Poll::Ready(Closed::Io(error.to_string())),
                Poll::Pending => break,
            }
        }
        let mut space = ReadBuf::new(inner.protocol.space());
        match stream.as_mut().poll_read(context, &mut space) {
            Poll::Ready(Ok(())) => {
                let count = space.filled().len();
                if count == 0 {
                    return Poll::Ready(Closed::ByPeer);
                }
                let outcome = inner.protocol.handle_filled(count);
                inner.dispatch();
                if let Err(error) = outcome {
                    return Poll::Ready(Closed::Protocol(error));
                }
                moved = true;
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Closed::Io(error.to_string())),
            Poll::Pending => {}
        }
        if let Poll::Ready(now) = timer.poll(inner.protocol.poll_timeout(), context) {
            let outcome = inner.protocol.handle_timeout(now);
            inner.dispatch();
            if let Err(error) = outcome {
                return Poll::Ready(Closed::Protocol(error));
            }
            moved = true;
        }
        if !moved {
            inner.driver = Some(context.waker().clone());
            return Poll::Pending;
        }
    }
    // Others on this thread have their turn now.
    context.waker().wake_by_ref();
    Poll::Pending
}

/// Wakes the driver at the protocol's next deadline.
#[derive(Debug, Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Ready with the time when it is due. A sleep that is set too early is left to end, and then
    /// set anew: deadlines mostly move away, as commands are answered.
    fn poll(&mut self, due: Option<Instant>, context: &mut Context<'_>) -> Poll<Instant> {
        let Some(due) = due.map(tokio::time::Instant::from_std) else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if sleep.deadline() > due || (sleep.is_elapsed() && sleep.deadline() != due) {
            sleep.as_mut().reset(due);
        }
        while sleep.as_mut().poll(context).is_ready() {
            let now = tokio::time::Instant::now();
            if now >= due {
                return Poll::Ready(now.into_std());
            }
            sleep.as_mut().reset(due);
        }
        Poll::Pending
    }
}
