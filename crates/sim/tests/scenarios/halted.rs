//! Scenarios on machines that never ran: what QEMU decides without a guest.

use std::time::Duration;

use serde_json::{Value, json};

use super::group::{Group, Picture};
use super::script::{Scenario, Step, ask, close, hear, null, plug, raw, say, scenario, unplug};

/// How long a disk takes to leave once it may.
const LEAVES: Step = Step::Wait(Duration::from_millis(900));

const NODES: &[&str] = &["/*/node-name"];
const DRIVES: &[&str] = &["/*/qdev", "/*/inserted/node-name", "/*/removable", "/*/tray_open"];

const PICTURES: &[Picture] = &[
    Picture::raw("a.raw"),
    Picture::raw("b.raw"),
    Picture::raw("locked.raw").locked(),
    Picture::qcow2("a.qcow2"),
    Picture::qcow2("b.qcow2"),
    Picture::qcow2("locked.qcow2").locked(),
    Picture::qcow2("over.qcow2").over("a.raw"),
];

fn add(node: Value) -> Step {
    say("blockdev-add", node)
}

fn file(name: &str, path: &str) -> Value {
    json!({"driver": "file", "node-name": name, "filename": path})
}

fn qcow2(name: &str, path: &str, read_only: bool) -> Step {
    let file = json!({"driver": "file", "filename": path, "read-only": read_only});
    add(json!({"driver": "qcow2", "node-name": name, "read-only": read_only, "file": file}))
}

fn device(members: Value) -> Step {
    say("device_add", members)
}

fn disk(members: Value) -> Step {
    let mut all = json!({"driver": "virtio-blk-pci", "id": "x", "bus": "rp0", "drive": "n"});
    for (name, value) in members.as_object().unwrap() {
        all[name] = value.clone();
    }
    say("device_add", all)
}

fn nodes() -> Step {
    ask("query-named-block-nodes", json!({"flat": true}), NODES)
}

fn drives() -> Step {
    ask("query-block", json!({}), DRIVES)
}

fn property(path: &str, name: &str) -> Step {
    ask("qom-get", json!({"path": path, "property": name}), &[""])
}

fn children(path: &str) -> Step {
    ask("qom-list", json!({"path": path}), &[])
}

pub(crate) fn groups() -> Vec<Group> {
    vec![
        Group::q35("nodes").pictures(PICTURES).play(node_scenarios()),
        Group::q35("locks").pictures(PICTURES).play(lock_scenarios()),
        Group::q35("disks").pictures(PICTURES).play(disk_scenarios()),
        Group::q35("other devices").play(other_scenarios()),
        Group::q35("scsi").with_scsi().play(scsi_scenarios()),
        Group::q35("usb").with_usb().play(usb_scenarios()),
        Group::q35("media").with_drives().pictures(PICTURES).play(media_scenarios()),
        Group::q35("bridge").with_bridge().play(bridge_scenarios()),
        Group::q35("native").native().play(native_scenarios()),
        Group::q35("rest").pictures(PICTURES).play(rest_scenarios()),
        Group::pc("slots").play(slot_scenarios()),
    ]
}

fn node_scenarios() -> Vec<Scenario> {
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
    ]
}

fn lock_scenarios() -> Vec<Scenario> {
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
    ]
}

fn disk_scenarios() -> Vec<Scenario> {
    vec![
        scenario(
            "a disk comes",
            [
                raw("d", "a.raw"),
                plug("d", "d.format", "rp0", "0"),
                drives(),
                close("d.format"),
                property("/machine/peripheral/rp0/rp0", "child[0]"),
                property("/machine/peripheral/d", "serial"),
                property("/machine/peripheral/d", "type"),
                property("/machine/peripheral/d", "hotplugged"),
                ask(
                    "query-pci",
                    json!({}),
                    &[
                        "/0/devices/*/qdev_id",
                        "/0/devices/*/slot",
                        "/0/devices/*/pci_bridge/bus/secondary",
                    ],
                ),
            ],
        ),
        scenario(
            "a disk of a machine that never ran goes at a reset",
            [
                raw("d", "a.raw"),
                plug("d", "d.format", "rp0", "0"),
                unplug("d"),
                unplug("d"),
                close("d.format"),
                say("system_reset", json!({})),
                hear("RESET", &["/guest", "/reason"]),
                hear("DEVICE_DELETED", &["/path", "/device"]),
                LEAVES,
                close("d.format"),
                unplug("d"),
                nodes(),
            ],
        ),
        scenario(
            "ids",
            [null("n"), disk(json!({"id": "rp0"})), disk(json!({})), disk(json!({"bus": "rp1"}))],
        ),
        scenario(
            "odd ids",
            [
                null("n"),
                disk(json!({"id": "a b", "drive": "nope"})),
                disk(json!({"id": "9a", "drive": "nope"})),
            ],
        ),
        scenario(
            "no driver",
            [
                say("device_add", json!({})),
                say("device_add", json!({"id": "x"})),
                say("device_add", json!({"driver": "nope"})),
                say("device_add", json!({"driver": "pci-device"})),
            ],
        ),
        scenario(
            "buses",
            [
                null("n"),
                disk(json!({"bus": "nope"})),
                disk(json!({"bus": "pcie.0"})),
                disk(json!({"bus": "fixed0"})),
                say("device_add", json!({"driver": "virtio-blk-pci", "drive": "n"})),
                disk(json!({"bus": "ide.0"})),
            ],
        ),
        scenario(
            "drives",
            [
                say("device_add", json!({"driver": "virtio-blk-pci", "id": "x", "bus": "rp0"})),
                disk(json!({"drive": "nope"})),
            ],
        ),
        scenario(
            "properties",
            [
                null("n"),
                disk(json!({"nope": 1})),
                disk(json!({"addr": "zz"})),
                disk(json!({"addr": "20"})),
                disk(json!({"logical_block_size": 511})),
                disk(json!({"num-queues": 0})),
                disk(json!({"iothread": "nope"})),
                disk(json!({"werror": "nope"})),
                disk(json!({"write-cache": "nope"})),
                disk(json!({"share-rw": "maybe"})),
            ],
        ),
        scenario(
            "properties that are taken",
            [
                null("n"),
                say("object-add", json!({"qom-type": "iothread", "id": "io"})),
                disk(
                    json!({"serial": "abc", "num-queues": 2, "iothread": "io", "werror": "report", "bootindex": 3,
                "write-cache": "on", "share-rw": true, "logical_block_size": 4096, "physical_block_size": 4096}),
                ),
                property("/machine/peripheral/x", "serial"),
                say("object-del", json!({"id": "io"})),
            ],
        ),
        scenario(
            "a serial that is too long",
            [
                null("n"),
                disk(json!({"serial": "x".repeat(30)})),
                property("/machine/peripheral/x", "serial"),
            ],
        ),
        scenario(
            "a port that is taken",
            [
                null("n"),
                null("m"),
                plug("d", "n", "rp0", "0"),
                plug("e", "m", "rp0", "0"),
                plug("e", "m", "rp0", "1"),
                say(
                    "device_add",
                    json!({"driver": "virtio-blk-pci", "id": "e", "drive": "m", "bus": "rp0"}),
                ),
            ],
        ),
        scenario(
            "functions of a port",
            [
                null("n"),
                null("m"),
                null("o"),
                plug("d", "n", "rp1", "0.1"),
                plug("e", "m", "rp1", "1"),
                plug("f", "o", "rp1", "1"),
                plug("f", "o", "rp1", "0"),
            ],
        ),
        scenario(
            "what cannot be unplugged",
            [
                unplug("nope"),
                unplug("rp0"),
                unplug(""),
                unplug("/machine"),
                say("device_del", json!({})),
                unplug("/machine/peripheral/nope"),
            ],
        ),
        scenario(
            "unplugged by its path",
            [
                null("n"),
                plug("d", "n", "rp0", "0"),
                unplug("/machine/peripheral/d"),
                unplug("d"),
                close("n"),
            ],
        ),
        scenario(
            "paths",
            [
                property("/machine/peripheral/rp0", "hotplug"),
                property("/machine/peripheral/fixed0", "hotplug"),
                property("/machine/peripheral/rp0", "nope"),
                property("/machine/peripheral/nope", "hotplug"),
                property("/machine", "type"),
                children("/machine/peripheral"),
                children("/nope"),
                children("/machine/peripheral/rp0/rp0"),
                say("qom-get", json!({"path": "/machine"})),
                say("qom-list", json!({})),
                say(
                    "qom-set",
                    json!({"path": "/machine/peripheral/rp0", "property": "nope", "value": 1}),
                ),
            ],
        ),
        scenario(
            "a property of a plugged disk stays",
            [
                null("n"),
                plug("d", "n", "rp0", "0"),
                say(
                    "qom-set",
                    json!({"path": "/machine/peripheral/d", "property": "serial", "value": "x"}),
                ),
            ],
        ),
        scenario(
            "devices without an id",
            [
                null("n"),
                say("device_add", json!({"driver": "virtio-blk-pci", "bus": "rp0", "drive": "n"})),
                ask("query-block", json!({}), &["/*/qdev"]),
                unplug("/machine/peripheral-anon/device[0]"),
            ],
        ),
        scenario(
            "a size is changed",
            [
                raw("d", "b.raw"),
                say("block_resize", json!({"node-name": "d.format", "size": 33_554_432})),
                ask("query-named-block-nodes", json!({}), &["/*/image/virtual-size"]),
                say("block_resize", json!({"node-name": "d.format", "size": 1_048_576})),
                say("block_resize", json!({"node-name": "d.format", "size": -1})),
                say("block_resize", json!({"node-name": "nope", "size": 1})),
                say("block_resize", json!({"device": "nope", "size": 1})),
                say("block_resize", json!({"size": 1})),
                plug("d", "d.format", "rp0", "0"),
                say("block_resize", json!({"node-name": "d.format", "size": 16_777_216})),
                null("n"),
                say("block_resize", json!({"node-name": "n", "size": 1_048_576})),
            ],
        ),
        scenario(
            "speeds of disks",
            [
                null("n"),
                plug("d", "n", "rp0", "0"),
                say(
                    "block_set_io_throttle",
                    json!({"id": "d", "bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 9, "iops_rd": 0, "iops_wr": 0}),
                ),
                say(
                    "block_set_io_throttle",
                    json!({"id": "nope", "bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 9, "iops_rd": 0, "iops_wr": 0}),
                ),
                say("block_set_io_throttle", json!({"id": "d", "iops": 9})),
                say(
                    "block_set_io_throttle",
                    json!({"id": "/machine/peripheral/d/virtio-backend", "bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 9, "iops_rd": 0, "iops_wr": 0}),
                ),
            ],
        ),
    ]
}

fn other_scenarios() -> Vec<Scenario> {
    let named = |driver: &str, bus: Option<&str>| {
        let mut it = json!({"driver": driver, "id": "i", "drive": "n"});
        if let Some(bus) = bus {
            it["bus"] = json!(bus);
        }
        device(it)
    };
    vec![
        scenario(
            "what cannot be plugged",
            [
                null("n"),
                named("ide-hd", None),
                named("ide-hd", Some("ide.0")),
                named("floppy", None),
                named("nvme-ns", None),
                named("scsi-hd", None),
                named("scsi-hd", Some("scsi0.0")),
                named("usb-storage", None),
                named("virtio-blk-device", None),
                named("sd-card", None),
                device(json!({"driver": "usb-uas", "id": "i"})),
                device(json!({"driver": "isa-fdc", "id": "i"})),
                device(json!({"driver": "pcie-root-port", "id": "i", "chassis": 77})),
                device(
                    json!({"driver": "pcie-root-port", "id": "i", "chassis": 77, "bus": "pcie.0"}),
                ),
                device(json!({"driver": "virtio-scsi-pci", "id": "i"})),
                device(json!({"driver": "qemu-xhci", "id": "i"})),
                device(json!({"driver": "ide-cd", "id": "i"})),
            ],
        ),
        scenario(
            "nvme",
            [
                null("n"),
                null("m"),
                device(json!({"driver": "nvme", "id": "i", "bus": "rp0"})),
                device(
                    json!({"driver": "nvme", "id": "i", "bus": "rp0", "addr": "0", "drive": "nope", "serial": "s"}),
                ),
                device(
                    json!({"driver": "nvme", "id": "i", "bus": "rp0", "addr": "0", "drive": "n", "serial": "s"}),
                ),
                device(
                    json!({"driver": "nvme", "id": "j", "bus": "rp1", "addr": "0", "drive": "n", "serial": "s"}),
                ),
                device(json!({"driver": "nvme-ns", "id": "k", "drive": "m"})),
                device(json!({"driver": "nvme-ns", "id": "k", "drive": "m", "bus": "i"})),
                drives(),
                close("n"),
                unplug("i"),
                unplug("i"),
                say("system_reset", json!({})),
                hear("DEVICE_DELETED", &["/path", "/device"]),
                close("n"),
            ],
        ),
    ]
}

fn scsi_scenarios() -> Vec<Scenario> {
    let hd = |members: Value| {
        let mut all = json!({"driver": "scsi-hd", "id": "s", "drive": "n"});
        for (name, value) in members.as_object().unwrap() {
            all[name] = value.clone();
        }
        say("device_add", all)
    };
    vec![
        scenario(
            "a disk comes and goes",
            [
                null("n"),
                hd(json!({})),
                drives(),
                property("/machine/peripheral/s", "scsi-id"),
                property("/machine/peripheral/s", "lun"),
                property("/machine/peripheral/s", "channel"),
                property("/machine/peripheral/s", "serial"),
                close("n"),
                unplug("s"),
                hear("DEVICE_DELETED", &["/path", "/device"]),
                close("n"),
                unplug("s"),
            ],
        ),
        scenario(
            "numbers are given out",
            [
                null("n"),
                null("m"),
                null("o"),
                hd(json!({"id": "a", "bus": "scsi0.0"})),
                hd(json!({"id": "b", "drive": "m"})),
                hd(json!({"id": "c", "drive": "o", "scsi-id": 0})),
                property("/machine/peripheral/b", "scsi-id"),
                property("/machine/peripheral/c", "lun"),
            ],
        ),
        scenario(
            "numbers that there are not",
            [
                null("n"),
                null("m"),
                hd(json!({"scsi-id": 256, "lun": 0})),
                hd(json!({"scsi-id": 1, "lun": 16384})),
                hd(json!({"channel": 1})),
                hd(json!({"scsi-id": 5, "lun": 3})),
                hd(json!({"id": "t", "drive": "m", "scsi-id": 5, "lun": 3})),
            ],
        ),
        scenario(
            "drives and properties",
            [
                null("n"),
                hd(json!({"drive": "nope"})),
                say("device_add", json!({"driver": "scsi-hd", "id": "s"})),
                hd(json!({"nope": 1})),
                hd(json!({"bus": "nope.0"})),
                hd(json!({"bus": "rp0"})),
                hd(json!({"serial": "x".repeat(37)})),
            ],
        ),
        scenario(
            "one node on two disks",
            [null("n"), hd(json!({"id": "a"})), hd(json!({"id": "b"}))],
        ),
        scenario(
            "an empty drive comes",
            [
                say("device_add", json!({"driver": "scsi-cd", "id": "cd"})),
                drives(),
                unplug("cd"),
                hear("DEVICE_DELETED", &["/path", "/device"]),
            ],
        ),
        scenario(
            "a controller comes, with a disk behind it, and goes at a reset",
            [
                null("n"),
                device(json!({"driver": "virtio-scsi-pci", "id": "c", "bus": "rp0", "addr": "0"})),
                hd(json!({"bus": "c.0"})),
                unplug("c"),
                unplug("c"),
                close("n"),
                say("system_reset", json!({})),
                hear("DEVICE_DELETED", &["/path", "/device"]),
                LEAVES,
                close("n"),
            ],
        ),
        scenario(
            "a controller's properties",
            [
                device(
                    json!({"driver": "virtio-scsi-pci", "id": "c", "bus": "rp0", "addr": "0", "nope": 1}),
                ),
                device(
                    json!({"driver": "virtio-scsi-pci", "id": "c", "bus": "rp0", "addr": "0", "iothread": "nope"}),
                ),
                device(
                    json!({"driver": "virtio-scsi-pci", "id": "c", "bus": "rp0", "addr": "0", "num_queues": 2}),
                ),
                device(json!({"driver": "virtio-scsi-pci", "id": "c", "bus": "rp1", "addr": "0"})),
            ],
        ),
    ]
}

fn usb_scenarios() -> Vec<Scenario> {
    let stick = |members: Value| {
        let mut all = json!({"driver": "usb-storage", "id": "u", "drive": "n"});
        for (name, value) in members.as_object().unwrap() {
            all[name] = value.clone();
        }
        say("device_add", all)
    };
    vec![
        scenario(
            "a stick comes and goes",
            [
                null("n"),
                stick(json!({"bus": "xhci.0"})),
                drives(),
                close("n"),
                unplug("u"),
                hear("DEVICE_DELETED", &["/path", "/device"]),
                unplug("u"),
                LEAVES,
                close("n"),
            ],
        ),
        scenario(
            "ports",
            [
                null("n"),
                null("m"),
                stick(json!({})),
                stick(json!({"id": "v", "drive": "m", "port": "1"})),
                stick(json!({"id": "v", "drive": "m", "port": "99"})),
                say("device_add", json!({"driver": "usb-storage", "id": "v"})),
                stick(json!({"id": "v", "drive": "nope"})),
                stick(json!({"id": "v", "drive": "m", "nope": 1})),
            ],
        ),
        scenario(
            "uas is attached when its disk is there",
            [
                null("n"),
                device(json!({"driver": "usb-uas", "id": "ua"})),
                property("/machine/peripheral/ua", "attached"),
                device(
                    json!({"driver": "scsi-hd", "id": "ud", "drive": "n", "bus": "ua.0", "scsi-id": 0, "lun": 0}),
                ),
                say(
                    "qom-set",
                    json!({"path": "/machine/peripheral/ua", "property": "attached", "value": true}),
                ),
                property("/machine/peripheral/ua", "attached"),
                drives(),
                unplug("ua"),
                hear("DEVICE_DELETED", &["/path", "/device"]),
                close("n"),
                unplug("ud"),
            ],
        ),
    ]
}

fn media_scenarios() -> Vec<Scenario> {
    let medium = |name: &'static str, path: &str| {
        let file = json!({"driver": "file", "filename": path, "read-only": true});
        add(json!({"driver": "raw", "node-name": name, "read-only": true, "file": file}))
    };
    let tray = |command: &'static str, id: &str| say(command, json!({"id": id}));
    let insert =
        |id: &str, node: &str| say("blockdev-insert-medium", json!({"id": id, "node-name": node}));
    let moved = || hear("DEVICE_TRAY_MOVED", &["/id", "/device", "/tray-open"]);
    let mut all = Vec::new();
    for (name, drive) in [("a medium in an IDE drive", "cd0"), ("a medium in a SCSI drive", "cd1")]
    {
        all.push(scenario(
            name,
            [
                medium("m", "a.raw"),
                medium("k", "b.raw"),
                insert(drive, "m"),
                tray("blockdev-open-tray", drive),
                moved(),
                tray("blockdev-open-tray", drive),
                tray("blockdev-remove-medium", drive),
                insert(drive, "m"),
                insert(drive, "k"),
                insert(drive, "m"),
                tray("blockdev-close-tray", drive),
                moved(),
                tray("blockdev-close-tray", drive),
                drives(),
                tray("blockdev-remove-medium", drive),
                close("m"),
                insert(drive, "nope"),
                say("blockdev-open-tray", json!({"id": drive, "force": true})),
                moved(),
                tray("blockdev-remove-medium", drive),
                close("m"),
                insert(drive, "k"),
                tray("eject", drive),
                close("k"),
                drives(),
            ],
        ));
        all.push(scenario(
            if drive == "cd0" { "a change in one go" } else { "a SCSI change in one go" },
            [
                say(
                    "blockdev-change-medium",
                    json!({"id": drive, "filename": "a.raw", "format": "raw"}),
                ),
                moved(),
                moved(),
                ask("query-block", json!({}), &["/*/inserted/file", "/*/tray_open"]),
                say(
                    "blockdev-change-medium",
                    json!({"id": drive, "filename": "missing.raw", "format": "raw"}),
                ),
                ask("query-block", json!({}), &["/*/inserted/file", "/*/tray_open"]),
                tray("eject", drive),
                moved(),
                say(
                    "blockdev-change-medium",
                    json!({"id": drive, "filename": "b.raw", "format": "raw"}),
                ),
                moved(),
                drives_by_file(),
            ],
        ));
    }
    all.push(scenario(
        "drives that there are not",
        [
            null("n"),
            plug("hd", "n", "rp0", "0"),
            tray("blockdev-open-tray", "nope"),
            tray("eject", "nope"),
            tray("blockdev-open-tray", "hd"),
            tray("eject", "hd"),
            tray("blockdev-close-tray", "hd"),
            tray("blockdev-remove-medium", "hd"),
            insert("hd", "n"),
            tray("blockdev-open-tray", "/machine/peripheral/hd/virtio-backend"),
            tray("blockdev-close-tray", "/machine/peripheral/hd/virtio-backend"),
            tray("blockdev-remove-medium", "/machine/peripheral/hd/virtio-backend"),
            tray("eject", "/machine/peripheral/hd/virtio-backend"),
            medium("m", "a.raw"),
            insert("/machine/peripheral/hd/virtio-backend", "m"),
            say("blockdev-change-medium", json!({"id": "hd", "filename": "a.raw"})),
            say("blockdev-open-tray", json!({})),
            say("blockdev-insert-medium", json!({"id": "cd0"})),
            say("device_del", json!({"id": "cd0"})),
        ],
    ));
    all.push(scenario(
        "a medium keeps its size",
        [
            medium("m", "a.raw"),
            tray("blockdev-open-tray", "cd1"),
            insert("cd1", "m"),
            say("block_resize", json!({"node-name": "m", "size": 33_554_432})),
        ],
    ));
    all
}

fn drives_by_file() -> Step {
    ask("query-block", json!({}), &["/*/inserted/file", "/*/inserted/ro"])
}

fn bridge_scenarios() -> Vec<Scenario> {
    vec![scenario(
        "disks behind a bridge",
        [
            null("n"),
            null("m"),
            null("o"),
            device(json!({"driver": "virtio-blk-pci", "id": "a", "drive": "n", "bus": "br0"})),
            plug("b", "m", "br0", "1"),
            plug("c", "o", "br0", "1"),
            plug("c", "o", "br0", "0"),
            plug("c", "o", "br0", "1f"),
            property("/machine/peripheral/br0/br0", "child[1]"),
            unplug("a"),
            unplug("a"),
            close("n"),
            plug("d", "n", "rp3", "0"),
        ],
    )]
}

fn native_scenarios() -> Vec<Scenario> {
    vec![
        scenario(
            "a native port of a machine that never ran",
            [
                null("n"),
                plug("d", "n", "rp0", "0"),
                drives(),
                unplug("d"),
                hear("DEVICE_DELETED", &["/path", "/device"]),
                unplug("d"),
            ],
        ),
        scenario("a native port that is fixed", [null("n"), plug("d", "n", "fixed0", "0")]),
    ]
}

fn rest_scenarios() -> Vec<Scenario> {
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
    ]
}

fn slot_scenarios() -> Vec<Scenario> {
    let auto = |id: &str, drive: &str| {
        device(json!({"driver": "virtio-blk-pci", "id": id, "drive": drive}))
    };
    let fill = (4..32).map(|slot| {
        device(json!({"driver": "virtio-scsi-pci", "id": format!("c{slot}"), "bus": "pci.0", "addr": format!("{slot:x}")}))
    });
    let mut full: Vec<Step> = vec![null("n")];
    full.extend(fill);
    full.extend([auto("d", "n"), auto("e", "n"), plug("e", "n", "pci.0", "4")]);
    vec![
        scenario(
            "slots",
            [
                null("n"),
                null("m"),
                null("o"),
                auto("a", "n"),
                plug("b", "m", "pci.0", "5"),
                plug("c", "o", "pci.0", "5"),
                plug("c", "o", "pci.0", "0"),
                plug("c", "o", "pci.0", "1"),
                plug("c", "o", "pci.0", "1.3"),
                plug("c", "o", "pci.0", "1.2"),
                plug("c", "o", "pci.1", "1"),
                drives(),
                unplug("a"),
                unplug("a"),
                close("n"),
                ask(
                    "query-pci",
                    json!({}),
                    &[
                        "/0/devices/*/qdev_id",
                        "/0/devices/*/slot",
                        "/0/devices/*/id/device",
                        "/0/devices/*/class_info",
                    ],
                ),
            ],
        ),
        scenario(
            "the last slot is taken",
            [null("n"), null("m"), plug("a", "n", "pci.0", "1f"), auto("b", "m")],
        ),
        scenario("no slot is left", full),
        scenario(
            "a slot of a machine that never ran is left at a reset",
            [
                null("n"),
                auto("a", "n"),
                unplug("a"),
                say("system_reset", json!({})),
                hear("DEVICE_DELETED", &["/path"]),
                LEAVES,
                close("n"),
            ],
        ),
        scenario(
            "ide takes nothing",
            [
                null("n"),
                device(json!({"driver": "ide-hd", "id": "i", "drive": "n"})),
                device(json!({"driver": "ide-cd", "id": "i"})),
                property("/machine", "type"),
            ],
        ),
    ]
}
