//! What came, went and changed from one schema to another.
//!
//! Types have no names that two builds share, so they are compared by what they are made of, from
//! each command and event down. Two types that are met again on the way, perhaps inside themselves,
//! were compared already.

use std::collections::HashSet;
use std::fmt;

use super::{MAX_DEPTH, Object, Schema, Shape, TypeId, Word};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The command or event.
    pub name: String,
    /// What of it, such as `arguments.file` or `returns[].inserted`; empty for the whole of it.
    pub path: String,
    /// What became of it.
    pub what: What,
}

/// What became of a part of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It is new.
    Came,
    /// It is no more.
    Went,
    /// It may be left out now.
    NowOptional,
    /// It may not be left out any more.
    NowRequired,
    /// Its values are others.
    Type {
        /// What they were.
        from: String,
        /// What they are.
        to: String,
    },
    /// A word that it may be is new.
    WordCame(String),
    /// It may not be this word any more.
    WordWent(String),
    /// It has this feature now, such as `deprecated`.
    FeatureCame(String),
    /// It has this feature no more.
    FeatureWent(String),
}

/// All differences: of commands by name, then of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Of commands.
    pub commands: Vec<Change>,
    /// Of events.
    pub events: Vec<Change>,
}

impl Changes {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.events.is_empty()
    }
}

/// Compares two schemas: what has to be done to `from` for it to be `to`.
#[must_use]
pub fn diff(from: &Schema, to: &Schema) -> Changes {
    let mut commands = Vec::new();
    for name in names(from.commands.keys(), to.commands.keys()) {
        let compare = &mut Compare::new(from, to, name, &mut commands);
        match (from.command(name), to.command(name)) {
            (Some(old), Some(new)) => {
                compare.features("", &old.features, &new.features);
                compare.types("arguments", old.arguments, new.arguments);
                compare.types("returns", old.returns, new.returns);
            }
            (old, _) => compare.note("", if old.is_some() { What::Went } else { What::Came }),
        }
    }
    let mut events = Vec::new();
    for name in names(from.events.keys(), to.events.keys()) {
        let compare = &mut Compare::new(from, to, name, &mut events);
        match (from.event(name), to.event(name)) {
            (Some(old), Some(new)) => {
                compare.features("", &old.features, &new.features);
                compare.types("data", old.data, new.data);
            }
            (old, _) => compare.note("", if old.is_some() { What::Went } else { What::Came }),
        }
    }
    Changes { commands, events }
}

/// Those of both, each once, in order.
fn names<'n>(
    old: impl Iterator<Item = &'n String>,
    new: impl Iterator<Item = &'n String>,
) -> std::collections::BTreeSet<&'n str> {
    old.chain(new).map(String::as_str).collect()
}

struct Compare<'c> {
    from: &'c Schema,
    to: &'c Schema,
    name: &'c str,
    changes: &'c mut Vec<Change>,
    met: HashSet<(TypeId, TypeId)>,
}

impl<'c> Compare<'c> {
    fn new(from: &'c Schema, to: &'c Schema, name: &'c str, changes: &'c mut Vec<Change>) -> Self {
        Self { from, to, name, changes, met: HashSet::new() }
    }

    fn note(&mut self, path: &str, what: What) {
        self.changes.push(Change { name: self.name.to_owned(), path: path.to_owned(), what });
    }

    fn types(&mut self, path: &str, old: TypeId, new: TypeId) {
        // A pair that was met is the same question again. The depth bounds what hostile schemas do
        // to the stack.
        if !self.met.insert((old, new)) || path.matches(['.', '[', '(']).count() > MAX_DEPTH {
            return;
        }
        let (from, to) = (self.from, self.to);
        self.features(path, &from.type_of(old).features, &to.type_of(new).features);
        match (from.shape(old), to.shape(new)) {
            (Shape::Enum(old), Shape::Enum(new)) => self.words(path, old, new),
            (Shape::Array(old), Shape::Array(new)) => {
                self.types(&format!("{path}[]"), *old, *new);
            }
            (Shape::Object(old), Shape::Object(new)) => self.objects(path, old, new),
            (Shape::Alternate(olds), Shape::Alternate(news)) => {
                self.choices(path, olds, news, (old, new));
            }
            (a, b) if a == b => {}
            _ => self.retyped(path, old, new),
        }
    }

    fn retyped(&mut self, path: &str, old: TypeId, new: TypeId) {
        let (from, to) = (self.from.type_name(old), self.to.type_name(new));
        self.note(path, What::Type { from, to });
    }

    fn objects(&mut self, path: &str, old: &Object, new: &Object) {
        for member in &old.members {
            let path = format!("{path}.{}", member.name);
            let Some(now) = new.member(&member.name) else {
                self.note(&path, What::Went);
                continue;
            };
            if member.optional != now.optional {
                let what = if now.optional { What::NowOptional } else { What::NowRequired };
                self.note(&path, what);
            }
            self.features(&path, &member.features, &now.features);
            self.types(&path, member.type_id, now.type_id);
        }
        for member in new.members.iter().filter(|it| old.member(&it.name).is_none()) {
            self.note(&format!("{path}.{}", member.name), What::Came);
        }
        self.variants(path, old, new);
    }

    /// A value of the tag that came or went is told with the tag's words; here is what its variant is
    /// made of, but of one that went.
    fn variants(&mut self, path: &str, old: &Object, new: &Object) {
        let tag = new.tag.as_deref().or(old.tag.as_deref()).unwrap_or_default();
        for now in &new.variants {
            let path = format!("{path}({tag}={})", now.case);
            match old.variant(&now.case) {
                Some(variant) => self.types(&path, variant.type_id, now.type_id),
                None => self.came(&path, now.type_id),
            }
        }
    }

    /// The members of a variant that is new, those that it must have first.
    fn came(&mut self, path: &str, new: TypeId) {
        let Some(object) = self.to.object(new) else { return };
        let mut members: Vec<_> = object.members.iter().collect();
        members.sort_by_key(|member| member.optional);
        for member in members {
            self.note(&format!("{path}.{}", member.name), What::Came);
        }
    }

    /// Choices are told apart by what kind of JSON they are.
    fn choices(&mut self, path: &str, olds: &[TypeId], news: &[TypeId], whole: (TypeId, TypeId)) {
        let (from, to) = (self.from, self.to);
        let kind = std::mem::discriminant;
        let mut matched = 0;
        for old in olds {
            let same = |new: &&TypeId| match (from.shape(*old), to.shape(**new)) {
                (Shape::Builtin(old), Shape::Builtin(new)) => old == new,
                (old, new) => kind(old) == kind(new),
            };
            if let Some(new) = news.iter().find(same) {
                matched += 1;
                self.types(path, *old, *new);
            }
        }
        if matched != olds.len() || matched != news.len() {
            self.retyped(path, whole.0, whole.1);
        }
    }

    fn words(&mut self, path: &str, old: &[Word], new: &[Word]) {
        for word in old {
            match new.iter().find(|now| now.name == word.name) {
                None => self.note(path, What::WordWent(word.name.clone())),
                Some(now) => {
                    let path = format!("{path}={}", word.name);
                    self.features(&path, &word.features, &now.features);
                }
            }
        }
        for word in new.iter().filter(|now| old.iter().all(|word| word.name != now.name)) {
            self.note(path, What::WordCame(word.name.clone()));
        }
    }

    fn features(&mut self, path: &str, old: &[String], new: &[String]) {
        for feature in new.iter().filter(|feature| !old.contains(feature)) {
            self.note(path, What::FeatureCame(feature.clone()));
        }
        for feature in old.iter().filter(|feature| !new.contains(feature)) {
            self.note(path, What::FeatureWent(feature.clone()));
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, path, what } = self;
        let gap = if path.is_empty() { "" } else { " " };
        write!(formatter, "{name}{gap}{path}: {what}")
    }
}

impl fmt::Display for What {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Came => formatter.write_str("came"),
            Self::Went => formatter.write_str("went"),
            Self::NowOptional => formatter.write_str("may be left out now"),
            Self::NowRequired => formatter.write_str("may not be left out any more"),
            Self::Type { from, to } => write!(formatter, "was {from}, is {to}"),
            Self::WordCame(word) => write!(formatter, "value {word} came"),
            Self::WordWent(word) => write!(formatter, "value {word} went"),
            Self::FeatureCame(feature) => write!(formatter, "is {feature} now"),
            Self::FeatureWent(feature) => write!(formatter, "is {feature} no more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorded;
    use super::*;

    fn texts(changes: &[Change]) -> Vec<String> {
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_schema_is_the_same_as_itself() {
        let text = recorded::V10_0;
        let schema = recorded::schema();
        assert!(diff(&schema, &schema).is_empty());
        // The numbers of types are no part of it.
        let other = text.replace("\"100\"", "\"other\"").replace("\"[100]\"", "\"more\"");
        assert_ne!(other, text);
        assert_eq!(diff(&schema, &Schema::parse(&other).unwrap()), Changes::default());
    }

    #[test]
    fn what_7_2_has_not_and_10_0_has() {
        let changes = diff(&Schema::parse(recorded::V7_2).unwrap(), &recorded::schema());
        let commands = texts(&changes.commands);
        for line in [
            "device-sync-config: came",
            "query-named-block-nodes returns[].active: came",
            "query-status returns.singlestep: went",
            "query-stats arguments.target: value cryptodev came",
            "x-blockdev-amend arguments.options.driver=gluster: is deprecated now",
        ] {
            assert!(commands.iter().any(|it| it == line), "{line}\n{}", commands.join("\n"));
        }
        assert!(commands.iter().any(|it| it.ends_with(": went")), "{}", commands.join("\n"));
        assert!(!changes.events.is_empty());
        assert!(!commands.iter().any(|it| it.contains("block-core")));
    }

    #[test]
    fn a_variant_that_is_new_is_told_with_its_members() {
        let new = r#"[{"meta-type": "command", "name": "c", "arg-type": "1", "ret-type": "0"},
            {"meta-type": "object", "name": "0", "members": []},
            {"meta-type": "object", "name": "1", "tag": "kind", "members": [
                {"name": "kind", "type": "2"}], "variants": [
                {"case": "a", "type": "0"}, {"case": "b", "type": "3"}]},
            {"meta-type": "enum", "name": "2", "members": [{"name": "a"}, {"name": "b"}]},
            {"meta-type": "object", "name": "3", "members": [
                {"name": "may", "type": "str", "default": null}, {"name": "must", "type": "str"}]},
            {"meta-type": "builtin", "name": "str", "json-type": "string"}]"#;
        let old =
            new.replace(r#", {"case": "b", "type": "3"}"#, "").replace(r#", {"name": "b"}"#, "");
        let (old, new) = (Schema::parse(&old).unwrap(), Schema::parse(new).unwrap());
        assert_eq!(
            texts(&diff(&old, &new).commands),
            [
                "c arguments.kind: value b came",
                "c arguments(kind=b).must: came",
                "c arguments(kind=b).may: came",
            ]
        );
        assert_eq!(texts(&diff(&new, &old).commands), ["c arguments.kind: value b went"]);
    }

    #[test]
    fn every_kind_of_change_is_told() {
        let old = r#"[{"meta-type": "command", "name": "c", "arg-type": "1", "ret-type": "1"},
            {"meta-type": "object", "name": "1", "members": [
                {"name": "self", "type": "1"}, {"name": "gone", "type": "str"},
                {"name": "word", "type": "2", "default": null}, {"name": "kind", "type": "str"}]},
            {"meta-type": "enum", "name": "2", "members": [{"name": "a"}, {"name": "b"}]},
            {"meta-type": "builtin", "name": "str", "json-type": "string"}]"#;
        let new = r#"[{"meta-type": "command", "name": "c", "arg-type": "9", "ret-type": "9",
                "features": ["deprecated"]},
            {"meta-type": "object", "name": "9", "members": [
                {"name": "self", "type": "9", "default": null}, {"name": "new", "type": "str"},
                {"name": "word", "type": "8"}, {"name": "kind", "type": "[str]"}]},
            {"meta-type": "array", "name": "[str]", "element-type": "str"},
            {"meta-type": "enum", "name": "8", "members": [
                {"name": "a", "features": ["unstable"]}, {"name": "d"}]},
            {"meta-type": "builtin", "name": "str", "json-type": "string"}]"#;
        let changes = diff(&Schema::parse(old).unwrap(), &Schema::parse(new).unwrap());
        assert_eq!(
            texts(&changes.commands),
            [
                "c: is deprecated now",
                "c arguments.self: may be left out now",
                "c arguments.gone: went",
                "c arguments.word: may not be left out any more",
                "c arguments.word=a: is unstable now",
                "c arguments.word: value b went",
                "c arguments.word: value d came",
                "c arguments.kind: was str, is [str]",
                "c arguments.new: came",
            ]
        );
    }
}
