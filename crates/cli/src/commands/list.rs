//! `qplug list`

use qplug_hotplug::{DiskState, ListedDisk};

use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::{Output, size, table};

pub(super) async fn run(monitor: &Monitor, output: &Output) -> Result<Exit, Failure> {
    let disks = monitor.machine().await?.list().await?;
    output
        .result(&disks, |out| {
            if disks.is_empty() {
                return writeln!(out, "no disks");
            }
            table(
                out,
                ["NAME", "STATE", "BUS", "PORT", "SIZE", "FORMAT", "ACCESS", "SERIAL", "IMAGE"],
                disks.iter().map(row),
            )
        })
        .await?;
    if disks.iter().any(|disk| disk.state == DiskState::HalfDone) {
        output.remark(
            "half-done: run the attach again to finish it, or 'qplug detach NAME' to undo it",
        );
    }
    Ok(Exit::Done)
}

/// The state in a word.
pub(crate) fn word(state: DiskState) -> &'static str {
    match state {
        DiskState::Attached => "attached",
        DiskState::HalfDone => "half-done",
        DiskState::Pending => "pending",
        DiskState::Foreign => "foreign",
    }
}

fn row(disk: &ListedDisk) -> [String; 9] {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let access = match disk.read_only {
        Some(true) => "ro",
        Some(false) => "rw",
        None => "-",
    };
    [
        disk.name.clone(),
        word(disk.state).to_owned(),
        disk.bus.map_or_else(|| "-".to_owned(), |bus| bus.to_string()),
        text(&disk.port),
        disk.bytes.map_or_else(|| "-".to_owned(), size),
        text(&disk.format),
        access.to_owned(),
        text(&disk.serial),
        text(&disk.image),
    ]
}
