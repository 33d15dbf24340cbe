//! What the word at the cursor is.

use qplug_qapi::introspection::Given;

use super::arguments::Arguments;
use super::json::{self, At, Begun};
use super::typed::{Part, Typed};
use super::verb::VerbSpot;
use super::world::World;
use crate::shell::verb::EXEC;

/// What the word at the cursor is.
#[derive(Debug, Clone)]
pub(in crate::shell) enum Spot {
    /// The name of a command: the first word of a line.
    Command,
    /// The name of a transaction's action: the first word of a line inside one.
    Action,
    /// The name of a command of QMP's.
    Qmp,
    /// A part of a dotted key, which `path` leads to; it begins at this byte of the word.
    Key { arguments: Box<Arguments>, path: Vec<String>, from: usize },
    /// The value of the key that `path` is; it begins at this byte of the word.
    Value { arguments: Box<Arguments>, path: Vec<String>, from: usize },
    /// A place in JSON; it begins at this byte of the word.
    Json { inside: JsonSpot, at: At, from: usize },
    /// A word of a command of qplug's.
    Verb(VerbSpot),
    /// The name of a command or an event, of a built-in or of qplug's too with `help`.
    Topic { is_help: bool },
    /// The name of an event.
    Event,
    /// A program of the host's.
    Program,
    /// A file of the host's.
    File,
    /// Nothing is known of it.
    Unknown,
}

/// What the JSON at the cursor is.
#[derive(Debug, Clone)]
pub(in crate::shell) enum JsonSpot {
    /// A member of the message itself.
    Message(Given),
    /// The name of the command that a message runs.
    Command,
    /// Something in the arguments.
    Arguments { arguments: Box<Arguments>, path: Vec<String> },
}

impl Spot {
    /// What the word at the cursor of this line is; `in_transaction` where the line is in a block.
    pub(in crate::shell) fn of(typed: &Typed<'_>, in_transaction: bool, world: &dyn World) -> Self {
        match typed.part {
            Part::File => return Self::File,
            Part::Host if typed.before.is_empty() && !typed.current.text.contains('/') => {
                return Self::Program;
            }
            Part::Host => return Self::File,
            Part::Message if !world.vocabulary().speaks_qmp => return Self::Unknown,
            Part::Message => return Self::of_message(&typed.current.text, world),
            Part::Command => {}
        }
        let Some((name, rest)) = typed.before.split_first() else {
            return if in_transaction { Self::Action } else { Self::Command };
        };
        let vocabulary = world.vocabulary();
        if vocabulary.built_in(name).is_some() {
            return Self::of_built_in(name, rest, typed, world);
        }
        if in_transaction {
            let words = typed.others().skip(1);
            let arguments = Arguments::of_action(name, words, world);
            return Self::of_argument(arguments, &typed.current.text);
        }
        match vocabulary.verb(name) {
            Some(_) if name == EXEC => Self::of_exec(rest, typed, world),
            Some(verb) => match VerbSpot::read(verb, rest, &typed.current.text) {
                VerbSpot::Positional { argument: Some(_), .. }
                    if name == "schema" && rest.is_empty() =>
                {
                    Self::Topic { is_help: false }
                }
                spot => Self::Verb(spot),
            },
            // A command of QMP's, as if 'exec' were before it.
            None if !vocabulary.speaks_qmp => Self::Unknown,
            None => Self::of_exec(&typed.before, typed, world),
        }
    }

    fn of_built_in(name: &str, rest: &[String], typed: &Typed<'_>, world: &dyn World) -> Self {
        match name {
            "help" if rest.is_empty() => Self::Topic { is_help: true },
            "events" => Self::Event,
            "transaction" => {
                let arguments = Arguments::of_command(name, typed.others().skip(1), world);
                Self::of_argument(arguments, &typed.current.text)
            }
            _ => Self::Unknown,
        }
    }

    /// `exec [OPTIONS] COMMAND ARGUMENTS…`
    fn of_exec(rest: &[String], typed: &Typed<'_>, world: &dyn World) -> Self {
        let Some(verb) = world.vocabulary().verb(EXEC) else { return Self::Unknown };
        let current = &typed.current.text;
        match VerbSpot::read(verb, rest, current) {
            VerbSpot::Positional { words, .. } => {
                let Some((command, given)) = words.texts.split_first() else { return Self::Qmp };
                let given = given.iter().chain(&typed.after).map(String::as_str);
                let arguments = Arguments::of_command(command, given, world);
                Self::of_argument(arguments, current)
            }
            spot => Self::Verb(spot),
        }
    }

    /// `key=value`, or JSON.
    fn of_argument(arguments: Arguments, current: &str) -> Self {
        if current.starts_with('{') {
            return Self::of_json(arguments, Vec::new(), current, 0);
        }
        let parts = |key: &str| key.split('.').map(ToOwned::to_owned).collect::<Vec<_>>();
        if let Some((key, value)) = current.split_once('=') {
            let (path, from) = (parts(key), key.len() + 1);
            if value.starts_with(['{', '[']) {
                return Self::of_json(arguments, path, value, from);
            }
            return Self::Value { arguments: Box::new(arguments), path, from };
        }
        let mut path = parts(current);
        let last = path.pop().unwrap_or_default();
        Self::Key { arguments: Box::new(arguments), path, from: current.len() - last.len() }
    }

    /// JSON of which arguments are made: all of them, or the value of the key that `path` is. `start`
    /// is where it begins in the word.
    fn of_json(mut arguments: Arguments, mut path: Vec<String>, text: &str, start: usize) -> Self {
        let json::Spot { path: inside, at, given } = json::read(text);
        arguments.given.add(&path.join("."), &given);
        path.extend(inside);
        let from = start + at.from(text);
        let arguments = Box::new(arguments);
        Self::Json { inside: JsonSpot::Arguments { arguments, path }, at, from }
    }

    fn of_message(text: &str, world: &dyn World) -> Self {
        let json::Spot { mut path, at, given } = json::read(text);
        let from = at.from(text);
        let part = path.first().map(String::as_str);
        let inside = match (part, at) {
            (None, _) => JsonSpot::Message(given),
            (Some("execute" | "exec-oob"), At::Value(_)) if path.len() == 1 => JsonSpot::Command,
            (Some("arguments"), _) => {
                let command = given.text("execute").or_else(|| given.text("exec-oob"));
                let arguments = command.unwrap_or_default();
                let arguments = Arguments::of_command(arguments, std::iter::empty(), world)
                    .with_given(given.under("arguments"));
                path.remove(0);
                JsonSpot::Arguments { arguments: Box::new(arguments), path }
            }
            _ => return Self::Unknown,
        };
        Self::Json { inside, at, from }
    }
}

impl At {
    /// Where in the text what is typed begins.
    fn from(self, text: &str) -> usize {
        match self {
            Self::Key(Begun { from, .. }) | Self::Value(Begun { from, .. }) => from,
            Self::Else => text.len(),
        }
    }
}
