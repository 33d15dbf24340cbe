//! Sizes and limits of disks that a guest uses.

use qplug_testbed::image::Format;
use serde_json::json;

use crate::run::{DISK_BYTES, GUEST_WITHIN, image, on_machines_of_all_ages, path, qplug, state};

#[test]
fn a_disk_grows_under_the_guest_and_shrinks_only_when_told_so() {
    on_machines_of_all_ages("resize", |machine| {
        let before = state(machine);
        let image = image(machine, "data", Format::Qcow2);
        let qmp = machine.qmp_path();
        qplug(&qmp, &["attach", path(&image)]).exits(0);
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
        let resized = qplug(&qmp, &["resize", "data", "+16M", "--json"]).exits(0).json();
        assert_eq!(
            (&resized["before"], &resized["bytes"]),
            (&json!(DISK_BYTES), &json!(2 * DISK_BYTES))
        );
        let disk = machine.guest.wait_changed("data", GUEST_WITHIN).unwrap();
        assert_eq!(disk.bytes, 2 * DISK_BYTES);
        qplug(&qmp, &["resize", "data", "32M"]).exits(0).says("already");
        qplug(&qmp, &["resize", "data", "1M"]).exits(6).says("--shrink");
        qplug(&qmp, &["resize", "data", "1000"]).exits(6).says("multiple of 512");
        qplug(&qmp, &["resize", "data", "1M", "--shrink"]).exits(0);
        assert_eq!(machine.guest.wait_changed("data", GUEST_WITHIN).unwrap().bytes, 1 << 20);
        qplug(&qmp, &["resize", "other", "1M"]).exits(6).says("there is data");
        qplug(&qmp, &["detach", "data"]).exits(0);
        assert_eq!(state(machine), before);
    });
}

#[test]
fn limits_come_with_a_disk_or_later_and_go_with_it() {
    on_machines_of_all_ages("throttle", |machine| {
        let before = state(machine);
        let image = image(machine, "data", Format::Raw);
        let qmp = machine.qmp_path();
        qplug(&qmp, &["attach", path(&image)]).exits(0);
        qplug(&qmp, &["throttle", "data", "iops-total=50", "bps-read=10M"]).exits(0).says("50");
        let block = machine.oracle.demand("query-block", json!({})).unwrap();
        let ours = block
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["inserted"]["node-name"] == "data.format");
        assert_eq!(
            (&ours.unwrap()["inserted"]["iops"], &ours.unwrap()["inserted"]["bps_rd"]),
            (&json!(50), &json!(10 << 20))
        );
        qplug(&qmp, &["throttle", "data", "--off"]).exits(0).says("not limited any more");
        qplug(&qmp, &["throttle", "data", "iops-total=1", "iops-read=1"]).exits(6).says("together");
        qplug(&qmp, &["detach", "data"]).exits(0);

        qplug(&qmp, &["attach", path(&image), "--throttle", "iops-total=60"]).exits(0);
        let limits = json!({"path": "/objects/qplug.disk.data.throttle", "property": "limits"});
        assert_eq!(machine.oracle.demand("qom-get", limits.clone()).unwrap()["iops-total"], 60);
        qplug(&qmp, &["throttle", "data", "bps-total=1M"])
            .exits(0)
            .says("qplug.disk.data.throttle");
        let now = machine.oracle.demand("qom-get", limits).unwrap();
        assert_eq!((&now["iops-total"], &now["bps-total"]), (&json!(0), &json!(1 << 20)));
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
        qplug(&qmp, &["detach", "data"]).exits(0);
        assert_eq!(state(machine), before);
    });
}

#[test]
fn disks_share_a_group_that_goes_with_the_last_of_them() {
    on_machines_of_all_ages("throttle group", |machine| {
        let before = state(machine);
        let (a, b) = (image(machine, "a", Format::Raw), image(machine, "b", Format::Raw));
        let qmp = machine.qmp_path();
        let join = ["--throttle-group", "gold"];
        qplug(&qmp, &[&["attach", path(&a)][..], &join[..]].concat())
            .exits(6)
            .says("no throttle group");
        let limits = ["--throttle-group", "gold", "--throttle", "iops-total=70"];
        qplug(&qmp, &[&["attach", path(&a)][..], &limits[..]].concat()).exits(0);
        qplug(&qmp, &[&["attach", path(&b)][..], &join[..]].concat()).exits(0);
        qplug(&qmp, &["throttle", "gold", "--group", "iops-total=80"]).exits(0);
        machine.guest.wait_added("a", GUEST_WITHIN).unwrap();
        machine.guest.wait_added("b", GUEST_WITHIN).unwrap();
        qplug(&qmp, &["detach", "a"]).exits(0);
        let limits = json!({"path": "/objects/qplug.group.gold", "property": "limits"});
        assert_eq!(machine.oracle.demand("qom-get", limits).unwrap()["iops-total"], 80);
        qplug(&qmp, &["detach", "b"]).exits(0);
        assert_eq!(state(machine), before);
    });
}
