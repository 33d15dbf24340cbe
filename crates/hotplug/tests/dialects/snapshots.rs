//! Snapshots within images.

use qplug_hotplug::{
    Ability, DeleteSnapshot, Error, Format, ListSnapshots, PlanSnapshot, Snapped, TakeSnapshot,
};
use qplug_sim::Version;

use crate::Scenario;
use crate::bench::{Bench, disk, named};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("snapshots of all disks at once", all_at_once),
    ("no snapshot where one disk cannot", none_of_raw),
];

/// A disk over a qcow2 image.
fn attach(bench: &mut Bench, name: &str, path: &str) {
    let format: Format = "qcow2".parse().unwrap();
    let disk = named(name).format(Some(format)).remote_image(path).unwrap();
    bench.attach(disk).unwrap();
}

fn plan(tag: &str) -> PlanSnapshot {
    PlanSnapshot::new(tag.parse().unwrap(), Snapped::All)
}

fn tags(bench: &mut Bench) -> Vec<(String, String)> {
    let listed = bench.run(ListSnapshots::new(Snapped::All)).unwrap();
    bench.assert_nothing_sent();
    // Machines list their disks in different orders.
    let mut tags: Vec<_> = listed.into_iter().map(|it| (it.disk, it.tag)).collect();
    tags.sort();
    tags
}

fn all_at_once(bench: &mut Bench) {
    attach(bench, "x", "/img/1");
    attach(bench, "y", "/img/2");
    let planned = bench.run(plan("t"));
    bench.assert_nothing_sent();
    // QEMU 1.7 brought them; the next older one here is 1.2.
    if bench.version < Version::V2_5 {
        let error = planned.unwrap_err();
        let is_it = matches!(error, Error::NotAble { ability: Ability::InnerSnapshots, .. });
        assert!(is_it, "{error}");
        return;
    }
    let mut taken = bench.run(TakeSnapshot::new(planned.unwrap())).unwrap();
    taken.disks.sort();
    assert_eq!(taken.disks, ["x", "y"]);
    assert_eq!(bench.changing.len(), 1, "one transaction: {:?}", bench.changing);
    let both = ["x", "y"].map(|name| (name.to_owned(), "t".to_owned()));
    assert_eq!(tags(bench), both);
    let again = bench.run(plan("t")).unwrap_err();
    assert!(matches!(again, Error::SnapshotUnfit { .. }), "{again}");
    let only = Snapped::Named(vec!["y".to_owned()]);
    let deleted = bench.run(DeleteSnapshot::new("t", only)).unwrap();
    assert!(deleted.iter().all(|(_, outcome)| outcome.is_ok()), "{deleted:?}");
    assert_eq!(tags(bench), both[..1]);
    bench.run(DeleteSnapshot::new("t", Snapped::All)).unwrap();
    assert_eq!(tags(bench), []);
}

fn none_of_raw(bench: &mut Bench) {
    attach(bench, "x", "/img/1");
    bench.attach(disk("a")).unwrap();
    let error = bench.run(plan("t")).unwrap_err();
    bench.assert_nothing_sent();
    match bench.version < Version::V2_5 {
        true => assert!(matches!(error, Error::NotAble { .. }), "{error}"),
        false => assert!(error.to_string().contains("a is raw"), "{error}"),
    }
}
