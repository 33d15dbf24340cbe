//! The same bytes said to QEMU's monitor and to [`Server`], and what both answer.
#![allow(dead_code, unused_imports, reason = "each of the tests uses a part of it")]

pub(crate) mod cases;
pub(crate) mod fixture;

use std::time::Instant;

use qplug_proto::{ErrorReply, Greeting, QemuVersion, Request, Server};
use serde_json::value::RawValue;

pub(crate) use cases::{Case, cases};

/// What was said before the case's own bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Nothing: no negotiation.
    Fresh,
    /// A negotiation that enables nothing.
    Ready,
    /// A negotiation that enables out-of-band commands.
    Oob,
}

impl Start {
    /// Its name in a fixture.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Ready => "ready",
            Self::Oob => "oob",
        }
    }

    /// What is sent to get there.
    pub(crate) fn bytes(self) -> &'static [u8] {
        match self {
            Self::Fresh => b"",
            Self::Ready => b"{\"execute\":\"qmp_capabilities\"}",
            Self::Oob => b"{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}",
        }
    }
}

/// What ends a case: a byte that ends whatever is half said, and a command whose reply is the last.
pub(crate) const END: &[u8] = b"\xff\n{\"execute\":\"query-name\",\"id\":\"the end\"}";

/// What the testbed's machines answer to `query-yank`.
const CHARDEVS: &str = r#"[{"type": "chardev", "id": "guest"}, {"type": "chardev", "id": "qmp"}, {"type": "chardev", "id": "oracle"}]"#;

/// What the reply to [`END`]'s command has in it.
pub(crate) const END_MARK: &str = "\"id\": \"the end\"";

/// The answer to [`END`]'s byte where nothing was half said.
const NOTHING_HALF_SAID: &str =
    r#"{"error": {"class": "GenericError", "desc": "JSON parse error, stray '\uFFFD'"}}"#;

/// Leaves the answers to the case's own bytes.
pub(crate) fn without_end(mut lines: Vec<String>) -> Vec<String> {
    assert!(lines.pop().unwrap().contains(END_MARK));
    if lines.last().is_some_and(|line| line == NOTHING_HALF_SAID) {
        lines.pop();
    }
    lines
}

/// A server that greets as QEMU 7.2 does.
pub(crate) fn server() -> Server {
    Server::new(Greeting {
        version: QemuVersion { major: 7, minor: 2, micro: 22 },
        package: String::new(),
        capabilities: vec!["oob".to_owned()],
    })
}

/// What our server answers when the bytes come in pieces of `piece`.
pub(crate) fn answers(case: &Case, piece: usize) -> Vec<String> {
    let mut server = server();
    let mut output = server.poll_transmit().unwrap();
    output.clear();
    for bytes in [case.start.bytes(), &case.input, END].concat().chunks(piece) {
        server.handle_input(bytes);
        work(&mut server);
        output.extend(server.poll_transmit().unwrap_or_default());
    }
    let mut lines = lines(&output);
    if case.start != Start::Fresh {
        assert_eq!(lines.remove(0), "{\"return\": {}}", "the negotiation");
    }
    without_end(lines)
}

/// Carries out what was asked.
pub(crate) fn work(server: &mut Server) {
    while let Some(request) = server.poll_request() {
        let result = handle(&request);
        server.reply(request.id, result);
    }
    assert!(server.poll_timeout().is_none_or(|due| due > Instant::now()));
}

/// The few commands that the cases use.
fn handle(request: &Request) -> Result<Box<RawValue>, ErrorReply> {
    let value = match request.command.as_str() {
        "query-name" | "query-yank" => request.command.as_str(),
        other => return Err(ErrorReply::not_found(other)),
    };
    if request.out_of_band && value != "query-yank" {
        return Err(ErrorReply::no_oob(value));
    }
    if let Some(arguments) = &request.arguments {
        let members: std::collections::BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(arguments.get()).unwrap();
        if let Some(name) = members.keys().next() {
            let text = format!("Parameter '{name}' is unexpected");
            return Err(ErrorReply::new("GenericError", text));
        }
    }
    let value = if value == "query-yank" { CHARDEVS } else { "{}" };
    Ok(RawValue::from_string(value.to_owned()).unwrap())
}

/// Whole lines, without their ends.
pub(crate) fn lines(output: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(output).unwrap();
    assert!(text.is_empty() || text.ends_with("\r\n"), "{text}");
    assert!(text.is_ascii(), "{text}");
    text.split_terminator("\r\n").map(ToOwned::to_owned).collect()
}

/// Ids that our server gives back as they came, while QEMU reads them and prints what it read.
const REPRINTED: [(&str, &str); 3] = [
    ("\"id\": -0}", "\"id\": 0}"),
    ("\"id\": 1e400}", "\"id\": inf}"),
    ("\"id\": 1e3}", "\"id\": 1000}"),
];

/// Equal as text, but for ids: QEMU puts white space into them, orders their members by its hash
/// table, and prints `1.50` as `1.5`.
pub(crate) fn agree(ours: &str, theirs: &str) -> bool {
    let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok();
    let reprinted = |(came, goes): &(&str, &str)| ours.replace(came, goes) == theirs;
    let parsed = |line: &str| parse(line).filter(|line| line.get("id").is_some());
    ours == theirs
        || REPRINTED.iter().any(reprinted)
        || parsed(ours).is_some_and(|ours| Some(ours) == parsed(theirs))
}
