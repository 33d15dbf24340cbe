//! Disks that are attached.

use std::time::Duration;

use qplug_hotplug::{
    Ability, After, Attach, Bus, Detach, Detached, DiskState, DriveError, Error, Limits,
    MAX_NAME_BYTES, Meaning, Throttle, Which,
};
use qplug_sim::Version;
use serde_json::json;

use crate::Scenario;
use crate::bench::{BYTES, Bench, LONG, ODD, disk, long_path, named, over};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("a disk comes, and comes once", comes_once),
    ("a disk that may only be read", read_only),
    ("a name that is taken", name_taken),
    ("an image that is in use", image_in_use),
    ("a refusal is undone", undone),
    ("an image that cannot be opened", unopenable),
    ("half done, and gone on with", half_done),
    ("many at once, or none", many),
    ("every name of a file", names_of_files),
    ("a path that the human monitor would cut off", long_paths),
    ("a port that there is not", no_such_port),
    ("slots run out", slots_run_out),
    ("what cannot be is refused", not_able),
    ("a limited disk is there already", limited),
    ("the longest name", longest_name),
    ("a machine that is being migrated", migrating),
];

fn comes_once(bench: &mut Bench) {
    let attached = bench.attached("a");
    assert_eq!((attached.bus, attached.already), (Bus::VirtioBlk, false));
    let seen = bench.seen();
    assert_eq!(seen.devices.get("a").map(String::as_str), Some("virtio-blk-pci"));
    assert_eq!(seen.holds.get("a").map(String::as_str), Some("a.format"));
    let again = bench.attached("a");
    bench.assert_nothing_sent();
    assert!(again.already);
    assert_eq!(again.port, attached.port);
    let listed = bench.listed("a").unwrap();
    assert_eq!((listed.state, listed.bus), (DiskState::Attached, Some(Bus::VirtioBlk)));
    assert_eq!((listed.image.as_deref(), listed.read_only), (Some("/img/a"), Some(false)));
    assert_eq!(listed.format.as_deref(), Some("raw"));
    assert_eq!(listed.port, attached.port);
    assert_eq!(listed.bytes, bench.tells_sizes().then_some(BYTES));
    assert_eq!(bench.wire.sim.machine().serial("a"), Some("a"));
}

fn read_only(bench: &mut Bench) {
    let disk = || disk("a").read_only(true);
    bench.attach(disk()).unwrap();
    assert!(bench.seen().nodes["a.format"].2, "the guest may write");
    assert_eq!(bench.listed("a").unwrap().read_only, Some(true));
    assert!(bench.attach(disk()).unwrap().already);
    let writable = bench.attach(disk().read_only(false));
    assert!(matches!(writable, Err(Error::NameTaken { .. })), "{writable:?}");
    bench.assert_nothing_sent();
    bench.attach(over("b", "/img/a").read_only(true)).unwrap();
}

fn name_taken(bench: &mut Bench) {
    bench.attached("a");
    let before = bench.seen();
    let other = bench.attach(over("a", "/img/b"));
    assert!(matches!(other, Err(Error::NameTaken { .. })), "{other:?}");
    bench.assert_nothing_sent();
    let serial = named("a").serial(Some("other")).remote_image("/img/a").unwrap();
    let other = bench.attach(serial);
    // No query of 0.14 tells a drive's serial.
    let is_told = !matches!(bench.version, Version::V0_14 | Version::Rhel6);
    assert_eq!(other.is_err(), is_told, "{other:?}");
    bench.assert_nothing_sent();
    assert_eq!(bench.seen(), before);
}

fn image_in_use(bench: &mut Bench) {
    bench.attached("a");
    let other = bench.attach(over("b", "/img/a"));
    assert!(matches!(other, Err(Error::ImageInUse { .. })), "{other:?}");
    bench.assert_nothing_sent();
    bench.open_for_others("theirs", "/img/c");
    let other = bench.attach(disk("c"));
    assert!(matches!(other, Err(Error::ImageInUse { .. })), "{other:?}");
    bench.assert_nothing_sent();
    assert!(bench.seen().nodes.contains_key("theirs"));
}

fn undone(bench: &mut Bench) {
    let before = bench.seen();
    let fault = "fail device_add:1 GenericError Something is wrong";
    let outcome = bench.run_with(Attach::new(vec![disk("a")]), fault).remove(0);
    let Err(Error::Refused { after, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(after, After::Undone);
    assert_eq!(bench.seen(), before);
    bench.attached("a");
}

fn unopenable(bench: &mut Bench) {
    let before = bench.seen();
    let meaning = |outcome: Result<_, Error>| match outcome {
        Err(Error::Refused { meaning, after: After::Unchanged, .. }) => meaning,
        outcome => panic!("{outcome:?}"),
    };
    let missing = meaning(bench.attach(over("a", "/img/missing")));
    let denied = meaning(bench.attach(over("a", "/img/denied")));
    // QEMU says why on its stderr only, in a dialect that is 0.12's.
    if bench.version != Version::Rhel6 {
        assert_eq!(missing, Some(Meaning::ImageMissing));
        assert_eq!(denied, Some(Meaning::ImageDenied));
    }
    let mistaken = named("a").format(Some("qcow2".parse().unwrap()));
    let _ = meaning(bench.attach(mistaken.remote_image("/img/a").unwrap()));
    assert_eq!(bench.seen(), before);
}

fn half_done(bench: &mut Bench) {
    let unheard = "drop device_add:1 unheard";
    for again in 0..3 {
        let outcome = bench.run_with(Attach::new(vec![disk("a")]), unheard).remove(0);
        assert!(matches!(outcome, Err(Error::Unknown { .. })), "{outcome:?}");
        assert_eq!(bench.state("a"), Some(DiskState::HalfDone));
        let other = bench.attach(over("a", "/img/b"));
        assert!(matches!(other, Err(Error::NameHalfDone { .. })), "{other:?}");
        bench.assert_nothing_sent();
        match again {
            0 => assert_eq!(bench.recover(), ["a"]),
            1 => {
                let outcome = bench.detach("a", LONG).unwrap();
                assert_eq!(outcome, Detached::Removed { was_gone: true });
            }
            _ => assert!(!bench.attached("a").already),
        }
        assert_eq!(bench.seen().nodes.contains_key("a.format"), again == 2);
    }
    assert_eq!(bench.state("a"), Some(DiskState::Attached));
    // It had been plugged in, and qplug did not hear of it.
    let unanswered = "drop device_add:1 unanswered";
    let outcome = bench.run_with(Attach::new(vec![disk("b")]), unanswered).remove(0);
    assert!(matches!(outcome, Err(Error::Unknown { .. })), "{outcome:?}");
    assert!(bench.attached("b").already);
    assert_eq!(bench.recover(), [""; 0], "a whole disk was taken for half a one");
}

fn many(bench: &mut Bench) {
    let names = ["a", "b", "c", "d"];
    let mut wishes: Vec<_> = names.map(disk).into();
    wishes[2] = over("c", "/img/a");
    let outcomes = bench.run(Attach::new(wishes));
    assert!(matches!(outcomes[2], Err(Error::ImageInUse { .. })), "{outcomes:?}");
    assert!(outcomes.iter().all(Result::is_err));
    bench.assert_nothing_sent();
    let outcomes = bench.run(Attach::new(names.map(disk).into()));
    let ports: std::collections::BTreeSet<_> =
        outcomes.into_iter().map(|outcome| outcome.unwrap().port.unwrap()).collect();
    assert_eq!(ports.len(), 4);
    let outcomes = bench.run(Detach::new(Which::All, LONG)).unwrap();
    let removed = Detached::Removed { was_gone: false };
    assert!(outcomes.iter().all(|(_, outcome)| *outcome.as_ref().unwrap() == removed));
    assert_eq!(outcomes.len(), 4);
    assert!(bench.took < Duration::from_secs(2), "{:?} for four together", bench.took);
}

fn names_of_files(bench: &mut Bench) {
    for path in ODD {
        let attached = bench.attach(over("a", path)).unwrap();
        assert_eq!(attached.image, path);
        assert_eq!(bench.seen().nodes["a.format"].1, path);
        assert_eq!(bench.listed("a").unwrap().image.as_deref(), Some(path));
        assert!(bench.attach(over("a", path)).unwrap().already, "{path:?}");
        let other = bench.attach(over("b", path));
        assert!(matches!(other, Err(Error::ImageInUse { .. })), "{path:?}: {other:?}");
        bench.detach("a", LONG).unwrap();
    }
}

fn long_paths(bench: &mut Bench) {
    let path = long_path();
    let outcome = bench.attach(over("a", &path));
    // A command of QMP's own takes it, if QEMU's options do.
    if !bench.has_drives() || bench.version == Version::Rhel6 {
        assert_eq!(outcome.unwrap().image, path);
        return;
    }
    let Err(Error::Drive(DriveError::TooLong { bytes })) = outcome else { panic!("{outcome:?}") };
    assert!(bytes > path.len());
    bench.assert_nothing_sent();
}

fn no_such_port(bench: &mut Bench) {
    for port in ["pci.0/32", "pci.0/255", "pci.0/-1", "pci.0/1.1", "pci.1/1", "pci.0", "rp0", ""] {
        let outcome = bench.attach(disk("a").port(Some(port.to_owned())));
        let is_told = matches!(outcome, Err(Error::NoSuchPort { .. } | Error::PortUnfit { .. }));
        assert!(is_told, "{port}: {outcome:?}");
        bench.assert_nothing_sent();
    }
    let taken = bench.attach(disk("a").port(Some("pci.0/1".to_owned())));
    assert!(matches!(taken, Err(Error::PortUnfit { .. })), "{taken:?}");
    bench.assert_nothing_sent();
    let attached = bench.attach(disk("a").port(Some("pci.0/31".to_owned()))).unwrap();
    assert_eq!(attached.port.as_deref(), Some("pci.0/31"));
}

fn slots_run_out(bench: &mut Bench) {
    let wish = |number: u32| {
        let disk = named(&format!("s{number}")).bus(Some(Bus::VirtioBlk));
        disk.remote_image(format!("/img/{number}")).unwrap()
    };
    let others = bench.list().len();
    let mut count = 0;
    let refused = loop {
        match bench.attach(wish(count)) {
            Ok(attached) => assert!(!attached.already),
            Err(error) => break error,
        }
        count += 1;
    };
    assert!(matches!(refused, Error::NoFreePort { .. }), "{refused}");
    bench.assert_nothing_sent();
    assert!(count >= 28, "only {count} disks of 32 slots");
    assert_eq!(bench.list().len(), others + usize::try_from(count).unwrap());
    bench.detach("s3", LONG).unwrap();
    let attached = bench.attach(wish(count)).unwrap();
    assert!(attached.port.is_some());
}

fn longest_name(bench: &mut Bench) {
    // QEMU before 2.2 cuts the names of drives off, so that two of them would be one.
    let name = |last: char| "n".repeat(MAX_NAME_BYTES - 1) + &last.to_string();
    let wish = |last: char, image: &str| {
        named(&name(last)).serial(Some("s")).remote_image(format!("/img/{image}")).unwrap()
    };
    for (last, image) in [('a', "a"), ('b', "b")] {
        bench.attach(wish(last, image)).unwrap();
        assert!(bench.attach(wish(last, image)).unwrap().already);
        assert_eq!(bench.state(&name(last)), Some(DiskState::Attached));
    }
    assert!(matches!(bench.detach(&name('a'), LONG), Ok(Detached::Removed { was_gone: false })));
    assert_eq!(bench.state(&name('b')), Some(DiskState::Attached));
}

fn migrating(bench: &mut Bench) {
    bench.attached("b");
    bench.execute("migrate", json!({"uri": "tcp:nowhere:1"})).unwrap();
    let before = bench.seen();
    let outcome = bench.attach(disk("a"));
    assert!(matches!(outcome, Err(Error::Migrating { .. })), "{outcome:?}");
    bench.assert_nothing_sent();
    let detached = bench.detach("b", Duration::from_secs(1));
    assert!(!matches!(detached, Ok(Detached::Removed { .. })), "{detached:?}");
    assert_eq!(bench.seen(), before);
    bench.execute("migrate_cancel", json!({})).unwrap();
    bench.attached("a");
}

fn limits() -> Limits {
    json!({"iops-total": 100}).as_object().unwrap().clone()
}

fn not_able(bench: &mut Bench) {
    let throttle =
        |group: Option<&str>| Some(Throttle::new(group.map(ToOwned::to_owned), limits()));
    let scsi = named("a").bus(Some(Bus::VirtioScsi)).remote_image("/img/a").unwrap();
    let usb = named("a").bus(Some(Bus::UsbStorage)).remote_image("/img/a").unwrap();
    let wishes = [
        (scsi, Ability::OtherBuses, Version::V2_9),
        (disk("a").iothread(Some("io1".to_owned())), Ability::IoThreads, Version::V2_9),
        (disk("a").throttle(throttle(Some("gold"))), Ability::ThrottleGroups, Version::V7_2),
    ];
    for (wish, ability, since) in wishes {
        let outcome = bench.attach(wish);
        if bench.version >= since {
            outcome.unwrap();
            bench.detach("a", LONG).unwrap();
            continue;
        }
        let Err(Error::NotAble { ability: lacking, .. }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(lacking, ability);
        bench.assert_nothing_sent();
    }
    let outcome = bench.attach(usb);
    assert!(outcome.is_err(), "there is no USB controller: {outcome:?}");
    bench.assert_nothing_sent();
    // One that can, beside one that cannot.
    let outcomes = bench.run(Attach::new(vec![
        disk("b"),
        named("a").bus(Some(Bus::UsbUas)).remote_image("/img/a").unwrap(),
    ]));
    assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
    bench.assert_nothing_sent();
}

fn limited(bench: &mut Bench) {
    let wish = || disk("a").throttle(Some(Throttle::new(None, limits())));
    let outcome = bench.attach(wish());
    if matches!(bench.version, Version::V0_14 | Version::Rhel6 | Version::V2_9) {
        assert!(matches!(outcome, Err(Error::NotAble { .. })), "{outcome:?}");
        return bench.assert_nothing_sent();
    }
    outcome.unwrap();
    assert!(bench.attach(wish()).unwrap().already);
    bench.assert_nothing_sent();
    bench.detach("a", LONG).unwrap();
    bench.attached("a");
    let other = bench.attach(wish());
    assert!(matches!(other, Err(Error::NameTaken { .. })), "it is not limited: {other:?}");
}
