//! `qplug status`

use std::io::{self, Write};

use qplug_hotplug::Status;
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::Output;

#[derive(Serialize)]
struct Report {
    qemu: String,
    package: String,
    #[serde(flatten)]
    status: Status,
}

/// The dialect, and what can and cannot be done with it.
fn abilities(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "dialect {}: {}", status.dialect, status.recognised)?;
    if status.cannot.is_empty() {
        return writeln!(out, "it can do all that qplug can");
    }
    let can: Vec<_> = status.can.iter().map(ToString::to_string).collect();
    if !can.is_empty() {
        writeln!(out, "it can: {}", can.join(", "))?;
    }
    let cannot = status.cannot.iter().map(|it| format!("{} (QEMU {})", it.ability, it.since));
    writeln!(out, "it cannot: {}", cannot.collect::<Vec<_>>().join(", "))
}

pub(super) async fn run(monitor: &Monitor, output: &Output) -> Result<Exit, Failure> {
    let machine = monitor.machine().await?;
    let status = machine.status().await?;
    let greeting = machine.client().greeting();
    let report =
        Report { qemu: greeting.version.to_string(), package: greeting.package.clone(), status };
    drop(machine);
    output
        .result(&report, |out| {
            let name = report.status.name.as_deref().unwrap_or("the machine");
            let kind = report.status.machine.as_deref().unwrap_or("unknown type");
            let package = match report.package.as_str() {
                "" => String::new(),
                package => format!(" ({package})"),
            };
            writeln!(
                out,
                "{name} is {}; {kind}, QEMU {}{package}",
                report.status.state, report.qemu
            )?;
            abilities(&report.status, out)
        })
        .await?;
    Ok(Exit::Done)
}
