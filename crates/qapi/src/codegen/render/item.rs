//! Structs and enums.

use std::fmt::Write as _;

use super::docs::{WIDTH, call, comment, features, required, versions};
use super::{Layout, Render};
use crate::codegen::model::{
    Class, Member, Object, Root, RootKind, Shape, Use, Variants, Versions, Word,
};
use crate::codegen::words::{camel, snake, unused};

/// How many arguments a constructor has at most; with more it is no easier than the struct itself.
const MAX_ARGUMENTS: usize = 7;

impl Render<'_> {
    /// A command, or the data of an event.
    pub(super) fn root(&self, root: &Root) -> String {
        let mut about = match root.kind {
            RootKind::Command => format!("The command `{}`.", root.name),
            RootKind::Event => format!("The data of the event `{}`.", root.name),
        };
        if root.allow_oob {
            about += " May overtake others.";
        }
        let mut said = vec![about, versions(self.model, root.versions)];
        said.extend(features(&root.features));
        let object = Struct {
            ident: &root.ident,
            object: &root.body,
            owner: root.takes,
            versions: root.versions,
            is_open: root.is_open,
            is_input: root.kind == RootKind::Command,
        };
        let mut text = self.object(&object, &said);
        let owns_tag = root.takes.is_some_and(|class| self.model.types[class].ident == root.ident);
        if let (Some(variants), true) = (&root.body.variants, owns_tag) {
            text += &self.tag(variants, root.takes, root.versions);
        }
        if root.kind == RootKind::Command {
            let reply = match &root.returns {
                Use::Nothing => "()".to_owned(),
                returns => self.of(returns, None),
            };
            let _ = write!(
                text,
                "\nimpl Command for {} {{\n    const NAME: &'static str = \"{}\";\n    type Reply = \
                 {reply};\n}}\n",
                root.ident, root.name
            );
        }
        text
    }

    /// A type that is no command's own.
    pub(super) fn class(&self, number: usize) -> String {
        let class = &self.model.types[number];
        match &class.shape {
            Shape::Object(object) => {
                let item = Struct {
                    ident: &class.ident,
                    object,
                    owner: Some(number),
                    versions: class.versions,
                    is_open: false,
                    is_input: self.inputs.contains(&number),
                };
                let mut text = self.object(&item, &[versions(self.model, class.versions)]);
                if let Some(variants) = &object.variants {
                    text += &self.tag(variants, Some(number), class.versions);
                }
                text
            }
            Shape::Enum(words) => self.words(class, words),
            Shape::Alternate(choices) => self.alternate(number, class, choices),
        }
    }

    fn object(&self, item: &Struct<'_>, said: &[String]) -> String {
        let fields = self.fields(item);
        let is_default = fields.iter().all(|field| field.optional);
        let default = if is_default { ", Default" } else { "" };
        let mut text = format!("\n{}", comment("", said));
        let _ = writeln!(text, "#[derive(Debug, Clone, PartialEq{default})]");
        if fields.is_empty() {
            let _ = writeln!(text, "pub struct {};\n", item.ident);
            let _ = writeln!(text, "object!({});", item.ident);
            return text;
        }
        let _ = writeln!(text, "pub struct {} {{", item.ident);
        for field in &fields {
            text += &comment("    ", &field.said);
            let of = if field.optional && !field.is_rest {
                format!("Option<{}>", field.of)
            } else {
                field.of.clone()
            };
            let _ = writeln!(text, "    pub {}: {of},", field.ident);
        }
        text += "}\n\n";
        let named = fields
            .iter()
            .filter_map(|field| Some(format!("{} = \"{}\"", field.ident, field.name.as_ref()?)));
        let mut tail = String::new();
        for field in fields.iter().filter(|field| field.name.is_none()) {
            let dots = if field.is_rest { ".." } else { "" };
            let _ = write!(tail, "; {dots}{}", field.ident);
        }
        let named: Vec<_> = named.collect();
        text += &call(&format!("object!({} {{ ", item.ident), &named, &format!("{tail} }});"));
        if item.is_input {
            text += &constructor(item.ident, &fields);
        }
        text
    }

    fn fields(&self, item: &Struct<'_>) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::new();
        let owner = item.owner;
        for member in &item.object.members {
            fields.push(Field {
                ident: free(&fields, snake(&member.name)),
                name: Some(member.name.clone()),
                of: self.of(&member.of, owner),
                optional: member.optional,
                is_rest: false,
                said: self.of_member(member, item),
            });
        }
        // With variants there always is an owner: the type that was asked for by its members.
        if let (Some(variants), Some(class)) = (&item.object.variants, owner) {
            fields.push(Field {
                ident: free(&fields, snake(&variants.tag.name)),
                name: None,
                of: self.model.types[class].tag_ident.clone(),
                optional: variants.tag.optional,
                is_rest: false,
                said: self.of_member(&variants.tag, item),
            });
        }
        if item.is_open {
            fields.push(Field {
                ident: free(&fields, "properties".to_owned()),
                name: None,
                of: "Object".to_owned(),
                optional: true,
                is_rest: true,
                said: vec!["What else there is: no schema lists it.".to_owned()],
            });
        }
        fields
    }

    fn of_member(&self, member: &Member, item: &Struct<'_>) -> Vec<String> {
        let mut said = self.special(member.versions, item.versions, &member.features);
        // Rust lets it be left out, for the sake of versions that have it not, or do without.
        if item.is_input && member.optional && member.required != Versions::default() {
            said.push(required(self.model, member.required));
        }
        said
    }

    /// What is special about a part of something that these versions have.
    fn special(&self, part: Versions, owner: Versions, marks: &[String]) -> Vec<String> {
        let mut said = Vec::new();
        if part != owner {
            said.push(versions(self.model, part));
        }
        said.extend(features(marks));
        said
    }

    /// The enum that takes the place of a tag.
    fn tag(&self, variants: &Variants, owner: Option<usize>, of: Versions) -> String {
        let Some(owner) = owner else { return String::new() };
        let class = &self.model.types[owner];
        let ident = &class.tag_ident;
        let mut text = format!(
            "\n/// The member `{}` of [`{}`], and what comes with each of its values.\n",
            variants.tag.name, class.ident
        );
        let _ = writeln!(text, "#[derive(Debug, Clone, PartialEq)]\npub enum {ident} {{");
        let mut idents: Vec<String> = vec!["Other".to_owned()];
        let mut entries = Vec::new();
        for case in &variants.cases {
            text += &comment("    ", &self.special(case.versions, of, &case.features));
            let variant = unused(word(&case.name), |name| idents.iter().any(|it| it == name));
            let payload = case.class.map(|inner| self.of(&Use::Class(inner), Some(owner)));
            let (shown, bound) = match payload {
                Some(of) => (format!("({of})"), format!("(it: {of})")),
                None => (String::new(), String::new()),
            };
            let _ = writeln!(text, "    {variant}{shown},");
            entries.push(format!("{variant}{bound} = \"{}\"", case.name));
            idents.push(variant);
        }
        text += "    /// A value that is not known here.\n    Other {\n        /// The value.\n        \
                 name: String,\n        /// All other members.\n        members: Object,\n    },\n}\n\n";
        text +=
            &call(&format!("variants!({ident}, \"{}\" {{ ", variants.tag.name), &entries, " });");
        text
    }

    fn words(&self, class: &Class, words: &[Word]) -> String {
        let ident = &class.ident;
        let mut text = format!("\n{}", comment("", &[versions(self.model, class.versions)]));
        let _ = writeln!(text, "#[derive(Debug, Clone, PartialEq, Eq, Hash)]\npub enum {ident} {{");
        let mut idents: Vec<String> = vec!["Other".to_owned()];
        let mut entries = Vec::new();
        for one in words {
            text += &comment("    ", &self.special(one.versions, class.versions, &one.features));
            let variant = unused(word(&one.name), |name| idents.iter().any(|it| it == name));
            let _ = writeln!(text, "    {variant},");
            entries.push(format!("{variant} = \"{}\"", one.name));
            idents.push(variant);
        }
        text += "    /// A word that is not known here.\n    Other(String),\n}\n\n";
        text += &call(&format!("words!({ident} {{ "), &entries, " });");
        text
    }

    fn alternate(&self, number: usize, class: &Class, choices: &[Use]) -> String {
        let ident = &class.ident;
        let mut text = format!("\n{}", comment("", &[versions(self.model, class.versions)]));
        let _ = writeln!(text, "#[derive(Debug, Clone, PartialEq)]\npub enum {ident} {{");
        let mut entries: Vec<String> = Vec::new();
        let mut idents: Vec<&str> = Vec::new();
        for choice in choices {
            let Some((variant, is)) = self.kind(choice) else { continue };
            if idents.contains(&variant) {
                continue;
            }
            idents.push(variant);
            let of = self.of(choice, Some(number));
            let _ = writeln!(text, "    {variant}({of}),");
            entries.push(format!("{variant}({of}) if {is}"));
        }
        let has_null = choices.contains(&Use::Null);
        let null = if has_null { "    Null,\n" } else { "" };
        let _ = write!(text, "{null}    /// Anything else.\n    Other(Value),\n}}\n\n");
        let tail = if has_null { " } or Null);" } else { " });" };
        text += &call(&format!("choice!({ident} {{ "), &entries, tail);
        text
    }

    /// What a choice is called, and how it is told from others.
    fn kind(&self, choice: &Use) -> Option<(&'static str, &'static str)> {
        Some(match choice {
            Use::Text => ("Text", "is_string"),
            Use::Int => ("Int", "is_number"),
            Use::Number => ("Number", "is_number"),
            Use::Bool => ("Bool", "is_boolean"),
            Use::Array(_) => ("List", "is_array"),
            Use::Class(class) => match self.model.types[*class].shape {
                Shape::Enum(_) => ("Word", "is_string"),
                _ => ("Object", "is_object"),
            },
            Use::Null | Use::Any | Use::Nothing => return None,
        })
    }

    /// The Rust type of what is used, inside another type or by itself.
    fn of(&self, used: &Use, outer: Option<usize>) -> String {
        match used {
            Use::Text => "String".to_owned(),
            Use::Int => "Int".to_owned(),
            Use::Number => "f64".to_owned(),
            Use::Bool => "bool".to_owned(),
            Use::Null | Use::Any => "Value".to_owned(),
            Use::Nothing => "Object".to_owned(),
            Use::Array(element) => format!("Vec<{}>", self.of(element, None)),
            Use::Class(class) => {
                let ident = &self.model.types[*class].ident;
                let is_boxed = outer.is_some_and(|outer| self.boxes.has(outer, *class));
                if is_boxed { format!("Box<{ident}>") } else { ident.clone() }
            }
        }
    }

    /// Where a topic's items are, from the module of events.
    pub(super) fn path(&self, topic: &str, ident: &str) -> String {
        match self.layout {
            Layout::Topics => format!("super::{topic}::{ident}"),
            Layout::OneFile => ident.to_owned(),
        }
    }
}

/// A struct that is to be written.
struct Struct<'s> {
    ident: &'s str,
    object: &'s Object,
    /// The type whose members it has.
    owner: Option<usize>,
    versions: Versions,
    is_open: bool,
    is_input: bool,
}

struct Field {
    ident: String,
    /// On the wire, where it is a member of its own.
    name: Option<String>,
    of: String,
    optional: bool,
    /// Whether it has all members that are left.
    is_rest: bool,
    said: Vec<String>,
}

fn free(fields: &[Field], ident: String) -> String {
    unused(ident, |ident| fields.iter().any(|field| field.ident == ident))
}

fn word(name: &str) -> String {
    match camel(name) {
        other if other == "Other" => "OtherWord".to_owned(),
        ident => ident,
    }
}

fn constructor(ident: &str, fields: &[Field]) -> String {
    let (optional, required): (Vec<_>, Vec<_>) = fields.iter().partition(|field| field.optional);
    if optional.is_empty() || required.is_empty() || required.len() > MAX_ARGUMENTS {
        return String::new();
    }
    let required: Vec<_> =
        required.iter().map(|field| format!("{}: {}", field.ident, field.of)).collect();
    let optional: Vec<_> = optional.iter().map(|field| field.ident.clone()).collect();
    let head = format!("new!({ident}({}) ", required.join(", "));
    if head.len() <= WIDTH {
        return call(&head, &optional, ");");
    }
    call(&format!("new!({ident}("), &required, ")") + &call("    ", &optional, ");")
}
