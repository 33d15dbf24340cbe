//! `qplug list`

use std::io::{self, Write};

use qplug_hotplug::{DiskState, GuestDisk, GuestView, Identities, ListedDisk};
use qplug_qmp::Address;
use serde::Serialize;

use crate::args::List;
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::{Output, size, table};

const COLUMNS: [&str; 9] =
    ["NAME", "STATE", "BUS", "PORT", "SIZE", "FORMAT", "ACCESS", "SERIAL", "IMAGE"];
/// Where the guest's agent is asked.
const WITH_GUEST: [&str; 10] =
    ["NAME", "STATE", "BUS", "PORT", "SIZE", "FORMAT", "ACCESS", "SERIAL", "GUEST", "IMAGE"];

/// A disk, with the guest's side of it.
#[derive(Serialize)]
struct WithGuest<'a> {
    #[serde(flatten)]
    disk: &'a ListedDisk,
    guest: Option<GuestDisk>,
}

pub(super) async fn run(args: List, monitor: &Monitor, output: &Output) -> Result<Exit, Failure> {
    let disks = match args.agent {
        None => {
            let disks = monitor.machine().await?.list().await?;
            output.result(&disks, |out| print(out, COLUMNS, disks.iter().map(row))).await?;
            disks
        }
        Some(agent) => with_guest(&agent, monitor, output).await?,
    };
    if disks.iter().any(|disk| disk.state == DiskState::HalfDone) {
        output.remark(
            "half-done: run the attach again to finish it, or 'qplug detach NAME' to undo it",
        );
    }
    Ok(Exit::Done)
}

/// Machine and agent are asked side by side, so that nobody else waits for the monitor while an agent
/// takes its time.
async fn with_guest(
    agent: &Address,
    monitor: &Monitor,
    output: &Output,
) -> Result<Vec<ListedDisk>, Failure> {
    let listed = async {
        let machine = monitor.machine().await?;
        let disks = machine.list().await?;
        let identities = machine.identify(&disks).await?;
        Ok::<_, Failure>((disks, identities))
    };
    let told = async {
        let agent = monitor.agent(agent).await?;
        Ok::<_, Failure>(GuestView::ask(&agent).await?)
    };
    let (listed, told) = tokio::join!(listed, told);
    let (disks, identities) = listed?;
    let guests = guests(&identities, told, output);
    let rows: Vec<_> =
        disks.iter().zip(guests).map(|(disk, guest)| WithGuest { disk, guest }).collect();
    output.result(&rows, |out| print(out, WITH_GUEST, rows.iter().map(row_with_guest))).await?;
    Ok(disks)
}

/// The guest's side of each disk. What is missing because of the agent is said once.
fn guests(
    identities: &Identities,
    told: Result<GuestView, Failure>,
    output: &Output,
) -> Vec<Option<GuestDisk>> {
    let view = match told {
        Ok(view) => view,
        Err(failure) => {
            output.announce(&format!("the guest's names are missing: {}", failure.message));
            GuestView::default()
        }
    };
    let guests = view.find(identities);
    if !view.names_devices() && view.has_file_systems() {
        output.announce(
            "the guest's agent does not tell the names of disks (QEMU 5.2's is the first), only \
             what is mounted from those that it tells apart",
        );
    }
    guests
}

fn print<const N: usize>(
    out: &mut dyn Write,
    columns: [&str; N],
    rows: impl ExactSizeIterator<Item = [String; N]>,
) -> io::Result<()> {
    if rows.len() == 0 {
        return writeln!(out, "no disks");
    }
    table(out, columns, rows)
}

fn row_with_guest(disk: &WithGuest<'_>) -> [String; 10] {
    let [name, state, bus, port, size, format, access, serial, image] = row(disk.disk);
    let guest = cell(disk.guest.as_ref());
    [name, state, bus, port, size, format, access, serial, guest, image]
}

/// `/dev/vda on /mnt, /var`
fn cell(guest: Option<&GuestDisk>) -> String {
    let Some(GuestDisk { device, mounts }) = guest else { return "-".to_owned() };
    let device = device.as_deref().unwrap_or("-");
    match &mounts[..] {
        [] => device.to_owned(),
        mounts => format!("{device} on {}", mounts.join(", ")),
    }
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
