//! The very forms in which QEMU writes replies and events, read with less work than any other form
//! of the same JSON: fixed text, numbers, and one value that is left to the parser. Whatever differs
//! by a byte is not decided here.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Message, Timestamp};

/// Longer numbers are left to the parser: these cannot overflow.
const MAX_DIGITS: usize = 18;

/// `{"return": …, "id": 7}`
pub(super) fn reply(text: &str) -> Option<Message<'_>> {
    let inner = text.strip_prefix("{\"return\": ")?.strip_suffix('}')?;
    let digits = inner.bytes().rev().take(MAX_DIGITS).take_while(u8::is_ascii_digit).count();
    let (payload, id) = inner.split_at(inner.len() - digits);
    if digits == 0 || (digits > 1 && id.starts_with('0')) {
        return None;
    }
    // Fails where there is more between the two than one value.
    let payload = raw(payload.strip_suffix(", \"id\": ")?)?;
    Some(Message::Reply { id: Some(id), result: Ok(payload) })
}

/// `{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "NAME", "data": {…}}`, with or without
/// the data.
pub(super) fn event(text: &str) -> Option<Message<'_>> {
    let rest = text.strip_prefix("{\"timestamp\": {\"seconds\": ")?;
    let (seconds, rest) = number(rest)?;
    let (microseconds, rest) = number(rest.strip_prefix(", \"microseconds\": ")?)?;
    let rest = rest.strip_prefix("}, \"event\": \"")?;
    let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let (name, rest) = rest.split_at(rest.bytes().position(|byte| !is_plain(byte))?);
    let data = match rest.strip_prefix('"')?.strip_suffix('}')? {
        "" => None,
        rest => Some(raw(rest.strip_prefix(", \"data\": ")?)?),
    };
    let timestamp = Some(Timestamp { seconds, microseconds });
    Some(Message::Event { name: Cow::Borrowed(name), data, timestamp })
}

fn number(text: &str) -> Option<(i64, &str)> {
    let digits = text.bytes().take(MAX_DIGITS).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    if digits == 0 || (digits > 1 && number.starts_with('0')) {
        return None;
    }
    let add = |sum: i64, digit: u8| sum * 10 + i64::from(digit - b'0');
    Some((number.bytes().fold(0, add), rest))
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
        for (payload, wire_id) in [("{}", "0"), (r#"{"a": [1, "}"]}"#, "12"), ("5", "4000000000")] {
            let text = format!(r#"{{"return": {payload}, "id": {wire_id}}}"#);
            let Some(Message::Reply { id, result: Ok(value) }) = reply(&text) else {
                panic!("{text}")
            };
            assert_eq!((value.get(), id), (payload, Some(wire_id)));
        }
        let text = r#"{"timestamp": {"seconds": 1793000000, "microseconds": 20}, "event": "A_B2", "data": {"x": "}"}}"#;
        let Some(Message::Event { name, data, timestamp }) = event(text) else { panic!() };
        assert_eq!((&*name, data.map(RawValue::get)), ("A_B2", Some(r#"{"x": "}"}"#)));
        assert_eq!(timestamp, Some(Timestamp { seconds: 1_793_000_000, microseconds: 20 }));
        let stop = r#"{"timestamp": {"seconds": 1, "microseconds": 0}, "event": "STOP"}"#;
        assert!(event(stop).is_some());
    }

    #[test]
    fn any_other_form_is_left_alone() {
        for text in [
            r#"{"return": {}}"#,
            r#"{"return": {"x": 1, "id": 5}}"#,
            r#"{"return": "x, \"id\": 5"}"#,
            r#"{"return": 1, "extra": 2, "id": 3}"#,
            r#"{"return": {}, "id": "x"}"#,
            r#"{"return": 01, "id": 1}"#,
            r#"{"return":{}, "id": 1}"#,
            r#"{"return": 1, "id": 01}"#,
            r#"{"return":  1, "id": 1}"#,
            r#"{"return": 1, "id": }"#,
        ] {
            assert!(reply(text).is_none(), "{text}");
        }
        for text in [
            r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "A\u0041"}"#,
            r#"{"timestamp": {"seconds": 1, "microseconds": -1}, "event": "A"}"#,
            r#"{"timestamp": {"seconds": 01, "microseconds": 1}, "event": "A"}"#,
            r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "A", "data": {}, "x": 1}"#,
            r#"{"timestamp": {"seconds": 1, "microseconds": 2, "x": 3}, "event": "A"}"#,
            r#"{"event": "A", "timestamp": {"seconds": 1, "microseconds": 2}}"#,
        ] {
            assert!(event(text).is_none(), "{text}");
        }
    }
}
