//! `qplug insert`, `qplug swap` and `qplug eject`

use qplug_hotplug::{Change, ChangeMedium, Storage};

use super::{WithTraffic, took};
use crate::args::{Eject, Insert, Tray};
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::Output;

pub(super) async fn insert(
    args: Insert,
    swap: bool,
    monitor: &Monitor,
    output: &Output,
) -> Result<Exit, Failure> {
    let storage = Storage::parse(&args.image)
        .map_err(qplug_hotplug::DiskError::from)?
        .format(args.format)
        .read_only(!args.writable)
        .remote(monitor.is_elsewhere())
        .look()
        .map_err(qplug_hotplug::DiskError::from)?;
    let change = if swap { Change::Swap(storage) } else { Change::Insert(storage) };
    run(&args.drive, change, args.writable, &args.tray, monitor, output).await
}

pub(super) async fn eject(
    args: Eject,
    monitor: &Monitor,
    output: &Output,
) -> Result<Exit, Failure> {
    run(&args.drive, Change::Eject, false, &args.tray, monitor, output).await
}

async fn run(
    drive: &str,
    change: Change,
    writable: bool,
    tray: &Tray,
    monitor: &Monitor,
    output: &Output,
) -> Result<Exit, Failure> {
    let machine = monitor.machine().await?;
    let change = ChangeMedium::new(drive, change, tray.timeout).writable(writable);
    let changed = machine.change_medium(change.force(tray.force)).await?;
    let traffic = machine.client().traffic();
    drop(machine);
    output.result(&WithTraffic { result: &changed, traffic }, |out| {
        let took = took(traffic);
        match (&changed.medium, &changed.before) {
            _ if changed.pending => writeln!(
                out,
                "{drive} is as it was: the guest has locked its tray, was asked to open it, and did \
                 not within {} s. It may be in use there; --force opens it all the same",
                tray.timeout.as_secs_f32()
            ),
            (None, None) => writeln!(out, "{drive} is empty already"),
            (None, Some(before)) => writeln!(out, "{drive} is empty; {before} is free {took}"),
            (Some(medium), Some(before)) => {
                writeln!(out, "{drive} holds {medium}, in place of {before} {took}")
            }
            (Some(medium), None) => writeln!(out, "{drive} holds {medium} {took}"),
        }
    }).await?;
    Ok(if changed.pending { Exit::Pending } else { Exit::Done })
}
