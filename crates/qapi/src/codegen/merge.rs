//! Making one model of the schemas of many versions.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::Source;
use super::classes::{Classes, Node};
use super::model::{
    Case, Class, Member, Model, Object, Root, RootKind, Shape, Use, Variants, Versions, Word,
};
use crate::introspection::{self, Builtin};

/// Merges them; no type has a name yet.
pub(super) fn merge(sources: &[Source]) -> Model {
    let classes = Classes::of(sources);
    let members = classes.members();
    let numbers = members.keys().enumerate().map(|(number, first)| (*first, number)).collect();
    let merge = Merge { sources, classes, numbers, lax: RefCell::default() };
    let mut types: Vec<_> = members.values().map(|nodes| merge.class(nodes)).collect();
    let versions = sources.iter().map(|source| source.version.clone()).collect();
    let roots = merge.roots();
    for class in merge.lax.into_inner() {
        types[class].make_optional();
    }
    Model { versions, roots, types }
}

struct Merge<'s> {
    sources: &'s [Source],
    classes: Classes<'s>,
    numbers: BTreeMap<Node, usize>,
    /// Types in whose place some version has nothing at all.
    lax: RefCell<BTreeSet<usize>>,
}

impl Merge<'_> {
    fn roots(&self) -> Vec<Root> {
        let schemas = || self.sources.iter().map(|source| &source.schema);
        let commands: BTreeSet<_> =
            schemas().flat_map(|schema| schema.commands().map(|it| it.name.as_str())).collect();
        let events: BTreeSet<_> =
            schemas().flat_map(|schema| schema.events().map(|it| it.name.as_str())).collect();
        let commands = commands.into_iter().map(|name| self.command(name));
        commands.chain(events.into_iter().map(|name| self.event(name))).collect()
    }

    fn command(&self, name: &str) -> Root {
        let found: Vec<_> = self
            .sources
            .iter()
            .enumerate()
            .filter_map(|(version, source)| Some((version, source.schema.command(name)?)))
            .collect();
        let takes: Vec<_> = found.iter().map(|(version, it)| (*version, it.arguments)).collect();
        let returns: Vec<_> = found.iter().map(|(version, it)| (*version, it.returns)).collect();
        let newest = found.last();
        let is_open =
            newest.is_some_and(|(version, _)| self.sources[*version].schema.takes_more(name));
        Root {
            features: newest.map(|(_, it)| it.features.clone()).unwrap_or_default(),
            allow_oob: newest.is_some_and(|(_, it)| it.allow_oob),
            is_open,
            returns: self.used(&returns),
            ..self.root(RootKind::Command, name, &takes)
        }
    }

    fn event(&self, name: &str) -> Root {
        let found: Vec<_> = self
            .sources
            .iter()
            .enumerate()
            .filter_map(|(version, source)| Some((version, source.schema.event(name)?)))
            .collect();
        let takes: Vec<_> = found.iter().map(|(version, it)| (*version, it.data)).collect();
        let features = found.last().map(|(_, it)| it.features.clone()).unwrap_or_default();
        Root { features, ..self.root(RootKind::Event, name, &takes) }
    }

    fn root(&self, kind: RootKind, name: &str, takes: &[Node]) -> Root {
        Root {
            kind,
            name: name.to_owned(),
            ident: String::new(),
            versions: versions(takes),
            features: Vec::new(),
            allow_oob: false,
            takes: self.used(takes).class(),
            body: self.object(takes),
            is_open: false,
            returns: Use::Nothing,
        }
    }

    fn class(&self, nodes: &[Node]) -> Class {
        let shape = match self.classes.shape(nodes[0]) {
            introspection::Shape::Enum(_) => Shape::Enum(self.words(nodes)),
            introspection::Shape::Alternate(_) => Shape::Alternate(self.choices(nodes)),
            _ => Shape::Object(self.object(nodes)),
        };
        Class { ident: String::new(), tag_ident: String::new(), versions: versions(nodes), shape }
    }

    /// What stands in one place, in all versions that have the place.
    fn used(&self, nodes: &[Node]) -> Use {
        let mut found: Vec<Use> = Vec::new();
        let mut elements = Vec::new();
        for node in nodes {
            let one = match self.classes.shape(*node) {
                introspection::Shape::Builtin(builtin) => plain(*builtin),
                introspection::Shape::Unknown => Use::Any,
                introspection::Shape::Array(element) => {
                    elements.push((node.0, *element));
                    continue;
                }
                introspection::Shape::Object(object) if object.is_empty() => Use::Nothing,
                _ => Use::Class(self.numbers[&self.classes.first(*node)]),
            };
            if !found.contains(&one) {
                found.push(one);
            }
        }
        if !elements.is_empty() {
            found.push(Use::Array(Box::new(self.used(&elements))));
        }
        self.agree(found)
    }

    /// One type for what different versions have in one place.
    fn agree(&self, mut found: Vec<Use>) -> Use {
        if found.len() > 1 && found.contains(&Use::Nothing) {
            found.retain(|one| *one != Use::Nothing);
            self.lax.borrow_mut().extend(found.iter().filter_map(Use::class));
        }
        match found.as_slice() {
            [] => Use::Nothing,
            [one] => one.clone(),
            [Use::Int, Use::Number] | [Use::Number, Use::Int] => Use::Number,
            // Enums keep words that they do not know, and alternates values that they do not. An
            // alternate came in the place of one of its choices.
            [Use::Text, Use::Class(class)] | [Use::Class(class), Use::Text]
                if self.is_of(*class, |shape| matches!(shape, introspection::Shape::Enum(_))) =>
            {
                Use::Class(*class)
            }
            more => {
                let is_alternate = |shape: &introspection::Shape| {
                    matches!(shape, introspection::Shape::Alternate(_))
                };
                let alternate = more.iter().find(
                    |one| matches!(one, Use::Class(class) if self.is_of(*class, is_alternate)),
                );
                alternate.cloned().unwrap_or(Use::Any)
            }
        }
    }

    fn is_of(&self, class: usize, is: impl Fn(&introspection::Shape) -> bool) -> bool {
        let first = self.numbers.iter().find(|(_, number)| **number == class);
        first.is_some_and(|(first, _)| is(self.classes.shape(*first)))
    }

    fn object(&self, nodes: &[Node]) -> Object {
        let objects: Vec<_> = nodes
            .iter()
            .filter_map(|node| Some((node.0, self.classes.schema(*node).object(node.1)?)))
            .collect();
        let mut names: Vec<&str> = Vec::new();
        let newest_first = objects.iter().rev().flat_map(|(_, object)| &object.members);
        for member in newest_first {
            if !names.contains(&member.name.as_str()) {
                names.push(&member.name);
            }
        }
        let mut members: Vec<_> = names.iter().map(|name| self.member(name, &objects)).collect();
        let tag = objects.iter().rev().find_map(|(_, object)| object.tag.as_deref());
        let place = members.iter().position(|member| Some(member.name.as_str()) == tag);
        let variants = place.map(|place| {
            let tag = members.remove(place);
            Variants { cases: self.cases(&tag.name, &objects), tag }
        });
        Object { members, variants }
    }

    fn member(&self, name: &str, objects: &[(usize, &introspection::Object)]) -> Member {
        let found: Vec<_> = objects
            .iter()
            .filter_map(|(version, object)| Some((*version, object.member(name)?)))
            .collect();
        let nodes: Vec<_> = found.iter().map(|(version, it)| (*version, it.type_id)).collect();
        let required = found.iter().filter(|(_, it)| !it.optional);
        let required: Vec<_> = required.map(|(version, it)| (*version, it.type_id)).collect();
        Member {
            name: name.to_owned(),
            of: self.used(&nodes),
            optional: found.len() < objects.len() || found.iter().any(|(_, it)| it.optional),
            versions: versions(&nodes),
            required: versions(&required),
            features: found.last().map(|(_, it)| it.features.clone()).unwrap_or_default(),
        }
    }

    fn cases(&self, tag: &str, objects: &[(usize, &introspection::Object)]) -> Vec<Case> {
        let tags: Vec<_> = objects
            .iter()
            .filter_map(|(version, object)| Some((*version, object.member(tag)?.type_id)))
            .collect();
        let tags: Vec<_> = tags
            .into_iter()
            .filter(|node| matches!(self.classes.shape(*node), introspection::Shape::Enum(_)))
            .collect();
        let case = |word: Word| {
            let nodes: Vec<_> = objects
                .iter()
                .filter_map(|(version, object)| {
                    Some((*version, object.variant(&word.name)?.type_id))
                })
                .collect();
            let class = self.used(&nodes).class();
            // A version may have the word, or any word, and nothing that comes with it.
            let may_come = |(version, object): &(usize, &introspection::Object)| {
                let has_words = tags.iter().any(|(other, _)| other == version);
                let has_variant = object.variant(&word.name).is_some();
                let is_open = self.is_open(*version, object);
                !has_variant && !is_open && (word.versions.has(*version) || !has_words)
            };
            if objects.iter().any(may_come) {
                self.lax.borrow_mut().extend(class);
            }
            Case { name: word.name, versions: word.versions, features: word.features, class }
        };
        self.words(&tags).into_iter().map(case).collect()
    }

    /// Whether these are the arguments of a command that takes more than is listed: what a variant
    /// has is then needed all the same.
    fn is_open(&self, version: usize, object: &introspection::Object) -> bool {
        let schema = &self.sources[version].schema;
        let mut open = schema.commands().filter(|command| schema.takes_more(&command.name));
        open.any(|command| {
            schema.arguments(&command.name).is_some_and(|it| std::ptr::eq(it, object))
        })
    }

    fn words(&self, nodes: &[Node]) -> Vec<Word> {
        let mut words: Vec<Word> = Vec::new();
        for node in nodes.iter().rev() {
            let introspection::Shape::Enum(found) = self.classes.shape(*node) else { continue };
            for word in found {
                let known = words.iter_mut().find(|known| known.name == word.name);
                if let Some(known) = known {
                    known.versions.add(node.0);
                    continue;
                }
                let mut versions = Versions::default();
                versions.add(node.0);
                let (name, features) = (word.name.clone(), word.features.clone());
                words.push(Word { name, versions, features });
            }
        }
        words
    }

    fn choices(&self, nodes: &[Node]) -> Vec<Use> {
        let mut choices = Vec::new();
        for node in nodes.iter().rev() {
            let introspection::Shape::Alternate(found) = self.classes.shape(*node) else {
                continue;
            };
            for choice in found {
                let used = self.used(&[(node.0, *choice)]);
                if !choices.contains(&used) {
                    choices.push(used);
                }
            }
        }
        choices
    }
}

fn versions(nodes: &[Node]) -> Versions {
    let mut versions = Versions::default();
    for (version, _) in nodes {
        versions.add(*version);
    }
    versions
}

fn plain(builtin: Builtin) -> Use {
    match builtin {
        Builtin::Text => Use::Text,
        Builtin::Int => Use::Int,
        Builtin::Number => Use::Number,
        Builtin::Bool => Use::Bool,
        Builtin::Null => Use::Null,
        Builtin::Any => Use::Any,
    }
}
