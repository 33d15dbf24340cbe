//! `qplug attach`
//!
//! | file | owns |
//! |---|---|
//! | `attach/wish.rs` | from words to disks |
//! | `attach/list.rs` | a list of disks in a file |
//! | `attach/secret.rs` | passphrases, which come from files and from the environment |
//! | `attach/guest.rs` | waiting for the guest |

mod guest;
mod list;
mod secret;
mod wish;

use std::io::{self, Write};

use qplug_hotplug::{Ability, Attached, Error};
use serde::Serialize;
use serde_json::json;

use super::{WithTraffic, plans, took};
use crate::args::Attach;
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::Output;
use guest::{Guest, Patience};
use wish::Wish;

/// A disk as programs see it.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    attached: &'a Attached,
    #[serde(skip_serializing_if = "Option::is_none")]
    guest: Option<&'a Guest>,
}

pub(super) async fn run(args: Attach, monitor: &Monitor, output: &Output) -> Result<Exit, Failure> {
    let Wish { disks, is_single } = wish::read(&args, monitor.is_elsewhere())?;
    let machine = monitor.machine().await?;
    if args.wait.is_some() {
        machine.require(Ability::WaitGuest).await?;
    }
    if args.dry_run {
        let plans = machine.preview_attach(disks).await?;
        return plans::report(&plans, machine, output).await;
    }
    let names: Vec<_> = disks.iter().map(|disk| disk.name().clone()).collect();
    let outcomes = machine.attach_all(disks).await;
    let attached: Vec<_> = outcomes.iter().map(Result::is_ok).collect();
    let there =
        names.iter().zip(attached).filter(|(_, there)| *there).map(|(name, _)| name.clone());
    let there: Vec<_> = there.collect();
    let mut guests = match args.wait {
        Some(_) if !there.is_empty() => {
            let patience = Patience { timeout: args.timeout, agent: args.agent, monitor };
            guest::wait(&machine, there, patience, output).await?.into_iter()
        }
        _ => Vec::new().into_iter(),
    };
    let mut exit = Exit::Done;
    let mut disks = Vec::new();
    for (name, outcome) in names.iter().zip(outcomes) {
        let disk = Disk::new(name.to_string(), outcome, &mut guests);
        exit = exit.worse(disk.exit());
        disks.push(disk);
    }
    let traffic = machine.client().traffic();
    drop(machine);
    if is_single && let Some(Disk { outcome: Err(_), .. }) = disks.first() {
        return disks.into_iter().next().map_or(Ok(exit), |disk| disk.outcome.map(|_| exit));
    }
    if let (true, [disk]) = (is_single, &*disks) {
        let result = WithTraffic { result: disk.to_json(), traffic };
        output.result(&result, |out| disk.tell_at_length(out, &took(traffic))).await?;
        return Ok(exit);
    }
    let values: Vec<_> = disks.iter().map(Disk::to_json).collect();
    output
        .result(&json!({"disks": values, "traffic": traffic}), |out| {
            disks.iter().try_for_each(|disk| disk.tell(out))?;
            let done = disks.iter().filter(|disk| disk.outcome.is_ok()).count();
            writeln!(out, "{done} of {} disks attached {}", disks.len(), took(traffic))
        })
        .await?;
    for disk in &disks {
        if let Err(failure) = &disk.outcome {
            output.complain(&disk.name, failure);
        }
    }
    Ok(exit)
}

/// A disk and what became of it.
struct Disk {
    name: String,
    outcome: Result<(Attached, Option<Guest>), Failure>,
}

impl Disk {
    fn new(
        name: String,
        outcome: Result<Attached, Error>,
        guests: &mut impl Iterator<Item = Guest>,
    ) -> Self {
        let outcome = outcome.map(|attached| (attached, guests.next())).map_err(Failure::from);
        Self { name, outcome }
    }

    fn exit(&self) -> Exit {
        match &self.outcome {
            Ok((_, guest)) => guest.as_ref().map_or(Exit::Done, Guest::exit),
            Err(failure) => failure.exit,
        }
    }

    fn to_json(&self) -> serde_json::Value {
        match &self.outcome {
            Ok((attached, guest)) => json!(Report { attached, guest: guest.as_ref() }),
            Err(failure) => json!({"name": self.name, "error": failure.to_json()}),
        }
    }

    /// One line; nothing for a disk that failed, which is complained of.
    fn tell(&self, out: &mut dyn Write) -> io::Result<()> {
        let Ok((attached, guest)) = &self.outcome else { return Ok(()) };
        let guest = guest.as_ref().map(|guest| format!("; {guest}")).unwrap_or_default();
        writeln!(out, "{}: {}{guest}", line(attached), attached.guest_path)
    }

    fn tell_at_length(&self, out: &mut dyn Write, took: &str) -> io::Result<()> {
        let Ok((attached, guest)) = &self.outcome else { return Ok(()) };
        writeln!(out, "{} {took}", line(attached))?;
        writeln!(out, "a Linux guest finds it at {}", attached.guest_path)?;
        guest.iter().try_for_each(|guest| writeln!(out, "{guest}"))
    }
}

fn line(attached: &Attached) -> String {
    let how = if attached.already { "is already attached" } else { "attached" };
    let place = attached.port.as_ref().map(|port| format!(" at {port}")).unwrap_or_default();
    let access = if attached.read_only { ", read-only" } else { "" };
    // The usual bus goes without saying.
    let bus = match attached.bus {
        qplug_hotplug::Bus::VirtioBlk => String::new(),
        bus => format!(", {bus}"),
    };
    format!("{} {how}{place} ({}{access}{bus})", attached.name, attached.format)
}
