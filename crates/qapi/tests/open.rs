//! What a newer QEMU says, and what an older one does not, breaks nothing.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use qplug_qapi::wire::{Object, Wire};
use qplug_qapi::*;
use serde_json::json;

#[test]
fn words_that_are_not_known_keep_their_text() {
    let value = json!({"status": "levitating", "running": true, "since": "yesterday"});
    let status = StatusInfo::read(value).unwrap();
    assert_eq!(status.status, RunState::Other("levitating".to_owned()));
    // 5.2 has it, 10.0 has not; and what is not known at all is passed over.
    assert_eq!(status.singlestep, None);
    assert_eq!(status.write(), json!({"status": "levitating", "running": true}));
    assert_eq!(RunState::from("paused"), RunState::Paused);
}

#[test]
fn variants_that_are_not_known_keep_all_they_have() {
    let value = json!({"driver": "quantum", "node-name": "n", "qubits": [1, 2]});
    let options = BlockdevOptions::read(value.clone()).unwrap();
    assert_eq!(options.driver.name(), "quantum");
    assert_eq!(options.node_name.as_deref(), Some("n"));
    assert_eq!(options.write(), value);
}

#[test]
fn events_that_are_not_known_keep_their_data() {
    let data: Object = serde_json::from_value(json!({"depth": 5})).unwrap();
    let event = Event::read("SUNK", data.clone()).unwrap();
    assert_eq!((event.name(), event.data()), ("SUNK", data));
}

#[test]
fn choices_are_told_apart_by_what_they_look_like() {
    let read = |value| BlockdevRefOrNull::read(value).unwrap();
    assert_eq!(read(json!(null)), BlockdevRefOrNull::Null);
    assert_eq!(read(json!("node")), BlockdevRefOrNull::Text("node".to_owned()));
    assert_eq!(read(json!(5)), BlockdevRefOrNull::Other(json!(5)));
    assert!(matches!(read(json!({"driver": "null-co"})), BlockdevRefOrNull::Object(_)));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let wrong = json!([{"device": "", "locked": "no", "removable": true, "type": ""}]);
    let error = Vec::<BlockInfo>::read(wrong).unwrap_err().to_string();
    assert_eq!(error, "0.locked: true or false was expected, not \"no\"");
    let error = DeviceDel::read(json!({})).unwrap_err().to_string();
    assert_eq!(error, "id: a value was expected, not nothing");
}

#[test]
fn what_is_left_out_is_not_sent_and_serde_says_the_same() {
    let commit = BlockCommit { speed: Some(5.into()), ..BlockCommit::new("d") };
    let value = json!({"device": "d", "speed": 5});
    assert_eq!(commit.write(), value);
    assert_eq!(serde_json::to_value(&commit).unwrap(), value);
    assert_eq!(serde_json::from_value::<BlockCommit>(value).unwrap(), commit);
    let mut properties = Object::new();
    properties.insert("serial".to_owned(), json!("s"));
    let device = DeviceAdd { properties, ..DeviceAdd::new("virtio-blk-pci") };
    assert_eq!(device.write(), json!({"driver": "virtio-blk-pci", "serial": "s"}));
    assert_eq!(DeviceAdd::read(device.write()).unwrap(), device);
}
