//! What is secret in a command, and the one place that blots it out: of logs, traces, errors and
//! plans.

use serde_json::{Map, Value};

/// What stands in a secret's place.
pub const BLOT: &str = "***";

/// Members whose value is a secret wherever they occur. `password-secret` and its kin are not: they
/// name an object.
const SECRET_KEYS: [&str; 8] =
    ["password", "passphrase", "passwd", "secret", "cookie", "private-key", "rawkey", "psk"];

/// The member that is the secret of an object of one of these types (`qapi/crypto.json`).
const SECRET_OBJECTS: [&str; 1] = ["secret"];
const SECRET_DATA: &str = "data";

/// Words that make a line of the human monitor a secret: `object_add secret,…`, `set_password …`.
const SECRET_WORDS: [&str; 4] = ["secret", "password", "passwd", "cookie"];

/// A command's arguments, with the secrets blotted out; `None` when there are none to blot out.
#[must_use]
pub fn redacted(command: &str, arguments: &Value) -> Option<Value> {
    let mut value = arguments.clone();
    let found = match value.as_object_mut() {
        Some(arguments) if command == "human-monitor-command" => blot_line(arguments),
        Some(arguments) => blot_set(command, arguments) | blot(&mut value, false),
        None => blot(&mut value, false),
    };
    found.then_some(value)
}

/// What a command sets that names what it sets: a property of an object; or a display's password, as
/// QEMU's `change` did before 6.0.
fn blot_set(command: &str, arguments: &mut Map<String, Value>) -> bool {
    let names = |member: &str| arguments.get(member).and_then(Value::as_str).unwrap_or_default();
    let secret = match command {
        "qom-set" if is_secret_property(names("property")) => "value",
        "change" if is_secret_key(names("target")) => "arg",
        _ => return false,
    };
    arguments.get_mut(secret).map(|value| *value = BLOT.into()).is_some()
}

/// Whether what this command returns is a secret: `qom-get` shows what a secret object holds.
#[must_use]
pub fn returns_secret(command: &str, arguments: &Value) -> bool {
    let property = arguments.get("property").and_then(Value::as_str);
    command == "qom-get" && property.is_some_and(is_secret_property)
}

fn is_secret_property(name: &str) -> bool {
    name == SECRET_DATA || is_secret_key(name)
}

fn is_secret_key(key: &str) -> bool {
    SECRET_KEYS.contains(&last(key))
}

/// The last of a path of members, as older options have them.
fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// Blots out what is secret below a value; whether there was anything.
fn blot(value: &mut Value, in_secret: bool) -> bool {
    match value {
        Value::Object(members) => {
            let kind = members.get("qom-type").and_then(Value::as_str);
            let in_secret = in_secret || kind.is_some_and(|kind| SECRET_OBJECTS.contains(&kind));
            let mut found = false;
            for (key, member) in members.iter_mut() {
                let is_secret = is_secret_key(key) || in_secret && last(key) == SECRET_DATA;
                // An object below is one of options, some of them secret, such as a cipher's.
                found |= if is_secret && !member.is_object() {
                    *member = BLOT.into();
                    true
                } else {
                    blot(member, in_secret)
                };
            }
            found
        }
        Value::Array(items) => {
            items.iter_mut().fold(false, |found, item| blot(item, in_secret) | found)
        }
        Value::String(text) => match blot_options(text).or_else(|| blot_userinfo(text)) {
            Some(blotted) => {
                *text = blotted;
                true
            }
            None => false,
        },
        _ => false,
    }
}

/// An image as `json:{…}`, options and all, without the secrets among them.
fn blot_options(text: &str) -> Option<String> {
    let mut options = serde_json::from_str(text.strip_prefix("json:")?).ok()?;
    blot(&mut options, false).then(|| format!("json:{options}"))
}

/// `https://user:password@host` without the password.
fn blot_userinfo(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (user, host) = rest[..end].rsplit_once('@')?;
    let (user, _password) = user.split_once(':')?;
    Some(format!("{scheme}://{user}:{BLOT}@{host}{}", &rest[end..]))
}

fn blot_line(arguments: &mut Map<String, Value>) -> bool {
    let Some(Value::String(line)) = arguments.get_mut("command-line") else { return false };
    let has_password = |word| blot_userinfo(word).is_some();
    if !SECRET_WORDS.iter().any(|word| line.contains(word))
        && !line.split_whitespace().any(has_password)
    {
        return false;
    }
    let first = line.split_whitespace().next().unwrap_or_default();
    *line = format!("{first} {BLOT}");
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_secret_is_blotted_out_and_all_else_stays() {
        for (command, arguments, blotted) in [
            (
                "object-add",
                json!({"qom-type": "secret", "id": "s", "data": "hush", "format": "raw"}),
                json!({"qom-type": "secret", "id": "s", "data": "***", "format": "raw"}),
            ),
            (
                "object-add",
                json!({"qom-type": "secret", "id": "s", "props": {"data": "hush"}}),
                json!({"qom-type": "secret", "id": "s", "props": {"data": "***"}}),
            ),
            (
                "set_password",
                json!({"protocol": "vnc", "password": "hush"}),
                json!({"protocol": "vnc", "password": "***"}),
            ),
            (
                "blockdev-add",
                json!({"file": {"url": "https://me:hush@host/a", "cookie": "hush"}}),
                json!({"file": {"url": "https://me:***@host/a", "cookie": "***"}}),
            ),
            (
                "human-monitor-command",
                json!({"command-line": "object_add secret,id=s,data=hush"}),
                json!({"command-line": "object_add ***"}),
            ),
            (
                "human-monitor-command",
                json!({"command-line": "block_passwd d hush"}),
                json!({"command-line": "block_passwd ***"}),
            ),
            (
                "human-monitor-command",
                json!({"command-line": "drive_add 0 file=https://me:hush@host/a"}),
                json!({"command-line": "drive_add ***"}),
            ),
            (
                "qom-set",
                json!({"path": "/objects/s", "property": "data", "value": "hush"}),
                json!({"path": "/objects/s", "property": "data", "value": "***"}),
            ),
            (
                "change",
                json!({"device": "vnc", "target": "password", "arg": "hush"}),
                json!({"device": "vnc", "target": "password", "arg": "***"}),
            ),
            (
                "object-add",
                json!({"qom-type": "secret", "props.data": "hush"}),
                json!({"qom-type": "secret", "props.data": "***"}),
            ),
            (
                "drive-mirror",
                json!({"target": r#"json:{"driver":"https","cookie":"hush"}"#}),
                json!({"target": r#"json:{"driver":"https","cookie":"***"}"#}),
            ),
            (
                "x",
                json!([{"file.password": "hush", "n": 1}]),
                json!([{"file.password": "***", "n": 1}]),
            ),
        ] {
            assert_eq!(redacted(command, &arguments), Some(blotted), "{command} {arguments}");
        }
    }

    #[test]
    fn what_only_looks_like_a_secret_stays() {
        for (command, arguments) in [
            ("blockdev-add", json!({"key-secret": "data.secret", "password-secret": "data.auth"})),
            ("ringbuf-write", json!({"device": "r", "data": "plain"})),
            ("object-add", json!({"qom-type": "iothread", "id": "secret"})),
            ("human-monitor-command", json!({"command-line": "info block"})),
            ("qom-set", json!({"path": "/machine", "property": "type", "value": "x"})),
            ("change", json!({"device": "ide1-cd0", "target": "a.iso", "arg": "raw"})),
            ("x", json!({"a": r#"json:{"driver":"file"}"#})),
            ("blockdev-add", json!({"filename": "ssh://me@host:22/a", "other": "a://b@c"})),
        ] {
            assert_eq!(redacted(command, &arguments), None, "{command} {arguments}");
        }
        assert!(returns_secret("qom-get", &json!({"path": "/objects/s", "property": "data"})));
        assert!(!returns_secret("qom-get", &json!({"path": "/machine", "property": "type"})));
    }
}
