//! Detaches, played against scripts.

use super::*;
use crate::error::After;
use crate::operation::script::Happens::{self, Answer, At, Closed, Event, Lost, Unsent};
use crate::operation::script::play;
use crate::texts::Meaning;

const OURS: &str = r#"[{"device": "", "qdev": "/machine/peripheral/data/virtio-backend", "inserted":
    {"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}}]"#;
const FOREIGN: &str = r#"[{"device": "", "qdev": "/machine/peripheral/data/virtio-backend", "inserted":
    {"node-name": "disk0", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}}]"#;
const OUR_NODE: &str = r#"[{"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}},
    {"node-name": "data.file", "drv": "file", "file": "/a", "ro": false, "image": {"virtual-size": 1}}]"#;
const GONE: Happens = Event("DEVICE_DELETED", r#"{"device": "data", "path": "/p"}"#);
const NO_JOBS: Happens = Answer("query-block-jobs", "", Ok("[]"));
const NO_EXPORTS: Happens = Answer("query-block-exports", "", Ok("[]"));
const NO_OBJECTS: Happens = Answer("qom-list", "/objects", Ok("[]"));
const MARK: Happens = Answer("object-add", "qplug.disk.data.pending", Ok("{}"));
const ASK: Happens = Answer("device_del", r#""id":"data""#, Ok("{}"));
const CLOSE: Happens = Answer("blockdev-del", r#""node-name":"data.format""#, Ok("{}"));

/// A detach that first looks, and finds our disk used by nothing else.
fn detach(script: Vec<Happens>) -> Result<Detached, Error> {
    look(OURS, script)
}

fn look(blocks: &'static str, script: Vec<Happens>) -> Result<Detached, Error> {
    play_all([vec![Answer("query-block", "", Ok(blocks)), NO_JOBS, NO_EXPORTS, NO_OBJECTS], script])
}

fn play_all(scripts: [Vec<Happens>; 2]) -> Result<Detached, Error> {
    let outcomes = play(of_data(Duration::from_secs(30)), scripts.into_iter().flatten().collect());
    outcome(outcomes)
}

fn of_data(timeout: Duration) -> Detach {
    Detach::new(Which::Named(vec![DiskName::new("data").unwrap()]), timeout)
}

fn outcome(outcomes: Result<Departures, Error>) -> Result<Detached, Error> {
    let mut outcomes = outcomes?;
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0).1
}

/// What is looked at more closely when no device holds our node.
fn closer(nodes: &'static str) -> Vec<Happens> {
    vec![
        Answer("query-named-block-nodes", "", Ok(nodes)),
        Answer("query-fdsets", "", Ok("[]")),
        Answer("qom-list", "/machine/peripheral", Ok("[]")),
    ]
}

fn removed(was_gone: bool) -> Detached {
    Detached::Removed { was_gone }
}

#[test]
fn the_guest_answers_after_the_reply_or_before_it() {
    assert_eq!(detach(vec![ASK, GONE, CLOSE]).unwrap(), removed(false));
    let mut detach = of_data(Duration::from_secs(30));
    let now = Instant::now();
    let answer = |text: &str| {
        crate::operation::Answer::Returned(
            serde_json::value::RawValue::from_string(text.to_owned()).unwrap(),
        )
    };
    for text in [OURS, "[]", "[]", "[]"] {
        detach.poll_transmit().unwrap();
        detach.handle_answer(answer(text), now);
    }
    assert_eq!(detach.poll_transmit().unwrap().name, "device_del");
    let data = serde_json::from_str(r#"{"device": "data"}"#).ok();
    let gone = qplug_proto::Event { name: "DEVICE_DELETED".to_owned(), data, timestamp: None };
    detach.handle_event(&gone, now);
    assert_eq!(detach.poll_transmit(), None, "the reply is still outstanding");
    detach.handle_answer(answer("{}"), now);
    assert_eq!(detach.poll_transmit().unwrap().name, "blockdev-del");
}

#[test]
fn events_of_others_and_of_the_backend_are_not_the_end() {
    let backend = Event("DEVICE_DELETED", r#"{"path": "/machine/peripheral/data/virtio-backend"}"#);
    let other = Event("DEVICE_DELETED", r#"{"device": "data2", "path": "/p"}"#);
    assert_eq!(detach(vec![ASK, backend, other, GONE, CLOSE]).unwrap(), removed(false));
}

#[test]
fn a_silent_guest_is_asked_again_and_then_pending() {
    let busy = || Answer("device_del", "", Err("Device data is already in the process of unplug"));
    let script =
        vec![ASK, At(700), ASK, At(3000), busy(), At(9000), ASK, At(18000), ASK, At(30000), MARK];
    assert_eq!(detach(script).unwrap(), Detached::Pending);
}

#[test]
fn a_guest_that_was_asked_may_let_go_though_it_is_not_asked_again() {
    let migrating = || Answer("device_del", "", Err("device_del not allowed while migrating"));
    assert_eq!(detach(vec![ASK, At(700), migrating(), GONE, CLOSE]).unwrap(), removed(false));
    let error = detach(vec![migrating()]).unwrap_err();
    assert!(matches!(error, Error::Refused { after: After::Unchanged, .. }), "{error}");
}

#[test]
fn a_guest_that_is_busy_with_the_port_is_asked_a_little_later() {
    let busy = "Hot-unplug failed: guest is busy (power indicator blinking)";
    let script = vec![Answer("device_del", "", Err(busy)), At(250), ASK, GONE, CLOSE];
    assert_eq!(detach(script).unwrap(), removed(false));
}

#[test]
fn a_disk_that_is_named_twice_leaves_once() {
    let data = || DiskName::new("data").unwrap();
    let twice = Detach::new(Which::Named(vec![data(), data()]), Duration::from_secs(30));
    let look = vec![Answer("query-block", "", Ok(OURS)), NO_JOBS, NO_EXPORTS, NO_OBJECTS];
    let script = look.into_iter().chain([ASK, GONE, CLOSE]).collect();
    assert_eq!(outcome(play(twice, script)).unwrap(), removed(false));
}

#[test]
fn a_guest_may_say_no() {
    let no = || Event("DEVICE_UNPLUG_GUEST_ERROR", r#"{"device": "data", "path": "/p"}"#);
    assert_eq!(detach(vec![ASK, no()]).unwrap(), Detached::Refused);
    let marked = r#"[{"name": "qplug.disk.data.pending", "type": "child<throttle-group>"}]"#;
    let marked = Answer("qom-list", "/objects", Ok(marked));
    let looks = vec![Answer("query-block", "", Ok(OURS)), NO_JOBS, NO_EXPORTS, marked];
    // It has answered, so that nothing is pending any more.
    let script = vec![ASK, no(), Answer("object-del", "qplug.disk.data.pending", Ok("{}"))];
    assert_eq!(play_all([looks, script]).unwrap(), Detached::Refused);
}

#[test]
fn a_no_that_overtakes_the_reply_leaves_that_to_no_other_query() {
    let blocks = r#"[
        {"device": "", "qdev": "a", "inserted": {"node-name": "a.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}},
        {"device": "", "qdev": "b", "inserted": {"node-name": "b.format", "drv": "raw", "file": "/b", "ro": false, "image": {"virtual-size": 1}}}]"#;
    let names = ["a", "b"].map(|name| DiskName::new(name).unwrap()).to_vec();
    let mut detach = Detach::new(Which::Named(names), Duration::from_secs(30));
    let now = Instant::now();
    let answer = |detach: &mut Detach, command: &str, text: &str| {
        assert_eq!(detach.poll_transmit().unwrap().name, command);
        let value = serde_json::value::RawValue::from_string(text.to_owned()).unwrap();
        detach.handle_answer(crate::operation::Answer::Returned(value), now);
    };
    let event = |name: &str, device: &str| {
        let data = serde_json::from_str(&format!(r#"{{"device": "{device}"}}"#)).ok();
        qplug_proto::Event { name: name.to_owned(), data, timestamp: None }
    };
    let devices = r#"[{"name": "qplug.scsi.0", "type": "child<virtio-scsi-pci>"}]"#;
    answer(&mut detach, "query-block", blocks);
    for command in ["query-block-jobs", "query-block-exports", "qom-list"] {
        answer(&mut detach, command, "[]");
    }
    answer(&mut detach, "qom-list", devices);
    answer(&mut detach, "device_del", "{}");
    detach.handle_event(&event("DEVICE_DELETED", "a"), now);
    assert_eq!(detach.poll_transmit().unwrap().name, "device_del");
    detach.handle_event(&event("DEVICE_UNPLUG_GUEST_ERROR", "b"), now);
    assert_eq!(detach.poll_transmit().unwrap().name, "blockdev-del");
    for text in ["{}", "{}"] {
        let value = serde_json::value::RawValue::from_string(text.to_owned()).unwrap();
        detach.handle_answer(crate::operation::Answer::Returned(value), now);
    }
    // What they shared is looked at, and these answers are its own.
    answer(&mut detach, "qom-list", devices);
    answer(&mut detach, "qom-list", "[]");
    assert_eq!(detach.poll_transmit().unwrap().name, "object-add");
}

#[test]
fn a_device_that_left_leaves_its_image_to_be_closed() {
    let mut script = closer(OUR_NODE);
    script.extend([CLOSE, Answer("qom-list", "/machine/peripheral", Ok("[]"))]);
    assert_eq!(look("[]", script).unwrap(), removed(true));
    assert!(matches!(look("[]", closer("[]")), Err(Error::NoSuchDisk { .. })));
}

#[test]
fn a_disk_whose_name_ends_like_a_usb_device_is_not_taken_for_one() {
    let blocks = r#"[{"device": "", "qdev": "data", "inserted":
        {"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}}]"#;
    let devices = r#"[{"name": "data", "type": "child<scsi-hd>"}, {"name": "data.uas", "type": "child<virtio-blk-pci>"}]"#;
    let devices = || Answer("qom-list", "/machine/peripheral", Ok(devices));
    let script = vec![devices(), ASK, GONE, CLOSE, devices()];
    assert_eq!(look(blocks, script).unwrap(), removed(false));
}

#[test]
fn a_disk_that_qplug_did_not_make_is_not_touched() {
    let nodes = || Answer("query-named-block-nodes", "", Ok("[]"));
    assert!(matches!(look(FOREIGN, vec![nodes()]), Err(Error::NotOurs { .. })));
    // A filter of somebody's lies over our node.
    let nodes = Answer("query-named-block-nodes", "", Ok(OUR_NODE));
    assert!(matches!(look(FOREIGN, vec![nodes]), Err(Error::Busy { .. })));
}

#[test]
fn a_medium_in_its_drive_is_not_closed_under_it() {
    let blocks = r#"[{"device": "", "qdev": "cd0", "removable": true, "inserted":
        {"node-name": "data.format", "drv": "raw", "file": "/a", "ro": true, "image": {"virtual-size": 1}}}]"#;
    let error = look(blocks, closer(OUR_NODE)).unwrap_err();
    assert!(error.to_string().contains("in use by the device cd0"), "{error}");
}

#[test]
fn a_disk_that_a_job_or_an_export_uses_is_not_touched() {
    let blocks = || Answer("query-block", "", Ok(OURS));
    let jobs = || Answer("query-block-jobs", "", Ok(r#"[{"type": "mirror", "device": "k"}]"#));
    let on_ours = r#"{"nodes": [{"id": 1, "type": "block-job", "name": "k"}, {"id": 2, "type": "block-driver", "name": "data.format"}], "edges": [{"parent": 1, "child": 2}]}"#;
    let graph = Answer("x-debug-query-block-graph", "", Ok(on_ours));
    let error =
        play_all([vec![blocks(), jobs(), NO_EXPORTS, NO_OBJECTS], vec![graph]]).unwrap_err();
    assert!(error.to_string().contains("the block job k (mirror)"), "{error}");
    let graph = Answer("x-debug-query-block-graph", "", Ok(r#"{"nodes": [], "edges": []}"#));
    let script = [vec![blocks(), jobs(), NO_EXPORTS, NO_OBJECTS], vec![graph, ASK, GONE, CLOSE]];
    assert_eq!(play_all(script).unwrap(), removed(false));
    let exports = r#"[{"id": "e", "type": "nbd", "node-name": "data.file"}]"#;
    let exports = Answer("query-block-exports", "", Ok(exports));
    let error = play_all([vec![blocks(), NO_JOBS], vec![exports, NO_OBJECTS]]).unwrap_err();
    assert!(error.to_string().contains("the nbd export e"), "{error}");
}

#[test]
fn a_guest_that_was_never_asked_is_not_pending() {
    let busy = || {
        Answer("device_del", "", Err("Hot-unplug failed: guest is busy (power indicator blinking)"))
    };
    let error = detach(vec![busy(), At(250), busy(), At(30000)]).unwrap_err();
    assert!(matches!(error, Error::Refused { meaning: Some(Meaning::GuestBusy), .. }), "{error}");
}

#[test]
fn a_long_wait_goes_on_asking_and_an_endless_one_is_no_panic() {
    let asks = [700, 3000, 9000, 18000, 78000, 138_000];
    let script = asks.into_iter().flat_map(|at| [ASK, At(at)]).chain([ASK, GONE, CLOSE]);
    let looks = vec![Answer("query-block", "", Ok(OURS)), NO_JOBS, NO_EXPORTS, NO_OBJECTS];
    let endless = of_data(Duration::MAX);
    let script = looks.into_iter().chain(script).collect();
    assert_eq!(outcome(play(endless, script)).unwrap(), removed(false));
}

#[test]
fn a_node_in_use_is_closed_a_little_later() {
    let busy = || Answer("blockdev-del", "", Err("Node data.format is in use"));
    let script = vec![ASK, GONE, busy(), At(10), busy(), At(20), CLOSE];
    assert_eq!(detach(script).unwrap(), removed(false));
    let gone = Answer("blockdev-del", "", Err("Failed to find node with node-name='data.format'"));
    assert_eq!(detach(vec![ASK, GONE, gone]).unwrap(), removed(false));
}

#[test]
fn a_lost_connection_is_neither_success_nor_failure() {
    for script in
        [vec![Lost("device_del")], vec![ASK, Closed], vec![ASK, GONE, Lost("blockdev-del")]]
    {
        assert!(matches!(detach(script), Err(Error::Unknown { .. })));
    }
    let looks = vec![Answer("query-block", "", Ok(OURS)), NO_JOBS, NO_EXPORTS];
    let looks = [looks, vec![Lost("qom-list")]];
    assert!(matches!(play_all(looks), Err(Error::QueryLost { .. })));
}

#[test]
fn a_request_that_was_not_sent_leaves_the_machine_as_it_was_unless_one_was_sent_before() {
    let first = detach(vec![Unsent("device_del")]).unwrap_err();
    assert!(matches!(first, Error::NotSent { after: After::Unchanged, .. }), "{first}");
    let again = detach(vec![ASK, At(700), Unsent("device_del")]).unwrap_err();
    assert!(matches!(again, Error::Unknown { .. }), "{again}");
    let close = detach(vec![ASK, GONE, Unsent("blockdev-del")]).unwrap_err();
    assert!(matches!(close, Error::NotSent { after: After::StillOpen, .. }), "{close}");
}

#[test]
fn what_was_there_for_the_disk_alone_goes_with_it() {
    let objects = r#"[{"name": "qplug.disk.data.secret", "type": "child<secret>"},
        {"name": "data.secret", "type": "child<secret>"},
        {"name": "qplug.disk.other.secret", "type": "child<secret>"}, {"name": "mine", "type": "child<iothread>"}]"#;
    let looks = vec![
        Answer("query-block", "", Ok(OURS)),
        NO_JOBS,
        NO_EXPORTS,
        Answer("qom-list", "/objects", Ok(objects)),
    ];
    let script = vec![ASK, GONE, CLOSE, Answer("object-del", "qplug.disk.data.secret", Ok("{}"))];
    assert_eq!(play_all([looks, script]).unwrap(), removed(false));
}

#[test]
fn a_mark_says_that_the_guest_was_asked_and_goes_when_it_has_let_go() {
    let marked = r#"[{"name": "qplug.disk.data.pending", "type": "child<throttle-group>"}]"#;
    let looks = vec![
        Answer("query-block", "", Ok(OURS)),
        NO_JOBS,
        NO_EXPORTS,
        Answer("qom-list", "/objects", Ok(marked)),
    ];
    // Before the nodes: alone, it would be taken for that of the next disk of this name.
    let script = vec![ASK, GONE, Answer("object-del", "qplug.disk.data.pending", Ok("{}")), CLOSE];
    assert_eq!(play_all([looks, script]).unwrap(), removed(false));
}

#[test]
fn what_a_crash_left_of_a_disk_goes_when_it_is_detached_again() {
    let objects = r#"[{"name": "qplug.disk.data.throttle", "type": "child<throttle-group>"}]"#;
    let looks = vec![
        Answer("query-block", "", Ok("[]")),
        NO_JOBS,
        NO_EXPORTS,
        Answer("qom-list", "/objects", Ok(objects)),
    ];
    let mut script = closer("[]");
    script.push(Answer("object-del", "qplug.disk.data.throttle", Ok("{}")));
    script.push(Answer("qom-list", "/machine/peripheral", Ok("[]")));
    assert_eq!(play_all([looks, script]).unwrap(), removed(true));
}

#[test]
fn a_node_that_is_only_called_as_ours_is_not_closed() {
    let nodes = r#"[{"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}]"#;
    let looks = vec![
        Answer("query-block", "", Ok("[]")),
        NO_JOBS,
        NO_EXPORTS,
        NO_OBJECTS,
        Answer("query-named-block-nodes", "", Ok(nodes)),
        Answer("query-fdsets", "", Ok("[]")),
        Answer("qom-list", "/machine/peripheral", Ok("[]")),
    ];
    let error = play_all([looks, vec![]]).unwrap_err();
    assert!(matches!(error, Error::NoSuchDisk { .. }), "{error}");
}

#[test]
fn many_are_asked_for_together_and_all_means_those_that_qplug_made() {
    let blocks = r#"[
        {"device": "", "qdev": "/machine/peripheral/a/virtio-backend", "inserted": {"node-name": "a.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}},
        {"device": "", "qdev": "/machine/peripheral/b/virtio-backend", "inserted": {"node-name": "b.format", "drv": "raw", "file": "/b", "ro": false, "image": {"virtual-size": 1}}},
        {"device": "", "qdev": "/machine/peripheral/x/virtio-backend", "inserted": {"node-name": "x", "drv": "raw", "file": "/x", "ro": false, "image": {"virtual-size": 1}}}]"#;
    let nodes = r#"[{"node-name": "b.format", "drv": "raw", "file": "/b", "ro": false, "image": {"virtual-size": 1}},
        {"node-name": "b.file", "drv": "file", "file": "/b", "ro": false, "image": {"virtual-size": 1}},
        {"node-name": "a.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}},
        {"node-name": "a.file", "drv": "file", "file": "/a", "ro": false, "image": {"virtual-size": 1}},
        {"node-name": "x", "drv": "raw", "file": "/x", "ro": false, "image": {"virtual-size": 1}}]"#;
    let script = vec![
        Answer("query-block", "", Ok(blocks)),
        NO_JOBS,
        NO_EXPORTS,
        NO_OBJECTS,
        Answer("query-named-block-nodes", "", Ok(nodes)),
        Answer("device_del", r#""id":"a""#, Ok("{}")),
        Answer("device_del", r#""id":"b""#, Ok("{}")),
        Event("DEVICE_DELETED", r#"{"device": "b"}"#),
        Answer("blockdev-del", "b.format", Ok("{}")),
        Event("DEVICE_DELETED", r#"{"device": "a"}"#),
        Answer("blockdev-del", "a.format", Ok("{}")),
    ];
    let outcomes = play(Detach::new(Which::All, Duration::from_secs(30)), script).unwrap();
    let names: Vec<_> = outcomes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(outcomes.iter().all(|(_, outcome)| outcome.as_ref().unwrap() == &removed(false)));
}

#[test]
fn a_controller_of_ours_goes_with_its_last_disk() {
    let blocks = r#"[{"device": "", "qdev": "/machine/peripheral/data", "inserted":
        {"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}}]"#;
    let devices = r#"[{"name": "data", "type": "child<scsi-hd>"}, {"name": "qplug.scsi.0", "type": "child<virtio-scsi-pci>"}]"#;
    let left = r#"[{"name": "qplug.scsi.0", "type": "child<virtio-scsi-pci>"}]"#;
    let gone = |device: &'static str| Event("DEVICE_DELETED", device);
    let looks = vec![Answer("query-block", "", Ok(blocks)), NO_JOBS, NO_EXPORTS, NO_OBJECTS];
    let script = vec![
        Answer("qom-list", "/machine/peripheral", Ok(devices)),
        ASK,
        GONE,
        CLOSE,
        Answer("qom-list", "/machine/peripheral", Ok(left)),
        Answer("qom-list", "/qplug.scsi.0.0", Ok("[]")),
        Answer("object-add", "qplug.scsi.0.pending", Ok("{}")),
        Answer("qom-list", "/qplug.scsi.0.0", Ok("[]")),
        Answer("device_del", "qplug.scsi.0", Ok("{}")),
        gone(r#"{"device": "qplug.scsi.0"}"#),
        Answer("object-del", "qplug.scsi.0.pending", Ok("{}")),
    ];
    assert_eq!(play_all([looks, script]).unwrap(), removed(false));
}

/// Another client plugs a disk in between the look and the mark: the controller stays, and the mark
/// goes, unless it is that of a third one.
#[test]
fn a_controller_that_gets_a_disk_before_it_is_marked_stays() {
    let blocks = r#"[{"device": "", "qdev": "/machine/peripheral/data", "inserted":
        {"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}}]"#;
    let devices = r#"[{"name": "data", "type": "child<scsi-hd>"}, {"name": "qplug.scsi.0", "type": "child<virtio-scsi-pci>"}]"#;
    let left = r#"[{"name": "qplug.scsi.0", "type": "child<virtio-scsi-pci>"}]"#;
    let used = r#"[{"name": "child[0]", "type": "link<scsi-hd>"}]"#;
    let script = |marked: Result<&'static str, &'static str>| {
        let mut script = vec![Answer("query-block", "", Ok(blocks)), NO_JOBS, NO_EXPORTS];
        script.extend([
            NO_OBJECTS,
            Answer("qom-list", "/machine/peripheral", Ok(devices)),
            ASK,
            GONE,
            CLOSE,
            Answer("qom-list", "/machine/peripheral", Ok(left)),
            Answer("qom-list", "/qplug.scsi.0.0", Ok("[]")),
            Answer("object-add", "qplug.scsi.0.pending", marked),
            Answer("qom-list", "/qplug.scsi.0.0", Ok(used)),
        ]);
        script
    };
    let mut ours = script(Ok("{}"));
    ours.push(Answer("object-del", "qplug.scsi.0.pending", Ok("{}")));
    assert_eq!(play_all([ours, Vec::new()]).unwrap(), removed(false));
    let exists = "attempt to add duplicate property 'qplug.scsi.0.pending' to object";
    assert_eq!(play_all([script(Err(exists)), Vec::new()]).unwrap(), removed(false));
}
