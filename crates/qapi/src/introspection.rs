//! The schema that a QEMU gives of itself in answer to `query-qmp-schema`, which there is since 2.5.
//!
//! | file | owns |
//! |---|---|
//! | `introspection/parse.rs` | reading the answer |
//! | `introspection/describe.rs` | a command or an event as a tree that people read |
//! | `introspection/diff.rs` | what came, went and changed from one schema to another |
//! | `introspection/check.rs` | what is wrong with a command before it is sent |
//! | `introspection/coerce.rs` | arguments given as texts, by the types that are expected |
//! | `introspection/properties.rs` | what devices and objects take, which no schema lists |
//! | `introspection/expect.rs` | what may stand at a place of arguments that are being typed |
//!
//! Commands, events, members and values have the names that they have on the wire. Types have none:
//! QEMU hides them behind numbers that another build gives to other types, so a type is only ever
//! reached from a command or an event. The meaning of all of it is QEMU's
//! `docs/devel/qapi-code-gen.rst`, 'Client JSON Protocol introspection'.
//!
//! A schema is an open world: entities of unknown kinds are [`Shape::Unknown`] or left out, members
//! of entities that are not known here are passed over, and a type that is referred to but not there
//! takes any value.

mod check;
mod coerce;
mod describe;
mod diff;
mod expect;
mod parse;
mod properties;

use std::collections::BTreeMap;

use serde_json::Value;

pub use check::{Problem, Trouble, nearest};
pub use coerce::{CoerceError, MAX_KEY_PARTS};
pub use describe::MAX_DEPTH;
pub use diff::{Change, Changes, diff};
pub use expect::Given;
pub use parse::NotASchema;
pub use properties::{NotProperties, Properties, Property, is_fragile};

/// All that one QEMU offers.
#[derive(Debug, Clone)]
pub struct Schema {
    commands: BTreeMap<String, Command>,
    events: BTreeMap<String, Event>,
    types: Vec<Type>,
}

/// Which of a schema's types; of no use with another schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(usize);

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Such as `blockdev-add`.
    pub name: String,
    /// What it takes: an object, which has no members where it takes nothing.
    pub arguments: TypeId,
    /// What it returns; an object with no members where that is nothing.
    pub returns: TypeId,
    /// Whether it may overtake others, as `exec-oob` (since 3.0).
    pub allow_oob: bool,
    /// Such as `deprecated` or `unstable` (since 4.1).
    pub features: Vec<String>,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Such as `DEVICE_DELETED`.
    pub name: String,
    /// Its data: an object, which has no members where there is none.
    pub data: TypeId,
    /// Such as `deprecated` or `unstable`.
    pub features: Vec<String>,
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    /// The name of a builtin; a number that means nothing for all others.
    pub name: String,
    /// What is special about it, such as `dynamic-auto-read-only`.
    pub features: Vec<String>,
    /// What its values look like.
    pub shape: Shape,
}

/// What the values of a type look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A plain JSON value.
    Builtin(Builtin),
    /// One of some words.
    Enum(Vec<Word>),
    /// Any number of values of one type.
    Array(TypeId),
    /// An object.
    Object(Object),
    /// A value of one of these types. No two of them have values of the same JSON type, but that an
    /// integer is a number too.
    Alternate(Vec<TypeId>),
    /// Something that is not known here; it may be anything.
    Unknown,
}

/// A plain JSON value. All sizes of integers look the same in a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Builtin {
    /// A string.
    Text,
    /// An integer of up to 64 bits, with or without a sign.
    Int,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`.
    Null,
    /// Any value at all.
    Any,
}

/// One value of an enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// As it is on the wire.
    pub name: String,
    /// Such as `deprecated` (since 6.2).
    pub features: Vec<String>,
}

/// The type of an object, whose further members may hang on the value of one of them, its tag.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// Those that it has in any case, the tag among them, in QEMU's order.
    pub members: Vec<Member>,
    /// The name of the member that chooses a variant.
    pub tag: Option<String>,
    /// What there is besides, by the tag's value. A value that is not here adds nothing.
    pub variants: Vec<Variant>,
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// As it is on the wire.
    pub name: String,
    /// What it takes.
    pub type_id: TypeId,
    /// Whether it may be left out.
    pub optional: bool,
    /// Such as `deprecated` or `unstable` (since 5.0).
    pub features: Vec<String>,
}

/// What an object has besides, where its tag has one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The tag's value.
    pub case: String,
    /// The object type whose members come in addition.
    pub type_id: TypeId,
}

impl Schema {
    /// The command of this name.
    #[must_use]
    pub fn command(&self, name: &str) -> Option<&Command> {
        self.commands.get(name)
    }

    /// The event of this name.
    #[must_use]
    pub fn event(&self, name: &str) -> Option<&Event> {
        self.events.get(name)
    }

    /// All commands, by name.
    pub fn commands(&self) -> impl ExactSizeIterator<Item = &Command> {
        self.commands.values()
    }

    /// All events, by name.
    pub fn events(&self) -> impl ExactSizeIterator<Item = &Event> {
        self.events.values()
    }

    /// The type that something refers to.
    #[must_use]
    pub fn type_of(&self, id: TypeId) -> &Type {
        &self.types[id.0]
    }

    /// What the values of a type look like.
    #[must_use]
    pub fn shape(&self, id: TypeId) -> &Shape {
        &self.type_of(id).shape
    }

    /// How many types there are; walks that remember where they were need room for so many.
    #[must_use]
    pub fn type_count(&self) -> usize {
        self.types.len()
    }

    /// The object type that a command takes; `None` where there is no such command.
    #[must_use]
    pub fn arguments(&self, command: &str) -> Option<&Object> {
        self.object(self.command(command)?.arguments)
    }

    /// A type as an object type, where it is one.
    #[must_use]
    pub fn object(&self, id: TypeId) -> Option<&Object> {
        match self.shape(id) {
            Shape::Object(object) => Some(object),
            _ => None,
        }
    }

    /// All members that an object may have where its tag has this value: its own, then the variant's.
    /// With no value of the tag, its own alone.
    #[must_use]
    pub fn members<'s>(&'s self, object: &'s Object, tag_value: Option<&str>) -> Vec<&'s Member> {
        let variant = tag_value.and_then(|value| object.variant(value));
        let variant = variant.and_then(|variant| self.object(variant.type_id));
        let own = object.members.iter();
        own.chain(variant.into_iter().flat_map(|more| &more.members)).collect()
    }

    /// The types that a type is made of, in order; those of members, elements, variants and choices.
    #[must_use]
    pub fn parts(&self, id: TypeId) -> Vec<TypeId> {
        match self.shape(id) {
            Shape::Builtin(_) | Shape::Enum(_) | Shape::Unknown => Vec::new(),
            Shape::Array(element) => vec![*element],
            Shape::Alternate(choices) => choices.clone(),
            Shape::Object(object) => {
                let members = object.members.iter().map(|member| member.type_id);
                members.chain(object.variants.iter().map(|variant| variant.type_id)).collect()
            }
        }
    }

    /// Every type that can be reached from this one, itself the first, each once, near ones first.
    #[must_use]
    pub fn reachable(&self, from: TypeId) -> Vec<TypeId> {
        let mut seen = vec![false; self.types.len()];
        let mut found = vec![from];
        seen[from.0] = true;
        let mut next = 0;
        while let Some(&id) = found.get(next) {
            for part in self.parts(id) {
                if !std::mem::replace(&mut seen[part.0], true) {
                    found.push(part);
                }
            }
            next += 1;
        }
        found
    }

    /// Whether a command takes more members than the schema lists: a device's properties are known
    /// to its class alone, and before 6.0 so were an object's.
    #[must_use]
    pub fn takes_more(&self, command: &str) -> bool {
        match command {
            "device_add" => true,
            "object-add" | "netdev_add" => {
                self.arguments(command).is_some_and(|object| object.variants.is_empty())
            }
            _ => false,
        }
    }

    /// Whether what a command takes more stands in [`PROPS`]: up to 4.2 there alone, up to 5.2 there or
    /// beside the others.
    fn has_props(&self, command: &str) -> bool {
        let object = self.arguments(command).filter(|_| command == "object-add");
        object.is_some_and(|object| object.member(PROPS).is_some())
    }
}

/// The member of `object-add` that once had an object's properties.
const PROPS: &str = "props";

impl Object {
    /// The member of this name, of those that the object has in any case.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The variant of this value of the tag.
    #[must_use]
    pub fn variant(&self, case: &str) -> Option<&Variant> {
        self.variants.iter().find(|variant| variant.case == case)
    }

    /// Whether it has nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.variants.is_empty()
    }

    /// The tag's value in these arguments.
    fn tag_value<'v>(&self, values: &'v serde_json::Map<String, Value>) -> Option<&'v str> {
        values.get(self.tag.as_deref()?)?.as_str()
    }
}

impl Builtin {
    /// What people call it; the schema's own name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "str",
            Self::Int => "int",
            Self::Number => "number",
            Self::Bool => "bool",
            Self::Null => "null",
            Self::Any => "any",
        }
    }
}

/// What real QEMUs of Debian's answered to `query-qmp-schema`, on x86.
#[cfg(any(test, feature = "recorded"))]
pub mod recorded {
    /// QEMU 5.2.0.
    pub const V5_2: &str = include_str!("../schemas/5.2.json");
    /// QEMU 7.2.22.
    pub const V7_2: &str = include_str!("../schemas/7.2.json");
    /// QEMU 10.0.2.
    pub const V10_0: &str = include_str!("../schemas/10.0.json");
    /// QEMU 11.1.2.
    pub const V11_1: &str = include_str!("../schemas/11.1.json");

    /// That of QEMU 10.0.
    #[cfg(test)]
    pub(crate) fn schema() -> super::Schema {
        use super::Schema;
        Schema::parse(V10_0).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_variant_come_after_an_objects_own() {
        let schema = recorded::schema();
        let object = schema.arguments("blockdev-add").unwrap();
        let names = |tag| -> Vec<_> {
            let members = schema.members(object, tag);
            members.iter().map(|member| member.name.as_str()).collect()
        };
        assert!(names(None).contains(&"node-name"));
        assert!(!names(None).contains(&"filename"));
        assert!(names(Some("file")).contains(&"filename"));
        assert_eq!(names(Some("no-such-driver")), names(None));
    }

    #[test]
    fn a_walk_ends_where_types_go_in_a_circle() {
        let schema = recorded::schema();
        let arguments = schema.command("blockdev-add").unwrap().arguments;
        let found = schema.reachable(arguments);
        assert_eq!(found[0], arguments);
        assert!(found.len() > 50 && found.len() < schema.type_count());
    }

    #[test]
    fn properties_that_only_a_class_knows_are_no_surprise() {
        let schema = recorded::schema();
        assert!(schema.takes_more("device_add"));
        assert!(!schema.takes_more("object-add"));
        assert!(Schema::parse(recorded::V5_2).unwrap().takes_more("object-add"));
    }
}
