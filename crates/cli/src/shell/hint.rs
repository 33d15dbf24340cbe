//! What is said behind the cursor: the type of what is to come, and what is missing.
//!
//! It is told at every key, so it goes by what is known and asks nobody: see [`Known`](super::live::Known).

use super::complete::{Arguments, At, JsonSpot, Rank, Spot, Typed, VerbSpot, World, verb};
use crate::output::printable;

/// The longest hint, in characters.
const HINT_CHARS: usize = 60;

/// What is to be said at the end of a line; empty where that is nothing.
pub(super) fn hint(line: &str, in_transaction: bool, world: &dyn World) -> String {
    let Some(typed) = Typed::read(line, line.len()) else { return String::new() };
    let text = typed.current.text.as_str();
    let said = match Spot::of(&typed, in_transaction, world) {
        Spot::Key { arguments, path, from } => key(&arguments, &parts(&path), &text[from..], world),
        Spot::Value { arguments, path, from } if text.len() == from => {
            apart(value(&arguments, &parts(&path), world))
        }
        Spot::Json { inside: JsonSpot::Arguments { arguments, path }, at, from }
            if text.len() == from =>
        {
            match at {
                At::Key(_) => missing(&arguments, &parts(&path), "", world),
                At::Value(_) => apart(value(&arguments, &parts(&path), world)),
                At::Else => String::new(),
            }
        }
        Spot::Verb(spot) => word(&spot, text),
        _ => String::new(),
    };
    bounded(&printable(&said))
}

fn parts(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// A type is not to be taken for a value.
fn apart(said: String) -> String {
    if said.is_empty() { said } else { format!(" {said}") }
}

fn key(arguments: &Arguments, path: &[&str], stem: &str, world: &dyn World) -> String {
    if stem.is_empty() {
        return missing(arguments, path, "=", world);
    }
    let fields = arguments.fields(path, world);
    let field = fields.into_iter().find(|field| field.name == stem && field.is_plain);
    field.map_or_else(String::new, |field| format!("={}", field.takes))
}

/// What an object cannot do without, and does not have.
fn missing(arguments: &Arguments, path: &[&str], mark: &str, world: &dyn World) -> String {
    let fields = arguments.fields(path, world).into_iter();
    let required = fields.filter(|field| field.rank == Rank::Required);
    let told = required.map(|field| match field.is_plain {
        true => format!("{}{mark}…", field.name),
        false => format!("{}…", field.name),
    });
    told.collect::<Vec<_>>().join(" ")
}

fn value(arguments: &Arguments, path: &[&str], world: &dyn World) -> String {
    if let Some((schema, id)) = arguments.value_type(path) {
        return schema.type_name(id);
    }
    let property = arguments.property(&path.join("."), world);
    property.map_or_else(String::new, |property| property.takes)
}

/// What a word of a command of qplug's is.
fn word(spot: &VerbSpot, text: &str) -> String {
    match spot {
        VerbSpot::Value { argument, from, .. } if text.len() == *from => {
            format!("{}: {}", name(argument), verb::help_of(argument))
        }
        VerbSpot::Positional { words, .. } if text.is_empty() => {
            words.missing().map(name).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

fn name(argument: &clap::Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let name = names.first().map_or_else(|| argument.get_id().as_str(), |name| name.as_str());
    name.to_uppercase()
}

/// A hint is no longer than what fits behind a line.
fn bounded(text: &str) -> String {
    if text.chars().count() <= HINT_CHARS {
        return text.to_owned();
    }
    let start: String = text.chars().take(HINT_CHARS).collect();
    let end = start.rfind(' ').unwrap_or(start.len());
    format!("{} …", start[..end].trim_end_matches([' ', '|']))
}

#[cfg(test)]
mod tests {
    use super::super::complete::tests::Written;
    use super::*;

    #[test]
    fn the_type_of_what_is_to_come_is_said() {
        let world = Written::new("10.0");
        for (line, expected) in [
            ("device_del ", "id=…"),
            ("device_del id=", " str"),
            ("device_del id=x ", ""),
            ("device_del id", "=str"),
            ("device_del i", ""),
            ("blockdev-add ", "driver=…"),
            ("blockdev-add driver=raw ", "file=…"),
            ("blockdev-add driver=raw file.", "driver=…"),
            ("blockdev-add driver=raw cache.direct=", " bool"),
            ("blockdev-add driver=raw discard=", " ignore | unmap"),
            ("blockdev-add driver=raw file=", " object | str"),
            ("device_add driver=virtio-blk-pci write-cache=", " OnOffAuto: on/off/auto"),
            ("{\"execute\": \"device_del\", \"arguments\": {", "id…"),
            ("{\"execute\": \"device_del\", \"arguments\": {\"id\": ", " str"),
            ("resize ", "NAME SIZE"),
            ("resize x ", "SIZE"),
            (
                "attach a.img --timeout ",
                "SECONDS: How long to wait for the guest with --wait, in …",
            ),
            ("query-block ", ""),
            ("no-such ", ""),
            ("", ""),
        ] {
            assert_eq!(hint(line, false, &world), expected, "{line}");
        }
        assert_eq!(hint("block-dirty-bitmap-clear ", true, &world), "node=… name=…");
    }

    #[test]
    fn a_long_hint_is_cut() {
        let world = Written::new("10.0");
        let said = hint("blockdev-add driver=", false, &world);
        assert!(said.ends_with(" …") && said.chars().count() <= HINT_CHARS + 3, "{said}");
        assert!(said.starts_with(" blkdebug | "), "{said}");
    }
}
