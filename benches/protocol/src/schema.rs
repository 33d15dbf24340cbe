//! A reply as large as QEMU's schema and shaped like it, and the types that decode it.

use serde::{Deserialize, Serialize};

/// As large as `query-qmp-schema` of QEMU 7.2.
const BYTES: usize = 207_000;

/// What an entry describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Meta {
    Builtin,
    Enum,
    Array,
    Object,
    Alternate,
    Command,
    Event,
}

/// An entry of the schema. What it describes comes last in QEMU's text, so members of all kinds are
/// decoded as they come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Entry {
    meta_type: Meta,
    name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    members: Vec<Member>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    variants: Vec<Variant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    json_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    element_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arg_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ret_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    allow_oob: Option<bool>,
}

/// A member of a record, a word of a choice, or one of several types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// `null` when the member may be absent; there are no other defaults yet.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional")]
    default: Option<()>,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
}

/// What a record has beside its members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Variant {
    case: String,
    #[serde(rename = "type")]
    kind: String,
}

/// Keeps `"default": null` apart from no default.
mod optional {
    use serde::{Deserialize, Deserializer, Serializer};

    // The signature is serde's.
    #[allow(clippy::ref_option)]
    pub(super) fn serialize<S: Serializer>(
        _: &Option<()>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<()>, D::Error> {
        <()>::deserialize(deserializer).map(Some)
    }
}

/// The reply as QEMU writes it: one line, with spaces behind colons and commas.
pub(crate) fn written() -> String {
    let mut text = "[".to_owned();
    for number in 0.. {
        let entry = entry(number);
        if text.len() + entry.len() > BYTES {
            break;
        }
        if number > 0 {
            text.push_str(", ");
        }
        text.push_str(&entry);
    }
    text.push(']');
    text
}

/// In QEMU 7.2 records are most of the text, and commands a fifth of the entries.
fn entry(number: u32) -> String {
    let listed = |count: u32, one: &dyn Fn(u32) -> String| {
        (0..count).map(one).collect::<Vec<_>>().join(", ")
    };
    let name = |entry: u32| format!("\"name\": \"{entry}\"");
    match number % 10 {
        0 => format!("{{{}, \"element-type\": \"str\", \"meta-type\": \"array\"}}", name(number)),
        1 | 2 => format!(
            "{{\"name\": \"block-command-{number}\", \"ret-type\": \"{}\", \"meta-type\": \"command\", \"arg-type\": \"{}\"}}",
            number + 1,
            number + 2
        ),
        3 => format!(
            "{{\"name\": \"EVENT_{number}\", \"meta-type\": \"event\", \"arg-type\": \"{}\"}}",
            number + 1
        ),
        4 => format!(
            "{{{}, \"members\": [{}], \"meta-type\": \"enum\", \"values\": [{}]}}",
            name(number),
            listed(6, &|word| format!("{{\"name\": \"value-{word}\"}}")),
            listed(6, &|word| format!("\"value-{word}\"")),
        ),
        5 => format!(
            "{{{}, \"members\": [{}], \"meta-type\": \"alternate\"}}",
            name(number),
            listed(2, &|choice| format!("{{\"type\": \"{}\"}}", number + choice)),
        ),
        6 => format!(
            "{{{}, \"tag\": \"driver\", \"variants\": [{}], \"members\": [{}], \"meta-type\": \"object\"}}",
            name(number),
            listed(5, &|case| format!(
                "{{\"case\": \"driver-{case}\", \"type\": \"{}\"}}",
                number + case
            )),
            listed(3, &|member| format!("{{\"name\": \"member-{member}\", \"type\": \"str\"}}")),
        ),
        _ => format!(
            "{{{}, \"members\": [{}], \"meta-type\": \"object\"}}",
            name(number),
            listed(6, &|member| {
                let default = if member % 2 == 0 { "" } else { "\"default\": null, " };
                format!("{{\"name\": \"member-{member}\", {default}\"type\": \"int\"}}")
            }),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reply_is_as_large_as_qemu_s_and_every_entry_decodes() {
        let text = written();
        assert!((BYTES - 1000..BYTES).contains(&text.len()), "{}", text.len());
        let entries: Vec<Entry> = serde_json::from_str(&text).expect("it decodes");
        let again = serde_json::to_value(&entries).expect("it encodes");
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(&text).expect("it is JSON"));
    }
}
