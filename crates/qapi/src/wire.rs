//! How the types that are generated look on the wire, and the macros that say so.
//!
//! It is not serde's derive that does it: for a thousand types that costs more to build than all else
//! together.

#[doc(hidden)]
pub use serde;
#[doc(no_inline)]
pub use serde_json::Value;

/// What generated code imports.
pub mod prelude {
    pub use super::{Object, Value};
    pub use crate::{Command, Int, choice, events, new, object, variants, words};
}

/// A JSON object.
pub type Object = serde_json::Map<String, Value>;

/// A value that is not of the type that it should be of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{wanted} was expected, not {given}", shown(path))]
pub struct Mismatch {
    /// The names of the members around it, the innermost first.
    path: Vec<String>,
    wanted: &'static str,
    given: String,
}

fn shown(path: &[String]) -> String {
    if path.is_empty() {
        return String::new();
    }
    path.iter().rev().map(String::as_str).collect::<Vec<_>>().join(".") + ": "
}

/// How much of a value an error shows.
const SHOWN_CHARS: usize = 60;

impl Mismatch {
    /// Says what was expected in place of a value.
    #[must_use]
    pub fn new(wanted: &'static str, given: &Value) -> Self {
        let text = given.to_string();
        let given = match text.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        };
        Self { path: Vec::new(), wanted, given }
    }

    fn missing() -> Self {
        Self { path: Vec::new(), wanted: "a value", given: "nothing".to_owned() }
    }

    fn inside(mut self, name: impl Into<String>) -> Self {
        self.path.push(name.into());
        self
    }
}

/// What can be read from the wire and written to it.
pub trait Wire: Sized {
    /// Reads a value. Members that are not known are passed over.
    ///
    /// # Errors
    /// When the value is of another kind, or has not what it must have.
    fn read(value: Value) -> Result<Self, Mismatch>;

    /// The value on the wire.
    fn write(&self) -> Value;

    /// What it is when its member is not there; `None` where it has to be.
    #[must_use]
    fn absent() -> Option<Self> {
        None
    }

    /// Whether its member is left out.
    fn is_absent(&self) -> bool {
        false
    }
}

/// What has members of an object, perhaps beside others.
pub trait Members: Sized {
    /// Takes its members out of an object.
    ///
    /// # Errors
    /// As for [`Wire::read`].
    fn take(object: &mut Object) -> Result<Self, Mismatch>;

    /// Puts its members into an object.
    fn put(&self, object: &mut Object);
}

/// Members that there are where a member is, which says what they are.
pub trait Tagged: Members {
    /// The name of that member.
    const TAG: &'static str;
}

/// Takes one member out of an object.
///
/// # Errors
/// When it is missing and must not be, or is not of this type.
pub fn take<T: Wire>(object: &mut Object, name: &str) -> Result<T, Mismatch> {
    match object.remove(name) {
        Some(value) => T::read(value),
        None => T::absent().ok_or_else(Mismatch::missing),
    }
    .map_err(|error| error.inside(name))
}

/// Puts one member into an object, unless it is left out.
pub fn put(object: &mut Object, name: &str, member: &impl Wire) {
    if !member.is_absent() {
        object.insert(name.to_owned(), member.write());
    }
}

/// Reads an object as what has its members.
///
/// # Errors
/// As for [`Wire::read`].
pub fn read_members<T: Members>(value: Value) -> Result<T, Mismatch> {
    match value {
        Value::Object(mut object) => T::take(&mut object),
        other => Err(Mismatch::new("an object", &other)),
    }
}

/// Writes what has members as an object.
#[must_use]
pub fn write_members(members: &impl Members) -> Value {
    let mut object = Object::new();
    members.put(&mut object);
    Value::Object(object)
}

impl<T: Tagged> Members for Option<T> {
    fn take(object: &mut Object) -> Result<Self, Mismatch> {
        object.contains_key(T::TAG).then(|| T::take(object)).transpose()
    }

    fn put(&self, object: &mut Object) {
        if let Some(members) = self {
            members.put(object);
        }
    }
}

impl<T: Members> Members for Box<T> {
    fn take(object: &mut Object) -> Result<Self, Mismatch> {
        T::take(object).map(Self::new)
    }

    fn put(&self, object: &mut Object) {
        self.as_ref().put(object);
    }
}

impl<T: Wire> Wire for Box<T> {
    fn read(value: Value) -> Result<Self, Mismatch> {
        T::read(value).map(Self::new)
    }

    fn write(&self) -> Value {
        self.as_ref().write()
    }
}

impl<T: Wire> Wire for Option<T> {
    fn read(value: Value) -> Result<Self, Mismatch> {
        T::read(value).map(Some)
    }

    fn write(&self) -> Value {
        self.as_ref().map_or(Value::Null, Wire::write)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn read(value: Value) -> Result<Self, Mismatch> {
        let Value::Array(values) = value else {
            return Err(Mismatch::new("an array", &value));
        };
        let place = |(number, value)| {
            T::read(value).map_err(|error: Mismatch| error.inside(format!("{number}")))
        };
        values.into_iter().enumerate().map(place).collect()
    }

    fn write(&self) -> Value {
        self.iter().map(Wire::write).collect()
    }
}

/// What a command returns that returns nothing: an empty object. Some that return nothing today may
/// return more tomorrow, which is passed over.
impl Wire for () {
    fn read(value: Value) -> Result<Self, Mismatch> {
        if value.is_object() { Ok(()) } else { Err(Mismatch::new("an object", &value)) }
    }

    fn write(&self) -> Value {
        Value::Object(Object::new())
    }
}

impl Wire for String {
    fn read(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(Mismatch::new("a string", &other)),
        }
    }

    fn write(&self) -> Value {
        Value::String(self.clone())
    }
}

impl Wire for bool {
    fn read(value: Value) -> Result<Self, Mismatch> {
        value.as_bool().ok_or_else(|| Mismatch::new("true or false", &value))
    }

    fn write(&self) -> Value {
        Value::Bool(*self)
    }
}

impl Wire for f64 {
    fn read(value: Value) -> Result<Self, Mismatch> {
        value.as_f64().ok_or_else(|| Mismatch::new("a number", &value))
    }

    /// What is no number, which QEMU would not take, is `null`.
    fn write(&self) -> Value {
        Value::from(*self)
    }
}

impl Wire for Value {
    fn read(value: Value) -> Result<Self, Mismatch> {
        Ok(value)
    }

    fn write(&self) -> Value {
        self.clone()
    }
}

impl Wire for Object {
    fn read(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Object(object) => Ok(object),
            other => Err(Mismatch::new("an object", &other)),
        }
    }

    fn write(&self) -> Value {
        Value::Object(self.clone())
    }
}
