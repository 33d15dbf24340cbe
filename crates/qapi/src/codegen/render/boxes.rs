//! Where a type that has itself inside needs a box.

use std::collections::BTreeSet;

use crate::codegen::model::{Class, Model, Shape, Use};

/// Pairs of types of which the first has the second in a box.
pub(super) struct Boxes(BTreeSet<(usize, usize)>);

impl Boxes {
    /// Finds a box for every circle: first where an alternate has an object, which is where a reader
    /// expects it, then wherever there still is a circle.
    pub(super) fn of(model: &Model) -> Self {
        let mut boxes = Self(BTreeSet::new());
        boxes.add(model, |class| matches!(class.shape, Shape::Alternate(_)));
        boxes.add(model, |_| true);
        boxes
    }

    pub(super) fn has(&self, outer: usize, inner: usize) -> bool {
        self.0.contains(&(outer, inner))
    }

    fn add(&mut self, model: &Model, may: impl Fn(&Class) -> bool) {
        let mut found = Vec::new();
        for (outer, class) in model.types.iter().enumerate().filter(|(_, class)| may(class)) {
            for inner in inside(class) {
                if !self.has(outer, inner) && self.leads(model, inner, outer) {
                    found.push((outer, inner));
                }
            }
        }
        self.0.extend(found);
    }

    /// Whether one type has another inside, however deep, with no box on the way.
    fn leads(&self, model: &Model, from: usize, to: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(class) = next.pop() {
            if class == to {
                return true;
            }
            if seen.insert(class) {
                let inside = inside(&model.types[class]);
                next.extend(inside.into_iter().filter(|inner| !self.has(class, *inner)));
            }
        }
        false
    }
}

/// The types that are stored inside this one. Arrays store theirs elsewhere.
fn inside(class: &Class) -> Vec<usize> {
    let direct = |used: &Use| match used {
        Use::Class(class) => Some(*class),
        _ => None,
    };
    match &class.shape {
        Shape::Enum(_) => Vec::new(),
        Shape::Alternate(choices) => choices.iter().filter_map(direct).collect(),
        Shape::Object(object) => {
            let members = object.members.iter().filter_map(|member| direct(&member.of));
            let cases = object.variants.iter().flat_map(|variants| &variants.cases);
            members.chain(cases.filter_map(|case| case.class)).collect()
        }
    }
}
