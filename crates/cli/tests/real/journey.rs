//! The main job, start to end.

use qplug_testbed::Machine;
use qplug_testbed::image::Format;
use serde_json::json;

use crate::run::{
    DISK_BYTES, GUEST_WITHIN, image, on_every_machine, on_machines_of_all_ages, path, qplug, state,
};

const OFFSET: u64 = 4096;

#[test]
fn attached_seen_written_detached_and_the_bytes_are_in_the_image() {
    on_machines_of_all_ages("journey", |machine| {
        for format in Format::ALL {
            let before = state(machine);
            let image = image(machine, "data", format);
            let qmp = machine.qmp_path();
            let attached = qplug(&qmp, &["attach", path(&image), "--json"]).exits(0).json();
            assert_eq!(attached["guest_path"], "/dev/disk/by-id/virtio-data");
            assert_eq!(
                (&attached["format"], &attached["already"]),
                (&json!(format.name()), &json!(false))
            );
            assert_eq!(attached["traffic"]["commands"], 6);

            let disk = machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
            assert_eq!((disk.bytes, disk.read_only), (DISK_BYTES, false));
            let words = format!("by-the-guest-{}", format.name());
            machine.guest.write("data", OFFSET, &words).unwrap();

            let listed = qplug(&qmp, &["list", "--json"]).exits(0).json();
            assert_eq!(listed.as_array().unwrap().len(), 1);
            assert_eq!(listed[0]["state"], "attached");
            assert_eq!(
                (&listed[0]["serial"], &listed[0]["port"]),
                (&json!("data"), &attached["port"])
            );
            assert_eq!(listed[0]["bytes"], DISK_BYTES);
            let ports = qplug(&qmp, &["ports", "--json"]).exits(0).json();
            let holder = ports["ports"].as_array().unwrap().iter().find(|p| p["holds"] == "data");
            assert_eq!(holder.unwrap()["port"], attached["port"]);

            qplug(&qmp, &["detach", "data"]).exits(0).says("its image is free");
            machine.guest.wait_removed("data", GUEST_WITHIN).unwrap();
            assert_eq!(image.read(OFFSET, words.len()).unwrap(), words.as_bytes());
            // Another process can have it for itself at once.
            drop(image.lock().unwrap());
            assert_eq!(state(machine), before);
        }
    });
}

#[test]
fn a_read_only_disk_is_read_only_for_the_guest() {
    on_every_machine("read-only", |machine| {
        for format in Format::ALL {
            let image = image(machine, "ro", format);
            image.write(OFFSET, b"from-the-host").unwrap();
            qplug(machine.qmp_path(), &["attach", path(&image), "--read-only"]).exits(0);
            let disk = machine.guest.wait_added("ro", GUEST_WITHIN).unwrap();
            assert!(disk.read_only);
            assert_eq!(machine.guest.read("ro", OFFSET, 13).unwrap(), "from-the-host");
            assert!(machine.guest.write("ro", OFFSET, "x").is_err());
            qplug(machine.qmp_path(), &["detach", "ro"]).exits(0);
            machine.guest.wait_removed("ro", GUEST_WITHIN).unwrap();
        }
    });
}

#[test]
fn name_serial_and_port_are_what_was_asked_for() {
    on_machines_of_all_ages("names", |machine| {
        let image = image(machine, "a", Format::Raw);
        let qmp = machine.qmp_path();
        let ports = qplug(&qmp, &["ports", "--json"]).exits(0).json();
        let free: Vec<_> =
            ports["ports"].as_array().unwrap().iter().filter(|p| p["state"] == "free").collect();
        let last = free.last().unwrap()["port"].as_str().unwrap();
        let arguments =
            ["attach", path(&image), "-n", "my.disk-1", "--serial", "SN#0001", "--port", last];
        qplug(&qmp, &arguments).exits(0).says(last).says("/dev/disk/by-id/virtio-SN#0001");
        machine.guest.wait_added("SN#0001", GUEST_WITHIN).unwrap();
        qplug(&qmp, &["list"]).exits(0).says("my.disk-1").says("SN#0001").says(last);
        qplug(&qmp, &["detach", "my.disk-1"]).exits(0);
    });
}

#[test]
fn the_same_attach_run_twice_changes_nothing() {
    on_every_machine("twice", |machine| {
        let image = image(machine, "data", Format::Qcow2);
        let attach =
            |machine: &Machine| qplug(machine.qmp_path(), &["attach", path(&image), "--json"]);
        let first = attach(machine).exits(0).json();
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
        let state_between = state(machine);
        let second = attach(machine).exits(0).json();
        assert_eq!((&first["already"], &second["already"]), (&json!(false), &json!(true)));
        assert_eq!(first["port"], second["port"]);
        assert_eq!(state(machine), state_between);
        qplug(machine.qmp_path(), &["detach", "data"]).exits(0);
        qplug(machine.qmp_path(), &["detach", "data"]).exits(6).says("no disk called data");
        qplug(machine.qmp_path(), &["detach", "data", "--missing-ok"]).exits(0);
    });
}

#[test]
fn several_disks_come_and_go_in_any_order_and_a_name_may_be_used_again() {
    on_every_machine("several", |machine| {
        let before = state(machine);
        let images = ["a", "b", "c"].map(|name| image(machine, name, Format::Raw));
        for image in &images {
            qplug(machine.qmp_path(), &["attach", path(image)]).exits(0);
        }
        for name in ["a", "b", "c"] {
            machine.guest.wait_added(name, GUEST_WITHIN).unwrap();
        }
        qplug(machine.qmp_path(), &["detach", "b"]).exits(0);
        qplug(machine.qmp_path(), &["attach", path(&images[1])]).exits(0);
        machine.guest.wait_added("b", GUEST_WITHIN).unwrap();
        for name in ["c", "a", "b"] {
            qplug(machine.qmp_path(), &["detach", name]).exits(0);
        }
        assert_eq!(machine.guest.disks().unwrap(), []);
        assert_eq!(state(machine), before);
    });
}
