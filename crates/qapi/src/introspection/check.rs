//! What is wrong with a command before it is sent.

use std::fmt;

use serde_json::{Map, Value};

use super::{Builtin, MAX_DEPTH, Object, PROPS, Properties, Schema, Shape, TypeId};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, such as `file.filename`; empty where it is about the command itself.
    pub path: String,
    /// What.
    pub trouble: Trouble,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The machine has no such command; perhaps one of these was meant.
    NoSuchCommand {
        /// Commands with names much like it, the likest first.
        like: Vec<String>,
    },
    /// There is no such member here; perhaps one of these was meant.
    NoSuchMember {
        /// Members with names much like it, the likest first.
        like: Vec<String>,
    },
    /// A member that may not be left out is not there.
    Missing {
        /// What it takes.
        takes: String,
    },
    /// It is none of the words that it may be.
    NoSuchWord {
        /// What was given.
        given: String,
        /// Words much like it, the likest first.
        like: Vec<String>,
        /// All that it may be.
        words: Vec<String>,
    },
    /// It is of another type.
    WrongType {
        /// What it takes.
        takes: String,
        /// What was given.
        given: String,
    },
    /// It is nested deeper than any command's arguments are.
    TooDeep,
}

impl Schema {
    /// Whether a command with these arguments is one that the machine would try. `None` and an empty
    /// object are the same.
    ///
    /// Only what a schema tells is looked at: whether a node exists is for QEMU to say.
    #[must_use]
    pub fn check(&self, command: &str, arguments: Option<&Value>) -> Vec<Problem> {
        self.check_with(command, None, arguments)
    }

    /// The same for a command that takes the properties of a class besides. With `None` nothing is
    /// known of these, and any is fine.
    #[must_use]
    pub fn check_with(
        &self,
        command: &str,
        more: Option<&Properties>,
        arguments: Option<&Value>,
    ) -> Vec<Problem> {
        let Some(entry) = self.command(command) else {
            let like = nearest(command, self.commands.keys().map(String::as_str));
            let trouble = Trouble::NoSuchCommand { like };
            return vec![Problem { path: String::new(), trouble }];
        };
        let nothing = Value::Object(Map::new());
        let arguments = arguments.unwrap_or(&nothing);
        let open = self.takes_more(command);
        let mut check = Check { schema: self, open, problems: Vec::new() };
        check.value("", entry.arguments, arguments, 0);
        let mut problems = check.problems;
        if let Some(more) = more.filter(|_| open) {
            let own = self.object(entry.arguments).into_iter().flat_map(|object| &object.members);
            let own: Vec<_> = own.map(|member| member.name.as_str()).collect();
            problems.extend(strangers("", &own, more, Some(arguments)));
            if self.has_props(command) {
                problems.extend(strangers(PROPS, &[], more, arguments.get(PROPS)));
            }
        }
        problems
    }
}

/// The members that neither a command nor the class has that it makes one of.
fn strangers(
    path: &str,
    own: &[&str],
    more: &Properties,
    values: Option<&Value>,
) -> impl Iterator<Item = Problem> {
    let names = values.and_then(Value::as_object).into_iter().flat_map(Map::keys);
    let strange = names.filter(|name| !own.contains(&name.as_str()) && !more.may_have(name));
    strange.map(move |name| {
        let known = own.iter().copied().chain(more.iter().map(|it| it.name.as_str()));
        let trouble = Trouble::NoSuchMember { like: nearest(name, known) };
        Problem { path: join(path, name), trouble }
    })
}

struct Check<'s> {
    schema: &'s Schema,
    /// Whether members that are not known are fine.
    open: bool,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn note(&mut self, path: &str, trouble: Trouble) {
        self.problems.push(Problem { path: path.to_owned(), trouble });
    }

    fn value(&mut self, path: &str, id: TypeId, value: &Value, depth: usize) {
        if depth > MAX_DEPTH {
            return self.note(path, Trouble::TooDeep);
        }
        match (self.schema.shape(id), value) {
            (Shape::Unknown, _) => {}
            (Shape::Builtin(builtin), value) if builtin.takes(value) => {}
            (Shape::Enum(words), Value::String(given)) => {
                if words.iter().all(|word| word.name != *given) {
                    let words = || words.iter().map(|word| word.name.as_str());
                    let like = nearest(given, words());
                    let (given, words) = (given.clone(), words().map(str::to_owned).collect());
                    self.note(path, Trouble::NoSuchWord { given, like, words });
                }
            }
            (Shape::Array(element), Value::Array(values)) => {
                for (number, value) in values.iter().enumerate() {
                    self.value(&join(path, &number.to_string()), *element, value, depth + 1);
                }
            }
            (Shape::Object(object), Value::Object(values)) => {
                self.object(path, object, values, depth);
            }
            (Shape::Alternate(choices), value) => {
                match choices.iter().find(|choice| self.schema.may_be(**choice, value)) {
                    Some(choice) => self.value(path, *choice, value, depth + 1),
                    None => self.wrong_type(path, id, value),
                }
            }
            _ => self.wrong_type(path, id, value),
        }
    }

    fn wrong_type(&mut self, path: &str, id: TypeId, value: &Value) {
        let takes = self.schema.type_name(id);
        self.note(path, Trouble::WrongType { takes, given: shown(value) });
    }

    fn object(&mut self, path: &str, object: &Object, values: &Map<String, Value>, depth: usize) {
        let tag_value = object.tag_value(values);
        let members = self.schema.members(object, tag_value);
        for member in &members {
            let path = join(path, &member.name);
            match values.get(&member.name) {
                Some(value) => self.value(&path, member.type_id, value, depth + 1),
                None if member.optional => {}
                None => {
                    let takes = self.schema.type_name(member.type_id);
                    self.note(&path, Trouble::Missing { takes });
                }
            }
        }
        // Whose variant is not known has members that are not known either.
        let is_known = match &object.tag {
            None => true,
            Some(tag) => self.is_word(object, tag, tag_value) && self.is_listed(object, tag_value),
        };
        if (self.open && depth == 0) || !is_known {
            return;
        }
        for name in values.keys() {
            if members.iter().all(|member| member.name != *name) {
                let like = nearest(name, members.iter().map(|member| member.name.as_str()));
                self.note(&join(path, name), Trouble::NoSuchMember { like });
            }
        }
    }

    /// Whether all is known of what comes with a value of the tag.
    fn is_listed(&self, object: &Object, value: Option<&str>) -> bool {
        let variant = value.and_then(|value| object.variant(value));
        variant.is_none_or(|variant| self.schema.object(variant.type_id).is_some())
    }

    fn is_word(&self, object: &Object, tag: &str, value: Option<&str>) -> bool {
        let words = object.member(tag).map(|member| self.schema.shape(member.type_id));
        let Some(Shape::Enum(words)) = words else { return false };
        value.is_some_and(|value| words.iter().any(|word| word.name == value))
    }
}

impl Builtin {
    fn takes(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Int => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Bool => value.is_boolean(),
            Self::Null => value.is_null(),
            Self::Any => true,
        }
    }
}

impl Schema {
    /// Whether a value is of the kind of JSON that a type has.
    pub(super) fn may_be(&self, id: TypeId, value: &Value) -> bool {
        match self.shape(id) {
            Shape::Builtin(builtin) => builtin.takes(value),
            Shape::Enum(_) => value.is_string(),
            Shape::Array(_) => value.is_array(),
            Shape::Object(_) => value.is_object(),
            // QEMU has no alternate in an alternate.
            Shape::Alternate(_) => false,
            Shape::Unknown => true,
        }
    }
}

/// How many names are offered in place of one that is not there.
const MAX_LIKE: usize = 3;

/// Those that a slip of the finger makes the name of, or that it is the beginning of; likest first.
#[must_use]
pub fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let may_differ = (name.chars().count() / 3).max(1);
    let mut near: Vec<_> = names
        .filter_map(|other| {
            let apart = strsim::damerau_levenshtein(&folded(name), &folded(other));
            let begins = name.len() > 2 && other.starts_with(name);
            (apart <= may_differ || begins).then_some((apart, other))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().take(MAX_LIKE).map(|(_, other)| other.to_owned()).collect()
}

/// Which of the two dashes a name has nobody remembers.
fn folded(name: &str) -> String {
    name.replace('_', "-").to_lowercase()
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// How much of a value an error shows.
const SHOWN_CHARS: usize = 40;

pub(super) fn shown(value: &Value) -> String {
    let kind = match value {
        Value::Object(_) => return "an object".to_owned(),
        Value::Array(_) => return "an array".to_owned(),
        Value::String(_) => "the string ",
        _ => "",
    };
    let text = value.to_string();
    let is_long = text.chars().count() > SHOWN_CHARS;
    let text: String = text.chars().take(SHOWN_CHARS).collect();
    format!("{kind}{text}{}", if is_long { "…" } else { "" })
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        self.trouble.fmt(formatter)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchCommand { like } => {
                write!(formatter, "this QEMU has no such command{}", did_you_mean(like))
            }
            Self::NoSuchMember { like } => {
                write!(formatter, "there is no such argument{}", did_you_mean(like))
            }
            Self::Missing { takes } => write!(formatter, "is missing; it takes {takes}"),
            Self::NoSuchWord { given, like, words } => {
                let like = did_you_mean(like);
                write!(formatter, "cannot be {given:?}{like}; it takes {}", words.join(" | "))
            }
            Self::WrongType { takes, given } => {
                write!(formatter, "cannot be {given}; it takes {takes}")
            }
            Self::TooDeep => {
                write!(formatter, "is nested deeper than any command's arguments are")
            }
        }
    }
}

fn did_you_mean(like: &[String]) -> String {
    if like.is_empty() { String::new() } else { format!("; did you mean {}?", like.join(" or ")) }
}

#[cfg(test)]
mod tests {
    use super::super::recorded;
    use super::*;
    use serde_json::json;

    fn problems(command: &str, arguments: &Value) -> Vec<String> {
        let found = recorded::schema().check(command, Some(arguments));
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_right_passes() {
        for (command, arguments) in [
            ("query-block", json!({})),
            (
                "blockdev-add",
                json!({"driver": "qcow2", "node-name": "n", "cache": {"direct": true},
                       "file": {"driver": "file", "filename": "a", "locking": "auto"},
                       "backing": null}),
            ),
            ("blockdev-add", json!({"driver": "raw", "file": "other-node", "size": 5})),
            ("device_add", json!({"driver": "virtio-blk-pci", "id": "d", "anything": [1]})),
            ("object-add", json!({"qom-type": "iothread", "id": "i"})),
        ] {
            assert_eq!(problems(command, &arguments), [""; 0], "{command}");
        }
        assert_eq!(recorded::schema().check("stop", None), []);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (command, arguments, expected) in [
            ("qeury-block", json!({}), "this QEMU has no such command; did you mean query-block"),
            ("device_del", json!({}), "id: is missing; it takes str"),
            ("device_del", json!({"id": 5}), "id: cannot be 5; it takes str"),
            (
                "blockdev-add",
                json!({"driver": "raw", "file": {"driver": "file", "file-name": "a"}}),
                "file.file-name: there is no such argument; did you mean filename",
            ),
            (
                "blockdev-add",
                json!({"driver": "qcow", "file": "n", "discard": "unmpa"}),
                "discard: cannot be \"unmpa\"; did you mean unmap?; it takes ignore | unmap",
            ),
            ("blockdev-add", json!({"driver": "raw", "file": 7}), "file: cannot be 7"),
            ("blockdev-add", json!({"driver": "rwa", "file": "n"}), "did you mean raw"),
            ("block_resize", json!({"size": 1.5}), "size: cannot be 1.5; it takes int"),
            ("transaction", json!({"actions": [{"type": "abort"}, 3]}), "actions.1: cannot be 3"),
            ("add_client", json!([]), "cannot be an array"),
        ] {
            let found = problems(command, &arguments);
            assert!(found.iter().any(|it| it.contains(expected)), "{expected}\n{found:?}");
        }
    }

    #[test]
    fn arguments_that_never_end_are_refused() {
        let mut arguments = json!("node");
        for _ in 0..100 {
            arguments = json!({"driver": "raw", "file": arguments});
        }
        let found = recorded::schema().check("blockdev-add", Some(&arguments));
        assert!(found.iter().any(|it| it.trouble == Trouble::TooDeep));
    }

    #[test]
    fn names_with_the_other_dash_are_near() {
        let names = || ["device_add", "blockdev-add", "qom-list"].into_iter();
        assert_eq!(nearest("device-add", names()), ["device_add"]);
        assert_eq!(nearest("xyzzy", names()), [""; 0]);
        assert_eq!(nearest("qom", names()), ["qom-list"]);
    }
}
