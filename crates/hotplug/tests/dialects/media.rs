//! Media of CD drives.

use qplug_hotplug::{Change, Error};

use crate::Scenario;
use crate::bench::{Bench, medium};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("a medium is put in and taken out", in_and_out),
    ("a medium takes another's place", swapped),
    ("a medium that does not open leaves the old one in place", fails),
    ("a hard disk's medium stays", hard_disk),
];

const OLD: &str = "/img/old.iso";
const NEW: &str = "/img/new.iso";

/// What is in a drive, as QEMU tells.
fn inside(bench: &mut Bench, drive: &str) -> Option<String> {
    let drives = bench.execute("query-block", serde_json::json!({})).unwrap();
    let found = drives.as_array().unwrap().iter().find(|it| it["device"] == drive).cloned();
    found.unwrap()["inserted"]["file"].as_str().map(ToOwned::to_owned)
}

fn in_and_out(bench: &mut Bench) {
    assert_eq!(inside(bench, "cd0"), None);
    let changed = bench.change("cd0", Change::Insert(medium(NEW))).unwrap();
    assert_eq!((changed.medium.as_deref(), changed.before), (Some(NEW), None));
    assert_eq!(inside(bench, "cd0").as_deref(), Some(NEW));
    let again = bench.change("cd0", Change::Insert(medium(OLD)));
    assert!(matches!(again, Err(Error::MediumInside { .. })), "{again:?}");
    bench.assert_nothing_sent();
    assert_eq!(bench.recover(), [""; 0], "a medium is none that is left");
    let changed = bench.change("cd0", Change::Eject).unwrap();
    assert_eq!((changed.medium, changed.before.as_deref()), (None, Some(NEW)));
    assert_eq!(inside(bench, "cd0"), None);
    bench.change("cd0", Change::Eject).unwrap();
    bench.assert_nothing_sent();
}

fn swapped(bench: &mut Bench) {
    for (new, old) in [(NEW, OLD), (OLD, NEW)] {
        let changed = bench.change("cd1", Change::Swap(medium(new))).unwrap();
        assert_eq!((changed.medium.as_deref(), changed.before.as_deref()), (Some(new), Some(old)));
        assert_eq!(inside(bench, "cd1").as_deref(), Some(new));
    }
}

fn fails(bench: &mut Bench) {
    for path in ["/img/missing", "/img/denied"] {
        let changed = bench.change("cd1", Change::Swap(medium(path)));
        let Err(Error::Refused { after, .. }) = changed else { panic!("{changed:?}") };
        assert!(!matches!(after, qplug_hotplug::After::Left(_)), "{after:?}");
        assert_eq!(inside(bench, "cd1").as_deref(), Some(OLD), "the drive is left empty");
        let changed = bench.change("cd0", Change::Insert(medium(path)));
        assert!(matches!(changed, Err(Error::Refused { .. })), "{changed:?}");
        assert_eq!(inside(bench, "cd0"), None);
    }
    let swapped = bench.change("cd1", Change::Swap(medium(NEW))).unwrap();
    assert_eq!(swapped.before.as_deref(), Some(OLD));
}

fn hard_disk(bench: &mut Bench) {
    bench.attached("a");
    let before = bench.seen();
    for change in [Change::Eject, Change::Swap(medium(NEW)), Change::Insert(medium(NEW))] {
        for name in ["a", "a.format"] {
            let changed = bench.change(name, change.clone());
            let is_told =
                matches!(changed, Err(Error::NotRemovable { .. } | Error::NoSuchDrive { .. }));
            assert!(is_told, "{name}: {changed:?}");
            bench.assert_nothing_sent();
        }
    }
    assert_eq!(bench.seen(), before);
    let unknown = bench.change("nosuch", Change::Eject);
    assert!(matches!(unknown, Err(Error::NoSuchDrive { .. })), "{unknown:?}");
}
