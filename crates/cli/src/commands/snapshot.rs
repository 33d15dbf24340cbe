//! `qplug snapshot`
//!
//! | file | owns |
//! |---|---|
//! | `snapshot/held.rs` | a snapshot while the guest holds still |

mod held;

use std::time::{Duration, UNIX_EPOCH};

use qplug_hotplug::{Freezer, ListedSnapshot, Planned, Plans, Snapped, Tag, TagError};
use qplug_qmp::Options;
use serde::Serialize;
use serde_json::json;

use super::{WithTraffic, plans, took};
use crate::args::Snapshot;
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::{Output, printable, size, table};
use held::Frozen;

/// A snapshot, and how the guest held still for it.
#[derive(Serialize)]
struct Taken<'a> {
    #[serde(flatten)]
    snapshot: &'a qplug_hotplug::Snapshot,
    frozen: Option<&'a Frozen>,
}

pub(super) async fn run(
    args: Snapshot,
    monitor: &Monitor,
    output: &Output,
) -> Result<Exit, Failure> {
    let which = match args.disks.is_empty() {
        true => Snapped::All,
        false => Snapped::Named(args.disks.clone()),
    };
    match &args.tag {
        tag if args.list => list(tag.as_deref(), which, monitor, output).await,
        Some(tag) if args.delete => delete(tag, which, &args, monitor, output).await,
        Some(tag) => {
            let tag = tag.parse().map_err(|error: TagError| Failure::usage(error.to_string()))?;
            take(tag, which, &args, monitor, output).await
        }
        None => Err(Failure::usage("which snapshot? Give it a name")),
    }
}

/// QEMU may take its time to write an image's tables.
fn patient(args: &Snapshot) -> Options {
    Options { command_timeout: args.timeout, ..Options::default() }
}

async fn take(
    tag: Tag,
    which: Snapped,
    args: &Snapshot,
    monitor: &Monitor,
    output: &Output,
) -> Result<Exit, Failure> {
    let machine = monitor.machine_with(patient(args)).await?;
    // Before anybody is frozen: what cannot be done is refused while nothing has changed.
    let plan = machine.plan_snapshot(tag, which).await?;
    if args.dry_run {
        if args.agent.is_some() {
            output.announce("the guest's file systems would be frozen before, and thawed after");
        }
        let name = plan.disks().collect::<Vec<_>>().join(", ");
        let planned = Planned { name, steps: Ok(vec![plan.step()]) };
        let plans = Plans { disks: vec![planned], ..Plans::default() };
        return plans::report(&plans, machine, output).await;
    }
    let client = machine.client().clone();
    let (snapshot, frozen) = match &args.agent {
        None => (machine.take_snapshot(plan).await?, None),
        Some(address) => {
            let freezer = Freezer::new(monitor.agent(address).await?);
            let (snapshot, frozen) = held::take(machine, plan, freezer, args.timeout).await?;
            (snapshot, Some(frozen))
        }
    };
    let traffic = client.traffic();
    drop(client);
    let taken = Taken { snapshot: &snapshot, frozen: frozen.as_ref() };
    output
        .result(&WithTraffic { result: taken, traffic }, |out| {
            let (tag, disks) = (&snapshot.tag, snapshot.disks.join(", "));
            writeln!(out, "snapshot {tag} of {disks} {}", took(traffic))
        })
        .await?;
    if let Some(frozen) = frozen {
        output.remark(&frozen.to_string());
    }
    Ok(Exit::Done)
}

async fn list(
    tag: Option<&str>,
    which: Snapped,
    monitor: &Monitor,
    output: &Output,
) -> Result<Exit, Failure> {
    let mut snapshots = monitor.machine().await?.snapshots(which).await?;
    snapshots.retain(|it| tag.is_none_or(|tag| it.tag == tag));
    let row = |it: &ListedSnapshot| {
        let at = UNIX_EPOCH + Duration::from_secs(it.seconds.min(LAST_SECOND));
        let memory = if it.vm_state_bytes == 0 { "-".to_owned() } else { size(it.vm_state_bytes) };
        let taken = humantime::format_rfc3339_seconds(at).to_string();
        [it.tag.clone(), it.disk.clone(), it.id.clone(), taken, memory]
    };
    output
        .result(&json!({"snapshots": snapshots}), |out| {
            if snapshots.is_empty() {
                return writeln!(out, "no snapshots");
            }
            table(out, ["TAG", "DISK", "ID", "TAKEN", "MEMORY"], snapshots.iter().map(row))
        })
        .await?;
    Ok(Exit::Done)
}

/// The last second of the year 9999, beyond which no time is written.
const LAST_SECOND: u64 = 253_402_300_799;

async fn delete(
    tag: &str,
    which: Snapped,
    args: &Snapshot,
    monitor: &Monitor,
    output: &Output,
) -> Result<Exit, Failure> {
    let machine = monitor.machine_with(patient(args)).await?;
    let deleted = machine.delete_snapshot(tag, which).await?;
    let traffic = machine.client().traffic();
    drop(machine);
    let ended: Vec<_> = deleted
        .into_iter()
        .map(|(name, result)| (name, result.map_err(|error| Failure::about(&error))))
        .collect();
    let to_json = |(name, result): &(String, Result<(), Failure>)| match result {
        Ok(()) => json!({"name": name, "result": "deleted"}),
        Err(failure) => json!({"name": name, "error": failure.to_json()}),
    };
    let value = json!({
        "tag": tag, "disks": ended.iter().map(to_json).collect::<Vec<_>>(), "traffic": traffic,
    });
    output
        .result(&value, |out| {
            let gone: Vec<_> = ended.iter().filter(|(_, result)| result.is_ok()).collect();
            let names: Vec<_> = gone.iter().map(|(name, _)| name.as_str()).collect();
            if names.is_empty() {
                return Ok(());
            }
            let tag = printable(tag);
            writeln!(out, "snapshot {tag} deleted from {} {}", names.join(", "), took(traffic))
        })
        .await?;
    let mut exit = Exit::Done;
    for (name, result) in &ended {
        if let Err(failure) = result {
            output.complain(name, failure);
            exit = exit.worse(failure.exit);
        }
    }
    Ok(exit)
}
