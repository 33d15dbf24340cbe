//! `qplug detach`
//!
//! | file | owns |
//! |---|---|
//! | `detach/report.rs` | what is printed of each disk |
//! | `detach/progress.rs` | what is said while the guest is waited for |

mod progress;
mod report;

use std::collections::HashMap;

use qplug_hotplug::{DiskError, DiskName, Error, Machine, Which};

use super::plans;
use crate::args::Detach;
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::Output;
use report::{Disk, Ended};

pub(super) async fn run(args: Detach, monitor: &Monitor, output: &Output) -> Result<Exit, Failure> {
    let which = which(&args)?;
    let machine = monitor.machine().await?;
    if args.dry_run {
        let plans = machine.preview_detach(which, args.timeout).await?;
        return plans::report(&plans, machine, output).await;
    }
    let (names, mut held) = ask_agent(&args, &machine, monitor, &which).await?;
    let which = match &names {
        Some(names) => {
            let free = names.iter().filter(|name| !held.contains_key(*name));
            Which::Named(free.cloned().collect())
        }
        None => which,
    };
    let outcomes = if which == Which::Named(Vec::new()) {
        Vec::new()
    } else {
        tokio::select! {
            outcomes = machine.detach_all(which.clone(), args.timeout) => outcomes?,
            never = progress::show(&machine, &which, args.timeout, output) => match never {},
            signal = tokio::signal::ctrl_c() => {
                signal?;
                return Err(interrupted(&which));
            }
        }
    };
    let order = names.unwrap_or_else(|| outcomes.iter().map(|(name, _)| name.clone()).collect());
    let mut outcomes: HashMap<_, _> = outcomes.into_iter().collect();
    let disks = order.into_iter().filter_map(|name| {
        let outcome = match held.remove(&name) {
            Some(error) => Err(error),
            None => outcomes.remove(&name)?,
        };
        let ended = match outcome {
            Ok(detached) => Ok(Ended::Detached(detached)),
            Err(Error::NoSuchDisk { .. }) if args.missing_ok => Ok(Ended::Missing),
            Err(error) => Err(Failure::from(error)),
        };
        Some(Disk { name, ended, timeout: args.timeout })
    });
    let is_single = !args.all && args.names.len() == 1;
    let disks = disks.collect();
    let traffic = machine.client().traffic();
    drop(machine);
    report::print(disks, is_single, traffic, output).await
}

fn which(args: &Detach) -> Result<Which, Failure> {
    if args.all {
        return Ok(Which::All);
    }
    let mut names = Vec::new();
    for name in &args.names {
        let name = DiskName::new(name).map_err(DiskError::from)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(Which::Named(names))
}

/// The names, where there was reason to find them out, and those that the guest uses.
async fn ask_agent(
    args: &Detach,
    machine: &Machine,
    monitor: &Monitor,
    which: &Which,
) -> Result<(Option<Vec<DiskName>>, HashMap<DiskName, Error>), Failure> {
    let named = match which {
        Which::Named(names) => Some(names.clone()),
        Which::All => None,
    };
    let Some(address) = args.agent.as_ref().filter(|_| !args.force) else {
        return Ok((named, HashMap::new()));
    };
    let agent = monitor.agent(address).await?;
    let told = machine.in_guest(&agent, which.clone()).await?;
    let names = told.iter().map(|(name, _)| name.clone()).collect();
    let held = told.into_iter().filter_map(|(name, error)| Some((name, error?)));
    Ok((Some(names), held.collect()))
}

fn interrupted(which: &Which) -> Failure {
    let what = progress::words(which);
    let message = format!(
        "interrupted; the guest may still let go of {what}: the same command goes on with the wait"
    );
    Failure { exit: Exit::Interrupted, message }
}
