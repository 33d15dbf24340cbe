//! Changes of media, played against scripts.

use super::*;
use crate::format::Format;
use crate::operation::script::Happens::{self, Answer, At, Event as Comes};
use crate::operation::script::play;
use crate::storage::Protocol;

const EMPTY: &str = r#"[{"device": "", "qdev": "cd0", "removable": true, "tray_open": false, "locked": false},
    {"device": "", "qdev": "/machine/peripheral/data/virtio-backend", "removable": false}]"#;
const OURS: &str = r#"[{"device": "", "qdev": "cd0", "removable": true, "tray_open": false, "inserted":
    {"node-name": "cd0.medium-a.format", "drv": "raw", "file": "/old.iso", "ro": true, "image": {"virtual-size": 1}}}]"#;
const THEIRS: &str = r##"[{"device": "ide0-cd0", "qdev": "/machine/unattached/device[18]", "removable": true, "tray_open": false, "inserted":
    {"node-name": "#block126", "drv": "raw", "file": "/old.iso", "ro": true, "image": {"virtual-size": 1}}}]"##;
const NODES: &str = r#"[{"node-name": "cd0.medium-a.format", "drv": "raw", "file": "/old.iso", "ro": true, "image": {"virtual-size": 1}},
    {"node-name": "cd0.medium-a.file", "drv": "file", "file": "/old.iso", "ro": true, "image": {"virtual-size": 1}}]"#;
const CLOSED: &str = "Tray of device 'cd0' is not open";

fn new() -> Storage {
    Storage::of(Protocol::File("/new.iso".to_owned()), Format::raw())
}

fn change(
    drive: &str,
    change: Change,
    blocks: &'static str,
    nodes: &'static str,
    steps: Vec<Happens>,
) -> Result<Changed, Error> {
    let mut script = vec![
        Answer("query-block", "", Ok(blocks)),
        Answer("query-named-block-nodes", "", Ok(nodes)),
        Answer("qom-list", "/objects", Ok("[]")),
        Answer("query-fdsets", "", Ok("[]")),
    ];
    script.extend(steps);
    play(ChangeMedium::new(drive, change, Duration::from_secs(30)), script)
}

fn step(name: &'static str, part: &'static str) -> Happens {
    Answer(name, part, Ok("{}"))
}

#[test]
fn a_medium_is_put_in_and_the_tray_closed() {
    let steps = vec![
        step("blockdev-add", r#""node-name":"cd0.medium-a.format","read-only":true"#),
        step("blockdev-open-tray", "cd0"),
        step("blockdev-insert-medium", "cd0.medium-a.format"),
        step("blockdev-close-tray", "cd0"),
    ];
    let changed = change("cd0", Change::Insert(new()), EMPTY, "[]", steps).unwrap();
    assert_eq!((changed.medium.as_deref(), changed.before), (Some("/new.iso"), None));
}

#[test]
fn a_name_of_which_a_crash_left_a_secret_is_passed_over() {
    let left = r#"[{"name": "qplug.disk.cd0.medium-a.secret", "type": "child<secret>"}]"#;
    let script = vec![
        Answer("query-block", "", Ok(EMPTY)),
        Answer("query-named-block-nodes", "", Ok("[]")),
        Answer("qom-list", "/objects", Ok(left)),
        Answer("query-fdsets", "", Ok("[]")),
        step("blockdev-add", "cd0.medium-b.format"),
        step("blockdev-open-tray", "cd0"),
        step("blockdev-insert-medium", "cd0.medium-b.format"),
        step("blockdev-close-tray", "cd0"),
    ];
    let insert = ChangeMedium::new("cd0", Change::Insert(new()), Duration::from_secs(30));
    play(insert, script).unwrap();
}

#[test]
fn a_new_medium_takes_the_place_of_the_old_which_is_closed() {
    let steps = vec![
        step("blockdev-add", "cd0.medium-b.format"),
        step("blockdev-open-tray", "cd0"),
        step("blockdev-remove-medium", "cd0"),
        step("blockdev-insert-medium", "cd0.medium-b.format"),
        step("blockdev-close-tray", "cd0"),
        step("blockdev-del", "cd0.medium-a.format"),
    ];
    let changed = change("cd0", Change::Swap(new()), OURS, NODES, steps).unwrap();
    assert_eq!(changed.before.as_deref(), Some("/old.iso"));
}

#[test]
fn a_connection_lost_behind_the_change_leaves_the_change_as_it_is() {
    let steps = vec![
        step("blockdev-add", "cd0.medium-b.format"),
        step("blockdev-open-tray", "cd0"),
        step("blockdev-remove-medium", "cd0"),
        step("blockdev-insert-medium", "cd0.medium-b.format"),
        step("blockdev-close-tray", "cd0"),
        Answer("blockdev-del", "cd0.medium-a.format", Err("Node cd0.medium-a.format is in use")),
        Happens::Closed,
    ];
    let changed = change("cd0", Change::Swap(new()), OURS, NODES, steps).unwrap();
    assert_eq!(changed.medium.as_deref(), Some("/new.iso"));
}

#[test]
fn the_old_medium_is_back_in_place_when_the_new_one_fails() {
    let steps = vec![
        step("blockdev-add", "cd0.medium-b.format"),
        step("blockdev-open-tray", "cd0"),
        step("blockdev-remove-medium", "cd0"),
        Answer("blockdev-insert-medium", "cd0.medium-b", Err("Failed to get \"write\" lock")),
        step("blockdev-insert-medium", "cd0.medium-a.format"),
        step("blockdev-close-tray", "cd0"),
        step("blockdev-del", "cd0.medium-b.format"),
    ];
    let error = change("cd0", Change::Swap(new()), OURS, NODES, steps).unwrap_err();
    assert!(matches!(error, Error::Refused { after: After::Undone, .. }), "{error}");
    // A medium that nobody else holds is gone once it is out, and is opened anew.
    let steps = vec![
        step("blockdev-add", "ide0-cd0.medium-a.format"),
        step("blockdev-open-tray", "device[18]"),
        step("blockdev-remove-medium", "device[18]"),
        Answer("blockdev-insert-medium", "", Err("Failed to get \"write\" lock")),
        step("blockdev-change-medium", r#""filename":"/old.iso","format":"raw""#),
        step("blockdev-close-tray", "device[18]"),
        step("blockdev-del", "ide0-cd0.medium-a.format"),
    ];
    change("ide0-cd0", Change::Swap(new()), THEIRS, "[]", steps).unwrap_err();
}

#[test]
fn a_tray_that_the_guest_holds_is_waited_for() {
    let open = r#"{"device": "", "id": "cd0", "tray-open": true}"#;
    let asked = || step("blockdev-open-tray", "cd0");
    let held = || Answer("blockdev-remove-medium", "cd0", Err(CLOSED));
    let steps = vec![
        asked(),
        held(),
        Comes("DEVICE_TRAY_MOVED", r#"{"device": "", "id": "cd1", "tray-open": true}"#),
        Comes("DEVICE_TRAY_MOVED", open),
        step("blockdev-remove-medium", "cd0"),
        step("blockdev-del", "cd0.medium-a.format"),
    ];
    let changed = change("cd0", Change::Eject, OURS, NODES, steps).unwrap();
    assert_eq!((changed.medium, changed.pending), (None, false));
    // It lets go, and must be asked again.
    let steps = vec![
        asked(),
        held(),
        At(2000),
        asked(),
        step("blockdev-remove-medium", "cd0"),
        step("blockdev-del", "cd0.medium-a.format"),
    ];
    assert!(!change("cd0", Change::Eject, OURS, NODES, steps).unwrap().pending);
    let steps = vec![asked(), held(), At(30_000), step("blockdev-close-tray", "cd0")];
    let changed = change("cd0", Change::Eject, OURS, NODES, steps).unwrap();
    assert_eq!((changed.medium.as_deref(), changed.pending), (Some("/old.iso"), true));
}

#[test]
fn drives_that_do_not_fit_the_wish_are_refused() {
    let refused = |drive: &str, wish: Change, blocks| {
        change(drive, wish, blocks, NODES, Vec::new()).unwrap_err().to_string()
    };
    let text = refused("cd9", Change::Eject, EMPTY);
    assert!(text.contains("there is cd0"), "{text}");
    let text = refused("data", Change::Eject, EMPTY);
    assert!(text.contains("is a hard disk"), "{text}");
    let text = refused("cd0", Change::Insert(new()), OURS);
    assert!(text.contains("/old.iso") && text.contains("swap"), "{text}");
    let changed = change("cd0", Change::Eject, EMPTY, "[]", Vec::new()).unwrap();
    assert_eq!(changed.medium, None);
}
