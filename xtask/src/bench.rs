//! `cargo xtask bench`: what qplug costs beside what QEMU and the guest take anyway.
//!
//! Whole commands are timed, from their start until they have ended, on a machine whose guest runs:
//! qplug, a bare script that says the very same to QEMU, and libvirt's virsh where it is to be had.
//! They take turns, so that a busy host is busy for all of them. No time fails a bench.
//!
//! | file | owns |
//! |---|---|
//! | `bench/script.rs` | the bare script, taken down from qplug |
//! | `bench/rounds.rs` | who is timed, in turns |
//! | `bench/libvirt.rs` | a libvirt of our own, and a machine in it |
//! | `bench/daemon.rs` | libvirt's daemon, kept apart from the system's |
//! | `bench/bounded.rs` | running commands that must end |
//! | `bench/images.rs` | images in memory, so that no disk of the host is measured |
//! | `bench/port.rs` | the guest of that machine |
//! | `bench/emulator.rs` | a QEMU as libvirt and libguestfs want one |
//! | `bench/appliance.rs` | the appliance, beside libguestfs' |
//! | `bench/hotplug.rs` | one disk, and many at once, beside the same commands without qplug |
//! | `bench/protocol.rs` | the protocol's clients, beside a bare loop and other clients |
//! | `bench/sample.rs` | times, medians and quartiles |
//! | `bench/report.rs` | the table, and the targets |

mod appliance;
mod bounded;
mod daemon;
mod emulator;
mod hotplug;
mod images;
mod libvirt;
mod port;
mod protocol;
mod report;
mod rounds;
mod sample;
mod script;

use std::path::Path;
use std::thread;

use clap::{Parser, ValueEnum};
use qplug_testbed::{Error, Qemu, Result};

use crate::cargo::{build, build_release};
use crate::setup;
use libvirt::{Libvirt, Shape};
use report::{Row, Target};
use rounds::Rounds;

/// What qplug may add to the bare script's time.
const ADDS: Target = Target::Adds { percent: 15.0, ms: 3.0 };
/// What an attach may take of the time that virsh takes for it.
const OF_VIRSH: Target = Target::Share(0.25);
/// How long `qplug --version` may take, in milliseconds.
const VERSION: Target = Target::AtMost(3.0);

/// What to measure, and on what.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    what: What,
    /// The QEMUs to run on: all, or versions such as 7.2 or 7.2,10.0.
    #[arg(long, default_value = "all")]
    qemu: String,
    /// How often each command is timed.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// With `protocol` or `hotplug`: hold what was won, by counts that no noise touches.
    #[arg(long)]
    check: bool,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Attaching and detaching a disk, and starting the program.
    Attach,
    /// One disk and many at once, on every bus that has numbers to reach, and among how many others.
    Hotplug,
    /// Launching an appliance, one disk more in it, a gibibyte up and down.
    Appliance,
    /// The protocol's clients: round trips, events, large replies, memory.
    Protocol,
}

/// Measures, and prints a table for each QEMU.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let What::Protocol = args.what {
        return if args.check { protocol::check() } else { protocol::run(args.rounds) };
    }
    if args.check && !matches!(args.what, What::Hotplug) {
        return Err(Error::failed("--check is for protocol and hotplug: nothing else has counts"));
    }
    setup::run()?;
    let chosen: Vec<Qemu> = Qemu::installed()?
        .into_iter()
        .filter(|qemu| {
            args.qemu == "all" || args.qemu.split(',').any(|it| it == qemu.version.series())
        })
        .collect();
    if chosen.is_empty() {
        return Err(Error::not_set_up(format!("no QEMU {} is set up", args.qemu)));
    }
    if let (What::Hotplug, true) = (args.what, args.check) {
        // Counts are the same without optimisation.
        let qplug = build("qplug", "qplug")?;
        return chosen.iter().try_for_each(|qemu| hotplug::check(qemu, &qplug));
    }
    let qplug = build_release("qplug", "qplug")?;
    if let What::Appliance = args.what {
        return chosen.iter().try_for_each(|qemu| appliance::run(qemu, args.rounds, &qplug));
    }
    // Without it virsh is not measured, and that is said further down.
    if let Err(error) = setup::libvirt() {
        println!("libvirt  {error}");
    }
    let bare = build_release("qplug-testbed", "bare")?;
    let one = match args.what {
        What::Hotplug => hotplug::run,
        What::Attach | What::Appliance | What::Protocol => attach,
    };
    chosen.iter().try_for_each(|qemu| one(qemu, args.rounds, &qplug, &bare))
}

fn attach(qemu: &Qemu, count: u32, qplug: &Path, bare: &Path) -> Result<()> {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    println!("\n{cores} cores, QEMU {} (tcg), {count} rounds, times in ms", qemu.version);
    let libvirt = libvirt(qemu, Shape::default())?;
    let mut rounds = Rounds::new(qemu, qplug, bare, libvirt)?;
    println!("qplug attach: {}", rounds.attach_script.size());
    println!("qplug detach: {}", rounds.detach_script.size());
    rounds.run(count)?;
    report(&rounds);
    Ok(())
}

/// A machine in libvirt, if that is to be had; says which, or why not.
fn libvirt(qemu: &Qemu, shape: Shape) -> Result<Option<Libvirt>> {
    match Libvirt::start(qemu, shape) {
        Ok(libvirt) => {
            println!("virsh: libvirt {}", libvirt.version()?);
            Ok(Some(libvirt))
        }
        Err(error) => {
            println!("virsh is not measured: {error}");
            Ok(None)
        }
    }
}

fn report(rounds: &Rounds<'_>) {
    let row = |what: &str, ours, other, other_sample, target| Row {
        what: what.to_owned(),
        ours,
        other,
        other_sample,
        target,
    };
    let (qplug, bare, virsh) = (&rounds.qplug, &rounds.bare, &rounds.virsh);
    let mut rows = vec![
        row("qplug attach", &qplug.attach, "bare script", &bare.attach, Some(ADDS)),
        row("qplug detach", &qplug.detach, "bare script", &bare.detach, Some(ADDS)),
        row(
            "qplug --version",
            &rounds.version,
            "a program's start",
            &rounds.nothing,
            Some(VERSION),
        ),
    ];
    if rounds.has_virsh() {
        rows.extend([
            row("qplug attach", &qplug.attach, "virsh attach-disk", &virsh.attach, Some(OF_VIRSH)),
            row("qplug detach", &qplug.detach, "virsh detach-disk", &virsh.detach, None),
        ]);
    }
    report::print(&rows);
}
