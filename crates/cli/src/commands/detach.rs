//! `qplug detach`

use std::time::Duration;

use qplug_hotplug::{Detached, DiskError, DiskName, Error};
use qplug_qmp::Traffic;
use serde::Serialize;

use super::{Monitor, took};
use crate::args::Detach;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// A wait that is over sooner needs no progress line.
const PROGRESS_AFTER: Duration = Duration::from_millis(400);

#[derive(Serialize)]
struct Report<'a> {
    name: &'a str,
    result: &'static str,
    was_gone: bool,
    traffic: Traffic,
}

pub(super) async fn run(args: Detach, monitor: &Monitor, output: &Output) -> Result<Exit, Failure> {
    let name = DiskName::new(&args.name).map_err(DiskError::from)?;
    let machine = monitor.machine().await?;
    let detached = tokio::select! {
        detached = machine.detach(&name, args.timeout) => detached,
        never = show_progress(&name, args.timeout, output) => match never {},
        signal = tokio::signal::ctrl_c() => {
            signal?;
            return Err(Failure {
                exit: Exit::Interrupted,
                message: format!(
                    "interrupted; the guest may still let go of {name}: \
                     the same command goes on with the wait"
                ),
            });
        }
    };
    let ended = match detached {
        Ok(detached) => Ended::Detached(detached),
        Err(Error::NoSuchDisk { .. }) if args.missing_ok => Ended::Missing,
        Err(error) => return Err(error.into()),
    };
    report(&name, &args, &ended, machine.client().traffic(), output)
}

/// How the command ends, unless it is an error.
enum Ended {
    Detached(Detached),
    /// There is no such disk, and the user said that this is well.
    Missing,
}

async fn show_progress(
    name: &DiskName,
    timeout: Duration,
    output: &Output,
) -> std::convert::Infallible {
    tokio::time::sleep(PROGRESS_AFTER).await;
    let limit = timeout.as_secs_f32();
    let text = format!("waiting for the guest to let go of {name} (at most {limit} s)");
    let _line = output.progress(&text);
    std::future::pending().await
}

fn report(
    name: &DiskName,
    args: &Detach,
    ended: &Ended,
    traffic: Traffic,
    output: &Output,
) -> Result<Exit, Failure> {
    use Detached::{Pending, Refused, Removed};
    let (result, exit, was_gone) = match ended {
        Ended::Detached(Removed { was_gone }) => ("removed", Exit::Done, *was_gone),
        Ended::Detached(Refused) => ("refused", Exit::Refused, false),
        Ended::Detached(Pending) => ("pending", Exit::Pending, false),
        Ended::Missing => ("missing", Exit::Done, true),
    };
    let report = Report { name: name.as_str(), result, was_gone, traffic };
    output.result(&report, |out| match ended {
        Ended::Detached(Removed { was_gone: false }) => {
            writeln!(out, "{name} detached; its image is free {}", took(traffic))
        }
        Ended::Detached(Removed { was_gone: true }) => {
            writeln!(out, "{name} had left the machine; its image is free now {}", took(traffic))
        }
        Ended::Detached(Refused) => {
            writeln!(out, "the guest refused to let go of {name}; it is still attached")
        }
        Ended::Detached(Pending) => writeln!(
            out,
            "{name} is pending: the guest was asked to let go, and has not answered within {} s. \
             It may be busy, paused, or without a system that listens; a reset of the guest lets go \
             too. The same command goes on with the wait",
            args.timeout.as_secs_f32()
        ),
        Ended::Missing => writeln!(out, "there is no disk called {name}; nothing to do"),
    })?;
    Ok(exit)
}
