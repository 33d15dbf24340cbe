//! One client: its bytes, its commands that run, and its events.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use qplug_proto::{Event, OOB_QUEUE_LIMIT, Request, RequestId};
use tokio::sync::Semaphore;
use tokio::time::Sleep;

use super::Server;
use super::call::{Call, Handler, Reply};
use super::listener::Stream;
use super::passed::Passed;

/// How much is read at once.
const READ_BYTES: usize = 4 << 10;

/// How many commands of a client run at once: an in-band one and out-of-band ones.
const MAX_RUNNING: usize = 1 + OOB_QUEUE_LIMIT;

/// How often a session moves before others on its thread have their turn.
const MOVES_IN_A_ROW: usize = 16;

/// What a session and the senders of events share.
#[derive(Debug)]
pub(super) struct Link(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    protocol: qplug_proto::Server,
    session: Option<Waker>,
}

impl Link {
    pub(super) fn emit(&self, event: &Event, now: Instant) {
        let mut inner = self.lock();
        // A client that is given up on is sent no more.
        if !inner.protocol.is_overrun() {
            inner.protocol.emit(event, now);
        }
        inner.wake();
    }

    pub(super) fn wake(&self) {
        self.lock().wake();
    }

    /// No code panics while it holds the lock, so a poisoned one still guards sound data.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wake(&mut self) {
        if let Some(session) = self.session.take() {
            session.wake();
        }
    }
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the client left")]
    Left,
    #[error("the server shuts down")]
    Stopped,
    #[error("the client left too many replies and events unread")]
    Overrun,
    #[error(transparent)]
    Io(#[from] io::Error),
}

type Running = (RequestId, Pin<Box<dyn Future<Output = Reply> + Send>>);

pub(super) struct Session<H> {
    stream: Stream,
    handler: Arc<H>,
    link: Registered,
    running: Vec<Running>,
    /// How many commands were handed to the handler.
    begun: u64,
    passed: Arc<Passed>,
    space: Box<[u8]>,
    /// How many bytes there were read, and are not wanted yet.
    unread: usize,
    outgoing: Vec<u8>,
    sent: usize,
    timer: Option<Pin<Box<Sleep>>>,
}

/// A link in the server's list, for as long as the session lasts.
struct Registered {
    server: Server,
    link: Arc<Link>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.server.0.links().retain(|link| !Arc::ptr_eq(link, &self.link));
    }
}

impl<H: Handler> Session<H> {
    pub(super) fn new(stream: Stream, handler: Arc<H>, server: Server) -> Self {
        let protocol = qplug_proto::Server::new(server.0.options.greeting.clone());
        let link = Arc::new(Link(Mutex::new(Inner { protocol, session: None })));
        server.0.links().push(Arc::clone(&link));
        Self {
            stream,
            handler,
            link: Registered { server, link },
            running: Vec::new(),
            begun: 0,
            passed: Arc::default(),
            space: vec![0; READ_BYTES].into_boxed_slice(),
            unread: 0,
            outgoing: Vec::new(),
            sent: 0,
            timer: None,
        }
    }

    /// Serves the client until it leaves, makes room for the next, and ends what runs.
    pub(super) async fn run(mut self, slots: Option<Arc<Semaphore>>) {
        let slot = Slot(slots);
        let end = poll_fn(|context| self.poll(context)).await;
        tracing::debug!(%end, "a client's session ended");
        let Self { stream, link, mut running, .. } = self;
        drop((stream, link, slot));
        poll_fn(|context| {
            running.retain_mut(|(_, future)| future.as_mut().poll(context).is_pending());
            if running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Moves bytes and commands until nothing moves.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        self.link().session = Some(context.waker().clone());
        for _ in 0..MOVES_IN_A_ROW {
            let stopping = self.link.server.0.is_stopping();
            let mut moved = self.poll_running(context);
            moved |= !stopping && self.take_requests();
            moved |= self.poll_timer(context);
            match self.poll_write(context) {
                Poll::Ready(Ok(())) => moved = true,
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Pending => {}
            }
            if stopping && !moved && self.running.is_empty() && self.outgoing.is_empty() {
                return Poll::Ready(End::Stopped);
            }
            match if stopping { Poll::Pending } else { self.poll_read(context) } {
                Poll::Ready(Ok(())) => moved = true,
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Pending => {}
            }
            if !moved {
                return Poll::Pending;
            }
        }
        // Others on this thread have their turn now.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn link(&self) -> MutexGuard<'_, Inner> {
        self.link.link.lock()
    }

    /// Lets commands run, without the lock: they may send events.
    fn poll_running(&mut self, context: &mut Context<'_>) -> bool {
        let mut replies = Vec::new();
        self.running.retain_mut(|(id, future)| match future.as_mut().poll(context) {
            Poll::Ready(reply) => {
                replies.push((*id, reply));
                false
            }
            Poll::Pending => true,
        });
        let moved = !replies.is_empty();
        for (id, reply) in replies {
            self.link().protocol.reply(id, reply);
        }
        moved
    }

    /// Begins what may begin now.
    fn take_requests(&mut self) -> bool {
        let before = self.begun;
        while self.running.len() < MAX_RUNNING {
            let Some(request) = self.link().protocol.poll_request() else { break };
            let Request { id, command, arguments, out_of_band } = request;
            let call = Call { command, arguments, out_of_band, passed: Arc::clone(&self.passed) };
            let handler = Arc::clone(&self.handler);
            self.running.push((id, Box::pin(async move { handler.handle(call).await })));
            self.begun += 1;
        }
        self.begun > before
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), End>> {
        if self.outgoing.is_empty() {
            let mut link = self.link();
            if link.protocol.is_overrun() {
                return Poll::Ready(Err(End::Overrun));
            }
            let Some(bytes) = link.protocol.poll_transmit() else { return Poll::Pending };
            drop(link);
            self.outgoing = bytes;
            self.sent = 0;
        }
        match self.stream.poll_write(context, &self.outgoing[self.sent..]) {
            Poll::Ready(Ok(count)) => {
                self.sent += count;
                if self.sent >= self.outgoing.len() {
                    self.outgoing = Vec::new();
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            // What piles up behind a client that does not read is bounded too.
            Poll::Pending if self.link().protocol.is_overrun() => Poll::Ready(Err(End::Overrun)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Reads, and hands on what was read when the protocol wants it. One read ahead of that, a client
    /// that leaves while its command runs is noticed.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), End>> {
        if self.unread == 0 {
            let mut fds = Vec::new();
            self.unread = match self.stream.poll_read(context, &mut self.space, &mut fds) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(End::Left)),
                Poll::Ready(Ok(count)) => count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            };
            if !fds.is_empty() {
                self.passed.add(fds, self.begun, self.running.is_empty());
            }
        }
        let mut link = self.link.link.lock();
        if !link.protocol.wants_input() {
            return Poll::Pending;
        }
        link.protocol.handle_input(&self.space[..self.unread]);
        self.unread = 0;
        Poll::Ready(Ok(()))
    }

    /// Sends the events that were held back and are due.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> bool {
        let due = self.link().protocol.poll_timeout();
        let Some(due) = due.map(tokio::time::Instant::from_std) else {
            self.timer = None;
            return false;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        if timer.as_mut().poll(context).is_pending() {
            return false;
        }
        self.timer = None;
        self.link().protocol.handle_timeout(due.into_std());
        true
    }
}

/// A place among the clients that are served at a time, given back when dropped.
struct Slot(Option<Arc<Semaphore>>);

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slots) = &self.0 {
            slots.add_permits(1);
        }
    }
}
