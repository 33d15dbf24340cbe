//! Other clients of the machine, and what they leave.

use qplug_hotplug::{Attach, Change, Detach, Detached, DiskState, Error, Which};
use qplug_sim::Guest;
use serde_json::json;

use crate::Scenario;
use crate::bench::{Bench, LONG, detach, disk, over};
use crate::seen::has_drives;

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("a device of another client has the name", foreign_device),
    ("a drive is taken from under its disk", bare),
    ("a disk that is asked to go twice", asked_twice),
    ("an idle drive of another client", idle),
    ("another client is faster", overtaken),
    ("two attach the same disk", two_attach),
    ("another's device has a drive that is called as ours", in_anothers_device),
];

/// Another client plugs a disk in.
fn plug(bench: &mut Bench, id: &str, node: &str) {
    let device = json!({"driver": "virtio-blk-pci", "id": id, "drive": node, "bus": "pci.0"});
    bench.execute("device_add", device).unwrap();
}

/// What another qplug does that attaches the disk `a`, and goes on with what is half done.
fn attach_too(machine: &mut qplug_sim::Machine, now: std::time::Instant) {
    let version = machine.version();
    let mut execute = |command: &str, arguments: serde_json::Value| {
        let _ = machine.execute(command, Some(&arguments), &mut Vec::new(), now);
    };
    if version == qplug_sim::Version::Rhel6 {
        let drive = json!({"id": "a.format", "file": "/img/a", "format": "raw", "serial": "a"});
        execute("__com.redhat_drive_add", drive);
    } else if has_drives(version) {
        let serial = if version < qplug_sim::Version::V1_2 { ",serial=a" } else { "" };
        let line = format!("drive_add 0 if=none,id=a.format,file=/img/a,format=raw{serial}");
        execute("human-monitor-command", json!({"command-line": line}));
    } else {
        let file = json!({"driver": "file", "node-name": "a.file", "filename": "/img/a"});
        execute("blockdev-add", json!({"driver": "raw", "node-name": "a.format", "file": file}));
    }
    let mut device =
        json!({"driver": "virtio-blk-pci", "id": "a", "drive": "a.format", "bus": "pci.0"});
    if version >= qplug_sim::Version::V1_2 {
        device["serial"] = "a".into();
    }
    execute("device_add", device);
}

fn two_attach(bench: &mut Bench) {
    for after in 0..9 {
        let outcome = bench.run_while(Attach::new(vec![disk("a")]), after, &mut attach_too);
        let seen = bench.seen();
        let held = seen.holds.get("a").map(String::as_str);
        assert_eq!(held, Some("a.format"), "behind {after} commands: {outcome:?}, {seen:#?}");
        assert!(outcome[0].is_ok(), "behind {after} commands: {outcome:?}");
        assert_eq!(bench.detach("a", LONG).unwrap(), Detached::Removed { was_gone: false });
    }
}

fn in_anothers_device(bench: &mut Bench) {
    bench.open_for_others("win.format", "/img/theirs");
    bench.open_for_others("dos.format", "/img/a");
    plug(bench, "theirs", "win.format");
    let anonymous = json!({"driver": "virtio-blk-pci", "drive": "dos.format", "bus": "pci.0"});
    bench.execute("device_add", anonymous).unwrap();
    let before = bench.seen();
    assert_eq!(bench.recover(), [""; 0]);
    bench.assert_nothing_sent();
    for (name, image) in [("win", "/img/theirs"), ("dos", "/img/a")] {
        let attached = bench.attach(over(name, image));
        assert!(attached.is_err(), "{attached:?}");
        let detached = bench.detach(name, LONG);
        assert!(detached.is_err(), "{detached:?}");
        bench.assert_nothing_sent();
        assert_ne!(bench.state(name), Some(DiskState::HalfDone));
    }
    let outcomes = bench.run(Detach::new(Which::All, LONG)).unwrap();
    assert!(outcomes.is_empty(), "{outcomes:?}");
    assert_eq!(bench.seen(), before);
}

fn foreign_device(bench: &mut Bench) {
    bench.open_for_others("theirs", "/img/theirs");
    plug(bench, "a", "theirs");
    let before = bench.seen();
    assert_eq!(bench.state("a"), Some(DiskState::Foreign));
    let attached = bench.attach(disk("a"));
    assert!(matches!(attached, Err(Error::NameTaken { .. })), "{attached:?}");
    bench.assert_nothing_sent();
    let detached = bench.detach("a", LONG);
    assert!(matches!(detached, Err(Error::NotOurs { .. })), "{detached:?}");
    bench.assert_nothing_sent();
    assert_eq!(bench.recover(), [""; 0]);
    bench.assert_nothing_sent();
    let ejected = bench.change("theirs", Change::Eject);
    assert!(ejected.is_err(), "{ejected:?}");
    bench.assert_nothing_sent();
    assert_eq!(bench.seen(), before);
}

fn bare(bench: &mut Bench) {
    if !bench.has_drives() {
        return;
    }
    bench.attached("a");
    bench.drop_drive("a.format");
    let before = bench.seen();
    assert!(before.devices.contains_key("a") && !before.nodes.contains_key("a.format"));
    let listed = bench.listed("a").unwrap();
    assert_eq!((listed.state, listed.image), (DiskState::Foreign, None));
    // Its id is taken, and so is its name.
    for image in ["/img/a", "/img/b"] {
        let attached = bench.attach(over("a", image));
        assert!(matches!(attached, Err(Error::NameTaken { .. })), "{attached:?}");
        bench.assert_nothing_sent();
    }
    let detached = bench.detach("a", LONG);
    assert!(matches!(detached, Err(Error::NotOurs { .. })), "{detached:?}");
    bench.assert_nothing_sent();
    assert_eq!(bench.recover(), [""; 0]);
    assert_eq!(bench.seen(), before);
    // Its image is closed, and may be another disk's.
    bench.attach(over("b", "/img/a")).unwrap();
    bench.execute("device_del", json!({"id": "a"})).unwrap();
    bench.wait(2);
    assert!(!bench.attach(disk("a").read_only(true)).is_ok_and(|it| it.already));
    assert!(!bench.attach(over("a", "/img/c")).unwrap().already);
}

fn asked_twice(bench: &mut Bench) {
    bench.attached("a");
    bench.change_guest(Guest::Slow(std::time::Duration::from_secs(4)));
    bench.execute("device_del", json!({"id": "a"})).unwrap();
    let outcome = bench.detach("a", LONG).unwrap();
    assert_eq!(outcome, Detached::Removed { was_gone: false });
    assert!(bench.took.as_secs() < 6, "{:?}", bench.took);
}

fn idle(bench: &mut Bench) {
    // Since 0.15 it seems to be removable.
    bench.open_for_others("loose", "/img/theirs");
    let before = bench.seen();
    let ejected = bench.change("loose", Change::Eject);
    assert!(ejected.is_err(), "{ejected:?}");
    bench.assert_nothing_sent();
    assert_eq!(bench.recover(), [""; 0]);
    bench.attached("a");
    bench.detach("a", LONG).unwrap();
    assert_eq!(bench.seen(), before);
    // One of ours that is half done is none to be torn out, either.
    let _ = bench.run_with(Attach::new(vec![disk("b")]), "drop device_add:1 unheard");
    let ejected = bench.change("b.format", Change::Eject);
    assert!(ejected.is_err(), "{ejected:?}");
    bench.assert_nothing_sent();
    bench.attached("b");
    for name in ["b", "b.format"] {
        let ejected = bench.change(name, Change::Eject);
        assert!(ejected.is_err(), "{ejected:?}");
        bench.assert_nothing_sent();
    }
}

fn overtaken(bench: &mut Bench) {
    // Another client opens the drive of that name over another image, between the look and the
    // command.
    let node = |name: &str| json!({"driver": "raw", "node-name": name, "file": {"driver": "file", "filename": "/img/theirs"}});
    let is_red_hat = bench.version == qplug_sim::Version::Rhel6;
    let has_drives = bench.has_drives();
    let outcome = bench.run_while(Attach::new(vec![disk("a")]), 3, &mut |machine, now| {
        let mut execute = |command: &str, arguments: serde_json::Value| {
            machine.execute(command, Some(&arguments), &mut Vec::new(), now).unwrap();
        };
        if is_red_hat {
            let drive = json!({"id": "a.format", "file": "/img/theirs"});
            execute("__com.redhat_drive_add", drive);
        } else if has_drives {
            let line = "drive_add 0 if=none,id=a.format,file=/img/theirs";
            execute("human-monitor-command", json!({"command-line": line}));
        } else {
            execute("blockdev-add", node("a.format"));
        }
    });
    assert!(outcome[0].is_err(), "{outcome:?}");
    assert_eq!(bench.seen().nodes["a.format"].1, "/img/theirs", "theirs was taken");
    if has_drives {
        bench.drop_drive("a.format");
    } else {
        bench.execute("blockdev-del", json!({"node-name": "a.format"})).unwrap();
    }
    bench.attached("a");
    // And one is faster with the whole detach.
    let outcome = bench.run_while(detach("a", LONG), 4, &mut |machine, now| {
        let device = json!({"id": "a"});
        let _ = machine.execute("device_del", Some(&device), &mut Vec::new(), now);
    });
    assert!(matches!(outcome.unwrap()[0].1, Ok(Detached::Removed { .. })));
}
