//! virtio-blk disks in root ports.

use serde_json::json;

use super::{LEAVES, children, disk, drives, nodes, property};
use crate::script::{Scenario, ask, close, hear, null, plug, raw, say, scenario, unplug};

pub(super) fn disk_scenarios() -> Vec<Scenario> {
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
        scenario(
            "a read-only disk",
            [
                say(
                    "blockdev-add",
                    json!({"driver": "raw", "node-name": "n", "read-only": true, "file": {"driver": "file", "filename": "a.raw"}}),
                ),
                disk(json!({})),
                ask(
                    "query-block",
                    json!({}),
                    &[
                        "/*/inserted/ro",
                        "/*/inserted/image/virtual-size",
                        "/*/io-status",
                        "/*/locked",
                        "/*/type",
                        "/*/device",
                    ],
                ),
                ask("query-blockstats", json!({}), &["/*/qdev", "/*/device", "/*/node-name"]),
            ],
        ),
        scenario(
            "what is plugged is listed",
            [
                null("n"),
                disk(json!({"id": "d"})),
                ask("qom-list", json!({"path": "/machine/peripheral"}), &["/*/name", "/*/type"]),
            ],
        ),
        scenario(
            "short names of devices",
            [
                null("n"),
                say(
                    "device_add",
                    json!({"driver": "virtio-blk", "id": "d", "drive": "n", "bus": "rp0"}),
                ),
                property("/machine/peripheral/d", "type"),
            ],
        ),
        scenario(
            "a device on a bus of another kind",
            [
                null("n"),
                say(
                    "device_add",
                    json!({"driver": "scsi-hd", "id": "d", "drive": "n", "bus": "rp0"}),
                ),
                say(
                    "device_add",
                    json!({"driver": "usb-storage", "id": "d", "drive": "n", "bus": "rp0"}),
                ),
                say(
                    "device_add",
                    json!({"driver": "ide-hd", "id": "d", "drive": "n", "bus": "rp0"}),
                ),
            ],
        ),
    ]
}
