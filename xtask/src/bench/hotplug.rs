//! `cargo xtask bench hotplug`: one disk and many at once, on machines whose guests run.
//!
//! Whole commands are timed, beside a bare script that sends the same commands, all of them at once
//! and without looking at the machine first, and beside libvirt on the same QEMU, kernel and guest.
//! They take turns. Then what qplug costs in a machine that has many disks already.
//!
//! | file | owns |
//! |---|---|
//! | `hotplug/stream.rs` | the bare script: what changes the machine, in as few writes as can be |
//! | `hotplug/contest.rs` | who is timed, in turns |
//! | `hotplug/growth.rs` | one disk more, where there are many |
//! | `hotplug/held.rs` | commands and bytes of one disk, which are kept |

mod contest;
mod growth;
mod held;
mod stream;

use std::path::Path;
use std::thread;

use qplug_testbed::{Board, Machine, Qemu, Result};

use super::images::Images;
use super::libvirt::Shape;
use super::report::{self, Row, Target};
use contest::{Contest, Field, Group};

pub(super) use held::check;

/// A guest needs room for what its kernel keeps of a thousand disks.
const SHAPE: Shape = Shape { memory_mib: 1024, scsi: true };
/// The fewest rounds of a group that takes long.
const FEWEST_ROUNDS: u32 = 3;

/// What an attach or a detach may take of the bare script's time.
const OF_SCRIPT: Target = Target::Share(1.10);
/// The same for one disk, where starting the program counts.
const OF_SCRIPT_ONE: Target = Target::Above { share: 1.03, ms: 3.0 };
/// What an attach may take of libvirt's time.
const OF_LIBVIRT: Target = Target::Share(0.25);
/// What a detach of fifty disks may take of libvirt's time, which detaches them one by one.
const OF_ONE_BY_ONE: Target = Target::Share(0.04);
/// How long a detach of 200 disks may take, in milliseconds.
const DETACH_200: Target = Target::AtMost(250.0);

/// The groups of disks that are plugged in and pulled out together. Rounds are divided by what they
/// cost.
const GROUPS: &[Group] = &[
    Group {
        title: "1 virtio-blk",
        bus: "virtio-blk",
        count: 1,
        rounds: 1,
        libvirt: Some("virtio"),
    },
    Group { title: "1 scsi", bus: "virtio-scsi", count: 1, rounds: 1, libvirt: Some("scsi") },
    Group { title: "50 scsi", bus: "virtio-scsi", count: 50, rounds: 3, libvirt: Some("scsi") },
    Group { title: "200 scsi", bus: "virtio-scsi", count: 200, rounds: 3, libvirt: None },
    Group { title: "1,000 scsi", bus: "virtio-scsi", count: 1000, rounds: 6, libvirt: None },
];

/// Measures everything on one QEMU, and prints the tables. No ratio fails it.
pub(super) fn run(qemu: &Qemu, count: u32, qplug: &Path, bare: &Path) -> Result<()> {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    println!("\n{cores} cores, QEMU {} (tcg), {count} rounds, times in ms", qemu.version);
    let images = Images::make(growth::MOST + 1)?;
    let libvirt = super::libvirt(qemu, SHAPE)?;
    let builder = Machine::builder(qemu, Board::Q35).memory_mib(SHAPE.memory_mib).scsi();
    let mut field = Field { machine: builder.restored()?, images: &images, qplug, bare, libvirt };
    let mut contests = Vec::new();
    for group in GROUPS {
        let mut contest = Contest::new(group, &mut field)?;
        println!("{:<13} attach: {}", group.title, contest.attach);
        println!("{:<13} detach: {}", "", contest.detach);
        contest.run(&mut field, (count / group.rounds).max(FEWEST_ROUNDS.min(count)))?;
        contests.push(contest);
    }
    report::print(&contests.iter().flat_map(|contest| rows(contest)).collect::<Vec<_>>());
    drop(field);
    growth::run(qemu, &images, qplug, bare, count)
}

fn rows<'a>(contest: &'a Contest<'_>) -> Vec<Row<'a>> {
    let group = contest.group;
    let row = |what: &str, ours, other, other_sample, target| {
        let what = format!("{what} {}", group.title);
        Row { what, ours, other, other_sample, target }
    };
    let Contest { qplug, bare, virsh, api, .. } = contest;
    let (script, many) = ("bare script", group.count > 50);
    let mut rows = match group.count {
        1 => vec![
            row("attach", &qplug.attach, script, &bare.attach, None),
            row("detach", &qplug.detach, script, &bare.detach, Some(OF_SCRIPT_ONE)),
        ],
        _ => {
            let target = many.then_some(OF_SCRIPT);
            vec![
                row("attach", &qplug.attach, script, &bare.attach, target),
                row("detach", &qplug.detach, script, &bare.detach, target),
            ]
        }
    };
    if group.count == 200 {
        rows.push(row("detach", &qplug.detach, "itself", &qplug.detach, Some(DETACH_200)));
    }
    if !virsh.attach.is_empty() {
        let detach = (group.count == 50).then_some(OF_ONE_BY_ONE);
        rows.push(row("attach", &qplug.attach, "virsh", &virsh.attach, Some(OF_LIBVIRT)));
        rows.push(row("detach", &qplug.detach, "virsh", &virsh.detach, detach));
    }
    if !api.attach.is_empty() {
        let one_by_one = Some(OF_ONE_BY_ONE);
        rows.push(row("attach", &qplug.attach, "one virsh for all", &api.attach, Some(OF_LIBVIRT)));
        rows.push(row("detach", &qplug.detach, "one virsh for all", &api.detach, one_by_one));
    }
    rows
}
