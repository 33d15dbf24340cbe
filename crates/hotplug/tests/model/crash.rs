//! One operation killed at every point of its conversation, and then simply run again.

use std::time::Duration;

use qplug_hotplug::Bus;
use qplug_sim::Version;

use crate::seen::{Seen, has_drives};
use crate::story::{Deed, Limited, Op, Parts, Wish};
use crate::wire::{Kill, Trouble};
use crate::world::World;

/// Longer than any guest here takes.
const LONG: Duration = Duration::from_secs(60);

/// How many bytes lie between two crashes: a command has ten times as many. One in a row of runs
/// begins at another byte, see [`shift`].
const STRIDE: usize = 11;

/// The same for all versions but the last.
const STRIDE_OF_OTHERS: usize = 101;

/// The connection is lost before the machine hears of a device.
const UNHEARD: &str = "drop device_add:1 unheard";

fn parts(version: Version) -> Parts {
    let ports = (version >= Version::V2_9).then_some(3);
    Parts { version, ports, native: false, scsi: false, usb: false, prelaunch: false }
}

fn wish(name: &'static str, image: usize, bus: Bus, limits: Limited) -> Wish {
    Wish { name, image, bus: Some(bus), read_only: false, limits }
}

fn wishes(version: Version) -> Vec<Wish> {
    let as_far_as_it_can = |wish: Wish| match wish.is_able(version) {
        true => wish,
        false => Wish { bus: None, limits: Limited::Not, ..wish },
    };
    vec![
        as_far_as_it_can(wish("a", 0, Bus::VirtioBlk, Limited::Alone)),
        as_far_as_it_can(wish("b", 2, Bus::VirtioScsi, Limited::Not)),
    ]
}

/// The machine before, and what is done to it.
fn stories(version: Version) -> Vec<(Vec<Op>, Deed)> {
    let attach = |wishes| Op::Qplug(Deed::Attach(wishes), Trouble::none());
    let ask = Op::Qplug(Deed::Detach(vec!["a"], Duration::from_secs(1)), Trouble::none());
    // Asked in vain, and gone later: its mark and its nodes are left.
    let mut half =
        vec![attach(wishes(version)), Op::Stop, ask, Op::Cont, Op::Wait(Duration::from_secs(1))];
    if has_drives(version) {
        // There are no marks, and a drive goes with its device: one that has none is what is left.
        let unplugged = Trouble { faults: vec![UNHEARD.to_owned()], ..Trouble::none() };
        half = vec![Op::Qplug(Deed::Attach(wishes(version)), unplugged)];
    }
    vec![
        (half.clone(), Deed::Attach(wishes(version))),
        (vec![], Deed::Attach(wishes(version))),
        (vec![attach(wishes(version))], Deed::Detach(vec!["a", "b"], LONG)),
        (half.clone(), Deed::Detach(vec![], LONG)),
        (half, Deed::Recover(LONG)),
    ]
}

fn world(version: Version, before: &[Op]) -> World {
    let mut world = World::new(parts(version));
    for op in before {
        world.play(op);
    }
    world
}

/// Which byte to begin with.
fn shift(stride: usize) -> usize {
    std::process::id() as usize % stride
}

/// Kills the deed, runs it again, and looks.
fn crash(version: Version, before: &[Op], deed: &Deed, kill: Kill) {
    let mut world = world(version, before);
    world.play(&Op::Qplug(deed.clone(), Trouble { kill: Some(kill), ..Trouble::none() }));
    world.play(&Op::Qplug(deed.clone(), Trouble::none()));
    match deed {
        // A disk of which nobody knows what it had been given is there all the same.
        Deed::Attach(wishes) => {
            let seen = Seen::of(&mut world.wire);
            for wish in wishes {
                wish.check(&seen.of_disk(wish.name), version);
            }
        }
        Deed::Detach(..) => {
            assert!(world.disks.is_empty(), "{version:?} {kill:?}: {:?}", world.disks);
        }
        // What nobody could tell of is whole, or gone.
        _ => {
            let there = Seen::of(&mut world.wire).of_disk("a");
            if !there.is_empty() {
                Wish::seen("a", &there).check(&there, version);
            }
        }
    }
    world.end();
}

#[test]
fn whatever_byte_was_the_last_the_same_command_run_again_ends_it() {
    for version in Version::ALL {
        for (before, deed) in stories(version) {
            let mut world = world(version, &before);
            let (sent, heard) = world.count(&deed);
            assert!(sent > 200 && heard > 200, "{version:?}: {deed:?} says nothing");
            let stride = if version == Version::V10_0 { STRIDE } else { STRIDE_OF_OTHERS };
            for byte in (shift(stride)..=sent).step_by(stride) {
                crash(version, &before, &deed, Kill::Sent(byte));
            }
            // Answers are long, and what matters is which of them have come.
            for byte in (shift(stride)..=heard).step_by(heard * stride / 1000 + 1) {
                crash(version, &before, &deed, Kill::Heard(byte));
            }
        }
    }
}
