//! The dialect of older QEMUs, spoken to newer ones, which still know it.

use qplug_testbed::Machine;
use qplug_testbed::guest::Disk;
use qplug_testbed::image::{Format, Image};
use serde_json::json;

use crate::media::{inside, medium, on_machines_with_drives};
use crate::run::{
    DISK_BYTES, GUEST_WITHIN, Ran, image, on_every_machine, on_machines_of_all_ages,
    on_quick_machines_of_all_ages, path, qplug, state,
};

/// Runs qplug in the dialect of QEMU 0.14 to 2.8.
fn old(machine: &Machine, arguments: &[&str]) -> Ran {
    qplug(machine.qmp_path(), &[&["--dialect", "drive"], arguments].concat())
}

fn seen(machine: &mut Machine, serial: &str) -> Disk {
    machine.guest.wait_added(serial, GUEST_WITHIN).unwrap()
}

#[test]
fn a_disk_comes_as_a_drive_and_goes() {
    on_machines_of_all_ages("drive dialect", |machine| {
        let before = state(machine);
        for format in [Format::Raw, Format::Qcow2] {
            let image = image(machine, "data", format);
            let attached = old(machine, &["attach", path(&image), "--json"]).exits(0).json();
            assert_eq!(attached["serial"], "data", "{attached}");
            assert_eq!(seen(machine, "data").bytes, DISK_BYTES);
            old(machine, &["attach", path(&image)]).exits(0).says("already");
            old(machine, &["attach", path(&image), "--name", "twin"]).exits(6).says("in use");
            old(machine, &["attach", path(&image), "--read-only"]).exits(6).says("taken");
            let listed = old(machine, &["list", "--json"]).exits(0).json();
            let disk = &listed[0];
            assert_eq!((&disk["name"], &disk["state"]), (&json!("data"), &json!("attached")));
            assert_eq!((&disk["serial"], &disk["bytes"]), (&json!("data"), &json!(DISK_BYTES)));
            assert_eq!(disk["port"], attached["port"]);
            old(machine, &["detach", "data"]).exits(0);
            machine.guest.wait_removed("data", GUEST_WITHIN).unwrap();
            assert_eq!(state(machine), before);
            drop(image.lock().unwrap());
            old(machine, &["detach", "data"]).exits(6).says("no disk called data");
        }
    });
}

#[test]
fn a_file_may_have_any_name() {
    on_quick_machines_of_all_ages("drive names", |machine| {
        let before = state(machine);
        let names = [
            "a,b",
            "a,,b",
            "q\"x",
            "b\\s",
            "b\\\"s",
            "s p",
            " lead",
            "trail ",
            "new\nline",
            "cr\rx",
            "tab\tx",
            "it's",
            "$HOME;#",
            "%s%n",
            "{\"a\":1}",
            "a:b",
            "json:x",
            "nbd:x",
            "fat:d",
            "über☃",
            "-n",
            "if=ide,id=x",
            "\u{1}\u{7f}",
        ];
        for name in names {
            let image = Image::create(machine.folder(), name, Format::Raw, DISK_BYTES).unwrap();
            image.write(0, b"this one").unwrap();
            let attach = ["attach", path(&image), "--name", "data", "--format", "raw"];
            old(machine, &attach).exits(0);
            old(machine, &attach).exits(0).says("already");
            let listed = old(machine, &["list", "--json"]).exits(0).json();
            assert_eq!(listed[0]["image"], path(&image), "{name:?}");
            old(machine, &["detach", "data"]).exits(0);
        }
        assert_eq!(state(machine), before);
        let long = "x".repeat(250);
        let folder = machine.folder().join(&long).join(&long).join(&long).join(&long);
        std::fs::create_dir_all(&folder).unwrap();
        let image = Image::create(&folder, "i.raw", Format::Raw, DISK_BYTES).unwrap();
        old(machine, &["attach", path(&image)]).exits(6).says("too long");
        assert_eq!(state(machine), before);
    });
}

#[test]
fn what_a_drive_cannot_is_refused_before_anything_is_sent() {
    on_every_machine("drive refusals", |machine| {
        let before = state(machine);
        let image = image(machine, "data", Format::Raw);
        for (more, what) in [
            (&["--bus", "virtio-scsi"][..], "QEMU 2.9"),
            (&["--snapshot"], "QEMU 2.9"),
            (&["--iothread", "io1"], "QEMU 2.9"),
            (&["--set", "node.detect-zeroes=on"], "QEMU 2.9"),
            (&["--throttle", "iops-total=5", "--throttle-group", "g"], "QEMU 2.11"),
        ] {
            let attach = [&["attach", path(&image)], more].concat();
            old(machine, &attach).exits(6).says(what);
            assert_eq!(state(machine), before, "{more:?}");
        }
        let missing = machine.folder().join("none.raw");
        let attach = ["attach", missing.to_str().unwrap(), "--remote", "--format", "raw"];
        let refused = old(machine, &attach);
        assert!(refused.code == Some(4), "{refused:?}");
        assert_eq!(state(machine), before);
    });
}

#[test]
fn a_drive_is_resized_and_throttled() {
    on_every_machine("drive changes", |machine| {
        let before = state(machine);
        let image = image(machine, "data", Format::Qcow2);
        let limits = ["--throttle", "iops-total=500", "--cache", "none", "--werror", "stop"];
        old(machine, &[&["attach", path(&image)], &limits[..]].concat()).exits(0);
        seen(machine, "data");
        let blocks = machine.oracle.demand("query-block", json!({})).unwrap();
        let ours = blocks.as_array().unwrap().iter().find(|it| it["device"] == "data.format");
        let inserted = &ours.unwrap()["inserted"];
        assert_eq!((&inserted["iops"], &inserted["cache"]["direct"]), (&json!(500), &json!(true)));
        old(machine, &["throttle", "data", "iops-total=60"]).exits(0);
        old(machine, &["snapshot", "t"]).exits(0).says("snapshot t of data");
        old(machine, &["snapshot", "--list"]).exits(0).says("t    data");
        old(machine, &["snapshot", "t", "--delete"]).exits(0).says("deleted from data");
        old(machine, &["resize", "data", "+16M"]).exits(0);
        let disk = machine.guest.wait_changed("data", GUEST_WITHIN).unwrap();
        assert_eq!(disk.bytes, 2 * DISK_BYTES);
        old(machine, &["detach", "data"]).exits(0);
        assert_eq!(state(machine), before);
    });
}

#[test]
fn a_drive_that_a_crash_left_is_finished_or_recovered() {
    on_every_machine("drive crash", |machine| {
        let before = state(machine);
        let image = image(machine, "data", Format::Raw);
        let add = format!(
            "drive_add 0 if=none,id=data.format,format=raw,file={}",
            path(&image).replace(',', ",,")
        );
        let left = |machine: &mut Machine| {
            let line = json!({"command-line": add});
            assert_eq!(machine.oracle.demand("human-monitor-command", line).unwrap(), "OK\r\n");
        };
        left(machine);
        let listed = old(machine, &["list", "--json"]).exits(0).json();
        assert_eq!(listed[0]["state"], "half-done", "{listed}");
        old(machine, &["attach", path(&image)]).exits(0);
        seen(machine, "data");
        old(machine, &["detach", "data"]).exits(0);
        assert_eq!(state(machine), before);
        left(machine);
        old(machine, &["recover"]).exits(0).says("data");
        assert_eq!(state(machine), before);
        drop(image.lock().unwrap());
    });
}

#[test]
fn media_of_older_qemus_are_changed_by_name() {
    on_machines_with_drives("drive media", |machine| {
        let before = state(machine);
        let (first, second) = (medium(machine, "first", 1), medium(machine, "second", 2));
        let found = |machine: &mut Machine| inside(machine).map(|medium| medium.first);
        for drive in ["cd0", "cd1"] {
            old(machine, &["insert", drive, path(&first)]).exits(0);
            assert_eq!(found(machine).as_deref(), Some("first"));
            old(machine, &["insert", drive, path(&second)]).exits(6).says("qplug swap");
            old(machine, &["swap", drive, path(&second)]).exits(0).says("in place of");
            assert_eq!(found(machine).as_deref(), Some("second"));
            let holder = first.lock().unwrap();
            let failed = old(machine, &["swap", drive, path(&first)]);
            assert_eq!(failed.code, Some(4), "{failed:?}");
            drop(holder);
            assert_eq!(found(machine).as_deref(), Some("second"));
            old(machine, &["eject", drive]).exits(0).says("is empty");
            assert_eq!(found(machine), None);
            assert_eq!(state(machine), before);
        }
    });
}
