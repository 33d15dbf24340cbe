//! Who may share an image, a node or a device.

use serde_json::json;

use super::{add, disk, drives, file, nodes, qcow2};
use crate::script::{Scenario, close, null, plug, raw, say, scenario};

pub(super) fn lock_scenarios() -> Vec<Scenario> {
    vec![
        scenario(
            "a raw image that another process writes",
            [raw("d", "locked.raw"), plug("d", "d.format", "rp0", "0"), close("d.format"), nodes()],
        ),
        scenario(
            "a qcow2 image that another process writes",
            [qcow2("q", "locked.qcow2", false), qcow2("q", "locked.qcow2", true), nodes()],
        ),
        scenario(
            "a raw image for reading that another process writes",
            [
                add(
                    json!({"driver": "raw", "node-name": "d.format", "read-only": true, "file": file("d.file", "locked.raw")}),
                ),
                plug("d", "d.format", "rp0", "0"),
            ],
        ),
        scenario(
            "one raw image under two names",
            [
                raw("d", "a.raw"),
                raw("e", "a.raw"),
                plug("d", "d.format", "rp0", "0"),
                plug("e", "e.format", "rp1", "0"),
                close("e.format"),
                close("d.format"),
            ],
        ),
        scenario(
            "one qcow2 image under two names",
            [
                qcow2("q", "a.qcow2", false),
                qcow2("r", "a.qcow2", false),
                qcow2("r", "a.qcow2", true),
                close("q"),
                qcow2("r", "a.qcow2", true),
                qcow2("s", "a.qcow2", true),
                nodes(),
            ],
        ),
        scenario(
            "a backing image that is written",
            [
                raw("d", "a.raw"),
                plug("d", "d.format", "rp0", "0"),
                qcow2("o", "over.qcow2", false),
                plug("o", "o", "rp1", "0"),
            ],
        ),
        scenario(
            "one node on two devices",
            [null("n"), plug("d", "n", "rp0", "0"), plug("e", "n", "rp1", "0")],
        ),
        scenario(
            "one node shared by two devices",
            [
                null("n"),
                disk(json!({"id": "d", "share-rw": true})),
                disk(json!({"id": "e", "bus": "rp1"})),
                disk(json!({"id": "e", "bus": "rp1", "share-rw": true})),
                drives(),
            ],
        ),
        scenario(
            "one read-only node on two devices",
            [
                add(json!({"driver": "null-co", "node-name": "n", "read-only": true})),
                plug("d", "n", "rp0", "0"),
                plug("e", "n", "rp1", "0"),
                drives(),
            ],
        ),
        scenario(
            "two raw nodes over one file node",
            [
                add(file("f", "a.raw")),
                add(json!({"driver": "raw", "node-name": "d", "file": "f"})),
                add(json!({"driver": "raw", "node-name": "e", "file": "f"})),
                plug("d", "d", "rp0", "0"),
                plug("e", "e", "rp1", "0"),
                close("f"),
            ],
        ),
        scenario(
            "a writer over a read-only file",
            [
                add(
                    json!({"driver": "raw", "node-name": "d", "file": {"driver": "file", "filename": "a.raw", "read-only": true}}),
                ),
                plug("d", "d", "rp0", "0"),
            ],
        ),
        scenario(
            "one node, two iothreads",
            [
                add(json!({"driver": "null-co", "node-name": "n", "read-only": true})),
                say("object-add", json!({"qom-type": "iothread", "id": "io1"})),
                say("object-add", json!({"qom-type": "iothread", "id": "io2"})),
                disk(json!({"id": "d", "iothread": "io1"})),
                disk(json!({"id": "e", "bus": "rp1", "iothread": "io2"})),
                disk(json!({"id": "f", "bus": "rp2"})),
                disk(json!({"id": "g", "bus": "rp1", "iothread": "io1"})),
                drives(),
            ],
        ),
        scenario(
            "a device over a node that lies below another",
            [
                raw("d", "a.raw"),
                add(json!({"driver": "raw", "node-name": "e", "file": "d.format"})),
                plug("d", "d.format", "rp0", "0"),
                plug("e", "e", "rp1", "0"),
                close("e"),
            ],
        ),
        scenario(
            "a throttled disk",
            [
                say(
                    "object-add",
                    json!({"qom-type": "throttle-group", "id": "g", "limits": {"iops-total": 100}}),
                ),
                raw("d", "a.raw"),
                add(
                    json!({"driver": "throttle", "node-name": "t", "throttle-group": "g", "file": "d.format"}),
                ),
                plug("d", "t", "rp0", "0"),
                close("t"),
                close("d.format"),
                say("object-del", json!({"id": "g"})),
                drives(),
            ],
        ),
    ]
}
