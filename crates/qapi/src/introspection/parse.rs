//! Reading the answer to `query-qmp-schema`.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::{Builtin, Command, Event, Member, Object, Schema, Shape, Type, TypeId, Variant, Word};

/// A text that is no answer to `query-qmp-schema`.
#[derive(Debug, thiserror::Error)]
#[error("this is no answer to query-qmp-schema: {0}")]
pub struct NotASchema(String);

impl Schema {
    /// Reads an answer: the array of entities itself, or a reply with it in `return`.
    ///
    /// # Errors
    /// When it is not JSON, or not an array of objects of which one is a command.
    pub fn parse(text: &str) -> Result<Self, NotASchema> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| NotASchema(error.to_string()))?;
        Self::from_value(&value)
    }

    /// Reads an answer that is parsed already.
    ///
    /// # Errors
    /// As for [`Schema::parse`].
    pub fn from_value(value: &Value) -> Result<Self, NotASchema> {
        let value = value.get("return").unwrap_or(value);
        let entities =
            value.as_array().ok_or_else(|| NotASchema("it is not an array".to_owned()))?;
        let mut reader = Reader::default();
        for entity in entities.iter().filter_map(Value::as_object) {
            reader.read(entity);
        }
        let Reader { commands, events, types, .. } = reader;
        if commands.is_empty() {
            return Err(NotASchema("it has no commands".to_owned()));
        }
        Ok(Self { commands, events, types })
    }
}

/// The schema so far. A type has its place from when it is first spoken of.
#[derive(Default)]
struct Reader {
    commands: BTreeMap<String, Command>,
    events: BTreeMap<String, Event>,
    types: Vec<Type>,
    places: HashMap<String, TypeId>,
}

impl Reader {
    fn read(&mut self, entity: &Map<String, Value>) {
        let Some(name) = text(entity, "name") else { return };
        let features = features(entity);
        match entity.get("meta-type").and_then(Value::as_str) {
            Some("command") => {
                let command = Command {
                    name: name.clone(),
                    arguments: self.refer(entity, "arg-type"),
                    returns: self.refer(entity, "ret-type"),
                    allow_oob: entity.get("allow-oob") == Some(&Value::Bool(true)),
                    features,
                };
                self.commands.insert(name, command);
            }
            Some("event") => {
                let data = self.refer(entity, "arg-type");
                self.events.insert(name.clone(), Event { name, data, features });
            }
            kind => {
                let shape = self.shape(kind.unwrap_or_default(), entity);
                let place = self.place(&name);
                self.types[place.0] = Type { name, features, shape };
            }
        }
    }

    fn shape(&mut self, kind: &str, entity: &Map<String, Value>) -> Shape {
        match kind {
            "builtin" => builtin(entity).map_or(Shape::Unknown, Shape::Builtin),
            "enum" => Shape::Enum(words(entity)),
            "array" => Shape::Array(self.refer(entity, "element-type")),
            "object" => {
                let members = self.list(entity, "members", Self::member);
                let variants = self.list(entity, "variants", Self::variant);
                Shape::Object(Object { members, tag: text(entity, "tag"), variants })
            }
            "alternate" => Shape::Alternate(
                self.list(entity, "members", |reader, one| Some(reader.refer(one, "type"))),
            ),
            _ => Shape::Unknown,
        }
    }

    fn member(&mut self, member: &Map<String, Value>) -> Option<Member> {
        Some(Member {
            name: text(member, "name")?,
            type_id: self.refer(member, "type"),
            // Only that it is there counts: QEMU keeps the value for itself, and says null.
            optional: member.contains_key("default"),
            features: features(member),
        })
    }

    fn variant(&mut self, variant: &Map<String, Value>) -> Option<Variant> {
        Some(Variant { case: text(variant, "case")?, type_id: self.refer(variant, "type") })
    }

    fn list<T>(
        &mut self,
        entity: &Map<String, Value>,
        key: &str,
        read: impl Fn(&mut Self, &Map<String, Value>) -> Option<T>,
    ) -> Vec<T> {
        objects(entity, key).filter_map(|one| read(self, one)).collect()
    }

    /// The type that a member names. One that names none is of a type that takes anything.
    fn refer(&mut self, entity: &Map<String, Value>, key: &str) -> TypeId {
        let name = entity.get(key).and_then(Value::as_str).unwrap_or_default();
        self.place(name)
    }

    fn place(&mut self, name: &str) -> TypeId {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = TypeId(self.types.len());
        let name = name.to_owned();
        self.types.push(Type { name: name.clone(), features: Vec::new(), shape: Shape::Unknown });
        self.places.insert(name, place);
        place
    }
}

fn builtin(entity: &Map<String, Value>) -> Option<Builtin> {
    Some(match entity.get("json-type")?.as_str()? {
        "string" => Builtin::Text,
        "int" => Builtin::Int,
        "number" => Builtin::Number,
        "boolean" => Builtin::Bool,
        "null" => Builtin::Null,
        "value" => Builtin::Any,
        _ => return None,
    })
}

/// The values of an enum: `members` since 6.2, and `values`, which say less, before.
fn words(entity: &Map<String, Value>) -> Vec<Word> {
    if entity.contains_key("members") {
        let members = objects(entity, "members");
        return members
            .filter_map(|word| Some(Word { name: text(word, "name")?, features: features(word) }))
            .collect();
    }
    let word = |name: String| Word { name, features: Vec::new() };
    texts(entity, "values").into_iter().map(word).collect()
}

fn features(entity: &Map<String, Value>) -> Vec<String> {
    texts(entity, "features")
}

fn text(entity: &Map<String, Value>, key: &str) -> Option<String> {
    entity.get(key)?.as_str().map(str::to_owned)
}

fn texts(entity: &Map<String, Value>, key: &str) -> Vec<String> {
    let list = entity.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn objects<'e>(
    entity: &'e Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = &'e Map<String, Value>> {
    let list = entity.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_object)
}

#[cfg(test)]
mod tests {
    use super::super::recorded;
    use super::*;

    #[test]
    fn every_recorded_schema_is_read_whole() {
        for (text, commands, events) in [
            (recorded::V5_2, 192, 48),
            (recorded::V7_2, 216, 52),
            (recorded::V10_0, 233, 55),
            (recorded::V11_1, 242, 57),
        ] {
            let schema = Schema::parse(text).unwrap();
            assert_eq!((schema.commands().len(), schema.events().len()), (commands, events));
            for id in (0..schema.type_count()).map(TypeId) {
                assert_ne!(schema.shape(id), &Shape::Unknown, "{}", schema.type_of(id).name);
            }
        }
    }

    #[test]
    fn what_a_schema_says_of_a_command() {
        let schema = recorded::schema();
        let command = schema.command("migrate-pause").unwrap();
        assert!(command.allow_oob && command.features.is_empty());
        let sync = schema.command("device-sync-config").unwrap();
        assert!(!sync.allow_oob);
        assert_eq!(sync.features, ["unstable"]);
        let member = &schema.arguments("device-sync-config").unwrap().members[0];
        assert_eq!((member.name.as_str(), member.optional), ("id", false));
        assert_eq!(schema.shape(member.type_id), &Shape::Builtin(Builtin::Text));
        assert!(schema.object(sync.returns).unwrap().is_empty());
    }

    #[test]
    fn what_is_not_known_breaks_nothing() {
        let text = r#"{"return": [
            {"meta-type": "command", "name": "a", "arg-type": "1", "ret-type": "gone", "new": 1},
            {"meta-type": "object", "name": "1", "members": [
                {"name": "x", "type": "2"}, {"name": "y", "type": "3", "default": 5}, {"type": "3"}]},
            {"meta-type": "tuple", "name": "2"},
            {"meta-type": "builtin", "name": "3", "json-type": "decimal"},
            {"meta-type": "enum", "name": "4", "values": ["p", "q"]},
            {"meta-type": "command"}, 7]}"#;
        let schema = Schema::parse(text).unwrap();
        let members = &schema.arguments("a").unwrap().members;
        assert_eq!(members.len(), 2);
        assert!(members.iter().all(|member| schema.shape(member.type_id) == &Shape::Unknown));
        assert!(members[1].optional);
        assert_eq!(schema.shape(schema.command("a").unwrap().returns), &Shape::Unknown);
    }

    #[test]
    fn other_texts_are_refused() {
        for (text, part) in [("{", "EOF"), ("{}", "not an array"), ("[]", "no commands")] {
            let error = Schema::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
