//! `qplug freeze` and `qplug thaw`, and what goes on until a guest is thawed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use qplug_hotplug::Freezer;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::args::{Freeze, Thaw};
use crate::endings::Endings;
use crate::failure::{Exit, Failure};
use crate::monitor;
use crate::output::Output;

/// How long a guest is tried to be thawed that was frozen for something.
pub(super) const THAW_WITHIN: Duration = Freezer::THAW_WITHIN;

/// Work that ends with a thaw. Who waits for it may go away, as a shell's line does at Ctrl-C: the work
/// goes on, and the program does not end before it.
static WORK: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// Does work that ends with a thaw, in a task of its own.
pub(super) async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    let (done, outcome) = oneshot::channel();
    let task = tokio::spawn(async move {
        // Nobody may be waiting any more.
        let _ = done.send(work.await);
    });
    {
        let mut tasks = WORK.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }
    let lost = |_| Failure {
        exit: Exit::Unknown,
        message: "the guest's file systems may still be frozen: 'qplug thaw' thaws them".to_owned(),
    };
    outcome.await.map_err(lost)?
}

/// Waits until all guests are thawed that work here froze; each wait for that has an end of its own.
pub(crate) async fn all_thawed() {
    let tasks = std::mem::take(&mut *WORK.lock().unwrap_or_else(PoisonError::into_inner));
    for task in tasks {
        // One that panicked has said so.
        let _ = task.await;
    }
}

/// So many, in words.
pub(super) fn file_systems(count: u64) -> String {
    match count {
        1 => "1 file system".to_owned(),
        count => format!("{count} file systems"),
    }
}

pub(super) async fn freeze(
    args: Freeze,
    connect_timeout: Duration,
    output: &Output,
) -> Result<Exit, Failure> {
    let mut freezer = Freezer::new(monitor::agent(&args.agent, connect_timeout).await?);
    let is_frozen = freezer.is_frozen().await?;
    if args.status {
        let state = if is_frozen { "frozen" } else { "thawed" };
        output.result(&json!({"state": state}), |out| writeln!(out, "{state}")).await?;
        return Ok(Exit::Done);
    }
    if is_frozen {
        let value = json!({"state": "frozen", "file_systems": null, "already": true});
        output.result(&value, |out| writeln!(out, "frozen already")).await?;
        return Ok(Exit::Done);
    }
    let mut endings = Endings::new()?;
    let count = apart(async move {
        let frozen = tokio::select! {
            frozen = freezer.freeze(args.timeout) => frozen.map_err(Failure::from),
            () = endings.next() => {
                let message = "interrupted: nothing is frozen".to_owned();
                Err(Failure { exit: Exit::Interrupted, message })
            }
        };
        if frozen.is_err() && freezer.may_be_frozen() {
            freezer.thaw(THAW_WITHIN).await?;
        }
        frozen
    })
    .await?;
    let state = if count == 0 { "thawed" } else { "frozen" };
    let value = json!({"state": state, "file_systems": count, "already": false});
    output
        .result(&value, |out| match count {
            0 => writeln!(out, "the guest has no file system that can be frozen"),
            count => writeln!(out, "frozen: {}", file_systems(count)),
        })
        .await?;
    Ok(Exit::Done)
}

pub(super) async fn thaw(
    args: Thaw,
    connect_timeout: Duration,
    output: &Output,
) -> Result<Exit, Failure> {
    let freezer = Freezer::new(monitor::agent(&args.agent, connect_timeout).await?);
    let count = freezer.thaw(args.timeout).await?;
    let value = json!({"state": "thawed", "file_systems": count});
    output
        .result(&value, |out| match count {
            0 => writeln!(out, "nothing was frozen"),
            count => writeln!(out, "thawed: {}", file_systems(count)),
        })
        .await?;
    Ok(Exit::Done)
}
