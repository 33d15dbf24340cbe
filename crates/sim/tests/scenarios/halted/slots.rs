//! Slots, bridges, and native ports.

use serde_json::json;

use super::{LEAVES, device, drives, property};
use crate::script::{Scenario, Step, ask, close, hear, null, plug, say, scenario, unplug};

pub(super) fn bridge_scenarios() -> Vec<Scenario> {
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

pub(super) fn native_scenarios() -> Vec<Scenario> {
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

pub(super) fn slot_scenarios() -> Vec<Scenario> {
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
