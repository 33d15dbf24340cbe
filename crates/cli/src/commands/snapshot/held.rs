//! A snapshot while the guest holds still.

use std::fmt;
use std::time::{Duration, Instant};

use qplug_hotplug::{Error, Freezer, Machine, Snapshot, SnapshotPlan};
use serde::Serialize;

use crate::commands::freeze::{THAW_WITHIN, apart, file_systems};
use crate::endings::Endings;
use crate::failure::{Exit, Failure};

/// How the guest held still.
#[derive(Debug, Serialize)]
pub(super) struct Frozen {
    /// How many file systems were frozen for this; absent where they were before.
    file_systems: Option<u64>,
    /// For how long, in seconds, with what it took to freeze and to thaw.
    seconds: Option<f64>,
    /// They were frozen before, and still are.
    already: bool,
}

impl fmt::Display for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file_systems, self.seconds) {
            (Some(0), _) => f.write_str("the guest has no file system that can be frozen"),
            (Some(count), Some(seconds)) => {
                write!(f, "the guest held still for {seconds:.2} s: {} frozen", file_systems(count))
            }
            _ => f.write_str(
                "the guest's file systems were frozen before, and still are: 'qplug thaw' thaws them",
            ),
        }
    }
}

/// Freezes, takes the snapshot, and thaws, whatever becomes of it and of whoever waits for it.
pub(super) async fn take(
    machine: Machine,
    plan: SnapshotPlan,
    freezer: Freezer,
    timeout: Duration,
) -> Result<(Snapshot, Frozen), Failure> {
    if freezer.is_frozen().await? {
        let snapshot = machine.take_snapshot(plan).await?;
        return Ok((snapshot, Frozen { file_systems: None, seconds: None, already: true }));
    }
    let endings = Endings::new()?;
    apart(freeze_and_take(machine, plan, freezer, timeout, endings)).await
}

async fn freeze_and_take(
    machine: Machine,
    plan: SnapshotPlan,
    mut freezer: Freezer,
    timeout: Duration,
    mut endings: Endings,
) -> Result<(Snapshot, Frozen), Failure> {
    let began = Instant::now();
    let frozen = tokio::select! {
        frozen = freezer.freeze(timeout) => frozen.map_err(Failure::from),
        () = endings.next() => Err(interrupted("no snapshot was taken")),
    };
    let taken = match frozen {
        Err(failure) => Err(failure),
        Ok(count) => {
            let taken = tokio::select! {
                taken = machine.take_snapshot(plan) => taken.map_err(Failure::from),
                () = endings.next() => Err(interrupted(
                    "the snapshot may be taken or not: 'qplug snapshot --list' tells",
                )),
            };
            taken.map(|snapshot| (snapshot, count))
        }
    };
    // Nobody else waits for the monitor meanwhile.
    drop(machine);
    if freezer.may_be_frozen()
        && let Err(error) = freezer.thaw(THAW_WITHIN).await
    {
        return Err(still_frozen(&error, taken.map(|(snapshot, _)| snapshot)));
    }
    let seconds = began.elapsed().as_secs_f64();
    taken.map(|(snapshot, count)| {
        let frozen = Frozen { file_systems: Some(count), seconds: Some(seconds), already: false };
        (snapshot, frozen)
    })
}

fn interrupted(what: &str) -> Failure {
    Failure { exit: Exit::Interrupted, message: format!("interrupted: {what}") }
}

/// The worse of two failures: a guest that stays frozen hangs.
fn still_frozen(error: &Error, taken: Result<Snapshot, Failure>) -> Failure {
    let before = match taken {
        Ok(snapshot) => format!("snapshot {} was taken", snapshot.tag),
        Err(failure) => failure.message,
    };
    Failure { exit: Failure::exit_of(error), message: format!("{before}; {error}") }
}
