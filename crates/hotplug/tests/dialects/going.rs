//! Disks that are detached, and what guests make of that.

use std::time::Duration;

use qplug_hotplug::{Attach, Detached, DiskState, Error};
use qplug_sim::Guest;

use crate::Scenario;
use crate::bench::{Bench, LONG, detach, disk, drop_drive, over};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("a disk goes, and its name is free", goes),
    ("a guest that takes its time", slow),
    ("a guest that does not answer", silent),
    ("a guest that answers too late", late),
    ("a guest that boots", booting),
    ("a guest that is reset", reset),
    ("a disk that is gone by itself", gone_by_itself),
    ("a drive that is gone before it is taken", drive_gone),
    ("events that nobody hears", lost_events),
    ("a connection that is lost while the guest is asked", lost_connection),
];

const REMOVED: Detached = Detached::Removed { was_gone: false };
const CLOSED: Detached = Detached::Removed { was_gone: true };

fn goes(bench: &mut Bench) {
    let before = bench.seen();
    for image in ["/img/a", "/img/b"] {
        bench.attach(over("a", image)).unwrap();
        assert_eq!(bench.detach("a", LONG).unwrap(), REMOVED);
        // Asking again takes 700 ms, and looks come after 350 and 750.
        assert!(bench.took < Duration::from_secs(1), "{:?}", bench.took);
        assert_eq!(bench.seen(), before);
    }
    let again = bench.detach("a", LONG);
    assert!(matches!(again, Err(Error::NoSuchDisk { .. })), "{again:?}");
    bench.assert_nothing_sent();
}

fn slow(bench: &mut Bench) {
    bench.attached("a");
    bench.change_guest(Guest::Slow(Duration::from_secs(12)));
    assert_eq!(bench.detach("a", LONG).unwrap(), REMOVED);
    let took = bench.took.as_secs_f64();
    assert!((12.0..14.0).contains(&took), "{took}");
}

fn silent(bench: &mut Bench) {
    bench.attached("a");
    bench.change_guest(Guest::Dead);
    for _ in 0..2 {
        assert_eq!(bench.detach("a", Duration::from_secs(5)).unwrap(), Detached::Pending);
        assert!((5.0..7.0).contains(&bench.took.as_secs_f64()), "{:?}", bench.took);
        let state = if bench.has_marks() { DiskState::Pending } else { DiskState::Attached };
        assert_eq!(bench.state("a"), Some(state));
    }
    let again = bench.attach(disk("a"));
    match bench.has_marks() {
        true => assert!(matches!(again, Err(Error::Leaving { .. })), "{again:?}"),
        false => assert!(again.unwrap().already),
    }
    bench.assert_nothing_sent();
    assert_eq!(bench.seen().holds.get("a").map(String::as_str), Some("a.format"));
    bench.change_guest(Guest::Quick);
    assert_eq!(bench.detach("a", LONG).unwrap(), REMOVED);
}

fn late(bench: &mut Bench) {
    bench.attached("a");
    bench.change_guest(Guest::Slow(Duration::from_secs(9)));
    assert_eq!(bench.detach("a", Duration::from_secs(1)).unwrap(), Detached::Pending);
    bench.wait(20);
    assert!(!bench.seen().devices.contains_key("a"));
    let again = bench.detach("a", LONG);
    if bench.has_drives() {
        // The drive went with its device.
        assert!(matches!(again, Err(Error::NoSuchDisk { .. })), "{again:?}");
    } else {
        assert_eq!(again.unwrap(), CLOSED);
    }
    bench.change_guest(Guest::Quick);
    assert!(!bench.attach(over("a", "/img/b")).unwrap().already);
}

fn booting(bench: &mut Bench) {
    bench.attached("a");
    bench.change_guest(Guest::Booting(Duration::from_secs(8)));
    bench.execute("system_reset", serde_json::json!({})).unwrap();
    assert_eq!(bench.detach("a", LONG).unwrap(), REMOVED);
    assert!((8.0..12.0).contains(&bench.took.as_secs_f64()), "{:?}", bench.took);
}

fn reset(bench: &mut Bench) {
    bench.attached("a");
    bench.change_guest(Guest::Dead);
    assert_eq!(bench.detach("a", Duration::from_secs(2)).unwrap(), Detached::Pending);
    bench.execute("system_reset", serde_json::json!({})).unwrap();
    bench.wait(2);
    // It completes the unplug; what is left is closed by a recovery.
    let left = if bench.has_marks() || !bench.has_drives() { vec!["a"] } else { vec![] };
    assert_eq!(bench.recover(), left);
    assert_eq!(bench.state("a"), None);
}

fn gone_by_itself(bench: &mut Bench) {
    bench.attached("a");
    let now = bench.wire.now;
    bench.wire.sim.machine().pull_out("a", now);
    bench.wait(2);
    assert!(!bench.seen().devices.contains_key("a"));
    let state = (!bench.has_drives()).then_some(DiskState::HalfDone);
    assert_eq!(bench.state("a"), state);
    let left = if bench.has_drives() { vec![] } else { vec!["a"] };
    assert_eq!(bench.recover(), left);
}

fn drive_gone(bench: &mut Bench) {
    if !bench.has_drives() {
        return;
    }
    bench.attached("a");
    bench.change_guest(Guest::Slow(Duration::from_secs(3)));
    // Behind the five looks and `device_del`.
    let outcome = bench.run_while(detach("a", LONG), 6, &mut |machine, now| {
        drop_drive(machine, "a.format", now);
    });
    assert_eq!(outcome.unwrap().remove(0).1.unwrap(), REMOVED);
    assert!(bench.seen().of_disk("a").is_empty());
    // And one that is half done, and gone before it is closed.
    let unheard = "drop device_add:1 unheard";
    let _ = bench.run_with(Attach::new(vec![disk("b")]), unheard);
    let outcome = bench.run_while(detach("b", LONG), 5, &mut |machine, now| {
        drop_drive(machine, "b.format", now);
    });
    assert_eq!(outcome.unwrap().remove(0).1.unwrap(), CLOSED);
}

fn lost_events(bench: &mut Bench) {
    bench.attached("a");
    let outcome = bench.run_with(detach("a", LONG), "lose DEVICE_DELETED");
    assert_eq!(outcome.unwrap().remove(0).1.unwrap(), REMOVED);
    // Whoever hears nothing asks again.
    assert!(bench.took < Duration::from_secs(2), "{:?}", bench.took);
}

fn lost_connection(bench: &mut Bench) {
    for point in ["unheard", "unanswered", "answered"] {
        bench.attached("a");
        let fault = format!("drop device_del:1 {point}");
        let outcome = bench.run_with(detach("a", LONG), &fault).unwrap().remove(0).1;
        assert!(matches!(outcome, Err(Error::Unknown { .. })), "{point}: {outcome:?}");
        bench.wait(2);
        let was_asked = point != "unheard";
        let again = bench.detach("a", LONG);
        match (was_asked, bench.has_drives()) {
            (false, _) => assert_eq!(again.unwrap(), REMOVED),
            (true, false) => assert_eq!(again.unwrap(), CLOSED),
            (true, true) => assert!(matches!(again, Err(Error::NoSuchDisk { .. })), "{again:?}"),
        }
    }
}
