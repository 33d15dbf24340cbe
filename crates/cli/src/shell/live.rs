//! The names that completion asks the other end and the host for, at the moment they are wanted.
//!
//! The line editor has a thread of its own, and the runtime another: what is asked is asked there, and
//! waited for here, never longer than [`COMPLETION_WITHIN`]. So a machine that hangs costs a moment, and
//! no more of them for the next [`NAMES_FRESH`].
//!
//! | file | owns |
//! |---|---|
//! | `live/machine.rs` | what a machine is asked |
//! | `live/block.rs` | what it says of nodes, drives and bitmaps |
//! | `live/appliance.rs` | what an appliance is asked |
//! | `live/host.rs` | files and programs of the host's |

mod appliance;
mod block;
mod host;
mod machine;

use std::collections::HashMap;
use std::future::Future;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use qplug_qapi::introspection::Schema;
use tokio::runtime::Handle;

pub(super) use host::files;

use super::complete::{Kind, Name, Names, World};
use super::vocabulary::Vocabulary;
use crate::failure::Failure;

/// How long the editor waits for names.
const COMPLETION_WITHIN: Duration = Duration::from_millis(400);

/// How long names are good for, if nothing else shows that they may be others.
const NAMES_FRESH: Duration = Duration::from_secs(2);

/// When a schema that could not be read is asked for again.
const SCHEMA_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How many names of a kind are kept.
const MAX_NAMES: usize = 10_000;

/// How many kinds of names are kept; with more of them all are asked for anew.
const MAX_KINDS: usize = 64;

/// Who is asked, and what tells that the answers may be others now. Clones are the same.
pub(super) trait Source: Clone + Send + Sync + 'static {
    /// What the shell understands.
    fn vocabulary(&self) -> &'static Vocabulary;

    /// A number that is another one whenever names may be others.
    fn age(&self) -> u64;

    /// A number that is another one whenever nothing of before holds.
    fn connections(&self) -> u64 {
        0
    }

    /// Whether there is somebody to ask for a schema.
    fn is_there(&self) -> bool {
        true
    }

    /// The schema; none where there is none to be had.
    fn schema(self) -> impl Future<Output = Result<Option<Schema>, Failure>> + Send;

    /// The names of a kind, where it says.
    fn names(self, kind: Kind) -> impl Future<Output = Option<Vec<Name>>> + Send;

    /// What is to be done when the line is to be drawn anew.
    fn on_change(&self, changed: impl Fn() + Send + 'static);

    /// Has the line drawn anew: more is known of what stands in it.
    fn redraw(&self);
}

/// What the other end and this host have, as they are asked. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Live<S> {
    source: S,
    runtime: Handle,
    shared: Arc<Shared>,
}

/// The same with nobody asked: what is known already.
#[derive(Debug, Clone)]
pub(super) struct Known<S>(Live<S>);

#[derive(Debug, Default)]
struct Shared {
    kept: Mutex<Kept>,
    /// Told when the schema was read.
    read: Condvar,
}

#[derive(Debug, Default)]
struct Kept {
    /// Of which connection it all is.
    connection: u64,
    schema: Reading,
    names: HashMap<Kind, Asked>,
}

/// A machine's schema.
#[derive(Debug, Default)]
enum Reading {
    #[default]
    NotYet,
    UnderWay,
    /// `None` where the machine has none.
    Read(Option<Arc<Schema>>),
    /// The machine did not say.
    Failed(Instant),
}

#[derive(Debug)]
struct Asked {
    at: Instant,
    /// The link's age then.
    age: u64,
    names: Arc<Names>,
}

impl<S: Source> Live<S> {
    /// What this one says. Called in the runtime.
    pub(super) fn new(source: &S) -> Self {
        let (source, runtime) = (source.clone(), Handle::current());
        let live = Self { source, runtime, shared: Arc::default() };
        live.read_schema();
        live
    }

    /// What is known without asking.
    pub(super) fn known(&self) -> Known<S> {
        Known(self.clone())
    }

    /// Who is asked.
    pub(super) fn source(&self) -> &S {
        &self.source
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        let mut kept = self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = self.source.connections();
        if kept.connection != connection {
            *kept = Kept { connection, ..Kept::default() };
        }
        kept
    }

    /// Has the schema read, unless it was, or is being read.
    fn read_schema(&self) {
        if !self.source.is_there() {
            return;
        }
        let mut kept = self.lock();
        match kept.schema {
            Reading::NotYet => {}
            Reading::Failed(at) if at.elapsed() > SCHEMA_AGAIN_AFTER => {}
            _ => return,
        }
        kept.schema = Reading::UnderWay;
        let connection = kept.connection;
        drop(kept);
        let live = self.clone();
        self.runtime.spawn(async move {
            let schema = match live.source.clone().schema().await {
                Ok(schema) => Reading::Read(schema.map(Arc::new)),
                Err(_) => Reading::Failed(Instant::now()),
            };
            let mut kept = live.lock();
            if kept.connection == connection {
                kept.schema = schema;
            }
            drop(kept);
            live.shared.read.notify_all();
            // The hint and the colours of what is typed already.
            live.source.redraw();
        });
    }

    /// The schema, if it is read in this time.
    fn schema_within(&self, time: Duration) -> Option<Arc<Schema>> {
        self.read_schema();
        let is_under_way = |kept: &mut Kept| matches!(kept.schema, Reading::UnderWay);
        let waited = self.shared.read.wait_timeout_while(self.lock(), time, is_under_way);
        let (kept, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match &kept.schema {
            Reading::Read(schema) => schema.clone(),
            _ => None,
        }
    }

    /// Names that were asked for and are still good.
    fn kept(&self, kind: &Kind) -> Option<Arc<Names>> {
        let age = self.source.age();
        let kept = self.lock();
        let asked = kept.names.get(kind)?;
        let is_fresh = asked.at.elapsed() < NAMES_FRESH && asked.age == age;
        let is_good = is_fresh || (kind.is_fixed() && !asked.names.names.is_empty());
        is_good.then(|| Arc::clone(&asked.names))
    }

    fn keep(&self, kind: &Kind, age: u64, names: &Arc<Names>) {
        let mut kept = self.lock();
        if kept.names.len() >= MAX_KINDS {
            kept.names.clear();
        }
        let asked = Asked { at: Instant::now(), age, names: Arc::clone(names) };
        kept.names.insert(kind.clone(), asked);
    }

    fn ask(&self, kind: &Kind) -> Vec<Name> {
        match kind {
            Kind::Files(folder) => self.wait(files_in(folder.clone())),
            Kind::HostCommands => self.wait(blocking(host::programs)),
            kind => self.wait(self.source.clone().names(kind.clone())),
        }
    }

    /// Waits for what the runtime finds out; nothing where it takes too long.
    fn wait(&self, names: impl Future<Output = Option<Vec<Name>>> + Send + 'static) -> Vec<Name> {
        let (tell, told) = sync_channel(1);
        let task = self.runtime.spawn(async move {
            // Nobody may wait any more.
            let _ = tell.try_send(names.await);
        });
        match told.recv_timeout(COMPLETION_WITHIN) {
            Ok(names) => names.unwrap_or_default(),
            Err(_) => {
                task.abort();
                Vec::new()
            }
        }
    }
}

/// The files in a folder of the host's.
async fn files_in(folder: String) -> Option<Vec<Name>> {
    blocking(move || host::files(&folder)).await
}

async fn blocking(names: impl FnOnce() -> Vec<Name> + Send + 'static) -> Option<Vec<Name>> {
    tokio::task::spawn_blocking(names).await.ok()
}

impl<S: Source> World for Live<S> {
    fn vocabulary(&self) -> &'static Vocabulary {
        self.source.vocabulary()
    }

    fn schema(&self) -> Option<Arc<Schema>> {
        self.schema_within(COMPLETION_WITHIN)
    }

    fn names(&self, kind: &Kind) -> Arc<Names> {
        if let Some(names) = self.kept(kind) {
            return names;
        }
        let age = self.source.age();
        let mut names = self.ask(kind);
        let left_out = names.len().saturating_sub(MAX_NAMES);
        names.truncate(MAX_NAMES);
        let names = Arc::new(Names { names, left_out });
        self.keep(kind, age, &names);
        names
    }
}

impl<S: Source> World for Known<S> {
    fn vocabulary(&self) -> &'static Vocabulary {
        self.0.vocabulary()
    }

    fn schema(&self) -> Option<Arc<Schema>> {
        self.0.schema_within(Duration::ZERO)
    }

    fn names(&self, kind: &Kind) -> Arc<Names> {
        self.0.kept(kind).unwrap_or_default()
    }
}
