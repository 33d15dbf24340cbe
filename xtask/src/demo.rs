//! `cargo xtask demo`: the main job, told as a story, on a real machine with a real guest.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use qplug_testbed::image::{Format, Image};
use qplug_testbed::{Board, Error, Machine, Qemu, Result, accel};

use crate::{cargo, setup};

const DISK_BYTES: u64 = 64 << 20;
const OFFSET: u64 = 4096;
const WORDS: &str = "written-by-the-guest";
/// The guest finds a disk within 0.4 s; a busy host may take longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sets up, starts a machine, plugs a disk in, has the guest write to it, and pulls it out.
pub(crate) fn run() -> Result<()> {
    setup::run()?;
    let qplug = cargo::build("qplug", "qplug")?;
    let began = Instant::now();
    let qemus = Qemu::installed()?;
    let qemu = qemus.first().ok_or_else(|| Error::not_set_up("no QEMU is set up"))?;

    let (accel, machine) =
        if accel::usable_kvm(qemu) { ("kvm", "boots") } else { ("tcg", "wakes") };
    say(&format!(
        "A q35 machine {machine}: QEMU {} ({accel}), a Linux kernel, no disk.",
        qemu.version
    ));
    let builder = Machine::builder(qemu, Board::Q35);
    let mut machine =
        if accel == "kvm" { builder.accel(accel).boot()? } else { builder.restored()? };
    println!(
        "   up after {:.1} s; the guest sees {} disks",
        began.elapsed().as_secs_f32(),
        machine.guest.disks()?.len()
    );

    say("An image of 64 MiB is made on the host, and plugged in while the machine runs:");
    let image = Image::create(machine.folder(), "data.qcow2", Format::Qcow2, DISK_BYTES)?;
    let socket = machine.qmp_path();
    let image_path = image.path.to_string_lossy().into_owned();
    qplug_says(&qplug, &socket, &["attach", &image_path])?;
    let disk = machine.guest.wait_added("data", PATIENCE)?;
    say("The guest's own view of it:");
    println!(
        "   /dev/{}: serial {}, {} bytes, {}",
        disk.name,
        disk.serial,
        disk.bytes,
        if disk.read_only { "read-only" } else { "writable" }
    );
    qplug_says(&qplug, &socket, &["list"])?;

    say(&format!("The guest writes '{WORDS}' to it, and the disk is pulled out:"));
    machine.guest.write("data", OFFSET, WORDS)?;
    qplug_says(&qplug, &socket, &["detach", "data"])?;
    machine.guest.wait_removed("data", PATIENCE)?;
    println!("   the guest sees {} disks", machine.guest.disks()?.len());

    say("The host opens the image, which is free again, and reads:");
    let found = image.read(OFFSET, WORDS.len())?;
    println!("   '{}'", String::from_utf8_lossy(&found));
    if found != WORDS.as_bytes() {
        return Err(Error::failed("these are not the bytes that the guest wrote"));
    }
    say(&format!("All true, in {:.1} s.", began.elapsed().as_secs_f32()));
    Ok(())
}

fn say(text: &str) {
    println!("{text}");
}

/// Runs qplug as a user would, and shows both sides of it.
fn qplug_says(qplug: &Path, socket: &Path, arguments: &[&str]) -> Result<()> {
    println!("   $ qplug {}", arguments.join(" "));
    let output = Command::new(qplug).args(arguments).env("QPLUG_SOCKET", socket).output();
    let output = output.map_err(|error| Error::failed(format!("cannot run qplug: {error}")))?;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        println!("   {line}");
    }
    if output.status.success() {
        return Ok(());
    }
    Err(Error::failed(String::from_utf8_lossy(&output.stderr).into_owned()))
}
