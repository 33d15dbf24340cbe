//! One operation killed at every point of its conversation, and then simply run again.

use std::time::Duration;

use qplug_hotplug::Bus;

use crate::seen::Seen;
use crate::story::{Deed, Limited, Op, Parts, Wish};
use crate::wire::{Kill, Trouble};
use crate::world::{Expect, World};

/// Longer than any guest here takes.
const LONG: Duration = Duration::from_secs(60);

/// How many bytes lie between two crashes: a command has ten times as many. One in a row of runs
/// begins at another byte, see [`shift`].
const STRIDE: usize = 11;

const PARTS: Parts =
    Parts { ports: Some(3), native: false, scsi: false, usb: false, prelaunch: false, old: false };

fn wish(name: &'static str, image: usize, bus: Bus, limits: Limited) -> Wish {
    Wish { name, image, bus: Some(bus), read_only: false, limits }
}

fn wishes() -> Vec<Wish> {
    vec![wish("a", 0, Bus::VirtioBlk, Limited::Alone), wish("b", 2, Bus::VirtioScsi, Limited::Not)]
}

/// The machine before, and what is done to it.
fn stories() -> Vec<(Vec<Op>, Deed)> {
    let attach = |wishes| Op::Qplug(Deed::Attach(wishes), Trouble::none());
    let ask = Op::Qplug(Deed::Detach(vec!["a"], Duration::from_secs(1)), Trouble::none());
    // Asked in vain, and gone later: its mark and its nodes are left.
    let half = vec![attach(wishes()), Op::Stop, ask, Op::Cont, Op::Wait(Duration::from_secs(1))];
    vec![
        (vec![], Deed::Attach(wishes())),
        (vec![attach(wishes())], Deed::Detach(vec!["a", "b"], LONG)),
        (half.clone(), Deed::Detach(vec![], LONG)),
        (half, Deed::Recover(LONG)),
    ]
}

fn world(before: &[Op]) -> World {
    let mut world = World::new(PARTS);
    for op in before {
        world.play(op);
    }
    world
}

/// Which byte to begin with.
fn shift() -> usize {
    std::process::id() as usize % STRIDE
}

/// Kills the deed, runs it again, and looks.
fn crash(before: &[Op], deed: &Deed, kill: Kill) {
    let mut world = world(before);
    world.play(&Op::Qplug(deed.clone(), Trouble { kill: Some(kill), ..Trouble::none() }));
    world.play(&Op::Qplug(deed.clone(), Trouble::none()));
    let settled = |expect: Option<&Expect>| !matches!(expect, Some(Expect::Loose));
    match deed {
        // A disk of which nobody knows what it had been given is there all the same.
        Deed::Attach(wishes) => {
            let seen = Seen::of(&mut world.wire);
            for wish in wishes {
                wish.check(&seen.of_disk(wish.name));
            }
        }
        Deed::Detach(..) => assert!(world.disks.is_empty(), "{kill:?}: {:?}", world.disks),
        _ => assert!(settled(world.disks.get("a")), "{kill:?}: {:?}", world.disks),
    }
    world.end();
}

#[test]
fn whatever_byte_was_the_last_the_same_command_run_again_ends_it() {
    for (before, deed) in stories() {
        let mut world = world(&before);
        let (sent, heard) = world.count(&deed);
        assert!(sent > 200 && heard > 200, "{deed:?} says nothing");
        for byte in (shift()..=sent).step_by(STRIDE) {
            crash(&before, &deed, Kill::Sent(byte));
        }
        // Answers are long, and what matters is which of them have come.
        for byte in (shift()..=heard).step_by(heard / 100 + 1) {
            crash(&before, &deed, Kill::Heard(byte));
        }
    }
}
