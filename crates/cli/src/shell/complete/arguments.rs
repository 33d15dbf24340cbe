//! The arguments of a QMP command that is being typed: which may come, and what each takes.

use std::sync::Arc;

use qplug_qapi::introspection::{Builtin, Given, Member, Schema, TypeId, Word};

use super::candidate::{Offer, Rank};
use super::json;
use super::kinds;
use super::names::{self, Values};
use super::world::{Kind, World};

/// A command's arguments, as far as they are given.
#[derive(Debug, Clone)]
pub(in crate::shell) struct Arguments {
    /// The command, or a transaction's action.
    pub(in crate::shell) command: String,
    /// The schema, and the object that is to be filled in.
    typed: Option<(Arc<Schema>, TypeId)>,
    /// What is given, the word at the cursor left out.
    pub(in crate::shell) given: Given,
}

/// Something that an object takes and does not have yet.
#[derive(Debug, Clone)]
pub(in crate::shell) struct Field {
    pub(in crate::shell) name: String,
    /// Its type, as people read it.
    pub(in crate::shell) takes: String,
    pub(in crate::shell) rank: Rank,
    /// Whether it may be a plain value, and has none.
    pub(in crate::shell) is_plain: bool,
    /// Whether it may be an object or an array.
    pub(in crate::shell) has_inside: bool,
}

impl Arguments {
    /// Those of a command, of which these words are given.
    pub(in crate::shell) fn of_command<'a>(
        command: &str,
        words: impl Iterator<Item = &'a str>,
        world: &dyn World,
    ) -> Self {
        let typed = world.schema().and_then(|schema| {
            let root = schema.command(command)?.arguments;
            Some((schema, root))
        });
        Self { command: command.to_owned(), typed, given: given(words) }
    }

    /// Those of an action of a transaction.
    pub(in crate::shell) fn of_action<'a>(
        action: &str,
        words: impl Iterator<Item = &'a str>,
        world: &dyn World,
    ) -> Self {
        let typed = world.schema().and_then(|schema| {
            let object = schema.object(action_type(&schema)?)?;
            let data = schema.object(object.variant(action)?.type_id)?.member("data")?.type_id;
            Some((schema, data))
        });
        Self { command: action.to_owned(), typed, given: given(words) }
    }

    /// Gives what the members of a JSON object say, in place of what was given.
    pub(in crate::shell) fn with_given(self, given: Given) -> Self {
        Self { given, ..self }
    }

    /// What the object at a place takes besides what is given.
    pub(in crate::shell) fn fields(&self, path: &[&str], world: &dyn World) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::new();
        if let Some((schema, root)) = &self.typed
            && let Some(id) = schema.place(*root, path, &self.given)
        {
            let members = schema.members_at(id, path, &self.given).into_iter();
            fields.extend(members.filter_map(|member| self.field(schema, path, member)));
        }
        if path.is_empty() {
            for property in self.properties(world) {
                let is_there = fields.iter().any(|field| field.name == property.name);
                if !is_there && !self.given.has(&property.name) {
                    fields.push(property);
                }
            }
        }
        fields
    }

    fn field(&self, schema: &Schema, path: &[&str], member: &Member) -> Option<Field> {
        let key = path.iter().copied().chain([member.name.as_str()]).collect::<Vec<_>>().join(".");
        let (id, is_begun) = (member.type_id, self.given.has(&key));
        let has_inside = schema.inside(id).is_some() && self.given.text(&key).is_none();
        let is_plain = !is_begun && schema.takes_plain(id);
        (is_plain || has_inside).then(|| Field {
            name: member.name.clone(),
            takes: noted(schema.type_name(id), &member.features),
            rank: rank(&member.features, !member.optional),
            is_plain,
            has_inside,
        })
    }

    /// The number that the next element of the array at a place has, where there is an array.
    pub(in crate::shell) fn next_element(&self, path: &[&str]) -> Option<(usize, TypeId)> {
        let (schema, root) = self.typed.as_ref()?;
        let element = schema.element(schema.place(*root, path, &self.given)?)?;
        Some((self.given.next_element(&path.join(".")), element))
    }

    /// The type of the value at a place.
    pub(in crate::shell) fn value_type(&self, path: &[&str]) -> Option<(&Schema, TypeId)> {
        let (schema, root) = self.typed.as_ref()?;
        Some((schema, schema.place(*root, path, &self.given)?))
    }

    /// What the value at a place may be, of which `text` is typed.
    pub(in crate::shell) fn values(&self, path: &[&str], text: &str, world: &dyn World) -> Values {
        let key = path.join(".");
        let kind = kinds::of_argument(&self.command, &key, &self.given);
        let Some((schema, id)) = self.value_type(path) else {
            return match kind {
                Some(kind) => names::of(&kind, text, world),
                None => {
                    let property = self.property(&key, world);
                    Values::from(property.map_or_else(Vec::new, |it| property_values(&it.takes)))
                }
            };
        };
        let mut offers: Vec<_> = schema.words(id).into_iter().map(of_word).collect();
        offers.extend(plain_values(schema, id, text));
        let names = match kind {
            Some(kind) if schema.takes(id, Builtin::Text) => names::of(&kind, text, world),
            None if self.is_node(schema, id) => names::of(&Kind::Nodes, text, world),
            _ => Values::default(),
        };
        offers.extend(names.offers);
        Values { offers, ..names }
    }

    /// Whether a node's name may stand for the object that would make it.
    fn is_node(&self, schema: &Schema, id: TypeId) -> bool {
        let node = schema.command("blockdev-add").map(|command| command.arguments);
        schema.takes(id, Builtin::Text) && node.is_some() && schema.inside(id) == node
    }

    /// The type whose properties are arguments besides those in the schema.
    fn class(&self) -> Option<&str> {
        let tag = match self.command.as_str() {
            "device_add" => "driver",
            "object-add" => "qom-type",
            _ => return None,
        };
        let is_open = match &self.typed {
            Some((schema, _)) => schema.takes_more(&self.command),
            None => true,
        };
        is_open.then(|| self.given.text(tag)).flatten()
    }

    fn properties(&self, world: &dyn World) -> Vec<Field> {
        let Some(class) = self.class() else { return Vec::new() };
        let names = world.names(&Kind::Properties(class.to_owned()));
        let field = |name: &super::world::Name| Field {
            name: name.text.clone(),
            takes: name.note.clone(),
            // By QEMU's convention these may change with any version.
            rank: if name.text.starts_with("x-") { Rank::Discouraged } else { Rank::Usual },
            is_plain: true,
            has_inside: false,
        };
        names.names.iter().map(field).collect()
    }

    /// A property of the type that is to be made.
    pub(in crate::shell) fn property(&self, key: &str, world: &dyn World) -> Option<Field> {
        self.properties(world).into_iter().find(|field| field.name == key)
    }
}

/// The object type of a transaction's actions.
fn action_type(schema: &Schema) -> Option<TypeId> {
    schema.element(schema.arguments("transaction")?.member("actions")?.type_id)
}

/// The actions that a transaction may have.
pub(in crate::shell) fn actions(schema: &Schema) -> Vec<&Word> {
    let object = action_type(schema).and_then(|id| schema.object(id));
    let tag = object.and_then(|object| object.member(object.tag.as_deref()?));
    tag.map_or_else(Vec::new, |tag| schema.words(tag.type_id))
}

/// What words of `key=value`, or of JSON, give.
fn given<'a>(words: impl Iterator<Item = &'a str>) -> Given {
    let mut given = Given::default();
    for word in words {
        if word.starts_with('{') {
            given.add("", &json::read(word).given);
        } else if let Some((key, value)) = word.split_once('=') {
            if value.starts_with(['{', '[']) {
                given.insert(key, value);
                given.add(key, &json::read(value).given);
            } else {
                given.insert(key, value);
            }
        }
    }
    given
}

pub(super) fn of_word(word: &Word) -> Offer {
    let note = word.features.join(", ");
    Offer::new(word.name.as_str(), note).ranked(rank(&word.features, false))
}

/// Values of plain types. `on` and `off` are booleans too, for those who begin to type them.
fn plain_values(schema: &Schema, id: TypeId, text: &str) -> Vec<Offer> {
    let mut words = Vec::new();
    if schema.takes(id, Builtin::Bool) {
        words.extend(["true", "false"]);
        if !text.is_empty() {
            words.extend(["on", "off"]);
        }
    }
    if schema.takes(id, Builtin::Null) {
        words.push("null");
    }
    words.into_iter().map(|word| Offer::new(word, "")).collect()
}

/// The values of a device's property, from what QEMU says of it: `bool`, or a type and `on/off/auto`.
fn property_values(takes: &str) -> Vec<Offer> {
    let (type_name, description) = takes.split_once(": ").unwrap_or((takes, ""));
    let is_word = |word: &str| {
        let is_plain = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '_';
        !word.is_empty() && word.chars().all(is_plain)
    };
    let words: Vec<_> = match type_name {
        "bool" => vec!["on", "off"],
        _ if description.contains('/') && description.split('/').all(is_word) => {
            description.split('/').collect()
        }
        _ => Vec::new(),
    };
    words.into_iter().map(|word| Offer::new(word, "")).collect()
}

pub(super) fn rank(features: &[String], is_required: bool) -> Rank {
    let is_discouraged = features.iter().any(|it| it == "deprecated" || it == "unstable");
    match (is_required, is_discouraged) {
        (true, _) => Rank::Required,
        (_, true) => Rank::Discouraged,
        _ => Rank::Usual,
    }
}

/// What is long is cut at its end, so what matters comes first.
fn noted(takes: String, features: &[String]) -> String {
    if features.is_empty() { takes } else { format!("{}: {takes}", features.join(", ")) }
}
