//! Conversations recorded from real QEMUs, replayed.
//!
//! Client: every line that was received (`<- `) is fed to it. A greeting begins a new client; the
//! first reply is that to the negotiation; for every other reply a command is given, and its id set
//! in the line, and what comes out must be that command's result, equal to what the line has in it.
//! Events must come out equal in name, data and time.
//!
//! Server: of 7.2 the lines that were sent (`-> `) of four conversations. What is about the
//! envelope it must answer by itself, and all answers must be equal to the recorded ones, whole line
//! by whole line. What a command returned is taken from the record.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod monitor;

use std::fs;
use std::path::{Path, PathBuf};

use qplug_proto::{Client, Dialect, ErrorReply, Incoming, ProtocolError, Timestamp};
use serde_json::value::RawValue;
use serde_json::{Value, json};

const VERSIONS: [&str; 5] = ["0.14.1", "1.2.2", "2.5.1", "2.9.1", "7.2"];

/// How many lines were received in all; fewer would mean that some are passed over.
const LEAST_LINES: usize = 2_000;

fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(version)
}

fn files(version: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(folder(version)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// A client that takes recorded lines.
struct Replay {
    client: Client,
    greeting: String,
    negotiated: bool,
}

impl Replay {
    fn new(greeting: &str) -> Self {
        let mut client = Client::new(Dialect::Qmp, None);
        client.handle_input(greeting.as_bytes()).unwrap();
        client.handle_input(b"\r\n").unwrap();
        let Some(Incoming::Greeting(seen)) = client.poll_incoming() else { panic!("{greeting}") };
        let line: Value = serde_json::from_str(greeting).unwrap();
        let version = &line["QMP"]["version"];
        assert_eq!(json!(seen.version.major), version["qemu"]["major"]);
        assert_eq!(json!(seen.version.minor), version["qemu"]["minor"]);
        assert_eq!(json!(seen.version.micro), version["qemu"]["micro"]);
        assert_eq!(json!(seen.package), version["package"]);
        assert_eq!(json!(seen.capabilities), line["QMP"]["capabilities"]);
        Self { client, greeting: greeting.to_owned(), negotiated: false }
    }

    fn feed(&mut self, line: &str) -> Result<(), ProtocolError> {
        self.client.handle_input(format!("{line}\r\n").as_bytes())
    }

    fn event(&mut self, text: &str, line: &Value) {
        self.feed(text).unwrap();
        let Some(Incoming::Event(event)) = self.client.poll_incoming() else { panic!("{text}") };
        assert_eq!(json!(event.name), line["event"]);
        let data =
            event.data.as_ref().map(|data| serde_json::from_str::<Value>(data.get()).unwrap());
        assert_eq!(data.as_ref(), line.get("data"), "{text}");
        let timestamp: Timestamp = serde_json::from_value(line["timestamp"].clone()).unwrap();
        assert_eq!(event.timestamp, Some(timestamp));
    }

    fn reply(&mut self, text: &str, mut line: Value) {
        if !self.negotiated {
            return self.negotiation(text, &line);
        }
        let id = self.client.execute("recorded", None::<&()>, None).unwrap();
        let sent = self.client.poll_transmit().to_vec();
        self.client.handle_transmitted(sent.len());
        let sent = sent.split(|byte| *byte == b'\n').rev().nth(1).unwrap().to_vec();
        let wire_id = serde_json::from_slice::<Value>(&sent).unwrap()["id"].take();
        let with_id = match line.as_object_mut().unwrap().remove("id") {
            // Ours in the place of the recorder's own.
            Some(_) => {
                line["id"] = wire_id;
                line.to_string()
            }
            None => format!("{}, \"id\": {wire_id}}}", text.strip_suffix('}').unwrap()),
        };
        self.feed(&with_id).unwrap();
        let incoming = self.client.poll_incoming();
        let Some(Incoming::Reply { id: got, result }) = incoming else { panic!("{text}") };
        assert_eq!(got, id);
        match result {
            Ok(value) => {
                assert_eq!(serde_json::from_str::<Value>(value.get()).unwrap(), line["return"]);
            }
            Err(error) => {
                assert_eq!(json!(error.class), line["error"]["class"]);
                assert_eq!(json!(error.desc), line["error"]["desc"]);
                let data =
                    error.data.map(|data| serde_json::from_str::<Value>(data.get()).unwrap());
                assert_eq!(data.as_ref(), line["error"].get("data"), "{text}");
            }
        }
    }

    /// The first reply: where the recorder had asked for something else, a client of ours that got
    /// this answer would have had its negotiation refused.
    fn negotiation(&mut self, text: &str, line: &Value) {
        let mut ours = line.clone();
        ours["id"] = json!(-1);
        match self.feed(&ours.to_string()) {
            Ok(()) => self.negotiated = true,
            Err(ProtocolError::Negotiation(error)) => {
                assert_eq!(json!(error.desc), line["error"]["desc"]);
                *self = Self::new(&self.greeting.clone());
            }
            Err(error) => panic!("{text}: {error}"),
        }
    }
}

#[test]
fn every_line_that_qemu_sent_is_understood() {
    let mut lines = 0;
    for file in VERSIONS.iter().flat_map(|version| files(version)) {
        let text = fs::read_to_string(&file).unwrap();
        let mut replay: Option<Replay> = None;
        for received in text.lines().filter_map(|line| line.strip_prefix("<- ")) {
            lines += 1;
            let Ok(line) = serde_json::from_str::<Value>(received) else {
                // Nested deeper than a `Value` may be, in an id that is none of ours. It passes for
                // being one line: 0.14.1 let ids be deeper than the framer's limit.
                assert!(received.ends_with("]}"), "{received}");
                replay.as_mut().unwrap().feed(received).unwrap();
                continue;
            };
            match (&mut replay, line.get("QMP"), line.get("event")) {
                (replay, Some(_), _) => *replay = Some(Replay::new(received)),
                (Some(replay), _, Some(_)) => replay.event(received, &line),
                (Some(replay), _, None) => replay.reply(received, line),
                (None, None, _) => panic!("{}: {received} before a greeting", file.display()),
            }
            if let Some(replay) = &mut replay {
                assert!(replay.client.poll_incoming().is_none(), "more came out of {received}");
            }
        }
    }
    assert!(lines > LEAST_LINES, "{lines} lines");
}

/// What was sent, and the replies that came to it.
fn exchanges(text: &str) -> Vec<(String, Vec<String>)> {
    let mut exchanges: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        if let Some(sent) = line.strip_prefix("-> ") {
            exchanges.push((sent.to_owned(), Vec::new()));
        } else if let (Some(received), Some((_, replies))) =
            (line.strip_prefix("<- "), exchanges.last_mut())
        {
            if !received.contains("\"event\": ") {
                replies.push(received.to_owned());
            }
        } else if let (false, Some((sent, replies))) = (line.starts_with('#'), exchanges.last_mut())
            && replies.is_empty()
        {
            sent.push_str(line);
        }
    }
    exchanges
}

/// The outcome of a command, taken from the record.
fn recorded(reply: &str) -> Result<Box<RawValue>, ErrorReply> {
    #[derive(serde::Deserialize)]
    struct Line {
        #[serde(rename = "return")]
        value: Option<Box<RawValue>>,
        error: Option<ErrorReply>,
    }
    let line: Line = serde_json::from_str(reply).unwrap();
    line.value.ok_or_else(|| line.error.unwrap())
}

#[test]
fn what_was_sent_to_qemu_7_2_is_answered_alike() {
    let mut by_itself = 0;
    for name in ["02-errors.txt", "07-connections.txt", "18-two-monitors.txt", "19-pretty.txt"] {
        let text = fs::read_to_string(folder("7.2").join(name)).unwrap();
        for connection in text.split("<- {\"QMP\"") {
            let mut server = monitor::server();
            server.poll_transmit();
            for (sent, mut replies) in exchanges(connection) {
                // A new client took over, and its greeting stood in a remark.
                if server.is_negotiated() && sent.contains("qmp_capabilities") {
                    continue;
                }
                server.handle_input(sent.as_bytes());
                server.handle_input(b"\n");
                let mut asked = 0;
                while let Some(request) = server.poll_request() {
                    let result = recorded(&replies[asked]);
                    let desc = result.as_ref().err().map(|error| error.desc.as_str());
                    let about = ["QMP input", "JSON parse", "Expecting capabilities"];
                    let is_about = |desc: &str| about.iter().any(|about| desc.starts_with(about));
                    assert!(!desc.is_some_and(is_about), "{sent} was taken for a command");
                    server.reply(request.id, result);
                    asked += 1;
                }
                by_itself += replies.len() - asked;
                let answers = monitor::lines(&server.poll_transmit().unwrap_or_default());
                // `quit`: the machine is gone before others are answered.
                replies.truncate(answers.len());
                assert_eq!(answers.len(), replies.len(), "{sent}");
                for (ours, theirs) in answers.iter().zip(&replies) {
                    assert!(monitor::agree(ours, theirs), "{sent}\n{theirs}\n{ours}");
                }
            }
        }
    }
    assert!(by_itself > 20, "{by_itself} were answered without the record");
}
