//! Disks as old QEMUs have them, through the human monitor, which new ones keep.

use serde_json::json;

use super::{LEAVES, disk, nodes};
use crate::script::{Scenario, Step, ask, scenario, unplug};

/// What the human monitor prints is compared whole.
fn human(line: &str) -> Step {
    ask("human-monitor-command", json!({"command-line": line}), &[""])
}

fn drives() -> Step {
    ask("query-block", json!({}), &["/*/device", "/*/qdev", "/*/removable", "/*/inserted/file"])
}

fn add(options: &str) -> Step {
    human(&format!("drive_add 0 {options}"))
}

pub(super) fn human_scenarios() -> Vec<Scenario> {
    let a = "if=none,id=d,format=raw,file=a.raw";
    vec![
        scenario(
            "a drive and its disk",
            [
                add(a),
                drives(),
                add(a),
                disk(json!({"drive": "nope"})),
                disk(json!({"drive": "d", "nosuch": 1})),
                disk(json!({"drive": "d", "serial": "S1"})),
                disk(json!({"drive": "d", "id": "y", "bus": "rp1"})),
                drives(),
                unplug("x"),
                LEAVES,
                drives(),
            ],
        ),
        scenario(
            "a drive that is deleted",
            [
                human("drive_del d"),
                add(a),
                human("drive_del d"),
                human("drive_del d"),
                add(a),
                disk(json!({"drive": "d"})),
                human("drive_del d"),
                drives(),
                nodes(),
                human("drive_del d"),
                add(a),
                human("drive_del x"),
            ],
        ),
        scenario(
            "drives that cannot be",
            [
                add("if=none,id=d,format=raw,file=nope.raw"),
                add("if=none,id=d,format=nope,file=a.raw"),
                add("if=none,id=d,format=qcow2,file=a.raw"),
                add("if=none,id=d,format=raw,file=a.raw,nosuch=1"),
                add("if=none,id=d,format=raw,file=a.raw,serial=S"),
                add("if=none,id=d,format=raw,file=a.raw,cache=nope"),
                add("if=none,id=d,format=raw,file=a.raw,aio=native"),
                add("if=none,id=d,format=raw"),
                add("if=none,id=1d,format=raw,file=a.raw"),
                add("if=nope,id=d,format=raw,file=a.raw"),
                add("if=virtio,id=d,format=raw,file=a.raw"),
                add("if=none,id=d,format=qcow2,file=locked.qcow2"),
                add("if=none,id=d,format=raw,file=a:b.raw"),
                drives(),
                nodes(),
            ],
        ),
        scenario(
            "drives of one image",
            [
                add(a),
                add("if=none,id=e,format=raw,file=a.raw"),
                disk(json!({"drive": "d"})),
                disk(json!({"drive": "e", "id": "y", "bus": "rp1"})),
                human("drive_del e"),
                add("if=none,id=r,format=raw,file=b.raw,readonly=on"),
                disk(json!({"drive": "r", "id": "z", "bus": "rp1"})),
                ask("query-block", json!({}), &["/*/device", "/*/inserted/ro"]),
            ],
        ),
        scenario(
            "lines that cannot be read",
            [
                human(""),
                human("nosuch"),
                human("drive_add"),
                human("drive_add 0"),
                human("drive_add 0 a b"),
                human(r#"drive_add 0 "a"#),
                human(r#"drive_add 0 "a\tb""#),
                human("drive_del"),
                human("eject"),
                human("stop now"),
                human("device_add nosuch,id=x"),
                human("device_del nosuch"),
                human("eject nosuch"),
                human("info nosuch"),
                human("info status"),
            ],
        ),
    ]
}
