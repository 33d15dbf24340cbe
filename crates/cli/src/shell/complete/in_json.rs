//! What may be put at the cursor in JSON.

use qplug_qapi::introspection::{Builtin, Given};

use super::arguments::{Arguments, Field};
use super::candidate::{Completion, Offer, Rank, Then, chosen};
use super::json::{At, Begun};
use super::names::Values;
use super::spot::JsonSpot;
use super::typed::Typed;
use super::world::World;
use super::{parts, qmp_commands};

/// What may be put at the cursor.
pub(super) fn candidates(
    typed: &Typed<'_>,
    inside: &JsonSpot,
    at: At,
    from: usize,
    world: &dyn World,
) -> Completion {
    let text = &typed.current.text;
    let stem = &text[from..];
    let (begun, is_key) = match at {
        At::Key(begun) => (begun, true),
        At::Value(begun) => (begun, false),
        At::Else => return Completion::default(),
    };
    let Values { offers, left_out, from: shift } = match inside {
        JsonSpot::Message(given) => Values::from(message_keys(given, is_key)),
        JsonSpot::Command => Values::from(qmp_commands(world)),
        JsonSpot::Arguments { arguments, path } if is_key => {
            let fields = arguments.fields(&parts(path), world).into_iter();
            let is_new = |field: &Field| !arguments.given.has(&joined(path, &field.name));
            let offer = |field: Field| Offer::new(field.name, field.takes).ranked(field.rank);
            Values::from(fields.filter(is_new).map(offer).collect::<Vec<_>>())
        }
        JsonSpot::Arguments { arguments, path } => json_values(arguments, path, stem, begun, world),
    };
    // Past the bracket JSON stands in the line as it is; what follows behind too many of them does not.
    let Some(start) = typed.current.verbatim(from + shift) else { return Completion::default() };
    let next = typed.current.next;
    chosen(start..typed.current.cursor(), &stem[shift..], offers, left_out, |offer| {
        (json_text(offer, begun, is_key, shift > 0, next), false)
    })
}

fn joined(path: &[String], name: &str) -> String {
    path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
}

fn message_keys(given: &Given, is_key: bool) -> Vec<Offer> {
    if !is_key {
        return Vec::new();
    }
    let all = [
        ("execute", "the command", Rank::Required),
        ("arguments", "an object", Rank::Usual),
        ("id", "any value", Rank::Discouraged),
    ];
    let missing = all.into_iter().filter(|(name, ..)| !given.has(name));
    missing.map(|(name, note, rank)| Offer::new(name, note).ranked(rank)).collect()
}

/// The values of a place in JSON: what is quoted is a word or a name, what is not may be anything.
fn json_values(
    arguments: &Arguments,
    path: &[String],
    stem: &str,
    begun: Begun,
    world: &dyn World,
) -> Values {
    let path = parts(path);
    let mut values = arguments.values(&path, stem, world);
    let is_bare = |offer: &Offer| is_literal(arguments, &path, &offer.text);
    match begun.quote {
        Some(_) => values.offers.retain(|offer| !is_bare(offer)),
        None => {
            values
                .offers
                .retain(|offer| !matches!(offer.text.as_str(), "on" | "off") || !is_bare(offer));
            let inside = arguments.value_type(&path).and_then(|(schema, id)| {
                let id = schema.inside(id)?;
                Some(if schema.element(id).is_some() { "[" } else { "{" })
            });
            values.offers.extend(inside.map(|bracket| Offer::new(bracket, "").and_more()));
        }
    }
    values
}

/// Whether a text is a boolean or `null` at this place, and no string.
fn is_literal(arguments: &Arguments, path: &[&str], text: &str) -> bool {
    let Some((schema, id)) = arguments.value_type(path) else { return false };
    match text {
        "true" | "false" => schema.takes(id, Builtin::Bool),
        "on" | "off" => schema.takes(id, Builtin::Bool) && schema.words(id).is_empty(),
        "null" => schema.takes(id, Builtin::Null),
        _ => false,
    }
}

/// An offer as JSON has it, in the quotes that are open.
fn json_text(
    offer: &Offer,
    begun: Begun,
    is_key: bool,
    goes_on: bool,
    next: Option<char>,
) -> String {
    let is_plain = matches!(offer.text.as_str(), "true" | "false" | "null" | "{" | "[");
    if is_plain && !is_key && begun.quote.is_none() {
        return offer.text.clone();
    }
    let quoted = serde_json::Value::from(offer.text.as_str()).to_string();
    let inner = &quoted[1..quoted.len() - 1];
    let quote = begun.quote.unwrap_or('"');
    let before = if begun.quote.is_none() && !goes_on { "\"" } else { "" };
    let ends = offer.then == Then::Space && next != Some(quote);
    let after = if ends { quote.to_string() } else { String::new() };
    let colon = if is_key && ends { ": " } else { "" };
    format!("{before}{inner}{after}{colon}")
}
