//! What crashes and late guests leave, finished by 'qplug recover'.

use std::time::Duration;

use qplug_testbed::image::Format;
use qplug_testbed::proxy::Moment;
use qplug_testbed::{Board, Machine, Qemu};
use serde_json::json;

use crate::crash::killed;
use crate::run::{
    GUEST_WITHIN, image, on_every_machine, on_machines_of_all_ages, path, qplug, start, state,
    within,
};

#[test]
fn an_attach_that_was_killed_is_taken_back_and_whole_disks_stay() {
    on_every_machine("recover attach", |machine| {
        let (data, whole) =
            (image(machine, "data", Format::Qcow2), image(machine, "whole", Format::Raw));
        let qmp = machine.qmp_path();
        qplug(&qmp, &["attach", path(&whole)]).exits(0);
        let before = state(machine);
        // After blockdev-add.
        killed(machine, Moment::Executed(5), &["attach", path(&data)]);
        assert_ne!(state(machine), before);
        let recovered = qplug(&qmp, &["recover", "--json"]).exits(0).json();
        assert_eq!(recovered["recovered"], json!([{"name": "data", "result": "removed"}]));
        assert_eq!(state(machine), before);
        drop(data.lock().unwrap());
        qplug(&qmp, &["recover"]).exits(0).says("nothing is half done");
        machine.guest.wait_added("whole", GUEST_WITHIN).unwrap();
        qplug(&qmp, &["detach", "whole"]).exits(0);
    });
}

#[test]
fn a_detach_that_is_pending_is_marked_and_ends_when_the_guest_answers() {
    on_machines_of_all_ages("recover pending", |machine| {
        let before = state(machine);
        let data = image(machine, "data", Format::Raw);
        let qmp = machine.qmp_path();
        qplug(&qmp, &["attach", path(&data)]).exits(0);
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
        machine.oracle.demand("stop", json!({})).unwrap();
        qplug(&qmp, &["detach", "data", "--timeout", "0.3"]).exits(5);
        qplug(&qmp, &["attach", path(&data)]).exits(5).says("is being detached");
        qplug(&qmp, &["recover", "--timeout", "0.3"]).exits(5).says("data is pending");
        machine.oracle.demand("cont", json!({})).unwrap();
        qplug(&qmp, &["recover"]).exits(0).says("data is out of the machine");
        assert_eq!(state(machine), before);
        drop(data.lock().unwrap());
    });
}

#[test]
fn a_watch_finishes_what_ends_late() {
    for qemu in Qemu::under_test("recover --watch") {
        let second = ["-qmp", "unix:second,server=on,wait=off"];
        let mut machine = Machine::builder(&qemu, Board::Q35).arguments(second).restored().unwrap();
        within(&mut machine, &format!("QEMU {}, two monitors", qemu.version), |machine| {
            let before = state(machine);
            let data = image(machine, "data", Format::Raw);
            let qmp = machine.qmp_path();
            qplug(&qmp, &["attach", path(&data)]).exits(0);
            machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
            machine.oracle.demand("stop", json!({})).unwrap();
            qplug(&qmp, &["detach", "data", "--timeout", "0.3"]).exits(5);
            let watch = start(machine.folder().join("second"), &["recover", "--watch"]);
            std::thread::sleep(Duration::from_millis(200));
            machine.oracle.demand("cont", json!({})).unwrap();
            machine.guest.wait_removed("data", GUEST_WITHIN).unwrap();
            let deadline = std::time::Instant::now() + GUEST_WITHIN;
            while state(machine) != before {
                assert!(std::time::Instant::now() < deadline, "{}", state(machine));
                std::thread::sleep(Duration::from_millis(20));
            }
            // The machine has let go a moment before its answer is read and printed.
            watch.wait_to_say("data is out of the machine");
            watch.interrupt();
            watch.finish().exits(130);
        });
    }
}
