//! Which types of different versions are one.
//!
//! Types have no names, but commands, events and members do. So two types of different versions are
//! one when they stand in the same place: arguments of the same command, or members of the same name
//! of types that are one. Types that are used in many places follow from one another until nothing
//! changes any more.

use std::collections::BTreeMap;

use super::Source;
use crate::introspection::{Builtin, Schema, Shape, TypeId};

/// A type of one version.
pub(super) type Node = (usize, TypeId);

/// Sets of types that are one.
pub(super) struct Classes<'s> {
    sources: &'s [Source],
    parents: BTreeMap<Node, Node>,
}

impl<'s> Classes<'s> {
    /// Finds them.
    pub(super) fn of(sources: &'s [Source]) -> Self {
        let mut classes = Self { sources, parents: BTreeMap::new() };
        for (place, nodes) in roots(sources) {
            let _ = place;
            classes.join_all(&nodes);
        }
        while classes.spread() {}
        classes
    }

    pub(super) fn schema(&self, node: Node) -> &'s Schema {
        &self.sources[node.0].schema
    }

    pub(super) fn shape(&self, node: Node) -> &'s Shape {
        self.schema(node).shape(node.1)
    }

    /// The first of those that are one with this.
    pub(super) fn first(&self, node: Node) -> Node {
        let mut node = node;
        while let Some(parent) = self.parents.get(&node).filter(|parent| **parent != node) {
            node = *parent;
        }
        node
    }

    /// All that are one with others or stand alone, by the first of them.
    pub(super) fn members(&self) -> BTreeMap<Node, Vec<Node>> {
        let mut all: BTreeMap<Node, Vec<Node>> = BTreeMap::new();
        for node in self.parents.keys() {
            all.entry(self.first(*node)).or_default().push(*node);
        }
        all
    }

    /// Makes types that stand in one place one, where they are of one kind. Whether anything is new.
    fn join_all(&mut self, nodes: &[Node]) -> bool {
        let mut changed = false;
        for kind in [is_object as fn(&Shape) -> bool, is_enum, is_alternate] {
            let same: Vec<_> =
                nodes.iter().copied().filter(|node| kind(self.shape(*node))).collect();
            for node in &same {
                changed |= self.parents.insert(*node, self.known(*node)).is_none();
                changed |= self.join(same[0], *node);
            }
        }
        let elements: Vec<_> = nodes.iter().filter_map(|node| self.element(*node)).collect();
        // Arrays are one where their elements are.
        if elements.is_empty() { changed } else { self.join_all(&elements) || changed }
    }

    fn known(&self, node: Node) -> Node {
        self.parents.get(&node).copied().unwrap_or(node)
    }

    fn element(&self, node: Node) -> Option<Node> {
        match self.shape(node) {
            Shape::Array(element) => Some((node.0, *element)),
            _ => None,
        }
    }

    fn join(&mut self, one: Node, other: Node) -> bool {
        let (one, other) = (self.first(one), self.first(other));
        self.parents.insert(one.max(other), one.min(other));
        one != other
    }

    /// Joins what stands in the same place of types that are one.
    fn spread(&mut self) -> bool {
        let mut changed = false;
        for nodes in self.members().values() {
            for place in self.places(nodes).values() {
                changed |= self.join_all(place);
            }
        }
        changed
    }

    /// The places in types that are one, and what stands there in each.
    fn places(&self, nodes: &[Node]) -> BTreeMap<String, Vec<Node>> {
        let mut places: BTreeMap<String, Vec<Node>> = BTreeMap::new();
        let mut add = |place: String, version: usize, id: TypeId| {
            places.entry(place).or_default().push((version, id));
        };
        for node in nodes {
            match self.shape(*node) {
                Shape::Object(object) => {
                    for member in &object.members {
                        add(format!(".{}", member.name), node.0, member.type_id);
                    }
                    for variant in &object.variants {
                        add(format!("={}", variant.case), node.0, variant.type_id);
                    }
                }
                Shape::Alternate(choices) => {
                    for choice in choices {
                        let kind = kind(self.schema(*node).shape(*choice));
                        add(kind.to_owned(), node.0, *choice);
                    }
                }
                _ => {}
            }
        }
        places
    }
}

/// What commands and events take and return, by their names.
fn roots(sources: &[Source]) -> BTreeMap<String, Vec<Node>> {
    let mut roots: BTreeMap<String, Vec<Node>> = BTreeMap::new();
    for (version, Source { schema, .. }) in sources.iter().enumerate() {
        let mut add = |place: String, id| roots.entry(place).or_default().push((version, id));
        for command in schema.commands() {
            add(format!("command {}", command.name), command.arguments);
            add(format!("reply {}", command.name), command.returns);
        }
        for event in schema.events() {
            add(format!("event {}", event.name), event.data);
        }
    }
    roots
}

/// All objects with nothing in them are one type in QEMU's schema, whatever they are for.
fn is_object(shape: &Shape) -> bool {
    matches!(shape, Shape::Object(object) if !object.is_empty())
}

fn is_enum(shape: &Shape) -> bool {
    matches!(shape, Shape::Enum(_))
}

fn is_alternate(shape: &Shape) -> bool {
    matches!(shape, Shape::Alternate(_))
}

/// What kind of JSON a choice is; no two choices of an alternate are of one.
fn kind(shape: &Shape) -> &'static str {
    match shape {
        Shape::Builtin(Builtin::Text) | Shape::Enum(_) => "string",
        Shape::Builtin(builtin) => builtin.name(),
        Shape::Array(_) => "array",
        Shape::Object(_) => "object",
        Shape::Alternate(_) | Shape::Unknown => "any",
    }
}
