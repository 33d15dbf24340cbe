//! Scenarios on machines that never ran: what QEMU decides without a guest.

mod devices;
mod disks;
mod human;
mod locks;
mod media;
mod nodes;
mod rest;
mod slots;
mod snapshots;

use std::time::Duration;

use serde_json::{Value, json};

use super::group::{Group, Picture};
use super::script::{Step, ask, say};

/// How long a disk takes to leave once it may.
pub(super) const LEAVES: Step = Step::Wait(Duration::from_millis(900));

pub(super) const NODES: &[&str] = &["/*/node-name"];
pub(super) const DRIVES: &[&str] =
    &["/*/qdev", "/*/inserted/node-name", "/*/removable", "/*/tray_open"];

const PICTURES: &[Picture] = &[
    Picture::raw("a.raw"),
    Picture::raw("b.raw"),
    Picture::raw("locked.raw").locked(),
    Picture::qcow2("a.qcow2"),
    Picture::qcow2("b.qcow2"),
    Picture::qcow2("locked.qcow2").locked(),
    Picture::qcow2("over.qcow2").over("a.raw"),
];

pub(super) fn add(node: Value) -> Step {
    say("blockdev-add", node)
}

pub(super) fn file(name: &str, path: &str) -> Value {
    json!({"driver": "file", "node-name": name, "filename": path})
}

pub(super) fn qcow2(name: &str, path: &str, read_only: bool) -> Step {
    let file = json!({"driver": "file", "filename": path, "read-only": read_only});
    add(json!({"driver": "qcow2", "node-name": name, "read-only": read_only, "file": file}))
}

pub(super) fn device(members: Value) -> Step {
    say("device_add", members)
}

pub(super) fn disk(members: Value) -> Step {
    let mut all = json!({"driver": "virtio-blk-pci", "id": "x", "bus": "rp0", "drive": "n"});
    for (name, value) in members.as_object().unwrap() {
        all[name] = value.clone();
    }
    say("device_add", all)
}

pub(super) fn nodes() -> Step {
    ask("query-named-block-nodes", json!({"flat": true}), NODES)
}

pub(super) fn drives() -> Step {
    ask("query-block", json!({}), DRIVES)
}

pub(super) fn property(path: &str, name: &str) -> Step {
    ask("qom-get", json!({"path": path, "property": name}), &[""])
}

pub(super) fn children(path: &str) -> Step {
    ask("qom-list", json!({"path": path}), &[])
}

pub(crate) fn groups() -> Vec<Group> {
    vec![
        Group::q35("nodes").pictures(PICTURES).play(nodes::node_scenarios()),
        Group::q35("locks").pictures(PICTURES).play(locks::lock_scenarios()),
        Group::q35("disks").pictures(PICTURES).play(disks::disk_scenarios()),
        Group::q35("other devices").play(devices::other_scenarios()),
        Group::q35("human").pictures(PICTURES).play(human::human_scenarios()),
        Group::q35("scsi").with_scsi().play(devices::scsi_scenarios()),
        Group::q35("usb").with_usb().play(devices::usb_scenarios()),
        Group::q35("media").with_drives().pictures(PICTURES).play(media::media_scenarios()),
        Group::q35("bridge").with_bridge().play(slots::bridge_scenarios()),
        Group::q35("native").native().play(slots::native_scenarios()),
        Group::q35("snapshots").pictures(PICTURES).play(snapshots::snapshot_scenarios()),
        Group::q35("rest").pictures(PICTURES).play(rest::rest_scenarios()),
        Group::pc("slots").play(slots::slot_scenarios()),
    ]
}
