//! The names that completion asks the machine and the host for, at the moment they are wanted.
//!
//! The line editor has a thread of its own, and the runtime another: what is asked is asked there, and
//! waited for here, never longer than [`COMPLETION_WITHIN`]. So a machine that hangs costs a moment, and
//! no more of them for the next [`NAMES_FRESH`].
//!
//! | file | owns |
//! |---|---|
//! | `live/machine.rs` | what the machine is asked |
//! | `live/block.rs` | what it says of nodes, drives and bitmaps |
//! | `live/host.rs` | files and programs of the host's |

mod block;
mod host;
mod machine;

use std::collections::HashMap;
use std::future::Future;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use qplug_qapi::introspection::Schema;
use qplug_qmp::Client;
use tokio::runtime::Handle;

use super::complete::{Kind, Name, Names, World};
use super::link::Link;
use crate::commands::schema::source;

/// How long the editor waits for names.
const COMPLETION_WITHIN: Duration = Duration::from_millis(400);

/// How long names are good for, if nothing else shows that they may be others.
const NAMES_FRESH: Duration = Duration::from_secs(2);

/// How many names of a kind are kept.
const MAX_NAMES: usize = 10_000;

/// How many kinds of names are kept; with more of them all are asked for anew.
const MAX_KINDS: usize = 64;

/// What a machine and its host have, as it is asked. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Live {
    link: Link,
    runtime: Handle,
    kept: Arc<Mutex<Kept>>,
}

/// The same with nobody asked: what is known already.
#[derive(Debug, Clone)]
pub(super) struct Known(Live);

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
}

#[derive(Debug)]
struct Asked {
    at: Instant,
    /// The link's age then.
    age: u64,
    names: Arc<Names>,
}

impl Live {
    /// What is at the other end of a link. Called in the runtime.
    pub(super) fn new(link: &Link) -> Self {
        let live = Self { link: link.clone(), runtime: Handle::current(), kept: Arc::default() };
        live.read_schema();
        live
    }

    /// What is known without asking.
    pub(super) fn known(&self) -> Known {
        Known(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = self.link.connections();
        if kept.connection != connection {
            *kept = Kept { connection, ..Kept::default() };
        }
        kept
    }

    /// The schema as far as it is read.
    fn schema_now(&self) -> Option<Arc<Schema>> {
        match &self.lock().schema {
            Reading::Read(schema) => schema.clone(),
            _ => None,
        }
    }

    /// Has the schema read, unless it was, or is being read. Whoever keeps the receiver hears the end.
    fn read_schema(&self) -> Option<std::sync::mpsc::Receiver<()>> {
        let client = self.link.client()?;
        let mut kept = self.lock();
        if !matches!(kept.schema, Reading::NotYet) {
            return None;
        }
        kept.schema = Reading::UnderWay;
        let connection = kept.connection;
        drop(kept);
        let (tell, told) = sync_channel(1);
        let live = self.clone();
        self.runtime.spawn(async move {
            let schema = source::of(&client).await;
            let mut kept = live.lock();
            if kept.connection == connection {
                kept.schema = match schema {
                    Ok(schema) => Reading::Read(schema.map(Arc::new)),
                    Err(_) => Reading::NotYet,
                };
            }
            drop(kept);
            // Nobody may wait any more.
            let _ = tell.try_send(());
        });
        Some(told)
    }

    /// Names that were asked for and are still good.
    fn kept(&self, kind: &Kind) -> Option<Arc<Names>> {
        let age = self.link.age();
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
            Kind::MachineFiles(_) if self.link.is_elsewhere() => Vec::new(),
            Kind::Files(folder) | Kind::MachineFiles(folder) => {
                let folder = folder.clone();
                self.wait(blocking(move || host::files(&folder)))
            }
            Kind::HostCommands => self.wait(blocking(host::programs)),
            kind => {
                let Some(client) = self.link.client() else { return Vec::new() };
                let (kind, dialect) = (kind.clone(), self.link.dialect());
                self.wait(async move { machine::names(&kind, &client, dialect).await })
            }
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

async fn blocking(names: impl FnOnce() -> Vec<Name> + Send + 'static) -> Option<Vec<Name>> {
    tokio::task::spawn_blocking(names).await.ok()
}

impl World for Live {
    fn schema(&self) -> Option<Arc<Schema>> {
        if let Some(told) = self.read_schema() {
            // What is not there in time is there the next time.
            let _ = told.recv_timeout(COMPLETION_WITHIN);
        }
        self.schema_now()
    }

    fn names(&self, kind: &Kind) -> Arc<Names> {
        if let Some(names) = self.kept(kind) {
            return names;
        }
        let age = self.link.age();
        let mut names = self.ask(kind);
        let left_out = names.len().saturating_sub(MAX_NAMES);
        names.truncate(MAX_NAMES);
        let names = Arc::new(Names { names, left_out });
        self.keep(kind, age, &names);
        names
    }
}

impl World for Known {
    fn schema(&self) -> Option<Arc<Schema>> {
        self.0.read_schema();
        self.0.schema_now()
    }

    fn names(&self, kind: &Kind) -> Arc<Names> {
        self.0.kept(kind).unwrap_or_default()
    }
}
