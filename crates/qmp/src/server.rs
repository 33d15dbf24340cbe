//! A server: accepts clients, and hands their commands to a handler.
//!
//! ```no_run
//! use qplug_proto::{ErrorReply, Greeting, QemuVersion};
//! use qplug_qmp::Address;
//! use qplug_qmp::server::{Call, Listener, Options, Server, returning};
//!
//! # async fn run() -> std::io::Result<()> {
//! let version = QemuVersion { major: 10, minor: 0, micro: 2 };
//! let greeting = Greeting { version, package: "mine".into(), capabilities: vec!["oob".into()] };
//! let server = Server::new(Options::new(greeting));
//! let listener = Listener::bind(&Address::Unix("/run/mine.qmp".into())).await?;
//! server.serve(listener, async |call: Call| match call.command.as_str() {
//!     "query-name" => returning(&serde_json::json!({"name": "mine"})),
//!     other => Err(ErrorReply::not_found(other)),
//! }).await
//! # }
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `server/call.rs` | a command on its way to the handler, and the handler |
//! | `server/listener.rs` | where clients come in, and their sockets |
//! | `server/session.rs` | one client: bytes, commands that run, events |
//! | `server/passed.rs` | descriptors that came and were not taken yet |

mod call;
mod listener;
mod passed;
mod session;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use qplug_proto::{Event, Greeting, Timestamp};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;

pub use call::{Call, Handler, Reply, returning};
pub use listener::{Listener, Stream};
use session::{Link, Session};

/// How long a server that shuts down waits for commands that run, and for clients to read the
/// replies.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// How long no client is accepted after the system refused to accept one, such as for want of
/// descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a server presents itself and how many it serves.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is said first. Out-of-band commands are offered if its capabilities name `oob`.
    pub greeting: Greeting,
    /// How many clients are served at a time; the next one connects, and hears nothing until one of
    /// them leaves. QEMU's monitor serves 1.
    pub clients: usize,
}

impl Options {
    /// One client at a time, as QEMU does it.
    #[must_use]
    pub fn new(greeting: Greeting) -> Self {
        Self { greeting, clients: 1 }
    }
}

/// A QMP server. Clones are the same one: a handler may keep one to send events or to shut down.
#[derive(Debug, Clone)]
pub struct Server(Arc<Hub>);

#[derive(Debug)]
struct Hub {
    options: Options,
    /// Clients that are served.
    links: Mutex<Vec<Arc<Link>>>,
    stopping: watch::Sender<bool>,
}

impl Server {
    /// A server that serves nobody yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let (links, stopping) = (Mutex::default(), watch::Sender::new(false));
        Self(Arc::new(Hub { options, links, stopping }))
    }

    /// Serves the clients of a listener until [`Server::shut_down`].
    ///
    /// A client's commands are carried out one after the other, its out-of-band ones beside them.
    /// Commands that run when their client leaves run to their end. Dropping the future drops them.
    ///
    /// # Errors
    /// None at present: a system that accepts no client now is asked again.
    pub async fn serve(&self, listener: Listener, handler: impl Handler) -> io::Result<()> {
        let handler = Arc::new(handler);
        let slots = Arc::new(Semaphore::new(self.0.options.clients.max(1)));
        let mut sessions = JoinSet::new();
        let mut stopping = self.0.stopping.subscribe();
        loop {
            tokio::select! {
                // The sender lives in `self`.
                _ = stopping.wait_for(|stopping| *stopping) => break,
                Some(ended) = sessions.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "the handler of a client's commands failed");
                    }
                }
                (stream, permit) = next_client(&listener, &slots) => {
                    let session = Session::new(stream, Arc::clone(&handler), self.clone());
                    // Given back by the session, when the client has left.
                    permit.forget();
                    let slots = Arc::clone(&slots);
                    sessions.spawn(session.run(Some(slots)));
                }
            }
        }
        drop(listener);
        let all = async { while sessions.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN_GRACE, all).await.is_err() {
            tracing::warn!("commands still ran, or replies were not read, and were dropped");
        }
        Ok(())
    }

    /// Serves one client that is connected already, until it leaves or [`Server::shut_down`].
    pub async fn serve_connected(&self, stream: impl Into<Stream>, handler: impl Handler) {
        let session = Session::new(stream.into(), Arc::new(handler), self.clone());
        let mut stopping = self.0.stopping.subscribe();
        let grace_is_over = async {
            let _ = stopping.wait_for(|stopping| *stopping).await;
            tokio::time::sleep(SHUTDOWN_GRACE).await;
        };
        tokio::select! {
            () = session.run(None) => {}
            () = grace_is_over => {}
        }
    }

    /// Tells all clients of an event, those that have negotiated. An event with no time gets the
    /// present one. A client that does not read its events is disconnected in the end; see
    /// [`OUTPUT_LIMIT`](qplug_proto::OUTPUT_LIMIT).
    pub fn emit(&self, mut event: Event) {
        event.timestamp.get_or_insert_with(now);
        let now = Instant::now();
        for link in self.0.links().iter() {
            link.emit(&event, now);
        }
    }

    /// How many clients are served now.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.0.links().len()
    }

    /// Ends the service: no client is accepted and no command taken any more. Commands that run are
    /// given [`SHUTDOWN_GRACE`] to end and be answered.
    pub fn shut_down(&self) {
        self.0.stopping.send_replace(true);
        for link in self.0.links().iter() {
            link.wake();
        }
    }
}

impl Hub {
    /// No code panics while it holds the lock, so a poisoned one still guards sound data.
    fn links(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }
}

/// The next client, when there is a slot for it.
async fn next_client<'s>(
    listener: &Listener,
    slots: &'s Semaphore,
) -> (Stream, SemaphorePermit<'s>) {
    loop {
        if let Ok(permit) = slots.acquire().await {
            match listener.accept().await {
                Ok(stream) => return (stream, permit),
                Err(error) => tracing::warn!(%error, "no client can be accepted"),
            }
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// The time as QEMU writes it: -1 when it cannot be told.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok();
    Timestamp {
        seconds: since.and_then(|since| since.as_secs().try_into().ok()).unwrap_or(-1),
        microseconds: since.map_or(-1, |since| i64::from(since.subsec_micros())),
    }
}
