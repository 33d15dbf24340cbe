//! `qplug ports`

use qplug_hotplug::{ListedPort, PortKind, PortState, Ports};

use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::{Output, table};

pub(super) async fn run(monitor: &Monitor, output: &Output) -> Result<Exit, Failure> {
    let ports = monitor.machine().await?.ports().await?;
    output
        .result(&ports, |out| {
            if !ports.ports.is_empty() {
                table(
                    out,
                    ["PORT", "KIND", "STATE", "HOLDS"],
                    rows(&ports.ports).map(|(_, row)| row),
                )?;
            }
            writeln!(out, "{}", summary(&ports))
        })
        .await?;
    Ok(Exit::Done)
}

/// A row a port, with the port; free slots of one bus that follow each other share one.
pub(crate) fn rows(ports: &[ListedPort]) -> impl Iterator<Item = (&ListedPort, [String; 4])> {
    let alike = |a: &ListedPort, b: &ListedPort| {
        a.kind == PortKind::Slot && (a.kind, a.state, &a.holds) == (b.kind, b.state, &b.holds)
    };
    ports.chunk_by(alike).filter_map(|run| {
        let first = run.first()?;
        let mut cells = row(first);
        if let [_, .., last] = run {
            cells[0] = format!("{} to {}", cells[0], last.port);
        }
        Some((first, cells))
    })
}

fn row(port: &ListedPort) -> [String; 4] {
    let kind = match port.kind {
        PortKind::RootPort => "root port",
        PortKind::Slot => "slot",
        PortKind::ScsiController => "SCSI controller",
        PortKind::UsbBus => "USB bus",
        PortKind::ChannelSubsystem => "channel subsystem",
    };
    let state = match port.state {
        PortState::Free => "free",
        PortState::Taken => "taken",
        PortState::Fixed => "fixed (hotplug=off)",
        PortState::Leaving => "leaving",
    };
    let holds = match port.devices {
        Some(1) => "1 device".to_owned(),
        Some(devices) => format!("{devices} devices"),
        None => port.holds.clone().unwrap_or_default(),
    };
    [port.port.clone(), kind.to_owned(), state.to_owned(), holds]
}

fn summary(ports: &Ports) -> String {
    let free = ports.ports.iter().filter(|port| port.state == PortState::Free).count();
    let mut text = format!("{}: {free} of {} places free", ports.board, ports.ports.len());
    if free == 0 {
        text += &format!("; to make room, {}", ports.board.how_to_make_room());
    }
    if ports.unnamed > 0 {
        text += &format!(
            "; {} root ports more have no id, so nothing can be plugged in: give QEMU id=NAME for each",
            ports.unnamed
        );
    }
    text
}
