//! Objects, jobs, exports, migration, states, descriptors.

use std::time::Duration;

use serde_json::{Value, json};

use super::{add, file, property};
use crate::script::{Scenario, Step, ask, close, hear, null, plug, raw, say, scenario, unplug};

pub(super) fn rest_scenarios() -> Vec<Scenario> {
    let object = |members: Value| say("object-add", members);
    let mirror = |job: &str, device: &str, target: &str| {
        say(
            "blockdev-mirror",
            json!({"job-id": job, "device": device, "target": target, "sync": "full", "speed": 1}),
        )
    };
    vec![
        scenario(
            "commands that there are not",
            [
                say("nope", json!({})),
                say("query-block", json!({"x": 1})),
                say("query-named-block-nodes", json!({"flat": 1})),
                say("query-pci", json!({"x": 1})),
            ],
        ),
        scenario(
            "objects",
            [
                object(json!({"qom-type": "secret", "id": "s"})),
                object(json!({"qom-type": "nope", "id": "s"})),
                object(json!({"qom-type": "secret", "id": "s", "data": "abc"})),
                object(json!({"qom-type": "secret", "id": "s", "data": "abc"})),
                object(json!({"qom-type": "secret"})),
                object(json!({"qom-type": "secret", "id": "1s", "data": "x"})),
                object(json!({"qom-type": "secret", "id": "t", "data": "x", "nope": 1})),
                object(json!({"qom-type": "secret", "id": "t", "data": "x", "file": "y"})),
                say("object-del", json!({"id": "nope"})),
                say("object-del", json!({"id": "s"})),
                say("object-del", json!({})),
            ],
        ),
        scenario(
            "limits",
            [
                object(
                    json!({"qom-type": "throttle-group", "id": "g", "limits": {"iops-total": 1, "iops-read": 1}}),
                ),
                object(
                    json!({"qom-type": "throttle-group", "id": "g", "limits": {"iops-total": 100}}),
                ),
                say(
                    "qom-set",
                    json!({"path": "/objects/g", "property": "limits", "value": {"iops-total": 200}}),
                ),
                property("/objects/g", "limits"),
                say(
                    "qom-set",
                    json!({"path": "/objects/g", "property": "limits", "value": {"iops-total": 200, "iops-read": 1}}),
                ),
                property("/objects/nope", "limits"),
            ],
        ),
        scenario(
            "a mirror holds its nodes",
            [
                null("n"),
                null("m"),
                mirror("j", "nope", "m"),
                mirror("j", "n", "nope"),
                mirror("j", "n", "m"),
                ask("query-block-jobs", json!({}), &["/*/device", "/*/type", "/*/speed"]),
                close("n"),
                close("m"),
                mirror("j", "n", "m"),
                say("block-job-cancel", json!({"device": "nope"})),
                say("block-job-complete", json!({"device": "nope"})),
                say("job-cancel", json!({"id": "nope"})),
                say("block-job-cancel", json!({"device": "j", "force": true})),
                hear("BLOCK_JOB_CANCELLED", &["/device", "/type", "/len", "/speed"]),
                Step::Wait(Duration::from_millis(200)),
                ask("query-block-jobs", json!({}), &["/*/device"]),
                close("n"),
                close("m"),
            ],
        ),
        scenario(
            "a backup holds its nodes",
            [
                say("blockdev-add", json!({"driver": "null-co", "node-name": "n"})),
                say("blockdev-add", json!({"driver": "null-co", "node-name": "m"})),
                say(
                    "blockdev-backup",
                    json!({"job-id": "k", "device": "n", "target": "m", "sync": "full", "speed": 1}),
                ),
                close("n"),
                close("m"),
                ask("query-jobs", json!({}), &["/*/id", "/*/type", "/*/status"]),
                say("block-job-cancel", json!({"device": "k"})),
                hear("BLOCK_JOB_CANCELLED", &["/device", "/type", "/len"]),
                Step::Wait(Duration::from_millis(200)),
                close("n"),
                close("m"),
            ],
        ),
        scenario(
            "an export holds its node",
            [
                raw("d", "a.raw"),
                say("block-export-add", json!({"type": "nbd", "id": "e", "node-name": "d.format"})),
                say(
                    "nbd-server-start",
                    json!({"addr": {"type": "unix", "data": {"path": "nbd.sock"}}}),
                ),
                say(
                    "nbd-server-start",
                    json!({"addr": {"type": "unix", "data": {"path": "nbd.sock"}}}),
                ),
                say(
                    "block-export-add",
                    json!({"type": "nbd", "id": "e", "node-name": "d.format", "writable": true}),
                ),
                say("block-export-add", json!({"type": "nbd", "id": "e", "node-name": "d.format"})),
                say("block-export-add", json!({"type": "nbd", "id": "f", "node-name": "nope"})),
                ask("query-block-exports", json!({}), &["/*/id", "/*/type", "/*/node-name"]),
                close("d.format"),
                plug("d", "d.format", "rp0", "0"),
                say("block-export-del", json!({"id": "e"})),
                hear("BLOCK_EXPORT_DELETED", &["/id"]),
                say("block-export-del", json!({"id": "e"})),
                close("d.format"),
                say("nbd-server-stop", json!({})),
                say("nbd-server-stop", json!({})),
            ],
        ),
        scenario(
            "states",
            [
                ask("query-status", json!({}), &["/status", "/running", "/singlestep"]),
                ask("query-name", json!({}), &["/name"]),
                say("stop", json!({})),
                ask("query-status", json!({}), &["/status"]),
                ask("query-migrate", json!({}), &["/status"]),
                ask("query-version", json!({}), &["/qemu"]),
                say("cont", json!({})),
                hear("RESUME", &[]),
                ask("query-status", json!({}), &["/status"]),
                say("stop", json!({})),
                hear("STOP", &[]),
                ask("query-status", json!({}), &["/status", "/running"]),
            ],
        ),
        scenario(
            "while migrating",
            [
                null("n"),
                null("m"),
                plug("e", "m", "rp1", "0"),
                say("migrate", json!({"uri": "exec:sleep 3"})),
                unplug("e"),
                say("migrate", json!({"uri": "exec:sleep 3"})),
                plug("d", "n", "rp0", "0"),
                say("migrate_cancel", json!({})),
            ],
        ),
        scenario(
            "descriptors",
            [
                say("add-fd", json!({})),
                say("remove-fd", json!({"fdset-id": 9})),
                say("remove-fd", json!({})),
                ask("query-fdsets", json!({}), &[""]),
                add(file("f", "/dev/fdset/9")),
                add(file("f", "/dev/fdset/x")),
            ],
        ),
        scenario(
            "a job on a disk",
            [
                null("n"),
                null("m"),
                plug("d", "n", "rp0", "0"),
                mirror("j", "n", "m"),
                plug("e", "m", "rp1", "0"),
                close("m"),
                unplug("d"),
                say("block-job-cancel", json!({"device": "j", "force": true})),
                hear("BLOCK_JOB_CANCELLED", &["/device"]),
                Step::Wait(Duration::from_millis(200)),
                close("m"),
            ],
        ),
        scenario(
            "an export for reading",
            [
                raw("d", "a.raw"),
                say(
                    "nbd-server-start",
                    json!({"addr": {"type": "unix", "data": {"path": "nbd.sock"}}}),
                ),
                say("block-export-add", json!({"type": "nbd", "id": "e", "node-name": "d.format"})),
                plug("d", "d.format", "rp0", "0"),
                close("d.format"),
                say("nbd-server-stop", json!({})),
                hear("BLOCK_EXPORT_DELETED", &["/id"]),
                ask("query-block-exports", json!({}), &["/*/id"]),
            ],
        ),
        scenario(
            "iothreads are listed",
            [
                object(json!({"qom-type": "iothread", "id": "io"})),
                ask("query-iothreads", json!({}), &["/*/id"]),
                object(json!({"qom-type": "iothread", "id": "io"})),
                say("object-del", json!({"id": "io"})),
            ],
        ),
    ]
}
