//! Between a client and QEMU's monitor: passes everything on, writes it down, and can act at an
//! exact point of the conversation. This is how a test kills a client between a command and its
//! answer.
//!
//! It knows no more of QMP than that messages are JSON objects, and that answers come in the order
//! of the commands. File descriptors sent along are not passed on.

mod splitter;
mod wire;

use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::{Error, Result};

use wire::Wire;

/// Messages that are written down; later ones are only passed on.
const MAX_SAID: usize = 100_000;

/// A point of the conversation. Commands are counted from 1 over all connections, and negotiation
/// is one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The command reached the proxy, and QEMU has not seen it.
    Arrived(usize),
    /// The command was passed on. Its answer is held back until the action is done; whether QEMU
    /// has carried it out by then is open.
    Forwarded(usize),
    /// QEMU has carried the command out, and the client does not know it yet.
    Executed(usize),
    /// The answer was passed on to the client.
    Answered(usize),
}

/// What happens after an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The conversation goes on.
    GoOn,
    /// The connection is cut at both ends, and what was held back is lost.
    Cut,
}

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// QEMU.
    Qemu,
}

/// One message of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Who said it.
    pub by: Side,
    /// The JSON object as it was sent.
    pub text: String,
}

type Action = Box<dyn FnOnce() -> Then + Send>;

/// The proxy; it stops when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    path: PathBuf,
    shared: Arc<Shared>,
    porter: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens at `path` and connects each client to the monitor at `monitor`.
    pub fn start(path: &Path, monitor: &Path) -> Result<Self> {
        let listener = UnixListener::bind(path).map_err(Error::file("listen at", path))?;
        let shared = Arc::new(Shared::default());
        let for_porter = Arc::clone(&shared);
        let monitor = monitor.to_owned();
        let porter = std::thread::spawn(move || admit(&listener, &monitor, &for_porter));
        Ok(Self { path: path.to_owned(), shared, porter: Some(porter) })
    }

    /// Where clients connect.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has `action` run at a moment to come, in the proxy's thread: the conversation waits for it.
    pub fn at(&self, moment: Moment, action: impl FnOnce() -> Then + Send + 'static) {
        locked(&self.shared.plan).push((moment, Box::new(action)));
    }

    /// Cuts every connection there is now; new ones are welcome.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// How many commands came so far.
    #[must_use]
    pub fn commands(&self) -> usize {
        self.shared.commands.load(Ordering::SeqCst)
    }

    /// All that was said so far.
    #[must_use]
    pub fn conversation(&self) -> Vec<Said> {
        locked(&self.shared.said).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // Wakes the porter, who waits for clients. If it cannot be reached it has ended already.
        let _ = UnixStream::connect(&self.path);
        if let Some(porter) = self.porter.take() {
            // A panic of the porter was reported when it happened.
            let _ = porter.join();
        }
        self.shared.cut();
        let _ = fs::remove_file(&self.path);
    }
}

/// What the proxy's threads share.
#[derive(Default)]
struct Shared {
    plan: Mutex<Vec<(Moment, Action)>>,
    said: Mutex<Vec<Said>>,
    commands: AtomicUsize,
    /// Both ends of every connection, for cutting them.
    open: Mutex<Vec<UnixStream>>,
    closing: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("commands", &self.commands).finish_non_exhaustive()
    }
}

impl Shared {
    fn next_command(&self) -> usize {
        self.commands.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Runs what was planned for this moment.
    fn reach(&self, moment: Moment) -> Then {
        let action = {
            let mut plan = locked(&self.plan);
            let found = plan.iter().position(|(planned, _)| *planned == moment);
            found.map(|position| plan.remove(position).1)
        };
        action.map_or(Then::GoOn, |action| action())
    }

    fn note(&self, by: Side, message: &[u8]) {
        let mut said = locked(&self.said);
        if said.len() < MAX_SAID {
            let text = String::from_utf8_lossy(message).into_owned();
            said.push(Said { by, text });
        }
    }

    fn cut(&self) {
        for stream in locked(&self.open).drain(..) {
            // Fails only when the other end has left already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A test that panicked elsewhere must still be able to clean up.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets clients in, each with a connection of its own to the monitor. Like QEMU itself it keeps a
/// second client waiting in silence, as the monitor does not greet it.
fn admit(listener: &UnixListener, monitor: &Path, shared: &Arc<Shared>) {
    while let Ok((client, _)) = listener.accept() {
        if shared.closing.load(Ordering::SeqCst) {
            return;
        }
        // A monitor that is not there looks to the client as it would without us: it hangs up.
        let _ = connect(client, monitor, shared);
    }
}

fn connect(client: UnixStream, monitor: &Path, shared: &Arc<Shared>) -> io::Result<()> {
    let qemu = UnixStream::connect(monitor)?;
    locked(&shared.open).extend([client.try_clone()?, qemu.try_clone()?]);
    Wire::new(client, qemu, Arc::clone(shared)).start()
}
