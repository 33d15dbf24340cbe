//! Guests that are quick, slow, paused, or not there.

use std::time::Duration;

use qplug_testbed::image::Format;
use qplug_testbed::{Board, Machine, Qemu};
use serde_json::json;

use crate::run::{GUEST_WITHIN, image, on_every_machine, path, qplug, start, state, within};

#[test]
fn attach_then_detach_at_once_before_the_guest_has_looked() {
    on_every_machine("at once", |machine| {
        let before = state(machine);
        let image = image(machine, "data", Format::Raw);
        for _ in 0..3 {
            qplug(machine.qmp_path(), &["attach", path(&image)]).exits(0);
            qplug(machine.qmp_path(), &["detach", "data"]).exits(0);
            assert_eq!(state(machine), before);
        }
        machine.guest.ping().unwrap();
    });
}

#[test]
fn a_paused_guest_makes_it_pending_and_the_same_command_completes_it() {
    on_every_machine("paused", |machine| {
        let before = state(machine);
        let image = image(machine, "data", Format::Qcow2);
        let qmp = machine.qmp_path();
        qplug(&qmp, &["attach", path(&image)]).exits(0);
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
        machine.oracle.demand("stop", json!({})).unwrap();
        let pending = qplug(&qmp, &["detach", "data", "--timeout", "0.5", "--json"]).exits(5);
        assert_eq!(pending.json()["result"], "pending");
        qplug(&qmp, &["list"]).exits(0).says("attached");
        let again = start(&qmp, &["detach", "data"]);
        std::thread::sleep(Duration::from_millis(300));
        machine.oracle.demand("cont", json!({})).unwrap();
        again.finish().exits(0);
        assert_eq!(state(machine), before);
    });
}

/// The guest lets go while no qplug is there: its next run finds only the open image, and closes it.
#[test]
fn a_guest_that_lets_go_after_qplug_has_left_leaves_the_image_to_the_next_run() {
    on_every_machine("late", |machine| {
        let before = state(machine);
        let image = image(machine, "data", Format::Qcow2);
        let qmp = machine.qmp_path();
        qplug(&qmp, &["attach", path(&image)]).exits(0);
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
        machine.oracle.demand("stop", json!({})).unwrap();
        qplug(&qmp, &["detach", "data", "--timeout", "0.2"]).exits(5);
        machine.oracle.demand("cont", json!({})).unwrap();
        machine
            .oracle
            .wait_event_where("DEVICE_DELETED", GUEST_WITHIN, |event| event["device"] == "data")
            .unwrap();
        qplug(&qmp, &["list"]).exits(0).says("half-done");
        let closed = qplug(&qmp, &["detach", "data", "--json"]).exits(0).json();
        assert_eq!(closed["was_gone"], true);
        assert_eq!(state(machine), before);
    });
}

#[test]
fn an_interrupted_wait_says_that_it_goes_on() {
    on_every_machine("interrupted", |machine| {
        let image = image(machine, "data", Format::Raw);
        let qmp = machine.qmp_path();
        qplug(&qmp, &["attach", path(&image)]).exits(0);
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
        machine.oracle.demand("stop", json!({})).unwrap();
        let waiting = start(&qmp, &["detach", "data"]);
        std::thread::sleep(Duration::from_millis(500));
        waiting.interrupt();
        waiting.finish().exits(130).says("the same command goes on");
        machine.oracle.demand("cont", json!({})).unwrap();
        qplug(&qmp, &["detach", "data"]).exits(0);
    });
}

#[test]
fn a_machine_that_never_ran_takes_a_disk_and_does_not_give_it_back() {
    for qemu in Qemu::under_test("never ran") {
        for board in Board::ALL {
            let mut machine = Machine::builder(&qemu, board).halted().unwrap();
            within(&mut machine, &format!("QEMU {} {}", qemu.version, board.name()), |machine| {
                let image = image(machine, "data", Format::Raw);
                let qmp = machine.qmp_path();
                qplug(&qmp, &["attach", path(&image)]).exits(0);
                qplug(&qmp, &["ports", "--json"]).exits(0).says("\"holds\":\"data\"");
                qplug(&qmp, &["attach", path(&image)]).exits(0).says("already");
                qplug(&qmp, &["detach", "data", "--timeout", "0.3"]).exits(5).says("pending");
                qplug(&qmp, &["detach", "data", "--timeout", "0.3"]).exits(5).says("pending");
            });
        }
    }
}

/// Linux waits five seconds after a native port's attention button, in case it is pressed again.
#[test]
fn a_native_port_takes_its_time_and_is_waited_for() {
    for qemu in Qemu::under_test("native hotplug") {
        let builder = Machine::builder(&qemu, Board::Q35).native_hotplug();
        let mut machine = builder.restored().unwrap();
        within(&mut machine, &format!("QEMU {} q35, native", qemu.version), |machine| {
            let before = state(machine);
            let image = image(machine, "data", Format::Qcow2);
            let qmp = machine.qmp_path();
            qplug(&qmp, &["attach", path(&image)]).exits(0);
            machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
            qplug(&qmp, &["detach", "data", "--timeout", "0.5"]).exits(5);
            qplug(&qmp, &["detach", "data"]).exits(0);
            // At once: the port's indicator still blinks, and QEMU says that the guest is busy.
            qplug(&qmp, &["attach", path(&image)]).exits(0);
            qplug(&qmp, &["detach", "data"]).exits(0);
            assert_eq!(state(machine), before);
        });
    }
}
