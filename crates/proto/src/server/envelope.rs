//! What stands around a command, a reply and an event.

use std::fmt::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::lenient::Input;
use crate::message::{ErrorReply, Event, Greeting};

/// A message of the client's, as far as it is understood.
#[derive(Debug)]
pub(super) struct Envelope {
    /// The client's id, in strict JSON, echoed as it is.
    pub(super) id: Option<String>,
    /// The command's name, or what is wrong with the message.
    pub(super) command: Result<String, ErrorReply>,
    pub(super) arguments: Option<Box<RawValue>>,
    pub(super) out_of_band: bool,
}

impl Envelope {
    /// Reads a message the way QEMU's `qmp_dispatch_check_obj` does. An error of the parser has no
    /// id; one of the envelope has.
    pub(super) fn parse(input: Input, oob_enabled: bool) -> Result<Self, ErrorReply> {
        let text = input.map_err(|desc| ErrorReply::new("GenericError", desc))?;
        let Ok(members) = serde_json::from_str::<Members<'_>>(&text) else {
            return Err(ErrorReply::new("GenericError", "QMP input must be a JSON object"));
        };
        let mut envelope =
            Self { id: None, command: Ok(String::new()), arguments: None, out_of_band: false };
        let mut named: Option<(String, String)> = None;
        let mut wrong: Option<String> = None;
        for (key, value) in members.0 {
            let complaint = match key.as_str() {
                "id" => {
                    envelope.id = Some(value.get().to_owned());
                    None
                }
                "exec-oob" if !oob_enabled => {
                    Some(format!("QMP input member '{key}' is unexpected"))
                }
                "execute" | "exec-oob" => match (&named, serde_json::from_str(value.get())) {
                    (Some((other, _)), _) => {
                        Some(format!("QMP input member '{other}' clashes with '{key}'"))
                    }
                    (None, Err(_)) => Some(format!("QMP input member '{key}' must be a string")),
                    (None, Ok(command)) => {
                        envelope.out_of_band = key == "exec-oob";
                        named = Some((key, command));
                        None
                    }
                },
                "arguments" if !value.get().starts_with('{') => {
                    Some(format!("QMP input member '{key}' must be an object"))
                }
                "arguments" => {
                    envelope.arguments = Some(value.to_owned());
                    None
                }
                _ => Some(format!("QMP input member '{key}' is unexpected")),
            };
            wrong = wrong.or(complaint);
        }
        envelope.command = match (wrong, named) {
            (Some(text), _) => Err(ErrorReply::new("GenericError", text)),
            (None, Some((_, command))) => Ok(command),
            (None, None) => {
                Err(ErrorReply::new("GenericError", "QMP input lacks member 'execute'"))
            }
        };
        Ok(envelope)
    }
}

/// The members of an object, in their order and unparsed.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// The capabilities that a negotiation enables.
pub(super) fn enabled(arguments: Option<&RawValue>) -> Result<Vec<String>, ErrorReply> {
    #[derive(Deserialize)]
    struct Arguments {
        #[serde(default)]
        enable: Vec<String>,
    }
    let Some(arguments) = arguments else { return Ok(Vec::new()) };
    let members: Members<'_> = serde_json::from_str(arguments.get()).unwrap_or(Members(Vec::new()));
    if let Some((other, _)) = members.0.iter().find(|(key, _)| key != "enable") {
        let text = format!("Parameter '{other}' is unexpected");
        return Err(ErrorReply::new("GenericError", text));
    }
    serde_json::from_str::<Arguments>(arguments.get()).map(|arguments| arguments.enable).map_err(
        |_| ErrorReply::new("GenericError", "Invalid parameter type for 'enable', expected: array"),
    )
}

pub(super) fn greeting(greeting: &Greeting) -> String {
    let version = &greeting.version;
    let capabilities: Vec<String> = greeting.capabilities.iter().map(|name| string(name)).collect();
    format!(
        "{{\"QMP\": {{\"version\": {{\"qemu\": {{\"micro\": {}, \"minor\": {}, \"major\": {}}}, \
         \"package\": {}}}, \"capabilities\": [{}]}}}}",
        version.micro,
        version.minor,
        version.major,
        string(&greeting.package),
        capabilities.join(", ")
    )
}

/// QEMU puts the id last in a reply, and first in an error.
pub(super) fn reply(id: Option<&str>, result: &Result<Box<RawValue>, ErrorReply>) -> String {
    match (result, id) {
        (Ok(value), None) => format!("{{\"return\": {value}}}"),
        (Ok(value), Some(id)) => format!("{{\"return\": {value}, \"id\": {id}}}"),
        (Err(error), id) => {
            let id = id.map(|id| format!("\"id\": {id}, ")).unwrap_or_default();
            let (class, desc) = (string(&error.class), string(&error.desc));
            format!("{{{id}\"error\": {{\"class\": {class}, \"desc\": {desc}}}}}")
        }
    }
}

pub(super) fn event(event: &Event) -> String {
    let mut text = String::from("{");
    if let Some(time) = event.timestamp {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\"timestamp\": {{\"seconds\": {}, \"microseconds\": {}}}, ",
            time.seconds, time.microseconds
        );
    }
    let _ = write!(text, "\"event\": {}", string(&event.name));
    if let Some(data) = &event.data {
        let _ = write!(text, ", \"data\": {data}");
    }
    text.push('}');
    text
}

/// What a command returns that returns nothing.
pub(super) fn empty() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).expect("an empty object is JSON")
}

/// A JSON string in ASCII, as QEMU writes all it sends.
fn string(text: &str) -> String {
    crate::lenient::quote(text)
}
