//! `cargo xtask bench appliance`: qplug's appliance beside libguestfs', through the commands that people
//! use: `qplug appliance` and `guestfish`.
//!
//! Both have the same QEMU, processor by QEMU's translation, memory, kernel image and disk images, the
//! images in memory. libguestfs' own appliance is a fixed one, which spares guestfish the look at its
//! packages; guestfish is one process that lives through a round, each of qplug's verbs is a process of
//! its own. They take turns.
//!
//! | file | owns |
//! |---|---|
//! | `appliance/ours.rs` | an appliance of qplug's, by its command |
//! | `appliance/guestfish.rs` | guestfish, told what to do line by line |
//! | `appliance/turns.rs` | who is timed at what, in turns |
//! | `appliance/freight.rs` | the gibibyte that goes up and down |

mod freight;
mod guestfish;
mod ours;
mod turns;

use std::path::Path;
use std::thread;

use qplug_testbed::{Qemu, Result};
use tempfile::TempDir;

use super::emulator::emulator;
use super::images::Images;
use super::report::{self, Row, Target};
use crate::setup;
use guestfish::Guestfish;
use ours::Ours;
use turns::{Times, Turns};

/// Memory of both machines: what guestfish gives its own without a wish.
const MEMORY_MIB: u32 = 1280;
/// Rounds are given for what takes milliseconds. So many of them make one of launches,
const ROUNDS_A_LAUNCH: u32 = 6;
/// and so many one of a gibibyte up and down.
const ROUNDS_A_FREIGHT: u32 = 15;

/// What a boot may take of guestfish's `run`.
const COLD: Target = Target::Share(0.2);
/// What a start may take of it where a machine was saved, the first disk listed.
const WARM: Target = Target::Share(0.05);
/// What one disk more may take of what guestfish takes to start again with it.
const ADD: Target = Target::Share(0.02);
/// What a gibibyte may take of guestfish's time, either way.
const FREIGHT: Target = Target::Share(0.5);

/// Measures everything on one QEMU, and prints the table. No ratio fails it.
pub(super) fn run(qemu: &Qemu, count: u32, qplug: &Path) -> Result<()> {
    let (launches, freights) =
        ((count / ROUNDS_A_LAUNCH).max(1), (count / ROUNDS_A_FREIGHT).max(1));
    let cores = thread::available_parallelism().map_or(0, usize::from);
    println!(
        "\n{cores} cores, QEMU {} (tcg), {MEMORY_MIB} MiB of memory, {launches} rounds of launches \
         and {freights} of 1 GiB, times in ms",
        qemu.version
    );
    let folder = TempDir::with_prefix("qplug-").map_err(ours::no_folder)?;
    let emulator = emulator(qemu, folder.path())?;
    let guestfish = guestfish(&emulator);
    let ours = Ours::new(qplug, &emulator)?;
    let images = Images::make(0)?;
    let mut turns = Turns { ours, guestfish, images: images.folder(), times: Times::default() };
    turns.launches(launches)?;
    turns.freights(freights)?;
    tell(&turns.times);
    Ok(())
}

/// guestfish, if it is to be had; says which, or why not.
fn guestfish(emulator: &Path) -> Option<Guestfish> {
    let found = setup::libguestfs::set_up().and_then(|folder| Guestfish::new(&folder, emulator));
    match found.and_then(|guestfish| Ok((guestfish.version()?, guestfish))) {
        Ok((version, guestfish)) => {
            println!("{version}");
            Some(guestfish)
        }
        Err(error) => {
            println!("guestfish is not measured: {error}");
            None
        }
    }
}

fn tell(times: &Times) {
    let Times { cold, warm, add, up, down, run, again, upload, download } = times;
    let row = |what: &str, ours, other, other_sample, target| Row {
        what: what.to_owned(),
        ours,
        other,
        other_sample,
        target: Some(target),
    };
    let rows = [
        row("launch, cold", cold, "guestfish: run", run, COLD),
        row("launch, warm, list", warm, "guestfish: run", run, WARM),
        row("add a disk, list", add, "guestfish: again", again, ADD),
        row("1 GiB up", up, "guestfish: upload", upload, FREIGHT),
        row("1 GiB down", down, "guestfish: download", download, FREIGHT),
    ];
    if run.is_empty() {
        let alone = |row: &Row<'_>| (row.what.clone(), row.ours.median(), row.ours.middle_half());
        for (what, median, (low, high)) in rows.iter().map(alone) {
            println!("{what:<20} {median:>7}  {low}–{high}");
        }
        return;
    }
    report::print(&rows);
}
