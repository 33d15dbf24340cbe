//! Disks that are not virtio-blk, and what cannot be plugged.

use serde_json::{Value, json};

use super::{LEAVES, device, drives, property};
use crate::script::{Scenario, close, hear, null, say, scenario, unplug};

pub(super) fn other_scenarios() -> Vec<Scenario> {
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

pub(super) fn scsi_scenarios() -> Vec<Scenario> {
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

pub(super) fn usb_scenarios() -> Vec<Scenario> {
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
