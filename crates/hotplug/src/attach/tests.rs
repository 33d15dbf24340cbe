//! Attaches, played against scripts.

mod shared;

use super::*;
use crate::error::After;
use crate::format::Format;
use crate::operation::script::Happens::{self, Answer, At, Event, Lost};
use crate::operation::script::play;
use crate::texts::Meaning;
use crate::throttle::Throttle;
use crate::window::MAX_IN_FLIGHT;

const Q35: &str = r#"[{"bus": 0, "devices": [
    {"slot": 0, "id": {"vendor": 32902, "device": 10688}, "class_info": {"class": 1536}, "qdev_id": ""},
    {"slot": 1, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "rp0",
     "pci_bridge": {"bus": {"secondary": 0}}},
    {"slot": 2, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "rp1",
     "pci_bridge": {"bus": {"secondary": 2}}}]}]"#;
const FULL: &str = r#"[{"bus": 0, "devices": [
    {"slot": 0, "id": {"vendor": 32902, "device": 10688}, "class_info": {"class": 1536}, "qdev_id": ""}]}]"#;
const NODE: &str = r#"[{"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}]"#;
const OTHER_NODE: &str = r#"[{"node-name": "data.format", "drv": "raw", "file": "/b", "ro": false, "image": {"virtual-size": 1}}]"#;
const USED: &str = r#"[{"node-name": "boot", "drv": "raw", "file": "/a", "ro": true, "image": {"virtual-size": 1}}]"#;
const BLOCK: &str = r#"[{"qdev": "/machine/peripheral/data/virtio-backend", "inserted":
    {"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}}]"#;
const DEVICES: &str = r#"[{"name": "data", "type": "child<virtio-blk-pci>"}]"#;
const NO_DEVICES: &str = "[]";
const TAKEN: &str = "PCI: slot 0 function 0 not available for virtio-blk-pci, in use by x";
const FIXED: &str = "Bus 'rp0' does not support hotplugging";
const LOCKED: &str = "Failed to get \"write\" lock";

fn disk() -> Disk {
    let raw = Some(Format::raw());
    Disk::named("data").unwrap().format(raw).remote_image("/a").unwrap()
}

fn attach(disk: Disk, script: Vec<Happens>) -> Result<Attached, Error> {
    let mut outcomes = play(Attach::new(vec![disk]), script);
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

fn many(names: &[&str], script: Vec<Happens>) -> Vec<Result<Attached, Error>> {
    let raw = || Some(Format::raw());
    let disk = |name: &&str| {
        Disk::named(name).unwrap().format(raw()).remote_image(format!("/{name}")).unwrap()
    };
    play(Attach::new(names.iter().map(disk).collect()), script)
}

/// A look at the machine, with these nodes.
fn look(pci: &'static str, nodes: &'static str) -> Vec<Happens> {
    vec![
        Answer("query-pci", "", Ok(pci)),
        Answer("query-named-block-nodes", "", Ok(nodes)),
        Answer("query-migrate", "", Ok("{}")),
    ]
}

fn closer_look(block: &'static str, serial: Result<&'static str, &'static str>) -> Vec<Happens> {
    vec![
        Answer("query-block", "", Ok(block)),
        Answer("qom-list", "/objects", Ok("[]")),
        Answer("qom-list", "/machine/peripheral", Ok(DEVICES)),
        Answer("qom-get", "/machine/peripheral/data", serial),
    ]
}

/// Where there are not enough ports, controllers are looked for.
fn look_for_controllers() -> Vec<Happens> {
    vec![
        Answer("qom-list", "/machine/peripheral", Ok(NO_DEVICES)),
        Answer("qom-list", "/objects", Ok("[]")),
    ]
}

fn open() -> Happens {
    Answer("blockdev-add", r#""filename":"/a""#, Ok("{}"))
}

fn plug(bus: &'static str, answer: Result<&'static str, &'static str>) -> Happens {
    Answer("device_add", bus, answer)
}

fn close(answer: Result<&'static str, &'static str>) -> Happens {
    Answer("blockdev-del", "data.format", answer)
}

const CONTROLLER: &str = r#"[{"name": "qplug.scsi.0", "type": "child<virtio-scsi-pci>"}]"#;
const ON_CONTROLLER: &str = r#"[{"name": "qplug.scsi.0", "type": "child<virtio-scsi-pci>"}, {"name": "data", "type": "child<scsi-hd>"}]"#;
const SCSI_BLOCK: &str = r#"[{"qdev": "/machine/peripheral/data", "inserted":
    {"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}}]"#;
const BOTH_NODES: &str = r#"[
    {"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}},
    {"node-name": "data.file", "drv": "file", "file": "/a", "ro": false, "image": {"virtual-size": 1}}]"#;
const MARKED: &str = r#"[{"name": "qplug.scsi.0.pending", "type": "child<throttle-group>"}]"#;

/// The look whether a disk on a controller of qplug's own stays.
fn stays(objects: &'static str, devices: &'static str) -> Vec<Happens> {
    vec![
        Answer("qom-list", "/objects", Ok(objects)),
        Answer("qom-list", "/machine/peripheral", Ok(devices)),
    ]
}

fn script(parts: [Vec<Happens>; 2]) -> Vec<Happens> {
    parts.into_iter().flatten().collect()
}

#[test]
fn four_commands_and_the_port_that_is_known_to_be_free() {
    let steps = vec![open(), plug(r#""bus":"rp1","addr":"0""#, Ok("{}"))];
    let attached = attach(disk(), script([look(Q35, "[]"), steps])).unwrap();
    assert_eq!(attached.port.as_deref(), Some("rp1"));
    assert_eq!(attached.guest_path, "/dev/disk/by-id/virtio-data");
    assert!(!attached.already);
}

#[test]
fn a_port_that_refuses_is_passed_over_and_none_is_no_room() {
    let steps = vec![open(), plug("rp1", Err(TAKEN)), plug("rp0", Ok("{}"))];
    let attached = attach(disk(), script([look(Q35, "[]"), steps])).unwrap();
    assert_eq!(attached.port.as_deref(), Some("rp0"));
    let steps = vec![open(), plug("rp1", Err(TAKEN)), plug("rp0", Err(FIXED)), close(Ok("{}"))];
    let error = attach(disk(), script([look(Q35, "[]"), steps])).unwrap_err();
    assert!(matches!(error, Error::NoFreePort { .. }), "{error}");
    let error = attach(disk(), script([look(FULL, "[]"), look_for_controllers()])).unwrap_err();
    assert!(error.to_string().contains("pcie-root-port"), "{error}");
}

#[test]
fn a_refused_step_is_undone() {
    let steps = vec![open(), plug("rp1", Err(LOCKED)), close(Ok("{}"))];
    let error = attach(disk(), script([look(Q35, "[]"), steps])).unwrap_err();
    let Error::Refused { meaning, after, .. } = error else { panic!("{error}") };
    assert_eq!((meaning, after), (Some(Meaning::ImageLocked), After::Undone));
    let steps = vec![Answer("blockdev-add", "", Err(LOCKED))];
    let error = attach(disk(), script([look(Q35, "[]"), steps])).unwrap_err();
    assert!(matches!(error, Error::Refused { after: After::Unchanged, .. }), "{error}");
}

#[test]
fn an_undo_that_fails_says_what_is_left_and_how_to_remove_it() {
    let steps = vec![open(), plug("rp1", Err(LOCKED)), close(Err("Node data.format is in use"))];
    let error = attach(disk(), script([look(Q35, "[]"), steps])).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("'qplug exec blockdev-del node-name=data.format' (Node data"), "{text}");
}

#[test]
fn a_repeated_attach_changes_nothing() {
    let again = script([look(Q35, NODE), closer_look(BLOCK, Ok("\"data\""))]);
    assert!(attach(disk(), again).unwrap().already);
    let other_serial = script([look(Q35, NODE), closer_look(BLOCK, Ok("\"x\""))]);
    assert!(matches!(attach(disk(), other_serial), Err(Error::NameTaken { .. })));
    let other_access = script([look(Q35, NODE), closer_look(BLOCK, Ok("\"data\""))]);
    let error = attach(disk().read_only(true), other_access).unwrap_err();
    assert!(error.to_string().contains("a writable virtio-blk raw disk over /a"), "{error}");
}

#[test]
fn a_disk_with_other_limits_or_in_another_port_is_another_disk() {
    const IN_RP1: &str = r#"[{"bus": 0, "devices": [
        {"slot": 0, "id": {"vendor": 32902, "device": 10688}, "class_info": {"class": 1536}, "qdev_id": ""},
        {"slot": 1, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "rp0",
         "pci_bridge": {"bus": {"secondary": 1}}},
        {"slot": 2, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "rp1",
         "pci_bridge": {"bus": {"secondary": 2}, "devices": [
            {"slot": 0, "id": {"vendor": 6900, "device": 4162}, "class_info": {"class": 256}, "qdev_id": "data"}]}}]}]"#;
    let there = || script([look(IN_RP1, NODE), closer_look(BLOCK, Ok("\"data\""))]);
    assert!(attach(disk().port(Some("rp1".to_owned())), there()).unwrap().already);
    let error = attach(disk().port(Some("rp0".to_owned())), there()).unwrap_err();
    assert!(error.to_string().contains("disk over /a in rp1"), "{error}");
    let limits = serde_json::json!({"iops-total": 100});
    let throttle = Throttle::new(None, limits.as_object().unwrap().clone());
    let mut steps = there();
    let objects = steps.remove(4);
    steps.insert(3, objects);
    let error = attach(disk().throttle(Some(throttle)), steps).unwrap_err();
    assert!(matches!(error, Error::NameTaken { .. }), "{error}");
}

#[test]
fn a_usb_disk_that_the_guest_was_not_shown_yet_is_shown() {
    let there = |shown: &'static str| {
        let mut steps = look(Q35, NODE);
        steps.insert(3, Answer("qom-list", "/machine/peripheral", Ok(
            r#"[{"name": "data", "type": "child<scsi-hd>"}, {"name": "data.uas", "type": "child<usb-uas>"}]"#,
        )));
        steps.extend([
            Answer("query-block", "", Ok(BLOCK)),
            Answer("qom-list", "/objects", Ok("[]")),
            Answer("qom-get", r#"peripheral/data","property":"serial""#, Ok("\"data\"")),
            Answer("qom-get", r#"peripheral/data.uas","property":"attached""#, Ok(shown)),
        ]);
        steps
    };
    let disk = || {
        let named = Disk::named("data").unwrap().format(Some(Format::raw()));
        named.bus(Some(Bus::UsbUas)).remote_image("/a").unwrap()
    };
    assert!(attach(disk(), there("true")).unwrap().already);
    let mut steps = there("false");
    steps.push(Answer("qom-set", r#""property":"attached","value":true"#, Ok("{}")));
    assert!(!attach(disk(), steps).unwrap().already);
}

#[test]
fn a_device_of_others_over_another_image_is_not_the_disk_that_was_left_half_done() {
    let held = r#"[{"qdev": "/machine/peripheral/data/virtio-backend", "inserted":
        {"node-name": "theirs", "drv": "raw", "file": "/theirs", "ro": false, "image": {"virtual-size": 1}}}]"#;
    let error = attach(disk(), script([look(Q35, NODE), closer_look(held, Ok("\"data\""))]));
    let error = error.unwrap_err();
    assert!(error.to_string().contains("raw disk over /theirs"), "{error}");
    let filter = r##"[{"qdev": "/machine/peripheral/data/virtio-backend", "inserted":
        {"node-name": "#block7", "drv": "mirror_top", "file": "/a", "ro": false, "image": {"virtual-size": 1}}}]"##;
    let again = script([look(Q35, NODE), closer_look(filter, Ok("\"data\""))]);
    assert!(attach(disk(), again).unwrap().already);
}

#[test]
fn an_attach_that_was_cut_short_is_finished() {
    let no_device = || closer_look("[]", Err("DeviceNotFound: Device not found"));
    let mut steps = script([look(Q35, NODE), no_device()]);
    steps.push(plug("rp1", Ok("{}")));
    assert!(!attach(disk(), steps).unwrap().already);
    // What an earlier run left is not undone by this one.
    let mut steps = script([look(Q35, NODE), no_device()]);
    steps.push(plug("rp1", Err(LOCKED)));
    let error = attach(disk(), steps).unwrap_err();
    assert!(matches!(error, Error::Refused { after: After::AsFound, .. }), "{error}");
    let steps = script([look(Q35, OTHER_NODE), no_device()]);
    let error = attach(disk(), steps).unwrap_err();
    assert!(error.to_string().contains("'qplug detach data' closes it"), "{error}");
}

#[test]
fn what_was_left_and_is_gone_meanwhile_is_cleared_away_too() {
    let marked = r#"[{"name": "qplug.disk.data.pending", "type": "child<throttle-group>"}]"#;
    let mut steps = script([look(Q35, NODE), closer_look("[]", Err("DeviceNotFound: none"))]);
    steps[4] = Answer("qom-list", "/objects", Ok(marked));
    // A recovery of another client was faster.
    let gone = "object 'qplug.disk.data.pending' not found";
    steps.push(Answer("object-del", "qplug.disk.data.pending", Err(gone)));
    steps.push(plug("rp1", Ok("{}")));
    assert!(!attach(disk(), steps).unwrap().already);
}

#[test]
fn another_client_that_is_faster_is_looked_at_again() {
    let again = || script([look(Q35, NODE), closer_look(BLOCK, Ok("\"data\""))]);
    let duplicate_node = "Duplicate nodes with node-name='data.file'";
    let overtaken = vec![Answer("blockdev-add", "", Err(duplicate_node))];
    let steps = script([script([look(Q35, "[]"), overtaken]), again()]);
    assert!(attach(disk(), steps).unwrap().already);
    // It plugged our node in: what we opened is theirs now, and stays.
    let duplicate = plug("rp1", Err("Duplicate device ID 'data'"));
    let overtaken = vec![open(), duplicate, close(Err("Node data.format is in use"))];
    let steps = script([script([look(Q35, "[]"), overtaken]), again()]);
    assert!(attach(disk(), steps).unwrap().already);
    // It closed our node.
    let gone = "Failed to find node with node-name='data.format'";
    let overtaken = vec![open(), plug("rp1", Err(LOCKED)), close(Err(gone))];
    let error = attach(disk(), script([look(Q35, "[]"), overtaken])).unwrap_err();
    assert!(matches!(error, Error::Refused { after: After::Undone, .. }), "{error}");
}

#[test]
fn an_image_that_this_machine_uses_is_refused_unless_both_only_read() {
    let error = attach(disk(), look(Q35, USED)).unwrap_err();
    assert!(error.to_string().contains("the node boot"), "{error}");
    let steps = vec![open(), plug("rp1", Ok("{}"))];
    attach(disk().read_only(true), script([look(Q35, USED), steps])).unwrap();
}

#[test]
fn a_port_that_was_asked_for_is_used_or_refused() {
    let at = |port: &str| disk().port(Some(port.to_owned()));
    let steps = vec![open(), plug("rp0", Ok("{}"))];
    attach(at("rp0"), script([look(Q35, "[]"), steps])).unwrap();
    let error = attach(at("rp9"), script([look(Q35, "[]"), look_for_controllers()])).unwrap_err();
    assert!(error.to_string().contains("free are rp1"), "{error}");
    let steps = vec![open(), plug("rp0", Err(FIXED)), close(Ok("{}"))];
    let error = attach(at("rp0"), script([look(Q35, "[]"), steps])).unwrap_err();
    assert!(matches!(error, Error::Refused { after: After::Undone, .. }), "{error}");
}

#[test]
fn a_lost_answer_is_unknown_only_once_something_was_sent() {
    for steps in [vec![Lost("blockdev-add")], vec![open(), Lost("device_add")]] {
        let error = attach(disk(), script([look(Q35, "[]"), steps])).unwrap_err();
        assert!(matches!(error, Error::Unknown { .. }), "{error}");
    }
    let mut look = look(Q35, "[]");
    look[2] = Lost("query-migrate");
    let error = attach(disk(), look).unwrap_err();
    assert!(matches!(error, Error::QueryLost { .. }), "{error}");
}

#[test]
fn nothing_is_plugged_in_while_the_machine_is_being_migrated() {
    let mut steps = look(Q35, "[]");
    steps[2] = Answer("query-migrate", "", Ok(r#"{"status": "active"}"#));
    let error = attach(disk(), steps).unwrap_err();
    assert!(matches!(error, Error::Migrating { .. }), "{error}");
}
