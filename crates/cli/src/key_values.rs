//! `key=value` arguments, as QMP's JSON.

use serde_json::{Map, Value};

/// How deep a dotted key may go.
const MAX_KEY_PARTS: usize = 32;

/// Turns the arguments of `exec` into one JSON object: either a single argument that is one, or
/// `key=value` pairs, where a dot in a key goes into an object. `None` when there are none.
pub(crate) fn parse(arguments: &[String]) -> Result<Option<Value>, String> {
    if let [only] = arguments
        && only.trim_start().starts_with('{')
    {
        let value = serde_json::from_str(only).map_err(|error| format!("{only}: {error}"))?;
        return Ok(Some(value));
    }
    let mut object = Map::new();
    for argument in arguments {
        if !argument.contains('=') {
            return Err(format!(
                "{argument:?} is neither key=value nor a JSON object of all arguments"
            ));
        }
        let (key, value) = pair(argument)?;
        insert(&mut object, &key, value)?;
    }
    Ok((!object.is_empty()).then_some(Value::Object(object)))
}

/// Reads one `key=value`.
pub(crate) fn pair(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not key=value"))?;
    Ok((key.to_owned(), value_of(value)?))
}

fn insert(object: &mut Map<String, Value>, key: &str, value: Value) -> Result<(), String> {
    if key.split('.').count() > MAX_KEY_PARTS {
        return Err(format!("{key:?} has more than {MAX_KEY_PARTS} parts"));
    }
    if key.split('.').any(str::is_empty) {
        return Err(format!("{key:?} has an empty part"));
    }
    let mut object = object;
    let mut rest = key;
    while let Some((part, after)) = rest.split_once('.') {
        let inner = object.entry(part).or_insert_with(|| Value::Object(Map::new()));
        object =
            inner.as_object_mut().ok_or_else(|| format!("{key}: {part} has a value already"))?;
        rest = after;
    }
    match object.insert(rest.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(format!("{key} is given twice")),
    }
}

fn value_of(text: &str) -> Result<Value, String> {
    if text.starts_with(['{', '[', '"']) {
        return serde_json::from_str(text).map_err(|error| format!("{text}: {error}"));
    }
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    let digits = text.strip_prefix('-').unwrap_or(text);
    if value.is_f64() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{text} is larger than any integer of QEMU's"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(arguments: &[&str]) -> Result<Option<Value>, String> {
        parse(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn values_are_json_where_they_look_like_it() {
        let arguments = ["a=x", "b=1", "c=true", "d=\"1\"", "e=[1]", "f=", "g=1.2.3", "h=a=b"];
        let expected = json!({"a": "x", "b": 1, "c": true, "d": "1", "e": [1], "f": "",
                              "g": "1.2.3", "h": "a=b"});
        assert_eq!(parsed(&arguments), Ok(Some(expected)));
        assert_eq!(parsed(&[]), Ok(None));
    }

    #[test]
    fn dots_go_into_objects() {
        let arguments = ["driver=raw", "file.driver=file", "file.filename=a.img"];
        let expected = json!({"driver": "raw", "file": {"driver": "file", "filename": "a.img"}});
        assert_eq!(parsed(&arguments), Ok(Some(expected.clone())));
        assert_eq!(parsed(&[&expected.to_string()]), Ok(Some(expected)));
    }

    #[test]
    fn mistakes_are_named() {
        for (arguments, part) in [
            (vec!["x"], "neither key=value"),
            (vec!["a=1", "a=2"], "a is given twice"),
            (vec!["a=1", "a.b=2"], "a has a value already"),
            (vec!["a..b=1"], "empty part"),
            (vec!["a={"], "EOF"),
            (vec!["a=18446744073709551616"], "larger than any integer"),
            (vec!["{\"a\""], "EOF"),
        ] {
            let error = parsed(&arguments).unwrap_err();
            assert!(error.contains(part), "{arguments:?}: {error}");
        }
    }
}
