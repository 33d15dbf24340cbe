//! Who is measured.
//!
//! | file | who |
//! |---|---|
//! | `contestant/floor.rs` | the bare loop: prepared bytes out, and the reply in, with no look at it |
//! | `contestant/blocking.rs` | qplug's blocking client |
//! | `contestant/tasks.rs` | qplug's asynchronous client |
//! | `contestant/qapi_sync.rs` | the crate `qapi`, blocking |
//! | `contestant/qapi_async.rs` | the crate `qapi`, on tokio |
//! | `contestant/qmp.rs` | the crate `qmp` |
//! | `contestant/python.rs` | Python's `qemu.qmp` |

mod blocking;
mod floor;
mod python;
mod qapi_async;
mod qapi_sync;
mod qmp;
mod tasks;

use std::path::Path;
use std::rc::Rc;

use tokio::runtime::{Builder, Runtime};

use crate::Failure;
use crate::work::Work;

/// A client with an open connection.
pub(crate) trait Contestant {
    /// Does a work so many times, and tells how many events it was not given.
    ///
    /// A work that a client has no way to do is an error.
    fn run(&mut self, work: Work, count: u32) -> Result<u64, Failure>;
}

/// Where clients come from; the asynchronous ones share a runtime on this thread.
#[derive(Debug)]
pub(crate) struct Contestants(Rc<Runtime>);

impl Contestants {
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self(Rc::new(Builder::new_current_thread().enable_all().build()?)))
    }

    /// Connects a client to a monitor, so far that commands can be given.
    pub(crate) fn open(&self, who: &str, path: &Path) -> Result<Box<dyn Contestant>, Failure> {
        let runtime = || Rc::clone(&self.0);
        Ok(match who {
            "floor" => Box::new(floor::Floor::open(path)?),
            "qplug-blocking" => Box::new(blocking::Blocking::open(path)?),
            "qplug-async" => Box::new(tasks::Tasks::open(path, runtime())?),
            "qapi-sync" => Box::new(qapi_sync::open_behind_a_buffer(path)?),
            "qapi-sync-documented" => Box::new(qapi_sync::open_as_documented(path)?),
            "qapi-async" => Box::new(qapi_async::Qapi::open(path, runtime())?),
            "qmp" => Box::new(qmp::Qmp::open(path, runtime())?),
            "python" => Box::new(python::Python::open(path)?),
            _ => return Err(format!("nobody is called {who}").into()),
        })
    }
}

/// The error of whoever has no way to do a work.
fn cannot(work: Work) -> Failure {
    format!("has no way to do {work:?}").into()
}
