//! What all versions have, merged.

/// Which of the versions, a bit each, the oldest the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Versions(pub(super) u32);

impl Versions {
    pub(super) fn add(&mut self, version: usize) {
        self.0 |= 1 << version;
    }

    pub(super) fn has(self, version: usize) -> bool {
        self.0 & (1 << version) != 0
    }
}

/// Everything, with commands and events by name.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) versions: Vec<String>,
    pub(super) roots: Vec<Root>,
    pub(super) types: Vec<Class>,
}

/// A command or an event.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) kind: RootKind,
    /// On the wire.
    pub(super) name: String,
    /// In Rust.
    pub(super) ident: String,
    pub(super) versions: Versions,
    pub(super) features: Vec<String>,
    pub(super) allow_oob: bool,
    /// The class of its arguments or data, where it has any.
    pub(super) takes: Option<usize>,
    /// Those arguments or data, as this command or event has them.
    pub(super) body: Object,
    /// Whether it takes more than is listed.
    pub(super) is_open: bool,
    /// What a command returns.
    pub(super) returns: Use,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RootKind {
    Command,
    Event,
}

/// A type at a place where it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Use {
    Text,
    Int,
    Number,
    Bool,
    Null,
    Any,
    /// An object that never has a member.
    Nothing,
    Array(Box<Use>),
    /// One of [`Model::types`].
    Class(usize),
}

impl Use {
    /// The class at the bottom of it, through arrays.
    pub(super) fn class(&self) -> Option<usize> {
        match self {
            Self::Class(class) => Some(*class),
            Self::Array(element) => element.class(),
            _ => None,
        }
    }
}

/// A type that several versions have.
#[derive(Debug)]
pub(super) struct Class {
    /// In Rust; empty until it is named.
    pub(super) ident: String,
    /// The enum that its tag is in Rust, where it has one.
    pub(super) tag_ident: String,
    pub(super) versions: Versions,
    pub(super) shape: Shape,
}

#[derive(Debug)]
pub(super) enum Shape {
    Object(Object),
    Enum(Vec<Word>),
    Alternate(Vec<Use>),
}

#[derive(Debug, Default, Clone)]
pub(super) struct Object {
    /// Without the tag where there are variants.
    pub(super) members: Vec<Member>,
    pub(super) variants: Option<Variants>,
}

#[derive(Debug, Clone)]
pub(super) struct Variants {
    pub(super) tag: Member,
    pub(super) cases: Vec<Case>,
}

#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) versions: Versions,
    pub(super) features: Vec<String>,
    /// The class of what comes in addition, where anything does.
    pub(super) class: Option<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    /// On the wire.
    pub(super) name: String,
    pub(super) of: Use,
    pub(super) optional: bool,
    pub(super) versions: Versions,
    /// Those in which it may not be left out.
    pub(super) required: Versions,
    pub(super) features: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) name: String,
    pub(super) versions: Versions,
    pub(super) features: Vec<String>,
}

impl Model {
    /// Whether a type is written as the command or event that alone takes it.
    pub(super) fn is_root(&self, class: usize) -> bool {
        let ident = &self.types[class].ident;
        self.roots.iter().any(|root| root.takes == Some(class) && root.ident == *ident)
    }
}

impl Object {
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.variants.is_none()
    }

    /// The classes that it uses, in order.
    pub(super) fn uses(&self) -> Vec<usize> {
        let members = self.members.iter().filter_map(|member| member.of.class());
        let cases = self.variants.iter().flat_map(|variants| &variants.cases);
        members.chain(cases.filter_map(|case| case.class)).collect()
    }
}

impl Class {
    /// Lets all of it be left out.
    pub(super) fn make_optional(&mut self) {
        let Shape::Object(object) = &mut self.shape else { return };
        let tag = object.variants.iter_mut().map(|variants| &mut variants.tag);
        for member in object.members.iter_mut().chain(tag) {
            member.optional = true;
        }
    }

    /// The classes that it uses, in order.
    pub(super) fn uses(&self) -> Vec<usize> {
        match &self.shape {
            Shape::Object(object) => object.uses(),
            Shape::Enum(_) => Vec::new(),
            Shape::Alternate(choices) => choices.iter().filter_map(Use::class).collect(),
        }
    }
}

impl Root {
    /// The classes that it uses, in order.
    pub(super) fn uses(&self) -> Vec<usize> {
        self.body.uses().into_iter().chain(self.returns.class()).collect()
    }
}
