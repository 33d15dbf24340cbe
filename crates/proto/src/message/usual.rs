//! The very forms in which QEMU writes replies and events, read with less work than any other form
//! of the same JSON. Whatever differs by a byte is left to the general parser.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Message, Timestamp};

/// `{"return": …, "id": 7}`, with or without the id.
pub(super) fn reply(text: &str) -> Option<Message<'_>> {
    let inner = text.strip_prefix("{\"return\": ")?.strip_suffix('}')?;
    let before_digits = inner.trim_end_matches(|c: char| c.is_ascii_digit());
    let (payload, id) = match before_digits.strip_suffix(", \"id\": ") {
        Some(payload) if before_digits.len() < inner.len() => {
            (payload, Some(raw(&inner[before_digits.len()..])?))
        }
        _ => (inner, None),
    };
    // Fails where there is more between the two than one value.
    Some(Message::Reply { id, result: Ok(raw(payload)?) })
}

/// `{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "NAME", "data": {…}}`, with or without
/// the data.
pub(super) fn event(text: &str) -> Option<Message<'_>> {
    let rest = text.strip_prefix("{\"timestamp\": {\"seconds\": ")?.strip_suffix('}')?;
    let (seconds, rest) = rest.split_once(", \"microseconds\": ")?;
    let (microseconds, rest) = rest.split_once("}, \"event\": \"")?;
    let (name, rest) = rest.split_once('"')?;
    if !name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') {
        return None;
    }
    let data = match rest {
        "" => None,
        rest => Some(raw(rest.strip_prefix(", \"data\": ")?)?),
    };
    let timestamp =
        Timestamp { seconds: seconds.parse().ok()?, microseconds: microseconds.parse().ok()? };
    Some(Message::Event { name: Cow::Borrowed(name), data, timestamp: Some(timestamp) })
}

fn raw(text: &str) -> Option<&RawValue> {
    // A value with white space around it is not what QEMU writes.
    serde_json::from_str::<&RawValue>(text).ok().filter(|value| value.get().len() == text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_qemu_writes_is_read_here() {
        for text in [
            r#"{"return": {}}"#,
            r#"{"return": {"a": [1, "}"]}, "id": 12}"#,
            r#"{"return": "x, \"id\": 5"}"#,
            r#"{"return": {"x": 1, "id": 5}}"#,
            r#"{"return": 5, "id": 5}"#,
        ] {
            let Some(Message::Reply { id, result: Ok(payload) }) = reply(text) else {
                panic!("{text}")
            };
            let id = id.map(|id| format!(", \"id\": {id}")).unwrap_or_default();
            assert_eq!(format!("{{\"return\": {payload}{id}}}"), text);
        }
        let text = r#"{"timestamp": {"seconds": 1, "microseconds": -1}, "event": "A_B", "data": {"x": "}"}}"#;
        let Some(Message::Event { name, data, timestamp }) = event(text) else { panic!() };
        assert_eq!((&*name, data.map(RawValue::get)), ("A_B", Some(r#"{"x": "}"}"#)));
        assert_eq!(timestamp, Some(Timestamp { seconds: 1, microseconds: -1 }));
        assert!(
            event(r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#).is_some()
        );
    }

    #[test]
    fn any_other_form_is_left_alone() {
        for text in [
            r#"{"return": 1, "extra": 2, "id": 3}"#,
            r#"{"return": {}, "id": "x"}"#,
            r#"{"return": 01}"#,
            r#"{"return":{}}"#,
            r#"{"return": 1, "id": 01}"#,
            r#"{"return":  1}"#,
            r#"{"return": 1, "id": }"#,
        ] {
            assert!(reply(text).is_none(), "{text}");
        }
        for text in [
            r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "A\u0041"}"#,
            r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "A", "data": {}, "x": 1}"#,
            r#"{"timestamp": {"seconds": 1, "microseconds": 2, "x": 3}, "event": "A"}"#,
            r#"{"event": "A", "timestamp": {"seconds": 1, "microseconds": 2}}"#,
        ] {
            assert!(event(text).is_none(), "{text}");
        }
    }
}
