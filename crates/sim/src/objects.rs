//! Objects that are no devices: secrets, throttle groups, iothreads, credentials.

use qplug_proto::ErrorReply;
use serde_json::{Map, Value, json};

use crate::arguments::Arguments;
use crate::config::Version;
use crate::refusal::{Reply, generic, not_accepted};

/// The kinds that there are, each with its options.
const KINDS: &[(&str, &[&str])] = &[
    ("iothread", &["poll-max-ns", "poll-grow", "poll-shrink", "aio-max-batch"]),
    ("secret", &["data", "file", "format", "keyid", "iv"]),
    ("throttle-group", &["limits"]),
    ("tls-creds-anon", &["dir", "endpoint", "verify-peer", "priority"]),
    ("tls-creds-psk", &["dir", "endpoint", "verify-peer", "priority", "username"]),
    (
        "tls-creds-x509",
        &["dir", "endpoint", "verify-peer", "priority", "sanity-check", "passwordid"],
    ),
];

/// The first version that has an object of a kind, where it came later than `object-add`.
const LATER: &[(&str, Version)] = &[
    ("secret", Version::V2_9),
    ("throttle-group", Version::V7_2),
    ("tls-creds-psk", Version::V7_2),
];

/// The limits of a throttle group, in threes: the total, and what may not stand beside it.
const TOTALS: &[(&str, [&str; 2])] = &[
    ("bps-total", ["bps-read", "bps-write"]),
    ("iops-total", ["iops-read", "iops-write"]),
    ("bps-total-max", ["bps-read-max", "bps-write-max"]),
    ("iops-total-max", ["iops-read-max", "iops-write-max"]),
];

/// The objects of a machine, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Objects(Vec<Object>);

#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    pub(crate) properties: Map<String, Value>,
}

impl Objects {
    pub(crate) fn is_a(&self, id: &str, kind: &str) -> bool {
        self.0.iter().any(|object| object.id == id && object.kind == kind)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Object> {
        self.0.iter()
    }

    pub(crate) fn find_mut(&mut self, id: &str) -> Option<&mut Object> {
        self.0.iter_mut().find(|object| object.id == id)
    }

    /// `object-add`. Until 5.2 what an object is told is wrapped in `props`.
    pub(crate) fn add(&mut self, mut arguments: Arguments, version: Version) -> Reply {
        let kind = arguments.required_text("qom-type")?;
        let id = arguments.required_text("id")?;
        let is_wrapped = version < Version::V7_2;
        if is_wrapped {
            let props = arguments.object("props")?;
            arguments.finish()?;
            let members = props.map(Arguments::rest).unwrap_or_default();
            arguments = Arguments::nested(members, String::new());
        }
        let is_there = |kind: &str| {
            let since = LATER.iter().find(|(later, _)| *later == kind);
            since.is_none_or(|(_, since)| version >= *since)
        };
        let known = KINDS.iter().find(|(name, _)| *name == kind && is_there(name));
        let Some((kind, options)) = known else {
            return Err(match is_wrapped {
                true => generic(format!("invalid object type: {kind}")),
                false => not_accepted("qom-type", &kind),
            });
        };
        let mut properties = Map::new();
        for option in *options {
            if let Some(value) = arguments.any(option) {
                properties.insert((*option).to_owned(), value);
            }
        }
        arguments.finish()?;
        if !is_identifier(&id) {
            return Err(generic("Parameter 'id' expects an identifier"));
        }
        check(kind, &properties)?;
        if self.0.iter().any(|object| object.id == id) {
            return Err(generic(format!(
                "attempt to add duplicate property '{id}' to object (type 'container')"
            )));
        }
        self.0.push(Object { id, kind, properties });
        Ok(json!({}))
    }

    /// `object-del`, unless it is in use.
    pub(crate) fn delete(&mut self, id: &str, is_used: bool) -> Reply {
        let Some(at) = self.0.iter().position(|object| object.id == id) else {
            return Err(generic(format!("object '{id}' not found")));
        };
        if is_used && self.0[at].kind == "throttle-group" {
            return Err(generic(format!("object '{id}' is in use, can not be deleted")));
        }
        self.0.remove(at);
        Ok(json!({}))
    }
}

impl Object {
    /// Sets new limits of a throttle group.
    pub(crate) fn set_limits(&mut self, limits: Value) -> Result<(), ErrorReply> {
        check_limits(&limits)?;
        self.properties.insert("limits".to_owned(), limits);
        Ok(())
    }

    /// The limits of a throttle group, with all that are zero.
    pub(crate) fn limits(&self) -> Value {
        let mut shown = json!({"iops-size": 0});
        for (total, parts) in TOTALS {
            for name in [total, &parts[0], &parts[1]] {
                shown[*name] = json!(0);
                if name.ends_with("-max") {
                    shown[format!("{name}-length")] = json!(1);
                }
            }
        }
        let given = self.properties.get("limits").and_then(Value::as_object);
        for (name, value) in given.into_iter().flatten() {
            shown[name.as_str()] = value.clone();
        }
        shown
    }
}

/// What an id may be: a letter first, then letters, digits and `-._`.
pub(crate) fn is_identifier(id: &str) -> bool {
    id.starts_with(|c: char| c.is_ascii_alphabetic())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
}

fn check(kind: &str, properties: &Map<String, Value>) -> Result<(), ErrorReply> {
    let text = |name: &str| properties.get(name).and_then(Value::as_str);
    match kind {
        "secret" => match (text("data"), text("file")) {
            (None, None) => Err(generic("Either 'file' or 'data' must be provided")),
            (Some(_), Some(_)) => Err(generic("'file' and 'data' are mutually exclusive")),
            _ => Ok(()),
        },
        "throttle-group" => properties.get("limits").map_or(Ok(()), check_limits),
        _ => Ok(()),
    }
}

fn check_limits(limits: &Value) -> Result<(), ErrorReply> {
    let is_set = |name: &str| limits.get(name).and_then(Value::as_i64).is_some_and(|it| it != 0);
    let clash =
        TOTALS.iter().any(|(total, parts)| is_set(total) && parts.iter().any(|it| is_set(it)));
    if clash {
        return Err(generic(
            "bps/iops/max total values and read/write values cannot be used at the same time",
        ));
    }
    Ok(())
}
