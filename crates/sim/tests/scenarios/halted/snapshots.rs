//! Snapshots within images.

use serde_json::{Value, json};

use super::{add, disk, file, qcow2};
use crate::script::{Scenario, Step, ask, close, raw, say, scenario};

const TAKE: &str = "blockdev-snapshot-internal-sync";
const DELETE: &str = "blockdev-snapshot-delete-internal-sync";

fn take(device: &str, name: &str) -> Step {
    say(TAKE, json!({"device": device, "name": name}))
}

fn all(actions: &[(&str, &str)]) -> Step {
    let action = |&(device, name): &(&str, &str)| json!({"type": TAKE, "data": {"device": device, "name": name}});
    say("transaction", json!({"actions": actions.iter().map(action).collect::<Value>()}))
}

fn delete(arguments: Value) -> Step {
    ask(DELETE, arguments, &["/id", "/name", "/vm-state-size"])
}

fn snapshots() -> Step {
    const PARTS: &[&str] = &[
        "/*/qdev",
        "/*/inserted/image/snapshots/0/name",
        "/*/inserted/image/snapshots/0/id",
        "/*/inserted/image/snapshots/0/vm-state-size",
        "/*/inserted/image/snapshots/1/name",
        "/*/inserted/image/snapshots/1/id",
    ];
    ask("query-block", json!({}), PARTS)
}

pub(super) fn snapshot_scenarios() -> Vec<Scenario> {
    vec![
        scenario(
            "snapshots come and go",
            [
                qcow2("n", "a.qcow2", false),
                disk(json!({})),
                take("n", "t"),
                take("n", "t"),
                take("n", "u"),
                snapshots(),
                delete(json!({"device": "n", "name": "t"})),
                delete(json!({"device": "n", "name": "t"})),
                delete(json!({"device": "n", "id": "2"})),
                delete(json!({"device": "n"})),
                delete(json!({"device": "nope", "name": "t"})),
                snapshots(),
            ],
        ),
        scenario(
            "what has no snapshots",
            [
                raw("d", "a.raw"),
                take("d.format", "t"),
                take("d.file", "t"),
                take("nope", "t"),
                qcow2("r", "a.qcow2", true),
                take("r", "t"),
                close("r"),
                qcow2("n", "a.qcow2", false),
                take("n", ""),
                say(TAKE, json!({"device": "n"})),
            ],
        ),
        scenario(
            "through a filter",
            [
                say(
                    "object-add",
                    json!({"qom-type": "throttle-group", "id": "g", "limits": {"iops-total": 1000}}),
                ),
                add(json!({"driver": "throttle", "node-name": "n", "throttle-group": "g", "file":
                    {"driver": "qcow2", "node-name": "q", "file": file("f", "a.qcow2")}})),
                disk(json!({})),
                take("q", "t"),
                take("n", "t"),
                snapshots(),
                delete(json!({"device": "n", "name": "t"})),
            ],
        ),
        scenario(
            "all of them, or none",
            [
                qcow2("n", "a.qcow2", false),
                disk(json!({})),
                qcow2("m", "b.qcow2", false),
                raw("d", "a.raw"),
                all(&[("n", "t"), ("d.format", "t")]),
                all(&[("n", "t"), ("n", "t")]),
                snapshots(),
                all(&[("n", "t"), ("m", "t")]),
                all(&[("n", "u"), ("m", "t")]),
                snapshots(),
            ],
        ),
    ]
}
