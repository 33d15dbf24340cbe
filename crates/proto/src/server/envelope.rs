//! What stands around a command, a reply and an event.

use std::collections::HashSet;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::generation::{Fault, Generation};
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
    /// id; one of the envelope has, since 2.9.
    pub(super) fn parse(
        input: Input,
        oob_enabled: bool,
        generation: Generation,
    ) -> Result<Self, ErrorReply> {
        let generic = |text: String| ErrorReply::new("GenericError", text);
        let text = input.map_err(generic)?;
        let Ok(members) = serde_json::from_str::<Members<'_>>(&text) else {
            return Err(generic(generation.words(Fault::NoObject)));
        };
        let mut envelope =
            Self { id: None, command: Ok(String::new()), arguments: None, out_of_band: false };
        let mut named: Option<(String, String)> = None;
        let mut wrong: Option<String> = None;
        for (key, value) in in_qemus_order(members.0) {
            let fault = |fault| Some(generation.words(fault));
            let complaint = match key.as_str() {
                "id" => {
                    envelope.id = Some(value.get().to_owned());
                    None
                }
                "exec-oob" if !oob_enabled => fault(Fault::Unexpected(&key)),
                "execute" | "exec-oob" => match (serde_json::from_str(value.get()), &named) {
                    (Err(_), _) => fault(Fault::Type(&key, "string")),
                    (Ok(_), Some((other, _))) => {
                        Some(format!("QMP input member '{key}' clashes with '{other}'"))
                    }
                    (Ok(command), None) => {
                        envelope.out_of_band = key == "exec-oob";
                        named = Some((key, command));
                        None
                    }
                },
                "arguments" if !value.get().starts_with('{') => fault(Fault::Type(&key, "object")),
                "arguments" => {
                    envelope.arguments = Some(value.to_owned());
                    None
                }
                _ => fault(Fault::Unexpected(&key)),
            };
            wrong = wrong.or(complaint);
        }
        envelope.command = match (wrong, named) {
            (Some(text), _) => Err(generic(text)),
            (None, Some((_, command))) => Ok(command),
            (None, None) => Err(generic(generation.words(Fault::NoCommand))),
        };
        if envelope.command.is_err() && generation < Generation::V2_9 {
            envelope.id = None;
        }
        Ok(envelope)
    }
}

/// Of several mistakes QEMU names the one that it meets first, and it meets members in the order of
/// its hash table: 512 buckets, the member that came last at the head of its bucket.
fn in_qemus_order<T>(mut members: Vec<(String, T)>) -> Vec<(String, T)> {
    const BUCKETS: u32 = 512;
    let bucket = |key: &str| {
        let seed = 0x238f_13af_u32.wrapping_mul(u32::try_from(key.len()).unwrap_or(u32::MAX));
        let sum = key
            .bytes()
            .enumerate()
            .fold(seed, |sum, (at, byte)| sum.wrapping_add(u32::from(byte) << (at % 24 * 5 % 24)));
        sum.wrapping_mul(1_103_515_243).wrapping_add(12_345) % BUCKETS
    };
    members.reverse();
    // Where a key may come twice, as it may before 7.2, its last value counts.
    let mut seen = HashSet::new();
    members.retain(|(key, _)| seen.insert(key.clone()));
    members.sort_by_key(|(key, _)| bucket(key));
    members
}

/// The members of an object, in their order and unparsed.
pub(super) struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Those of an object; anything else has none.
    pub(super) fn of(object: &'a RawValue) -> Vec<(String, &'a RawValue)> {
        serde_json::from_str::<Self>(object.get()).map(|members| members.0).unwrap_or_default()
    }
}

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

/// The capabilities that a negotiation enables: `oob` is the only one there is, and before it the
/// command had no arguments.
pub(super) fn enabled(
    arguments: Option<&RawValue>,
    generation: Generation,
) -> Result<Vec<String>, ErrorReply> {
    let generic = |text: String| Err(ErrorReply::new("GenericError", text));
    let Some(arguments) = arguments else { return Ok(Vec::new()) };
    let members = Members::of(arguments);
    if let Some((name, _)) = members.first().filter(|_| generation < Generation::V7_2) {
        return generic(generation.unexpected_argument(name));
    }
    let mut names = Vec::new();
    if let Some((_, value)) = members.iter().find(|(key, _)| key == "enable") {
        let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
            return generic("Invalid parameter type for 'enable', expected: array".to_owned());
        };
        for (at, element) in elements.iter().enumerate() {
            match serde_json::from_str::<String>(element.get()) {
                Err(_) => {
                    let text = "Invalid parameter type for";
                    return generic(format!("{text} 'enable[{at}]', expected: string"));
                }
                // 'null' is what QEMU calls an element of a list here.
                Ok(name) if name != "oob" => {
                    return generic(format!("Parameter 'null' does not accept value '{name}'"));
                }
                Ok(name) => names.push(name),
            }
        }
    }
    match members.iter().find(|(key, _)| key != "enable") {
        Some((other, _)) => generic(format!("Parameter '{other}' is unexpected")),
        None => Ok(names),
    }
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
            let data = error.data.as_ref().map(|data| format!(", \"data\": {data}"));
            let data = data.unwrap_or_default();
            format!("{{{id}\"error\": {{\"class\": {class}, \"desc\": {desc}{data}}}}}")
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
