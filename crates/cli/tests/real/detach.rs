//! Guests that are quick, slow, paused, or not there.

use std::sync::mpsc::channel;

use qplug_testbed::image::Format;
use qplug_testbed::proxy::{Moment, Proxy, Then};
use qplug_testbed::{Board, Machine, Qemu};
use serde_json::json;

use crate::run::{
    GUEST_WITHIN, Running, image, on_every_machine, on_machines_of_all_ages, path, qplug, start,
    state, within,
};

/// The number of `device_del` among the commands of a detach, from the negotiation on.
const ASKED: usize = 6;

/// Starts a detach through a proxy, and returns once QEMU has been asked for the device.
fn asked(machine: &Machine, arguments: &[&str]) -> (Proxy, Running) {
    let proxy = Proxy::start(&machine.folder().join("proxy"), &machine.qmp_path()).unwrap();
    let (asked, when_asked) = channel();
    proxy.at(Moment::Answered(ASKED), move || {
        asked.send(()).unwrap();
        Then::GoOn
    });
    let running = start(proxy.path(), arguments);
    when_asked.recv_timeout(GUEST_WITHIN).unwrap();
    (proxy, running)
}

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
    on_machines_of_all_ages("paused", |machine| {
        let before = state(machine);
        let image = image(machine, "data", Format::Qcow2);
        let qmp = machine.qmp_path();
        qplug(&qmp, &["attach", path(&image)]).exits(0);
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
        machine.oracle.demand("stop", json!({})).unwrap();
        let pending = qplug(&qmp, &["detach", "data", "--timeout", "0.5", "--json"]).exits(5);
        assert_eq!(pending.json()["result"], "pending");
        qplug(&qmp, &["list"]).exits(0).says("pending");
        // The guest goes on once the second detach has asked again.
        let (_proxy, again) = asked(machine, &["detach", "data", "--json"]);
        machine.oracle.demand("cont", json!({})).unwrap();
        assert_eq!(again.finish().exits(0).json()["was_gone"], false);
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
        let (_proxy, waiting) = asked(machine, &["detach", "data"]);
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
            // At once: the guest is still busy with the new disk, and is asked until it is not.
            qplug(&qmp, &["attach", path(&image)]).exits(0);
            qplug(&qmp, &["detach", "data"]).exits(0);
            assert_eq!(state(machine), before);
        });
    }
}

/// Why it takes long is said while it does, and only of ports that are slow.
#[test]
fn a_native_port_is_said_so_while_it_is_waited_for() {
    for qemu in Qemu::under_test("native hotplug, said") {
        for is_native in [true, false] {
            let builder = Machine::builder(&qemu, Board::Q35);
            let builder = if is_native { builder.native_hotplug() } else { builder };
            let mut machine = builder.restored().unwrap();
            let is_native = is_native || !qemu.has_acpi_ports();
            within(&mut machine, &format!("QEMU {} q35, {is_native}", qemu.version), |machine| {
                let image = image(machine, "data", Format::Raw);
                let qmp = machine.qmp_path();
                qplug(&qmp, &["attach", path(&image)]).exits(0);
                machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
                machine.oracle.demand("stop", json!({})).unwrap();
                let ran = qplug(&qmp, &["detach", "data", "--timeout", "2"]).exits(5);
                assert_eq!(ran.stderr.contains("native hot-plug port"), is_native, "{ran:?}");
            });
        }
    }
}

#[test]
fn a_qemu_that_ends_while_it_is_waited_for_is_an_unknown_outcome() {
    on_every_machine("killed", |machine| {
        let image = image(machine, "data", Format::Qcow2);
        qplug(machine.qmp_path(), &["attach", path(&image)]).exits(0);
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
        machine.oracle.demand("stop", json!({})).unwrap();
        let (_proxy, waiting) = asked(machine, &["detach", "data"]);
        machine.kill();
        waiting.finish().exits(7).says("closed the connection");
        qplug(machine.qmp_path(), &["detach", "data"]).exits(3);
    });
}

/// A disk that a block job copies, or an export serves, stays where it is.
#[test]
fn a_disk_in_use_by_a_job_or_an_export_is_busy() {
    on_every_machine("busy", |machine| {
        let (data, target) =
            (image(machine, "data", Format::Qcow2), image(machine, "t", Format::Qcow2));
        let qmp = machine.qmp_path();
        qplug(&qmp, &["attach", path(&data)]).exits(0);
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
        machine.guest.write("data", 0, &"x".repeat(64)).unwrap();
        let node = json!({"driver": "qcow2", "node-name": "t",
                          "file": {"driver": "file", "filename": path(&target)}});
        machine.oracle.demand("blockdev-add", node).unwrap();
        for (job, arguments) in [
            (
                "blockdev-backup",
                json!({"job-id": "k", "device": "data.format", "target": "t", "sync": "full", "speed": 1}),
            ),
            (
                "blockdev-mirror",
                json!({"job-id": "k", "device": "data.format", "target": "t", "sync": "full", "speed": 1}),
            ),
        ] {
            machine.oracle.demand(job, arguments).unwrap();
            qplug(&qmp, &["detach", "data"])
                .exits(6)
                .says("the block job k")
                .says("Nothing was changed");
            let listed = qplug(&qmp, &["list", "--json"]).exits(0).json();
            assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
            assert_eq!(listed[0]["state"], "attached");
            qplug(&qmp, &["attach", path(&data)]).exits(0).says("already");
            machine
                .oracle
                .demand("block-job-cancel", json!({"device": "k", "force": true}))
                .unwrap();
            machine.oracle.wait_event("BLOCK_JOB_CANCELLED", GUEST_WITHIN).unwrap();
        }
        let socket = machine.folder().join("nbd");
        let address = json!({"addr": {"type": "unix", "data": {"path": socket.to_str().unwrap()}}});
        machine.oracle.demand("nbd-server-start", address).unwrap();
        let export = json!({"type": "nbd", "id": "e", "node-name": "data.format"});
        machine.oracle.demand("block-export-add", export).unwrap();
        qplug(&qmp, &["detach", "data"]).exits(6).says("the nbd export e");
        machine.oracle.demand("block-export-del", json!({"id": "e"})).unwrap();
        machine.oracle.wait_event("BLOCK_EXPORT_DELETED", GUEST_WITHIN).unwrap();
        qplug(&qmp, &["detach", "data"]).exits(0);
    });
}
