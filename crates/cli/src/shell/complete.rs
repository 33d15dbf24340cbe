//! What may be put at the cursor of a line that is being typed.
//!
//! It is pure: a line, a cursor and a [`World`] go in, candidates come out.
//!
//! | file | owns |
//! |---|---|
//! | `complete/typed.rs` | the line as the cursor cuts it |
//! | `complete/spot.rs` | what the word at the cursor is |
//! | `complete/verb.rs` | the words of qplug's own commands, as the command line has them |
//! | `complete/arguments.rs` | the arguments of QMP's commands, as the schema has them |
//! | `complete/json.rs` | where the cursor is in JSON |
//! | `complete/kinds.rs` | which names an argument takes |
//! | `complete/world.rs`, `complete/names.rs` | whom names are asked of, and names as offers |
//! | `complete/candidate.rs`, `complete/quote.rs` | which offers fit, and how they are written |

mod arguments;
mod candidate;
mod json;
mod kinds;
mod names;
mod quote;
mod spot;
#[cfg(test)]
pub(super) mod tests;
mod typed;
pub(super) mod verb;
mod world;

use arguments::Field;
use candidate::{Offer, chosen, fitting};
use json::Begun;
use names::Values;

pub(super) use arguments::{Arguments, actions};
pub(super) use candidate::{Candidate, Completion, Rank};
pub(super) use json::At;
pub(super) use quote::Quoting;
pub(super) use spot::{JsonSpot, Spot};
pub(super) use typed::Typed;
pub(super) use verb::VerbSpot;
pub(super) use world::{Kind, Name, Names, World};

use super::built_in::{self, BuiltIn};

/// What may be put at the cursor, a byte of the line; `in_transaction` where the line is one of a
/// block.
pub(super) fn complete(
    line: &str,
    cursor: usize,
    in_transaction: bool,
    world: &dyn World,
) -> Completion {
    let Some(typed) = Typed::read(line, cursor) else { return Completion::default() };
    let spot = Spot::of(&typed, in_transaction, world);
    let text = typed.current.text.as_str();
    let Values { offers, left_out, from } = match &spot {
        Spot::Command => Values::from(commands(in_transaction, world)),
        Spot::Action => Values::from(action_names(world)),
        Spot::Qmp => Values::from(qmp_commands(world)),
        Spot::Topic { is_help } => Values::from(topics(*is_help, world)),
        Spot::Event => patterns(text, world),
        Spot::Verb(spot) => verb::values(spot, text, world),
        Spot::Program => names::of(&Kind::HostCommands, text, world),
        Spot::File => names::of(&Kind::Files(String::new()), text, world),
        Spot::Key { arguments, path, from } => {
            let followed = typed.current.next == Some('=');
            Values { from: *from, ..keys(arguments, path, world, followed) }
        }
        Spot::Value { arguments, path, from } => {
            let values = arguments.values(&parts(path), &text[*from..], world);
            Values { from: from + values.from, ..values }
        }
        Spot::Json { inside, at, from } => {
            return in_json(&typed, inside, *at, *from, world);
        }
        Spot::Unknown => Values::default(),
    };
    fitting(&typed.current, from, offers, left_out)
}

fn parts(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// The shell's own commands that have a use there.
fn built_ins(in_transaction: bool) -> Vec<Offer> {
    let is_of_use = |it: &&BuiltIn| match it.name {
        "commit" | "abort" => in_transaction,
        "transaction" => !in_transaction,
        _ => true,
    };
    let all = built_in::ALL.iter().filter(is_of_use);
    all.map(|it| Offer::new(it.name, it.about)).collect()
}

/// All that a line may begin with. What qplug and QMP call the same is qplug's.
fn commands(in_transaction: bool, world: &dyn World) -> Vec<Offer> {
    let mut offers = built_ins(in_transaction);
    offers.extend(verb::verbs().map(|it| Offer::new(it.get_name(), verb::about(it))));
    for offer in qmp_commands(world) {
        if offers.iter().all(|it| it.text != offer.text) {
            offers.push(offer);
        }
    }
    offers
}

fn qmp_commands(world: &dyn World) -> Vec<Offer> {
    let Some(schema) = world.schema() else {
        let names = world.names(&Kind::Commands);
        return names.names.iter().map(|it| Offer::new(it.text.as_str(), "")).collect();
    };
    let offer = |name: &str, features: &[String]| {
        Offer::new(name, features.join(", ")).ranked(arguments::rank(features, false))
    };
    schema.commands().map(|it| offer(&it.name, &it.features)).collect()
}

fn action_names(world: &dyn World) -> Vec<Offer> {
    let mut offers = built_ins(true);
    if let Some(schema) = world.schema() {
        let actions = actions(&schema).into_iter().map(arguments::of_word);
        // `abort` is an action too, of no use but to test with.
        offers.extend(actions.filter(|it| it.text != "abort"));
    }
    offers
}

fn topics(is_help: bool, world: &dyn World) -> Vec<Offer> {
    let mut offers = if is_help { commands(false, world) } else { qmp_commands(world) };
    offers.extend(events(world));
    if !is_help {
        offers
            .push(Offer::new("diff", "Show what came, went and changed from one QEMU to another"));
    }
    offers
}

/// What `events` takes: `!` hides an event.
fn patterns(text: &str, world: &dyn World) -> Values {
    let from = usize::from(text.starts_with('!'));
    let mut offers = events(world);
    if from == 0 {
        offers.extend(["all", "none"].map(|it| Offer::new(it, "")));
    }
    Values { offers, left_out: 0, from }
}

fn events(world: &dyn World) -> Vec<Offer> {
    let offer = |it: &qplug_qapi::introspection::Event| {
        let rank = arguments::rank(&it.features, false);
        Offer::new(it.name.as_str(), it.features.join(", ")).ranked(rank)
    };
    world.schema().map_or_else(Vec::new, |schema| schema.events().map(offer).collect())
}

/// The parts that a dotted key may have at a place: `name=`, `name.` or the number of an element.
fn keys(arguments: &Arguments, path: &[String], world: &dyn World, followed: bool) -> Values {
    let path = parts(path);
    let equals = if followed { "" } else { "=" };
    if let Some((number, element)) = arguments.next_element(&path) {
        let mut offers = Vec::new();
        if let Some((schema, _)) = arguments.value_type(&path) {
            let note = schema.type_name(element);
            let has_inside = schema.inside(element).is_some();
            let mark = if has_inside { "." } else { equals };
            // The last one may have more to be said of it.
            if let Some(last) = number.checked_sub(1).filter(|_| has_inside) {
                offers.push(Offer::new(format!("{last}."), note.clone()).and_more());
            }
            offers.push(Offer::new(format!("{number}{mark}"), note).and_more());
        }
        return Values::from(offers);
    }
    let mut offers = Vec::new();
    for Field { name, takes, rank, is_plain, has_inside } in arguments.fields(&path, world) {
        let takes = if rank == Rank::Required { format!("{takes} (required)") } else { takes };
        let mut offer = |mark: &str| {
            let offer = Offer::new(format!("{name}{mark}"), takes.as_str());
            offers.push(offer.ranked(rank).and_more());
        };
        if is_plain {
            offer(equals);
        }
        if has_inside {
            offer(".");
        }
    }
    Values::from(offers)
}

fn in_json(
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
    // Past the bracket JSON stands in the line as it is.
    let start = typed.current.cursor() - (stem.len() - shift);
    let next = typed.current.next;
    chosen(start..typed.current.cursor(), &stem[shift..], offers, left_out, |offer| {
        (json_text(offer, begun, is_key, shift > 0, next), false)
    })
}

fn joined(path: &[String], name: &str) -> String {
    path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
}

fn message_keys(given: &qplug_qapi::introspection::Given, is_key: bool) -> Vec<Offer> {
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
    use qplug_qapi::introspection::Builtin;
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
    let ends = offer.then == candidate::Then::Space && next != Some(quote);
    let after = if ends { quote.to_string() } else { String::new() };
    let colon = if is_key && ends { ": " } else { "" };
    format!("{before}{inner}{after}{colon}")
}
