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
//! | `complete/json.rs`, `complete/in_json.rs` | where the cursor is in JSON, and what may be put there |
//! | `complete/kinds.rs` | which names an argument takes |
//! | `complete/world.rs`, `complete/names.rs` | whom names are asked of, and names as offers |
//! | `complete/candidate.rs`, `complete/quote.rs` | which offers fit, and how they are written |

mod arguments;
mod candidate;
mod in_json;
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
use candidate::{Offer, fitting};
use names::Values;

pub(super) use arguments::{Arguments, actions};
pub(super) use candidate::{Candidate, Completion, Rank};
pub(super) use json::At;
pub(super) use quote::Quoting;
pub(super) use spot::{JsonSpot, Spot};
pub(super) use typed::Typed;
pub(super) use verb::VerbSpot;
pub(super) use world::{Kind, Name, Names, World};

use super::built_in::BuiltIn;

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
            return in_json::candidates(&typed, inside, *at, *from, world);
        }
        Spot::Unknown => Values::default(),
    };
    fitting(&typed.current, from, offers, left_out)
}

fn parts(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// The shell's own commands that have a use there.
fn built_ins(in_transaction: bool, world: &dyn World) -> Vec<Offer> {
    let is_of_use = |it: &&BuiltIn| match it.name {
        "commit" | "abort" => in_transaction,
        "transaction" => !in_transaction,
        _ => true,
    };
    let all = world.vocabulary().built_ins.iter().filter(is_of_use);
    all.map(|it| Offer::new(it.name, it.about)).collect()
}

/// All that a line may begin with. What qplug and QMP call the same is qplug's.
fn commands(in_transaction: bool, world: &dyn World) -> Vec<Offer> {
    let mut offers = built_ins(in_transaction, world);
    offers.extend(world.vocabulary().verbs().map(|it| Offer::new(it.get_name(), verb::about(it))));
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
    let mut offers = built_ins(true, world);
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
        let takes = if rank == Rank::Required { format!("required: {takes}") } else { takes };
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
