//! `qplug status`

use qplug_hotplug::Status;
use serde::Serialize;

use super::Monitor;
use crate::failure::{Exit, Failure};
use crate::output::Output;

#[derive(Serialize)]
struct Report {
    qemu: String,
    package: String,
    #[serde(flatten)]
    status: Status,
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
            )
        })
        .await?;
    Ok(Exit::Done)
}
