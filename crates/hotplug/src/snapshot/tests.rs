//! Plans, transactions and deletions against a machine with a disk of each kind.

use super::*;
use crate::error::Error;
use crate::operation::script::Happens::{self, Answer, Lost};
use crate::operation::script::play;

const NODES: &str = r#"[
    {"node-name": "a.format", "drv": "qcow2", "file": "/a", "ro": false, "image": {"virtual-size": 1}},
    {"node-name": "a.file", "drv": "file", "file": "/a", "ro": false, "image": {"virtual-size": 1}},
    {"node-name": "b.limits", "drv": "throttle", "file": "json:{}", "ro": false, "image": {"virtual-size": 1}},
    {"node-name": "b.format", "drv": "qcow2", "file": "/b", "ro": false, "image": {"virtual-size": 1}},
    {"node-name": "b.file", "drv": "file", "file": "/b", "ro": false, "image": {"virtual-size": 1}},
    {"node-name": "raw.format", "drv": "raw", "file": "/r", "ro": false, "image": {"virtual-size": 1}},
    {"node-name": "raw.file", "drv": "file", "file": "/r", "ro": false, "image": {"virtual-size": 1}},
    {"node-name": "ro.format", "drv": "qcow2", "file": "/o", "ro": true, "image": {"virtual-size": 1}},
    {"node-name": "ro.file", "drv": "file", "file": "/o", "ro": true, "image": {"virtual-size": 1}}]"#;

/// As QEMU 7.2 shows the snapshots of a disk, also through a throttle node.
const OLD: &str = r#"[{"vm-clock-nsec": 1, "name": "old", "date-sec": 1795410513, "date-nsec": 343507000,
    "vm-clock-sec": 6, "id": "1", "vm-state-size": 0}]"#;

fn block(id: &str, node: &str, driver: &str, ro: bool, snapshots: &str) -> String {
    format!(
        r#"{{"device": "", "qdev": "/machine/peripheral/{id}/virtio-backend", "inserted":
        {{"node-name": "{node}", "drv": "{driver}", "file": "/x", "ro": {ro},
          "image": {{"virtual-size": 1{snapshots}}}}}}}"#
    )
}

fn blocks(also_raw: bool) -> &'static str {
    let old = format!(r#", "snapshots": {OLD}"#);
    let mut all = vec![
        block("a", "a.format", "qcow2", false, &old),
        block("b", "b.limits", "throttle", false, ""),
        block("ro", "ro.format", "qcow2", true, ""),
        r#"{"device": "root", "inserted": {"node-name": "\u0023block1", "drv": "qcow2", "file": "/s",
            "ro": false, "image": {"virtual-size": 1}}}"#
            .to_owned(),
        r#"{"device": "cd0", "removable": true}"#.to_owned(),
    ];
    all.extend(also_raw.then(|| block("raw", "raw.format", "raw", false, "")));
    Box::leak(format!("[{}]", all.join(",")).into_boxed_str())
}

fn plan(tag: &str, names: &[&str], also_raw: bool) -> Result<SnapshotPlan, Error> {
    let which = match names {
        [] => Snapped::All,
        names => Snapped::Named(names.iter().map(|&name| name.to_owned()).collect()),
    };
    let script = vec![
        Answer("query-named-block-nodes", "", Ok(NODES)),
        Answer("query-block", "", Ok(blocks(also_raw))),
    ];
    play(PlanSnapshot::new(tag.parse().unwrap(), which), script)
}

#[test]
fn a_snapshot_is_of_all_disks_that_can_be_written_to_through_what_their_devices_hold() {
    let plan = plan("t", &[], false).unwrap();
    assert_eq!(plan.disks().collect::<Vec<_>>(), ["a", "b"]);
    let sent = plan.step().command.to_string();
    assert!(sent.contains(r#""device":"a.format""#), "{sent}");
    assert!(sent.contains(r#""device":"b.limits""#), "{sent}");
}

#[test]
fn a_disk_of_somebody_elses_is_taken_when_it_is_named_by_its_drive() {
    let plan = plan("t", &["root", "a", "root"], true).unwrap();
    assert_eq!(plan.disks().collect::<Vec<_>>(), ["root", "a"]);
    assert!(plan.step().command.to_string().contains(r#""device":"root""#));
}

#[test]
fn what_cannot_is_named_and_nothing_is_sent() {
    for (tag, names, parts) in [
        ("t", &[][..], &["raw is raw"][..]),
        ("t", &["ro", "raw", "a"], &["ro is read-only, raw is raw", "Nothing was changed"]),
        ("old", &["a"], &["a has a snapshot old already"]),
        ("t", &["cd0"], &["cd0 has no medium"]),
        ("t", &["x"], &["no disk or device called x"]),
    ] {
        let error = plan(tag, names, true).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}

fn take(step: Happens) -> Result<Snapshot, Error> {
    let plan = SnapshotPlan {
        tag: "t".parse().unwrap(),
        disks: vec![("a".to_owned(), "a.format".to_owned())],
    };
    play(TakeSnapshot::new(plan), vec![step])
}

#[test]
fn a_snapshot_is_one_transaction() {
    let part = r#""actions":[{"type":"blockdev-snapshot-internal-sync","data":{"device":"a.format","name":"t"}}]"#;
    let taken = take(Answer("transaction", part, Ok("{}"))).unwrap();
    assert_eq!(taken.disks, ["a"]);
    let error = take(Answer("transaction", "", Err("No space left"))).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    let error = take(Lost("transaction")).unwrap_err().to_string();
    assert!(error.contains("qplug snapshot --list"), "{error}");
}

fn delete(tag: &str, names: &[&str], steps: Vec<Happens>) -> Result<Vec<String>, Error> {
    let which = match names {
        [] => Snapped::All,
        names => Snapped::Named(names.iter().map(|&name| name.to_owned()).collect()),
    };
    let look = [Answer("query-block", "", Ok(blocks(true)))];
    let deleted = play(DeleteSnapshot::new(tag, which), look.into_iter().chain(steps).collect())?;
    Ok(deleted.into_iter().filter_map(|(name, result)| result.ok().map(|()| name)).collect())
}

#[test]
fn a_snapshot_is_deleted_where_it_is() {
    const DELETE: &str = "blockdev-snapshot-delete-internal-sync";
    let gone = || vec![Answer(DELETE, r#""device":"a.format","name":"old""#, Ok("{}"))];
    assert_eq!(delete("old", &[], gone()).unwrap(), ["a"]);
    assert_eq!(delete("old", &["a"], gone()).unwrap(), ["a"]);
    for (tag, names) in [("none", &[][..]), ("old", &["a", "b"])] {
        let error = delete(tag, names, vec![]).unwrap_err();
        assert!(matches!(error, Error::NoSuchSnapshot { .. }), "{error}");
    }
}

#[test]
fn snapshots_are_listed_with_their_disks() {
    let script = vec![Answer("query-block", "", Ok(blocks(true)))];
    let listed = play(ListSnapshots::new(Snapped::All), script).unwrap();
    let expected = ListedSnapshot {
        disk: "a".into(),
        tag: "old".into(),
        id: "1".into(),
        seconds: 1_795_410_513,
        vm_state_bytes: 0,
    };
    assert_eq!(listed, [expected]);
}

#[test]
fn a_tag_is_what_tools_do_not_take_for_something_else() {
    for text in ["", "7", "a\nb", &"x".repeat(MAX_TAG_BYTES + 1)] {
        assert!(text.parse::<Tag>().is_err(), "{text}");
    }
    for text in ["t1", "before the update", "ä"] {
        assert_eq!(text.parse::<Tag>().unwrap().to_string(), text);
    }
}
