//! Scenarios with a guest that answers.

use std::time::Duration;

use serde_json::json;

use super::group::Group;
use super::script::{Step, ask, close, hear, null, plug, say, scenario, unplug, until};

/// Until the guest's driver has found a disk.
fn found(id: &str) -> Step {
    Step::UntilRead { qdev: format!("/machine/peripheral/{id}/virtio-backend") }
}

fn gone() -> [Step; 2] {
    let parts: &[&str] = &["/path", "/device"];
    [hear("DEVICE_DELETED", parts), hear("DEVICE_DELETED", parts)]
}

/// How long a native port's indicator may blink after the guest found the disk.
const SETTLES: Duration = Duration::from_secs(1);

fn comes_and_goes(bus: &str, addr: &str) -> Vec<Step> {
    let mut steps = vec![null("n"), plug("d", "n", bus, addr), found("d"), close("n")];
    steps.extend([Step::Wait(SETTLES), unplug("d")]);
    steps.extend(gone());
    steps.extend([
        close("n"),
        unplug("d"),
        ask("query-named-block-nodes", json!({}), &["/*/node-name"]),
    ]);
    steps
}

fn paused(bus: &str, addr: &str) -> Vec<Step> {
    let mut steps = vec![
        null("n"),
        plug("d", "n", bus, addr),
        found("d"),
        say("stop", json!({})),
        hear("STOP", &[]),
    ];
    steps.extend([
        unplug("d"),
        unplug("d"),
        close("n"),
        say("cont", json!({})),
        hear("RESUME", &[]),
    ]);
    steps.extend(gone());
    steps.push(until("blockdev-del", json!({"node-name": "n"})));
    steps
}

pub(crate) fn groups() -> Vec<Group> {
    let pci: &[&str] = &["/0/devices/*/qdev_id", "/0/devices/*/pci_bridge/devices/0/qdev_id"];
    vec![
        Group::q35("booted q35").booted().play(vec![
            scenario("a disk comes and goes", comes_and_goes("rp0", "0")),
            scenario("a paused guest lets go after cont", paused("rp0", "0")),
            scenario(
                "two disks in two ports",
                [
                    null("n"),
                    null("m"),
                    plug("d", "n", "rp0", "0"),
                    plug("e", "m", "rp1", "0"),
                    found("d"),
                    found("e"),
                    ask("query-pci", json!({}), pci),
                    plug("f", "m", "rp1", "0"),
                    plug("f", "m", "rp1", "1"),
                ],
            ),
        ]),
        Group::pc("booted pc").booted().play(vec![
            scenario("a disk comes and goes", comes_and_goes("pci.0", "5")),
            scenario("a paused guest lets go after cont", paused("pci.0", "5")),
        ]),
        Group::q35("booted native").booted().native().play(vec![
            scenario("a disk comes and goes", comes_and_goes("rp0", "0")),
            scenario(
                "asked twice",
                [
                    null("n"),
                    plug("d", "n", "rp0", "0"),
                    found("d"),
                    Step::Wait(SETTLES),
                    unplug("d"),
                    unplug("d"),
                    hear("DEVICE_DELETED", &["/path"]),
                ],
            ),
        ]),
        Group::q35("booted scsi").booted().with_scsi().play(vec![
            scenario("a disk comes and goes", [
                null("n"),
                say("device_add", json!({"driver": "scsi-hd", "id": "s", "drive": "n"})),
                Step::UntilRead { qdev: "s".to_owned() },
                close("n"),
                unplug("s"),
                hear("DEVICE_DELETED", &["/path", "/device"]),
                close("n"),
                unplug("s"),
            ]),
            scenario("a controller goes with its disk", [
                null("n"),
                say("device_add", json!({"driver": "virtio-scsi-pci", "id": "c", "bus": "rp0", "addr": "0"})),
                say("device_add", json!({"driver": "scsi-hd", "id": "s", "drive": "n", "bus": "c.0"})),
                Step::UntilRead { qdev: "s".to_owned() },
                Step::Wait(SETTLES),
                unplug("c"),
                hear("DEVICE_DELETED", &["/path", "/device"]),
                hear("DEVICE_DELETED", &["/path", "/device"]),
                hear("DEVICE_DELETED", &["/path", "/device"]),
                close("n"),
            ]),
            scenario("an nvme comes and goes", [
                null("n"),
                say("device_add", json!({"driver": "nvme", "id": "v", "drive": "n", "serial": "x", "bus": "rp0", "addr": "0"})),
                Step::UntilRead { qdev: "v".to_owned() },
                Step::Wait(SETTLES),
                unplug("v"),
                hear("DEVICE_DELETED", &["/path", "/device"]),
                close("n"),
            ]),
            scenario("a port is used again", [
                null("n"), plug("d", "n", "rp0", "0"), found("d"), unplug("d"),
                hear("DEVICE_DELETED", &["/path"]), hear("DEVICE_DELETED", &["/path"]),
                plug("d", "n", "rp0", "0"), found("d"),
            ]),
        ]),
    ]
}
