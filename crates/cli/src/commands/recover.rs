//! `qplug recover`

use std::time::Duration;

use qplug_hotplug::{Detached, Machine, Recovered};
use qplug_qmp::{Events, EventsError, Traffic};
use serde::Serialize;

use super::took;
use crate::args::Recover;
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::{Output, Reader};

/// How often `--watch` looks at the machine when no event calls it: a client that crashes in the
/// middle of an attach causes none.
const LOOK_EVERY: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct Report<'a> {
    recovered: Vec<One<'a>>,
    traffic: Traffic,
}

#[derive(Serialize)]
struct One<'a> {
    name: &'a str,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) async fn run(
    args: Recover,
    monitor: &Monitor,
    output: &Output,
) -> Result<Exit, Failure> {
    let machine = monitor.machine().await?;
    if !args.watch {
        let recovered = machine.recover(args.timeout).await?;
        let traffic = machine.client().traffic();
        drop(machine);
        report(traffic, &recovered, true, output).await?;
        return Ok(exit(recovered));
    }
    tokio::select! {
        ended = watch(&machine, &args, output) => ended,
        signal = tokio::signal::ctrl_c() => {
            signal?;
            Ok(Exit::Interrupted)
        }
    }
}

async fn watch(machine: &Machine, args: &Recover, output: &Output) -> Result<Exit, Failure> {
    let mut events = machine.client().events();
    loop {
        let recovered = machine.recover(args.timeout).await?;
        let traffic = machine.client().traffic();
        if report(traffic, &recovered, false, output).await? == Reader::Left {
            return Ok(Exit::Done);
        }
        tokio::select! {
            waited = next_departure(&mut events) => waited?,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Waits until a device has left the machine.
async fn next_departure(events: &mut Events) -> Result<(), Failure> {
    loop {
        match events.next().await {
            Ok(event) if event.name != "DEVICE_DELETED" => {}
            Ok(_) | Err(EventsError::Missed(_) | EventsError::Reconnected) => return Ok(()),
            Err(error @ EventsError::Closed(_)) => {
                let message = format!("{error}; run the command again to go on");
                return Err(Failure { exit: Exit::Connection, message });
            }
        }
    }
}

async fn report(
    traffic: Traffic,
    recovered: &Recovered,
    even_nothing: bool,
    output: &Output,
) -> Result<Reader, Failure> {
    if recovered.is_empty() && !even_nothing {
        return Ok(Reader::Listens);
    }
    let one = |(name, outcome): &'_ (String, _)| -> (String, &'static str, Option<String>) {
        let (result, error) = result(outcome);
        (name.clone(), result, error)
    };
    let all: Vec<_> = recovered.iter().map(one).collect();
    let each = all.iter().map(|(name, result, error)| One { name, result, error: error.clone() });
    output
        .result(&Report { recovered: each.collect(), traffic }, |out| {
            if all.is_empty() {
                return writeln!(out, "nothing is half done {}", took(traffic));
            }
            for (name, result, error) in &all {
                match (*result, error) {
                    (_, Some(error)) => writeln!(out, "{name}: {error}")?,
                    ("removed", None) => writeln!(out, "{name} is out of the machine, and free")?,
                    ("refused", None) => writeln!(out, "the guest refuses to let go of {name}")?,
                    _ => writeln!(out, "{name} is pending: the guest has not answered yet")?,
                }
            }
            Ok(())
        })
        .await
}

fn result(outcome: &Result<Detached, qplug_hotplug::Error>) -> (&'static str, Option<String>) {
    match outcome {
        Ok(Detached::Removed { .. }) => ("removed", None),
        Ok(Detached::Refused) => ("refused", None),
        Ok(Detached::Pending) => ("pending", None),
        Err(error) => ("failed", Some(error.to_string())),
    }
}

/// The worst end of all.
fn exit(recovered: Recovered) -> Exit {
    let each = recovered.into_iter().map(|(_, outcome)| match outcome {
        Ok(Detached::Removed { .. }) => Exit::Done,
        Ok(Detached::Pending) => Exit::Pending,
        Ok(Detached::Refused) => Exit::Refused,
        Err(error) => Failure::from(error).exit,
    });
    each.fold(Exit::Done, Exit::worse)
}
