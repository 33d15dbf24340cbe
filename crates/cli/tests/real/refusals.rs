//! What cannot be done, and that it leaves nothing behind.

use qplug_testbed::image::Format;
use qplug_testbed::{Board, Machine, Qemu};
use serde_json::json;

use crate::run::{
    GUEST_WITHIN, Ran, image, on_every_machine, on_machines_of_all_ages, path, qplug, state, within,
};

/// Runs an attach that must fail so, and changes nothing.
fn refused(machine: &mut Machine, arguments: &[&str], code: i32) -> Ran {
    let before = state(machine);
    let ran = qplug(machine.qmp_path(), &[&["attach"], arguments].concat()).exits(code);
    assert_eq!(state(machine), before, "{arguments:?} left something behind");
    ran
}

#[test]
fn names_and_images_that_cannot_be() {
    on_every_machine("names", |machine| {
        let image = image(machine, "data", Format::Raw);
        let path = path(&image);
        let missing = path.replace("data.raw", "missing.raw");
        refused(machine, &[&missing], 6).says("No such file");
        refused(machine, &[machine.folder().to_str().unwrap().to_owned().as_str()], 6)
            .says("neither a file");
        refused(machine, &[path, "--name", "1st"], 6).says("cannot name a disk");
        refused(machine, &[path, "--name", &"x".repeat(25)], 6).says("at most 24");
        refused(machine, &[path, "--name", &"x".repeat(21)], 6).says("virtio-blk disk carries 20");
        refused(machine, &[path, "--serial", "a b"], 6).says("cannot be a serial");
        refused(machine, &[path, "--format", "qcow3"], 2).says("no image format");
        refused(machine, &[path, "--format", "qcow2"], 4)
            .says("not in qcow2 format")
            .says("Nothing was changed");
        refused(machine, &[path, "--port", "nosuch"], 6).says("no port nosuch");
        refused(machine, &[path, "--remote"], 6).says("give its --format");
    });
}

#[test]
fn an_image_that_refers_to_others_is_refused_until_its_format_is_given() {
    on_every_machine("backing", |machine| {
        let base = image(machine, "base", Format::Raw);
        let overlay = base.overlay(machine.folder(), "data.qcow2").unwrap();
        refused(machine, &[path(&overlay)], 6).says("backing file").says("--format qcow2");
        qplug(machine.qmp_path(), &["attach", path(&overlay), "--format", "qcow2"]).exits(0);
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
        qplug(machine.qmp_path(), &["detach", "data"]).exits(0);
    });
}

/// Found before anything is sent. What QEMU finds by itself is tested with the library, which can
/// be told not to look.
#[test]
fn an_image_that_another_process_has_open_is_refused_with_nothing_left_behind() {
    on_every_machine("locked", |machine| {
        for format in Format::ALL {
            let image = image(machine, "data", format);
            let holder = image.lock().unwrap();
            refused(machine, &[path(&image)], 6).says("open elsewhere").says("close it there");
            drop(holder);
            qplug(machine.qmp_path(), &["attach", path(&image)]).exits(0);
            machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
            qplug(machine.qmp_path(), &["detach", "data"]).exits(0);
        }
    });
}

#[test]
fn a_name_or_an_image_that_is_taken_in_this_machine() {
    on_machines_of_all_ages("taken", |machine| {
        let (data, other) =
            (image(machine, "data", Format::Raw), image(machine, "other", Format::Raw));
        qplug(machine.qmp_path(), &["attach", path(&data)]).exits(0);
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
        refused(machine, &[path(&other), "--name", "data"], 6).says("the name data is taken");
        refused(machine, &[path(&data), "--read-only"], 6).says("a writable virtio-blk raw disk");
        refused(machine, &[path(&data), "--serial", "x"], 6).says("the name data is taken");
        refused(machine, &[path(&data), "--name", "twin"], 6)
            .says("in use in this machine")
            .says("by data");
        qplug(machine.qmp_path(), &["detach", "nosuch"]).exits(6).says("qplug attached data");
        qplug(machine.qmp_path(), &["detach", "data"]).exits(0);
    });
}

#[test]
fn a_full_machine_says_so_and_what_makes_room() {
    for qemu in Qemu::under_test("full") {
        let mut machine =
            Machine::builder(&qemu, Board::Q35).ports(2).fixed_ports(1).restored().unwrap();
        within(&mut machine, &format!("QEMU {}, two ports", qemu.version), |machine| {
            for name in ["a", "b"] {
                let image = image(machine, name, Format::Raw);
                qplug(machine.qmp_path(), &["attach", path(&image)]).exits(0);
                machine.guest.wait_added(name, GUEST_WITHIN).unwrap();
            }
            let image = image(machine, "c", Format::Raw);
            refused(machine, &[path(&image)], 6).says("no free port").says("pcie-root-port");
            qplug(machine.qmp_path(), &["ports"]).exits(0).says("fixed").says("0 of 3 places free");
            qplug(machine.qmp_path(), &["detach", "a"]).exits(0);
            qplug(machine.qmp_path(), &["attach", path(&image)]).exits(0);
        });
        let mut machine =
            Machine::builder(&qemu, Board::Q35).ports(0).unnamed_ports(2).halted().unwrap();
        within(&mut machine, &format!("QEMU {}, nameless ports", qemu.version), |machine| {
            let image = image(machine, "c", Format::Raw);
            refused(machine, &[path(&image)], 6).says("no free port").says("have no id");
        });
        let mut machine = Machine::builder(&qemu, Board::Pc).halted().unwrap();
        within(&mut machine, &format!("QEMU {} pc, full", qemu.version), |machine| {
            loop {
                let bridge = json!({"driver": "virtio-rng-pci"});
                if machine.oracle.execute("device_add", bridge).is_err() {
                    break;
                }
            }
            let image = image(machine, "c", Format::Raw);
            refused(machine, &[path(&image)], 6)
                .says("all 32 slots are taken")
                .says("detach a disk");
        });
    }
}

/// Devices that qplug did not make are listed, and never touched.
#[test]
fn disks_of_others_are_left_alone() {
    on_every_machine("foreign", |machine| {
        let image = image(machine, "theirs", Format::Raw);
        let node = json!({"driver": "raw", "node-name": "disk0",
                          "file": {"driver": "file", "filename": path(&image)}});
        machine.oracle.demand("blockdev-add", node).unwrap();
        let ports = qplug(machine.qmp_path(), &["ports", "--json"]).exits(0).json();
        let ports = ports["ports"].as_array().unwrap().clone();
        let free = ports.iter().find(|port| port["state"] == "free").unwrap();
        let (bus, slot) = match free["port"].as_str().unwrap().split_once('/') {
            Some((bus, slot)) => (bus, slot.parse::<u8>().unwrap()),
            None => (free["port"].as_str().unwrap(), 0),
        };
        let device = json!({"driver": "virtio-blk-pci", "id": "theirs", "drive": "disk0",
                            "bus": bus, "addr": format!("{slot:x}")});
        machine.oracle.demand("device_add", device).unwrap();
        let before = state(machine);
        qplug(machine.qmp_path(), &["list"]).exits(0).says("theirs").says("foreign");
        qplug(machine.qmp_path(), &["detach", "theirs"]).exits(6).says("not attached by qplug");
        assert_eq!(state(machine), before);
    });
}
