//! Arguments, taken one by one as QEMU's input visitor does: what must be there, what type it has,
//! and in the end that nothing is left over.

use qplug_proto::ErrorReply;
use serde_json::{Map, Value};

use crate::config::Version;
use crate::refusal::{generic, missing, wrong_type};

/// The members of a command's arguments that were not taken yet.
#[derive(Debug)]
pub(crate) struct Arguments {
    members: Map<String, Value>,
    /// What QEMU puts before the name of a member of a nested object, such as `file.`.
    prefix: String,
    /// Whether the monitor checks them before the command does, as before 2.9, in words of its own.
    is_checked_early: bool,
}

impl Arguments {
    /// Those of a command.
    pub(crate) fn new(members: Map<String, Value>, version: Version) -> Self {
        let is_checked_early = version < Version::V2_9;
        Self { members, prefix: String::new(), is_checked_early }
    }

    /// Those of an object that is a member of others.
    pub(crate) fn nested(members: Map<String, Value>, prefix: String) -> Self {
        Self { members, prefix, is_checked_early: false }
    }

    /// How messages call a member.
    pub(crate) fn label(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A value of any type.
    pub(crate) fn any(&mut self, name: &str) -> Option<Value> {
        self.members.shift_remove(name)
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, ErrorReply> {
        match self.any(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong_type(&self.label(name), "string")),
        }
    }

    pub(crate) fn required_text(&mut self, name: &str) -> Result<String, ErrorReply> {
        self.text(name)?.ok_or_else(|| missing(&self.label(name)))
    }

    pub(crate) fn boolean(&mut self, name: &str) -> Result<Option<bool>, ErrorReply> {
        match self.any(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(self.wrong(name, "bool", "boolean")),
        }
    }

    pub(crate) fn integer(&mut self, name: &str) -> Result<Option<i64>, ErrorReply> {
        match self.any(name) {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong(name, "int", "integer")),
            },
        }
    }

    pub(crate) fn required_integer(&mut self, name: &str) -> Result<i64, ErrorReply> {
        self.integer(name)?.ok_or_else(|| missing(&self.label(name)))
    }

    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Self>, ErrorReply> {
        match self.any(name) {
            None => Ok(None),
            Some(Value::Object(members)) => {
                Ok(Some(Self::nested(members, format!("{}{name}.", self.prefix))))
            }
            Some(_) => Err(wrong_type(&self.label(name), "object")),
        }
    }

    /// All that are left, in the order in which they were given.
    pub(crate) fn rest(self) -> Map<String, Value> {
        self.members
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), ErrorReply> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(name) if self.is_checked_early => {
                Err(generic(format!("Invalid parameter '{name}'")))
            }
            Some(name) => Err(generic(format!("Parameter '{}' is unexpected", self.label(name)))),
        }
    }

    /// An argument has the wrong type: the right one is called this before 2.9, and that since.
    fn wrong(&self, name: &str, early: &str, since: &str) -> ErrorReply {
        wrong_type(&self.label(name), if self.is_checked_early { early } else { since })
    }
}
