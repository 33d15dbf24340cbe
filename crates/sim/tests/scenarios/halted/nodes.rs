//! What can be opened and closed, and how nodes are named.

use serde_json::{Value, json};

use super::{add, file, nodes, qcow2};
use crate::script::{Scenario, ask, close, null, plug, raw, say, scenario};

pub(super) fn node_scenarios() -> Vec<Scenario> {
    let a = |extra: Value| {
        let mut node = file("x", "a.raw");
        for (name, value) in extra.as_object().unwrap() {
            node[name] = value.clone();
        }
        add(node)
    };
    vec![
        scenario(
            "an image comes and goes",
            [raw("d", "a.raw"), nodes(), close("d.format"), nodes()],
        ),
        scenario("no such file", [raw("d", "missing.raw"), nodes()]),
        scenario("a folder", [raw("d", "/")]),
        scenario(
            "no file given",
            [
                add(json!({"driver": "raw", "node-name": "x"})),
                add(json!({"driver": "file", "node-name": "x"})),
                add(json!({"driver": "raw", "node-name": "x", "file": {"driver": "file"}})),
                add(json!({"driver": "raw", "node-name": "x", "file": 5})),
                add(json!({"driver": "raw", "node-name": "x", "file": "nope"})),
            ],
        ),
        scenario(
            "no such driver",
            [
                add(json!({"driver": "nope", "node-name": "x"})),
                add(json!({"node-name": "x"})),
                add(json!({"driver": 5})),
            ],
        ),
        scenario(
            "names of nodes",
            [
                add(json!({"driver": "file", "filename": "a.raw"})),
                add(file("1x", "a.raw")),
                add(file("", "a.raw")),
                add(file("a b", "a.raw")),
                add(file(&"x".repeat(32), "a.raw")),
                add(file(&"x".repeat(31), "a.raw")),
                nodes(),
            ],
        ),
        scenario(
            "options of nodes",
            [
                a(json!({"nope": 1})),
                a(json!({"read-only": "yes"})),
                a(json!({"filename": 5})),
                a(json!({"aio": "nope"})),
                a(json!({"aio": "native"})),
                a(json!({"detect-zeroes": "unmap"})),
                a(json!({"detect-zeroes": "nope"})),
                a(json!({"discard": "nope"})),
                a(json!({"cache": {"nope": true}})),
                a(json!({"cache": {"direct": 1}})),
                a(json!({"cache": true})),
                a(json!({"detect-zeroes": "unmap", "discard": "unmap"})),
            ],
        ),
        scenario(
            "nested options are named in full",
            [
                add(
                    json!({"driver": "raw", "node-name": "x", "file": {"driver": "file", "filename": "a.raw", "nope": 1}}),
                ),
                add(json!({"driver": "raw", "node-name": "x", "file": {"driver": "nope"}})),
            ],
        ),
        scenario(
            "names that are taken",
            [
                raw("d", "a.raw"),
                raw("d", "b.raw"),
                add(json!({"driver": "raw", "node-name": "d.format", "file": file("z", "b.raw")})),
                add(json!({"driver": "raw", "node-name": "z", "file": file("d.file", "b.raw")})),
                nodes(),
            ],
        ),
        scenario(
            "what can be deleted",
            [
                raw("d", "a.raw"),
                close("nope"),
                close("d.file"),
                add(json!({"driver": "raw", "node-name": "e", "file": "d.format"})),
                close("d.format"),
                close("e"),
                say("blockdev-del", json!({})),
                say("blockdev-del", json!({"node-name": 5})),
                say("blockdev-del", json!({"node-name": "d.format", "x": 1})),
                close("d.format"),
                nodes(),
            ],
        ),
        scenario(
            "images of other formats",
            [
                qcow2("q", "a.raw", false),
                add(json!({"driver": "vmdk", "node-name": "x", "file": file("f", "a.raw")})),
                add(json!({"driver": "vdi", "node-name": "x", "file": file("f", "a.raw")})),
                add(json!({"driver": "vhdx", "node-name": "x", "file": file("f", "a.raw")})),
                add(json!({"driver": "vpc", "node-name": "x", "file": file("f", "a.raw")})),
                add(json!({"driver": "luks", "node-name": "x", "file": file("f", "a.raw")})),
                add(
                    json!({"driver": "luks", "node-name": "x", "key-secret": "nope", "file": file("f", "a.raw")}),
                ),
                say("object-add", json!({"qom-type": "secret", "id": "s", "data": "abc"})),
                add(
                    json!({"driver": "luks", "node-name": "x", "key-secret": "s", "file": file("f", "a.raw")}),
                ),
                add(json!({"driver": "qed", "node-name": "x", "file": file("f", "a.raw")})),
                nodes(),
            ],
        ),
        scenario(
            "devices of the host",
            [
                add(json!({"driver": "host_device", "node-name": "x", "filename": "a.raw"})),
                add(json!({"driver": "host_device", "node-name": "x", "filename": "/dev/missing"})),
            ],
        ),
        scenario(
            "an overlay brings its backing image along",
            [
                add(json!({"driver": "qcow2", "node-name": "o", "file": file("of", "over.qcow2")})),
                ask(
                    "query-named-block-nodes",
                    json!({"flat": true}),
                    &[
                        "/*/drv",
                        "/*/ro",
                        "/*/file",
                        "/*/backing_file_depth",
                        "/*/image/virtual-size",
                        "/*/image/backing-filename",
                    ],
                ),
                close("o"),
                nodes(),
                add(
                    json!({"driver": "qcow2", "node-name": "o", "backing": null, "file": file("of", "over.qcow2")}),
                ),
                ask(
                    "query-named-block-nodes",
                    json!({"flat": true}),
                    &["/*/drv", "/*/backing_file_depth"],
                ),
            ],
        ),
        scenario(
            "read-only goes down to the file",
            [
                add(
                    json!({"driver": "raw", "node-name": "x", "read-only": true, "file": {"driver": "file", "filename": "a.raw"}}),
                ),
                ask("query-named-block-nodes", json!({}), &["/*/ro", "/*/drv"]),
                add(
                    json!({"driver": "qcow2", "node-name": "q", "file": {"driver": "file", "filename": "a.qcow2", "read-only": true}}),
                ),
            ],
        ),
        scenario(
            "throttled nodes",
            [
                add(
                    json!({"driver": "throttle", "node-name": "t", "throttle-group": "g", "file": file("f", "a.raw")}),
                ),
                say(
                    "object-add",
                    json!({"qom-type": "throttle-group", "id": "g", "limits": {"iops-total": 100}}),
                ),
                add(
                    json!({"driver": "throttle", "node-name": "t", "throttle-group": "g", "file": file("f", "a.raw")}),
                ),
                say("object-del", json!({"id": "g"})),
                close("f"),
                close("t"),
                say("object-del", json!({"id": "g"})),
                say("object-del", json!({"id": "g"})),
            ],
        ),
        scenario(
            "a null node's file",
            [
                null("n"),
                add(json!({"driver": "null-co", "node-name": "m"})),
                ask("query-named-block-nodes", json!({}), &["/*/file", "/*/image/virtual-size"]),
            ],
        ),
        scenario(
            "who lies on whom",
            [
                raw("d", "a.raw"),
                plug("d", "d.format", "rp0", "0"),
                ask(
                    "x-debug-query-block-graph",
                    json!({}),
                    &[
                        "/nodes/*/name",
                        "/nodes/*/type",
                        "/edges/*/name",
                        "/edges/*/perm",
                        "/edges/*/shared-perm",
                    ],
                ),
            ],
        ),
        scenario(
            "who lies on whom in qcow2",
            [
                qcow2("q", "a.qcow2", false),
                ask(
                    "x-debug-query-block-graph",
                    json!({}),
                    &["/edges/*/name", "/edges/*/perm", "/edges/*/shared-perm"],
                ),
            ],
        ),
        scenario(
            "how nodes are shown",
            [
                a(json!({"cache": {"direct": true, "no-flush": true}, "detect-zeroes": "on"})),
                raw("d", "a.raw"),
                ask(
                    "query-named-block-nodes",
                    json!({}),
                    &[
                        "/*/node-name",
                        "/*/cache",
                        "/*/detect_zeroes",
                        "/*/encrypted",
                        "/*/drv",
                        "/*/file",
                        "/*/ro",
                        "/*/active",
                        "/*/image/format",
                        "/*/image/filename",
                        "/*/image/virtual-size",
                        "/*/image/dirty-flag",
                        "/*/iops",
                        "/*/write_threshold",
                    ],
                ),
                ask(
                    "query-blockstats",
                    json!({"query-nodes": true}),
                    &["/*/node-name", "/*/stats/rd_operations", "/*/parent/node-name"],
                ),
            ],
        ),
        scenario(
            "cache modes go down to the file",
            [
                add(
                    json!({"driver": "raw", "node-name": "x", "cache": {"direct": true}, "file": {"driver": "file", "filename": "a.raw", "aio": "native"}}),
                ),
                ask("query-named-block-nodes", json!({}), &["/*/cache", "/*/drv"]),
                add(
                    json!({"driver": "raw", "node-name": "y", "file": {"driver": "file", "filename": "b.raw", "aio": "native"}}),
                ),
            ],
        ),
        scenario(
            "copy on read",
            [
                add(
                    json!({"driver": "copy-on-read", "node-name": "x", "file": file("f", "a.raw")}),
                ),
                nodes(),
                close("x"),
                nodes(),
            ],
        ),
        scenario(
            "an overlay over nothing",
            [
                add(
                    json!({"driver": "qcow2", "node-name": "o", "backing": "nope", "file": file("of", "over.qcow2")}),
                ),
                raw("d", "b.raw"),
                add(
                    json!({"driver": "qcow2", "node-name": "o", "backing": "d.format", "file": file("of", "over.qcow2")}),
                ),
                close("d.format"),
                nodes(),
                close("o"),
                nodes(),
            ],
        ),
    ]
}
