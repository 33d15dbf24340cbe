//! What a message means: greeting, reply, error or event.

mod usual;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The version that a QEMU names in its greeting and in `query-version`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct QemuVersion {
    /// Major number: the 7 of 7.2.22.
    pub major: u32,
    /// Minor number: the 2 of 7.2.22.
    pub minor: u32,
    /// Micro number: the 22 of 7.2.22.
    pub micro: u32,
}

impl fmt::Display for QemuVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// The first message of a QMP server (QEMU's `docs/interop/qmp-spec.rst`, 'Server Greeting').
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Greeting {
    /// The version of the QEMU at the other end.
    pub version: QemuVersion,
    /// The vendor's text about the build; often empty.
    pub package: String,
    /// Capabilities that may be enabled at negotiation: `oob` from QEMU 3.0 on, none before.
    pub capabilities: Vec<String>,
}

/// An error reply: QEMU understood the command, and refused.
#[derive(Debug, Clone, Deserialize, thiserror::Error)]
#[error("{class}: {desc}")]
pub struct ErrorReply {
    /// The error class. Seven are in use since QEMU 1.2, about 45 before; any text is accepted.
    pub class: String,
    /// A sentence for people. Different failures share the class `GenericError`, so some callers
    /// have no choice but to look at this text.
    pub desc: String,
    /// What the refusal is about, an object as QEMU wrote it, unparsed: the device, the parameter
    /// or the file. QEMU before 1.2 sends it with every error (recorded from 0.14.1), and no newer
    /// one does.
    #[serde(default)]
    pub data: Option<Box<RawValue>>,
}

/// The data of two refusals are the same when they are so byte for byte.
impl PartialEq for ErrorReply {
    fn eq(&self, other: &Self) -> bool {
        let data = self.data.as_deref().map(RawValue::get);
        self.class == other.class
            && self.desc == other.desc
            && data == other.data.as_deref().map(RawValue::get)
    }
}

impl Eq for ErrorReply {}

impl ErrorReply {
    /// A refusal, with no data, as QEMU sends it since 1.2.
    pub fn new(class: &str, desc: impl Into<String>) -> Self {
        Self { class: class.to_owned(), desc: desc.into(), data: None }
    }

    /// The same refusal with the data that QEMU sent before 1.2.
    #[must_use]
    pub fn with_data(self, data: Box<RawValue>) -> Self {
        Self { data: Some(data), ..self }
    }

    /// What QEMU says to a command that it does not have.
    #[must_use]
    pub fn not_found(command: &str) -> Self {
        Self::new("CommandNotFound", format!("The command {command} has not been found"))
    }

    /// What QEMU says to a command that cannot run out of band.
    #[must_use]
    pub fn no_oob(command: &str) -> Self {
        Self::new("GenericError", format!("The command {command} does not support OOB"))
    }
}

/// When QEMU's host saw an event happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct Timestamp {
    /// Seconds since 1970 by the host's clock; -1 when that clock could not be read.
    pub seconds: i64,
    /// Microseconds within the second; -1 when the clock could not be read.
    pub microseconds: i64,
}

/// An asynchronous event. Unknown names are ordinary: a newer QEMU has newer events.
#[derive(Debug, Clone)]
pub struct Event {
    /// The event's name, such as `DEVICE_DELETED`.
    pub name: String,
    /// The event's data as QEMU wrote it, unparsed; absent for events without data.
    pub data: Option<Box<RawValue>>,
    /// When it happened.
    pub timestamp: Option<Timestamp>,
}

/// A message from a QMP server, borrowed from its bytes: nothing that nobody asks for is parsed or
/// copied.
#[derive(Debug)]
pub enum Message<'a> {
    /// The greeting, once, first.
    Greeting(Greeting),
    /// The answer to a command.
    Reply {
        /// The command's id, in JSON. Absent when the server could not parse what it was sent.
        id: Option<&'a str>,
        /// What the command returned, unparsed, or why the server refused it.
        result: Result<&'a RawValue, ErrorReply>,
    },
    /// An event, at any time.
    Event {
        /// Its name.
        name: Cow<'a, str>,
        /// Its data, unparsed.
        data: Option<&'a RawValue>,
        /// When it happened.
        timestamp: Option<Timestamp>,
    },
}

impl<'a> Message<'a> {
    /// Parses one frame.
    ///
    /// # Errors
    /// When the frame is not JSON, or is an object that no QMP server sends.
    pub fn parse(frame: &'a [u8]) -> Result<Self, serde_json::Error> {
        // Checked once here, and not again for each part.
        let Ok(text) = std::str::from_utf8(frame) else {
            let text = "not UTF-8";
            return Err(<serde_json::Error as serde::de::Error>::custom(text));
        };
        if let Some(message) = usual::reply(text).or_else(|| usual::event(text)) {
            return Ok(message);
        }
        let wire: Wire<'a> = serde_json::from_str(text)?;
        if let Some(name) = wire.event {
            return Ok(Self::Event { name, data: wire.data, timestamp: wire.timestamp });
        }
        if let Some(payload) = wire.payload {
            return Ok(Self::Reply { id: wire.id.map(RawValue::get), result: Ok(payload) });
        }
        if let Some(error) = wire.error {
            return Ok(Self::Reply { id: wire.id.map(RawValue::get), result: Err(error) });
        }
        if let Some(WireGreeting { version, capabilities }) = wire.greeting {
            return Ok(Self::Greeting(Greeting {
                version: version.qemu,
                package: version.package,
                capabilities,
            }));
        }
        let text = "neither a greeting, a reply nor an event";
        Err(<serde_json::Error as serde::de::Error>::custom(text))
    }
}

/// Replaces the bare words `inf` and `nan`, which QEMU writes for numbers that JSON cannot have, by
/// `null`. `None` when there are none, and the frame is broken in another way.
pub(crate) fn without_bare_numbers(frame: &[u8]) -> Option<Vec<u8>> {
    let mut mended = Vec::with_capacity(frame.len() + 4);
    let (mut in_string, mut escaped, mut found) = (false, false, false);
    let mut at = 0;
    while let Some(&byte) = frame.get(at) {
        let rest = &frame[at..];
        let word = ["-inf", "-nan", "inf", "nan"].iter().find(|w| rest.starts_with(w.as_bytes()));
        if let (false, Some(word)) = (in_string, word) {
            mended.extend_from_slice(b"null");
            at += word.len();
            found = true;
            continue;
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
        mended.push(byte);
        at += 1;
    }
    found.then_some(mended)
}

/// The members that tell the kinds of message apart; all others are ignored.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "QMP")]
    greeting: Option<WireGreeting>,
    #[serde(borrow, rename = "return", default, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    error: Option<ErrorReply>,
    #[serde(borrow)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    timestamp: Option<Timestamp>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireGreeting {
    version: WireVersion,
    capabilities: Vec<String>,
}

#[derive(Deserialize)]
struct WireVersion {
    qemu: QemuVersion,
    #[serde(default)]
    package: String,
}

/// Keeps `"return": null` apart from no `return` at all.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Message<'_> {
        Message::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_greetings_of_old_and_new_qemus() {
        for (text, version, package) in [
            (
                r#"{"QMP": {"version": {"qemu": {"micro": 1, "minor": 14, "major": 0}, "package": ""}, "capabilities": []}}"#,
                "0.14.1",
                "",
            ),
            (
                r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": "Debian"}, "capabilities": ["oob"]}}"#,
                "10.0.2",
                "Debian",
            ),
        ] {
            let Message::Greeting(greeting) = parse(text) else { panic!("{text}") };
            assert_eq!(greeting.version.to_string(), version);
            assert_eq!(greeting.package, package);
        }
    }

    #[test]
    fn replies_keep_payload_and_id_as_they_came() {
        let Message::Reply { id, result } = parse(r#"{"return": {"a":  1.50}, "id": [7]}"#) else {
            panic!()
        };
        assert_eq!(id, Some("[7]"));
        assert_eq!(result.unwrap().get(), r#"{"a":  1.50}"#);
        let Message::Reply { result, .. } = parse(r#"{"return": null}"#) else { panic!() };
        assert_eq!(result.unwrap().get(), "null");
    }

    #[test]
    fn errors_of_before_1_2_carry_data_which_is_kept() {
        let text = r#"{"error": {"class": "DeviceNotFound", "desc": "Device 'x' not found", "data": {"device": "x"}}}"#;
        let Message::Reply { id: None, result: Err(error) } = parse(text) else { panic!() };
        assert_eq!(error.to_string(), "DeviceNotFound: Device 'x' not found");
        assert_eq!(error.data.as_deref().map(RawValue::get), Some(r#"{"device": "x"}"#));
        let bare = ErrorReply::new("DeviceNotFound", "Device 'x' not found");
        assert_ne!(error, bare);
        assert_eq!(error, bare.with_data(error.data.clone().unwrap()));
    }

    #[test]
    fn errors_since_1_2_carry_none() {
        let text = r#"{"id": 3, "error": {"class": "GenericError", "desc": "no"}}"#;
        let Message::Reply { id: Some("3"), result: Err(error) } = parse(text) else { panic!() };
        assert_eq!(error, ErrorReply::new("GenericError", "no"));
    }

    #[test]
    fn an_event_with_a_name_nobody_knows_is_an_event() {
        let text = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "NEW\u0041", "data": {"x": 1}, "extra": 0}"#;
        let Message::Event { name, data, timestamp } = parse(text) else { panic!() };
        assert_eq!(name, "NEWA");
        assert_eq!(data.unwrap().get(), r#"{"x": 1}"#);
        assert_eq!(timestamp, Some(Timestamp { seconds: 1, microseconds: 2 }));
    }

    #[test]
    fn an_object_that_no_qmp_server_sends_is_refused() {
        for text in ["{}", r#"{"id": 1}"#, r#"{"QMP": 1}"#, r#"{"return": }"#] {
            assert!(Message::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_that_json_cannot_have_become_null() {
        let mended = |text: &str| without_bare_numbers(text.as_bytes());
        let text =
            r#"{"return": {"a": inf, "b": [-inf, nan, -nan], "c": "inf \" nan"}, "id": inf}"#;
        let expected =
            r#"{"return": {"a": null, "b": [null, null, null], "c": "inf \" nan"}, "id": null}"#;
        assert_eq!(mended(text).as_deref(), Some(expected.as_bytes()));
        assert_eq!(mended(r#"{"return": {"info": "inf"}}"#), None);
    }
}
