//! Conversations that `qplug --trace` wrote down on real machines (`tests/traces`), replayed: the
//! operations send again what was sent then, and come to the same outcome.
//!
//! `QPLUG_RECORD=1 cargo test -p qplug --test real trace` records them anew.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use qplug_hotplug::{Answer, Attach, Detach, Detached, Disk, DiskName, Format, Operation, Which};
use qplug_qmp::{ErrorReply, Event};
use serde_json::value::RawValue;
use serde_json::{Value, json};

fn traces(suffix: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.to_str().unwrap().ends_with(suffix)).collect();
    files.sort();
    assert!(!files.is_empty(), "no trace ends in {suffix}");
    files
}

/// Plays an operation against a transcript, to its outcome.
fn replay<O: Operation>(mut operation: O, file: &Path) -> O::Outcome {
    let now = Instant::now();
    for line in fs::read_to_string(file).unwrap().lines() {
        let (sign, text) = line.split_once(' ').unwrap();
        let Ok(message) = serde_json::from_str::<Value>(text) else { continue };
        let is_negotiation = message["id"] == -1;
        match sign {
            "->" if !is_negotiation => {
                let command = operation.poll_transmit();
                let command =
                    command.unwrap_or_else(|| panic!("{}: not sent: {line}", file.display()));
                let mut sent = json!(command);
                sent["id"] = message["id"].clone();
                assert_eq!(sent, message, "{}", file.display());
            }
            "<-" if message.get("event").is_some() => {
                let data = message
                    .get("data")
                    .map(|data| RawValue::from_string(data.to_string()).unwrap());
                let name = message["event"].as_str().unwrap().to_owned();
                operation.handle_event(&Event { name, data, timestamp: None }, now);
            }
            "<-" if message.get("QMP").is_none() && !is_negotiation => {
                operation.handle_answer(answer(&message), now);
            }
            _ => {}
        }
    }
    assert_eq!(operation.poll_transmit(), None, "{}: a command too many", file.display());
    operation.poll_outcome().unwrap_or_else(|| panic!("{}: no outcome", file.display()))
}

fn answer(message: &Value) -> Answer {
    match message.get("return") {
        Some(value) => Answer::Returned(RawValue::from_string(value.to_string()).unwrap()),
        None => {
            let text = |member: &str| message["error"][member].as_str().unwrap();
            Answer::Refused(ErrorReply::new(text("class"), text("desc")))
        }
    }
}

#[test]
fn an_attach_sends_again_what_it_sent_then() {
    for file in traces("-attach.txt") {
        let disk = Disk::named("data").unwrap().format(Some(Format::raw()));
        let disk = disk.remote_image("/images/data.raw").unwrap();
        let outcomes = replay(Attach::new(vec![disk]), &file);
        let attached = outcomes[0].as_ref().unwrap();
        assert_eq!((attached.name.as_str(), attached.already), ("data", false));
        assert!(attached.port.is_some(), "{attached:?}");
    }
}

#[test]
fn a_detach_sends_again_what_it_sent_then() {
    for file in traces("-detach.txt") {
        let name = DiskName::new("data").unwrap();
        let detach = Detach::new(Which::Named(vec![name]), Duration::from_secs(30));
        let outcomes = replay(detach, &file).unwrap();
        assert!(matches!(outcomes[0].1, Ok(Detached::Removed { was_gone: false })), "{outcomes:?}");
    }
}
