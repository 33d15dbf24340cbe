//! Arguments given as texts, by the types that are expected.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::check::join;
use super::properties::Kind;
use super::{Builtin, MAX_DEPTH, Object, PROPS, Properties, Schema, Shape, TypeId};

/// How deep a dotted key may go.
pub const MAX_KEY_PARTS: usize = 32;

/// Texts of which no arguments can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoerceError {
    /// A key has too many parts, or an empty one.
    #[error("{0:?} is no key: it has an empty part, or more than {MAX_KEY_PARTS}")]
    Key(String),
    /// A key has two values, or both a value and members.
    #[error("{0} is given twice")]
    Twice(String),
    /// A value that looks like JSON is not.
    #[error("{key}: {reason}")]
    Json {
        /// Whose value it is.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What is given so far: a text, or what is below it.
enum Given {
    Text(String),
    Inside(BTreeMap<String, Given>),
}

impl Schema {
    /// Makes arguments of `key=value` pairs, each value of the type that its place takes: `5` is a
    /// number for a size and a string for a name.
    ///
    /// A dot in a key goes into an object, or into an array where the part after it is a number. A
    /// text that begins with `{` or `[` is JSON where no string is expected, and one in `"` is a string
    /// wherever it stands. Integers may be
    /// hexadecimal, or have one of the suffixes `K`, `M`, `G`, `T`, as QEMU's own command line takes
    /// them; `on`, `off`, `yes` and `no` are booleans. What does not fit stays a string, for
    /// [`Schema::check`] to find; a place that is not known is taken for what it looks like.
    ///
    /// # Errors
    /// See [`CoerceError`].
    pub fn coerce<'p>(
        &self,
        command: &str,
        pairs: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Result<Map<String, Value>, CoerceError> {
        self.coerce_with(command, &Properties::default(), pairs)
    }

    /// The same for a command that [takes more](Schema::takes_more), such as the properties of a device.
    ///
    /// # Errors
    /// See [`CoerceError`].
    pub fn coerce_with<'p>(
        &self,
        command: &str,
        more: &Properties,
        pairs: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Result<Map<String, Value>, CoerceError> {
        let mut given = BTreeMap::new();
        for (key, text) in pairs {
            let parts: Vec<_> = key.split('.').collect();
            if parts.len() > MAX_KEY_PARTS || parts.contains(&"") {
                return Err(CoerceError::Key(key.to_owned()));
            }
            insert(&mut given, key, &parts, text)?;
        }
        let nothing = Object::default();
        let object = self.arguments(command).unwrap_or(&nothing);
        let props = if self.has_props(command) { given.remove(PROPS) } else { None };
        let mut values = self.object_of("", object, more, given)?;
        if let Some(props) = props {
            let props = match props {
                Given::Inside(inside) => {
                    Value::Object(self.object_of(PROPS, &nothing, more, inside)?)
                }
                text @ Given::Text(_) => any(PROPS, text)?,
            };
            values.insert(PROPS.to_owned(), props);
        }
        Ok(values)
    }

    fn object_of(
        &self,
        path: &str,
        object: &Object,
        more: &Properties,
        given: BTreeMap<String, Given>,
    ) -> Result<Map<String, Value>, CoerceError> {
        let tag = object.tag.as_deref().and_then(|tag| given.get(tag));
        let tag_value = match tag {
            Some(Given::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let members = self.members(object, tag_value.as_deref());
        let mut values = Map::new();
        for (name, given) in given {
            let path = join(path, &name);
            let member = members.iter().find(|member| member.name == name);
            let value = match member {
                Some(member) => self.value_of(&path, member.type_id, given, 0)?,
                None => match more.property(&name) {
                    Some(property) => property_of(&path, property.kind(), given)?,
                    None => any(&path, given)?,
                },
            };
            values.insert(name, value);
        }
        Ok(values)
    }

    fn value_of(
        &self,
        path: &str,
        id: TypeId,
        given: Given,
        depth: usize,
    ) -> Result<Value, CoerceError> {
        if depth > MAX_DEPTH {
            return any(path, given);
        }
        match (self.shape(id), given) {
            (Shape::Builtin(builtin), Given::Text(text)) => builtin_of(path, *builtin, text),
            (Shape::Enum(_), Given::Text(text)) => Ok(Value::String(unquoted(text))),
            (Shape::Array(_) | Shape::Object(_), Given::Text(text)) => guess(path, text),
            (Shape::Array(element), Given::Inside(given)) => {
                let element = |path: &str, given| self.value_of(path, *element, given, depth + 1);
                array(path, given, element)
            }
            (Shape::Object(object), Given::Inside(given)) => {
                Ok(Value::Object(self.object_of(path, object, &Properties::default(), given)?))
            }
            (Shape::Alternate(choices), Given::Inside(given)) => {
                let is_inside =
                    |id: &&TypeId| matches!(self.shape(**id), Shape::Object(_) | Shape::Array(_));
                match choices.iter().find(is_inside) {
                    Some(choice) => self.value_of(path, *choice, Given::Inside(given), depth + 1),
                    None => any(path, Given::Inside(given)),
                }
            }
            (Shape::Alternate(choices), Given::Text(text)) => self.choice(path, choices, text),
            (_, given) => any(path, given),
        }
    }

    /// A text is taken for JSON where one of the choices can be what it looks like.
    fn choice(&self, path: &str, choices: &[TypeId], text: String) -> Result<Value, CoerceError> {
        let may_be = |value: &Value| choices.iter().any(|choice| self.may_be(*choice, value));
        if text.starts_with(['{', '[']) {
            return guess(path, text);
        }
        for builtin in [Builtin::Null, Builtin::Bool, Builtin::Int, Builtin::Number] {
            let value = builtin_of(path, builtin, text.clone())?;
            if !value.is_string() && may_be(&value) {
                return Ok(value);
            }
        }
        Ok(Value::String(text))
    }
}

fn insert(
    given: &mut BTreeMap<String, Given>,
    key: &str,
    parts: &[&str],
    text: &str,
) -> Result<(), CoerceError> {
    let twice = || Err(CoerceError::Twice(key.to_owned()));
    match parts {
        [] => Ok(()),
        [last] => match given.insert((*last).to_owned(), Given::Text(text.to_owned())) {
            None => Ok(()),
            Some(_) => twice(),
        },
        [first, rest @ ..] => {
            let inside = || Given::Inside(BTreeMap::new());
            match given.entry((*first).to_owned()).or_insert_with(inside) {
                Given::Inside(inside) => insert(inside, key, rest, text),
                Given::Text(_) => twice(),
            }
        }
    }
}

/// Elements by number, in order of it. Where a key is no number, an object was given.
fn array(
    path: &str,
    given: BTreeMap<String, Given>,
    element: impl Fn(&str, Given) -> Result<Value, CoerceError>,
) -> Result<Value, CoerceError> {
    let numbers: Vec<usize> = given.keys().filter_map(|key| key.parse().ok()).collect();
    if numbers.len() != given.len() {
        return Ok(Value::Object(inside_any(path, given)?));
    }
    let mut order: Vec<_> = numbers.into_iter().zip(given.into_values()).collect();
    order.sort_by_key(|(number, _)| *number);
    let elements =
        order.into_iter().map(|(number, given)| element(&join(path, &number.to_string()), given));
    Ok(Value::Array(elements.collect::<Result<_, _>>()?))
}

/// The value that a property has, which is told in other words than a schema's.
fn property_of(path: &str, kind: Kind, given: Given) -> Result<Value, CoerceError> {
    match (kind, given) {
        (Kind::Bool, Given::Text(text)) => builtin_of(path, Builtin::Bool, text),
        (Kind::Int, Given::Text(text)) => builtin_of(path, Builtin::Int, text),
        // Lists and structures are given in JSON; all else is a word.
        (Kind::Other, Given::Text(text)) if text.starts_with(['{', '[']) => guess(path, text),
        (Kind::Other, Given::Text(text)) => builtin_of(path, Builtin::Text, text),
        (Kind::Unclear, Given::Text(text)) => guess(path, text),
        (_, given @ Given::Inside(_)) => array_or_object(path, given),
    }
}

/// Where all keys are numbers they are those of elements.
fn array_or_object(path: &str, given: Given) -> Result<Value, CoerceError> {
    match given {
        Given::Inside(given) if given.keys().all(|key| key.parse::<usize>().is_ok()) => {
            array(path, given, array_or_object)
        }
        Given::Inside(given) => {
            let members = given.into_iter().map(|(name, given)| {
                let value = array_or_object(&join(path, &name), given)?;
                Ok((name, value))
            });
            Ok(Value::Object(members.collect::<Result<_, _>>()?))
        }
        given @ Given::Text(_) => any(path, given),
    }
}

fn any(path: &str, given: Given) -> Result<Value, CoerceError> {
    match given {
        Given::Text(text) => guess(path, text),
        Given::Inside(given) => Ok(Value::Object(inside_any(path, given)?)),
    }
}

fn inside_any(
    path: &str,
    given: BTreeMap<String, Given>,
) -> Result<Map<String, Value>, CoerceError> {
    let members = given.into_iter().map(|(name, given)| {
        let value = any(&join(path, &name), given)?;
        Ok((name, value))
    });
    members.collect()
}

/// What a text looks like, where no schema says what it is.
fn guess(path: &str, text: String) -> Result<Value, CoerceError> {
    match serde_json::from_str(&text) {
        Ok(value) => Ok(value),
        Err(error) if text.starts_with(['{', '[', '"']) => {
            Err(CoerceError::Json { key: path.to_owned(), reason: error.to_string() })
        }
        Err(_) => Ok(Value::String(text)),
    }
}

/// The value that a text has for a builtin type; the text itself where it has none.
fn builtin_of(path: &str, builtin: Builtin, text: String) -> Result<Value, CoerceError> {
    let value = match builtin {
        Builtin::Text => return Ok(Value::String(unquoted(text))),
        Builtin::Any => return guess(path, text),
        Builtin::Null => (text == "null").then_some(Value::Null),
        Builtin::Bool => match text.as_str() {
            "true" | "on" | "yes" => Some(Value::Bool(true)),
            "false" | "off" | "no" => Some(Value::Bool(false)),
            _ => None,
        },
        Builtin::Int => integer(&text).map(Value::Number),
        Builtin::Number => {
            integer(&text).or_else(|| Number::from_f64(text.parse().ok()?)).map(Value::Number)
        }
    };
    Ok(value.unwrap_or(Value::String(text)))
}

/// A string that is quoted as JSON has it is what is in it.
fn unquoted(text: String) -> String {
    let inner = text.starts_with('"').then(|| serde_json::from_str(&text).ok()).flatten();
    inner.unwrap_or(text)
}

/// An integer of QEMU's: up to 64 bits, with a sign or without.
fn integer(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    let shift = match text.as_bytes().last()? {
        b'K' | b'k' => 10,
        b'M' => 20,
        b'G' => 30,
        b'T' => 40,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { &text[..text.len() - 1] };
    if let Ok(number) = digits.parse::<u64>() {
        return number.checked_mul(1 << shift).map(Number::from);
    }
    digits.parse::<i64>().ok()?.checked_mul(1 << shift).map(Number::from)
}

#[cfg(test)]
mod tests {
    use super::super::recorded;
    use super::*;
    use serde_json::json;

    fn coerced(command: &str, pairs: &[(&str, &str)]) -> Result<Value, CoerceError> {
        recorded::schema().coerce(command, pairs.iter().copied()).map(Value::Object)
    }

    #[test]
    fn a_value_is_what_its_place_takes() {
        let pairs = [
            ("driver", "raw"),
            ("node-name", "5"),
            ("size", "1G"),
            ("read-only", "on"),
            ("file.driver", "file"),
            ("file.filename", "\"7\""),
            ("file.locking", "on"),
        ];
        let expected = json!({"driver": "raw", "node-name": "5", "size": 1u64 << 30,
            "read-only": true, "file": {"driver": "file", "filename": "7", "locking": "on"}});
        assert_eq!(coerced("blockdev-add", &pairs), Ok(expected.clone()));
        assert_eq!(recorded::schema().check("blockdev-add", Some(&expected)), []);
    }

    #[test]
    fn alternates_take_what_a_text_looks_like() {
        let backing = |text| coerced("blockdev-add", &[("driver", "qcow2"), ("backing", text)]);
        assert_eq!(backing("null").unwrap()["backing"], Value::Null);
        assert_eq!(backing("node").unwrap()["backing"], json!("node"));
        assert_eq!(backing("5").unwrap()["backing"], json!("5"));
        assert_eq!(backing("{\"driver\": \"raw\"}").unwrap()["backing"]["driver"], json!("raw"));
    }

    #[test]
    fn numbered_keys_are_elements() {
        let pairs =
            [("actions.1.type", "abort"), ("actions.0.type", "abort"), ("actions.0.data.x", "1")];
        let expected = json!({"actions": [{"type": "abort", "data": {"x": 1}}, {"type": "abort"}]});
        assert_eq!(coerced("transaction", &pairs), Ok(expected));
    }

    #[test]
    fn properties_of_devices_are_what_they_look_like() {
        let pairs = [("driver", "virtio-blk-pci"), ("id", "1"), ("bootindex", "1"), ("x", "on")];
        let expected = json!({"driver": "virtio-blk-pci", "id": "1", "bootindex": 1, "x": "on"});
        assert_eq!(coerced("device_add", &pairs), Ok(expected));
    }

    #[test]
    fn what_does_not_fit_is_left_for_the_check() {
        assert_eq!(coerced("block_resize", &[("size", "much")]), Ok(json!({"size": "much"})));
        assert_eq!(coerced("no-such", &[("a.b", "1")]), Ok(json!({"a": {"b": 1}})));
    }

    #[test]
    fn integers_are_qemus() {
        assert_eq!(integer("0xff").unwrap(), 255.into());
        assert_eq!(integer("-4k").unwrap(), (-4096).into());
        assert_eq!(integer("18446744073709551615").unwrap(), u64::MAX.into());
        for text in ["", "k", "18446744073709551616", "16777216T", "1.5", "é"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn mistakes_in_keys_are_named() {
        let twice = |pairs: &[_]| coerced("stop", pairs).unwrap_err().to_string();
        assert_eq!(twice(&[("a", "1"), ("a", "2")]), "a is given twice");
        assert_eq!(twice(&[("a", "1"), ("a.b", "2")]), "a.b is given twice");
        assert!(twice(&[("a..b", "1")]).contains("empty part"));
        assert!(twice(&[("a", "{")]).starts_with("a: EOF"));
    }
}
