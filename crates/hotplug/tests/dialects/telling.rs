//! What a machine is told to be, and the size and the speed of its disks.

use std::time::Duration;

use qplug_hotplug::{
    Ability, AskStatus, Attach, AwaitGuest, Detach, Dialect, DiskName, Error, ListPorts, Plans,
    PortState, Preview, Resize, SetLimits, Size, Throttled, Which,
};
use qplug_sim::Version;
use serde_json::json;

use crate::Scenario;
use crate::bench::{BYTES, Bench, LONG, disk};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("what it speaks, and can", status),
    ("where there is room", ports),
    ("another size", resized),
    ("another speed", slowed),
    ("what would be done is what is done", previewed),
    ("whether the guest has looked", awaited),
];

fn status(bench: &mut Bench) {
    let status = bench.run(AskStatus::default()).unwrap();
    bench.assert_nothing_sent();
    let dialect = match bench.version {
        Version::Rhel6 => Dialect::Rhel6,
        _ if bench.has_drives() => Dialect::Drive,
        _ => Dialect::Blockdev,
    };
    assert_eq!((status.dialect, status.running), (dialect, true));
    assert_eq!(status.state, "running");
    assert!(!status.recognised.is_empty());
    assert_eq!(status.can.len() + status.cannot.len(), Ability::ALL.len());
    let told = [
        (Ability::Announcing, Version::V2_5),
        (Ability::Sizes, Version::V2_5),
        (Ability::OtherBuses, Version::V2_9),
        (Ability::Marks, Version::V7_2),
        (Ability::WaitGuest, Version::V7_2),
    ];
    for (ability, since) in told {
        assert_eq!(status.can.contains(&ability), bench.version >= since, "{ability}");
        assert_eq!(bench.features().can(ability), bench.version >= since, "{ability}");
    }
}

/// The commands of a plan.
fn planned(plans: Plans) -> Vec<String> {
    let steps = plans.disks.into_iter().flat_map(|disk| disk.steps.unwrap());
    steps.map(|step| step.command.to_string()).collect()
}

fn previewed(bench: &mut Bench) {
    let wishes = || vec![disk("a"), disk("b").read_only(true)];
    let plans = bench.run(Preview::attach(wishes())).unwrap();
    bench.assert_nothing_sent();
    let mut shown = planned(plans);
    bench.run(Attach::new(wishes())).into_iter().for_each(|outcome| drop(outcome.unwrap()));
    // Of two that come side by side, each sends its own in order.
    shown.sort();
    bench.changing.sort();
    assert_eq!(shown, bench.changing);
    let plans = bench.run(Preview::detach(Which::All, LONG)).unwrap();
    bench.assert_nothing_sent();
    let mut shown = planned(plans);
    bench.run(Detach::new(Which::All, LONG)).unwrap();
    shown.sort();
    bench.changing.sort();
    assert_eq!(shown, bench.changing);
}

fn awaited(bench: &mut Bench) {
    bench.attached("a");
    let names = [DiskName::new("a").unwrap()];
    let outcome = bench.run(AwaitGuest::new(names, Duration::from_secs(5)));
    bench.assert_nothing_sent();
    if bench.version >= Version::V7_2 {
        return drop(outcome.unwrap());
    }
    let Err(Error::NotAble { ability, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(ability, Ability::WaitGuest);
}

fn ports(bench: &mut Bench) {
    let free = |bench: &mut Bench| {
        let ports = bench.run(ListPorts::new()).unwrap();
        bench.assert_nothing_sent();
        let free = ports.ports.into_iter().filter(|port| port.state == PortState::Free);
        free.map(|port| port.port).collect::<Vec<_>>()
    };
    let before = free(bench);
    let attached = bench.attached("a").port.unwrap();
    assert!(before.contains(&attached));
    let ports = bench.run(ListPorts::new()).unwrap().ports;
    let port = ports.iter().find(|port| port.port == attached).unwrap();
    assert_eq!((port.state, port.holds.as_deref()), (PortState::Taken, Some("a")));
    bench.detach("a", LONG).unwrap();
    assert_eq!(free(bench), before);
    for port in [before.first().unwrap(), before.last().unwrap()] {
        let attached = bench.attach(disk("a").port(Some(port.clone()))).unwrap();
        assert_eq!(attached.port.as_ref(), Some(port));
        bench.detach("a", LONG).unwrap();
    }
}

fn resized(bench: &mut Bench) {
    bench.attached("a");
    let more = bench.run(Resize::new("a", Size::Plus(512), false));
    if bench.tells_sizes() {
        let more = more.unwrap();
        assert_eq!((more.before, more.bytes), (Some(BYTES), BYTES + 512));
        assert_eq!(bench.listed("a").unwrap().bytes, Some(BYTES + 512));
        let same = bench.run(Resize::new("a", Size::Bytes(BYTES + 512), false)).unwrap();
        bench.assert_nothing_sent();
        assert_eq!(same.bytes, BYTES + 512);
    } else {
        let Err(Error::NotAble { ability, .. }) = more else { panic!("{more:?}") };
        assert_eq!(ability, Ability::Sizes);
        bench.assert_nothing_sent();
        // It may be more, and it may be less.
        let unknown = bench.run(Resize::new("a", Size::Bytes(2 * BYTES), false));
        assert!(matches!(unknown, Err(Error::SizeUnfit { .. })), "{unknown:?}");
        bench.assert_nothing_sent();
    }
    let less = bench.run(Resize::new("a", Size::Bytes(512), false));
    assert!(matches!(less, Err(Error::SizeUnfit { .. })), "{less:?}");
    bench.assert_nothing_sent();
    let odd = bench.run(Resize::new("a", Size::Bytes(513), true));
    assert!(matches!(odd, Err(Error::SizeUnfit { .. })), "{odd:?}");
    bench.assert_nothing_sent();
    let forced = bench.run(Resize::new("a", Size::Bytes(512), true)).unwrap();
    assert_eq!((forced.bytes, forced.before.is_some()), (512, bench.tells_sizes()));
    let unknown = bench.run(Resize::new("b", Size::Bytes(512), true));
    assert!(matches!(unknown, Err(Error::NoSuchDevice { .. })), "{unknown:?}");
    bench.attach(disk("c").read_only(true)).unwrap();
    let fixed = bench.run(Resize::new("c", Size::Bytes(2 * BYTES), true));
    assert!(matches!(fixed, Err(Error::SizeUnfit { .. })), "{fixed:?}");
    bench.assert_nothing_sent();
}

fn slowed(bench: &mut Bench) {
    bench.attached("a");
    let limits = |iops: u64| json!({"iops-total": iops}).as_object().unwrap().clone();
    let set = |iops| SetLimits::new(Throttled::Disk("a".to_owned()), limits(iops));
    let outcome = bench.run(set(100));
    if matches!(bench.version, Version::V0_14 | Version::Rhel6) {
        assert!(matches!(outcome, Err(Error::NotAble { .. })), "{outcome:?}");
        return bench.assert_nothing_sent();
    }
    outcome.unwrap();
    if bench.has_drives() {
        assert!(bench.seen().slowed.contains("a.format"));
    }
    // What came without limits is the same disk with them.
    assert!(bench.attached("a").already);
    bench.run(set(0)).unwrap();
    assert!(bench.seen().slowed.is_empty());
    assert!(bench.attached("a").already);
}
