//! A command or an event as a tree that people read.

use std::collections::HashMap;
use std::fmt;

use super::{Member, Object, Schema, Shape, TypeId};

/// How deep a tree goes. None of QEMU's is half as deep.
pub const MAX_DEPTH: usize = 48;

/// How many columns a line has at most, where it has a gap to be broken at.
const WIDTH: usize = 96;

/// A command or an event, as a tree: print it.
///
/// Every type is told once. Where it comes again, which may be inside itself, stands where it was
/// told: `→ as arguments.file`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// In order, the first at depth 0.
    pub lines: Vec<Line>,
}

/// A line of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How far it is from the trunk.
    pub depth: usize,
    /// What it says, with no indentation.
    pub text: String,
}

impl Schema {
    /// What a command takes and returns, or what an event says; `None` where there is neither.
    #[must_use]
    pub fn describe(&self, name: &str) -> Option<Description> {
        let mut tree = Tree { schema: self, lines: Vec::new(), told: HashMap::new() };
        if let Some(command) = self.command(name) {
            let oob = if command.allow_oob { &["may overtake others"][..] } else { &[] };
            tree.add(0, format!("command {name}{}", marks(&command.features, oob)));
            tree.whole("arguments", "takes", command.arguments);
            tree.whole("returns", "returns", command.returns);
        } else {
            let event = self.event(name)?;
            tree.add(0, format!("event {name}{}", marks(&event.features, &[])));
            tree.whole("data", "says", event.data);
        }
        Some(Description { lines: tree.lines })
    }

    /// What a type is called on one line: `str`, `on | off | auto`, `[int]`, `object`.
    #[must_use]
    pub fn type_name(&self, id: TypeId) -> String {
        self.short_name(id, MAX_DEPTH)
    }

    fn short_name(&self, id: TypeId, depth: usize) -> String {
        match self.shape(id) {
            Shape::Builtin(builtin) => builtin.name().to_owned(),
            Shape::Enum(words) => {
                let words =
                    words.iter().map(|word| word.name.clone() + &marks(&word.features, &[]));
                words.collect::<Vec<_>>().join(" | ")
            }
            Shape::Array(_) | Shape::Alternate(_) if depth == 0 => "…".to_owned(),
            Shape::Array(element) => format!("[{}]", self.short_name(*element, depth - 1)),
            Shape::Object(_) => "object".to_owned(),
            Shape::Alternate(choices) => {
                let names = choices.iter().map(|choice| self.short_name(*choice, depth - 1));
                names.collect::<Vec<_>>().join(" | ")
            }
            Shape::Unknown => "any".to_owned(),
        }
    }
}

struct Tree<'s> {
    schema: &'s Schema,
    lines: Vec<Line>,
    /// Where an object type was told.
    told: HashMap<TypeId, String>,
}

impl Tree<'_> {
    fn add(&mut self, depth: usize, text: String) {
        self.lines.push(Line { depth, text });
    }

    /// The arguments, the reply or the data.
    fn whole(&mut self, path: &str, verb: &str, id: TypeId) {
        if self.schema.object(id).is_some_and(Object::is_empty) {
            self.add(1, format!("{verb} nothing"));
            return;
        }
        let text = match self.schema.shape(id) {
            Shape::Object(_) => format!("{verb}:"),
            _ => format!("{verb}: {}", self.schema.type_name(id)),
        };
        self.add(1, text);
        self.inside(2, path, id);
    }

    /// The members of whatever objects a type has, through arrays and alternates.
    fn inside(&mut self, depth: usize, path: &str, id: TypeId) {
        match self.schema.shape(id) {
            Shape::Object(object) if !object.is_empty() => {
                if let Some(before) = self.told.get(&id) {
                    let text = format!("→ as {before}");
                    self.add(depth, text);
                } else if depth > MAX_DEPTH {
                    self.add(depth, "…".to_owned());
                } else {
                    self.told.insert(id, path.to_owned());
                    self.object(depth, path, object);
                }
            }
            Shape::Array(element) => self.inside_again(depth, &format!("{path}[]"), *element),
            Shape::Alternate(choices) => {
                for choice in choices {
                    self.inside_again(depth, path, *choice);
                }
            }
            _ => {}
        }
    }

    /// As deep on the page, but bounded all the same.
    fn inside_again(&mut self, depth: usize, path: &str, id: TypeId) {
        if path.len() < MAX_DEPTH * WIDTH && !matches!(self.schema.shape(id), Shape::Alternate(_)) {
            self.inside(depth, path, id);
        }
    }

    fn object(&mut self, depth: usize, path: &str, object: &Object) {
        for member in &object.members {
            self.member(depth, path, member);
        }
        let tag = object.tag.as_deref().unwrap_or_default();
        for variant in &object.variants {
            let Some(more) = self.schema.object(variant.type_id) else { continue };
            if more.is_empty() {
                continue;
            }
            let case = format!("{tag}={}", variant.case);
            self.add(depth, format!("with {case}:"));
            let path = format!("{path}({case})");
            self.inside(depth + 1, &path, variant.type_id);
        }
    }

    fn member(&mut self, depth: usize, path: &str, member: &Member) {
        let Member { name, optional, features, type_id } = member;
        let mark = if *optional { "?" } else { "" };
        let type_name = self.schema.type_name(*type_id);
        self.add(depth, format!("{name}{mark}: {type_name}{}", marks(features, &[])));
        self.inside(depth + 1, &format!("{path}.{name}"), *type_id);
    }
}

fn marks(features: &[String], more: &[&str]) -> String {
    let all: Vec<_> = features.iter().map(String::as_str).chain(more.iter().copied()).collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join(", ")) }
}

impl fmt::Display for Description {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(formatter, "{line}"))
    }
}

/// Long lines, which are those of enums with many words, go on below themselves.
impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = self.depth * 2;
        write!(formatter, "{:indent$}", "")?;
        let mut column = indent;
        for (number, word) in self.text.split(" | ").enumerate() {
            let width = word.chars().count() + 3;
            if number > 0 && column + width > WIDTH {
                write!(formatter, " |\n{:indent$}    ", "")?;
                column = indent + 4;
            } else if number > 0 {
                formatter.write_str(" | ")?;
            }
            formatter.write_str(word)?;
            column += width;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorded;
    use super::*;

    #[test]
    fn a_small_command_fits_a_few_lines() {
        let schema = recorded::schema();
        let text = schema.describe("device_del").unwrap().to_string();
        assert_eq!(text, "command device_del\n  takes:\n    id: str\n  returns nothing\n");
        let text = schema.describe("DEVICE_DELETED").unwrap().to_string();
        assert_eq!(text, "event DEVICE_DELETED\n  says:\n    device?: str\n    path: str\n");
        let text = schema.describe("query-yank").unwrap().to_string();
        assert!(text.starts_with("command query-yank (may overtake others)\n  takes nothing\n"));
        assert!(text.contains("  returns: [object]\n    type: block-node | chardev | migration\n"));
        assert!(schema.describe("no-such-thing").is_none());
    }

    #[test]
    fn variants_and_circles_are_told_once() {
        let text = recorded::schema().describe("blockdev-add").unwrap().to_string();
        assert!(text.contains("    with driver=qcow2:\n"), "{text}");
        assert!(text.contains("→ as arguments\n"), "{text}");
        assert!(text.contains("      filename: str\n"), "{text}");
        assert!(text.contains("detect-zeroes?: off | on | unmap\n"), "{text}");
        assert!(text.lines().count() < 600, "{}", text.lines().count());
        assert!(text.lines().all(|line| line.chars().count() <= 100));
    }

    #[test]
    fn everything_recorded_can_be_told() {
        for text in [recorded::V5_2, recorded::V7_2, recorded::V10_0, recorded::V11_1] {
            let schema = Schema::parse(text).unwrap();
            let commands = schema.commands().map(|command| &command.name);
            for name in commands.chain(schema.events().map(|event| &event.name)) {
                let lines = schema.describe(name).unwrap().lines;
                assert!(lines.len() > 1);
                assert!(lines.iter().all(|line| line.depth < MAX_DEPTH), "{name}");
            }
        }
    }

    #[test]
    fn a_schema_without_end_has_a_tree_with_one() {
        let text = r#"[{"meta-type": "command", "name": "c", "arg-type": "1", "ret-type": "2"},
            {"meta-type": "object", "name": "1", "members": [{"name": "m", "type": "2"}]},
            {"meta-type": "array", "name": "2", "element-type": "2"}]"#;
        let text = Schema::parse(text).unwrap().describe("c").unwrap().to_string();
        assert!(text.contains('…'), "{text}");
    }
}
