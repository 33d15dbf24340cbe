//! The words of qplug's own commands, as the command line has them.

use clap::{Arg, Command, ValueHint};
use qplug_hotplug::Throttle;

use super::candidate::{Offer, Rank};
use super::kinds;
use super::names::{self, Values};
use super::world::{Kind, World};

/// Where programs in an appliance find its disks.
const LINKS: &str = "/dev/disk/qplug/";

/// What a command is for, in a line.
pub(in crate::shell) fn about(verb: &Command) -> String {
    first_sentence(verb.get_about().map(ToString::to_string).unwrap_or_default())
}

/// What an argument is, in a line.
pub(in crate::shell) fn help_of(argument: &Arg) -> String {
    first_sentence(argument.get_help().map(ToString::to_string).unwrap_or_default())
}

fn first_sentence(text: String) -> String {
    let end = text.find('\n').into_iter().chain(text.find(". ")).min();
    let text = end.map_or(text.as_str(), |end| &text[..end]);
    text.trim_end_matches('.').to_owned()
}

/// What the word at the cursor is to a command.
#[derive(Debug, Clone)]
pub(in crate::shell) enum VerbSpot {
    /// An option.
    Option(Words),
    /// The value of an option, from this byte of the word on.
    Value { words: Words, argument: &'static Arg, from: usize },
    /// A word with no option.
    Positional { words: Words, argument: Option<&'static Arg> },
}

/// The words of a command that are there.
#[derive(Debug, Clone)]
pub(in crate::shell) struct Words {
    /// The command itself, or the command of the command's.
    pub(in crate::shell) command: &'static Command,
    given: Vec<&'static str>,
    /// How many words that belong to no option.
    positionals: usize,
    /// The texts of those words.
    pub(in crate::shell) texts: Vec<String>,
    ended: bool,
    awaits: Option<&'static Arg>,
}

impl VerbSpot {
    /// What `current` is, behind these words of a command.
    pub(in crate::shell) fn read(verb: &'static Command, before: &[String], current: &str) -> Self {
        let mut words = Words::new(verb);
        before.iter().for_each(|word| words.add(word));
        if let Some(argument) = words.awaits {
            return Self::Value { words, argument, from: 0 };
        }
        if current.starts_with('-') && !words.ended {
            let option = current.split_once('=');
            let argument = option.and_then(|(name, _)| words.option(name));
            return match (argument, option) {
                (Some(argument), Some((name, _))) => {
                    Self::Value { words, argument, from: name.len() + 1 }
                }
                _ => Self::Option(words),
            };
        }
        let argument = words.positional();
        Self::Positional { words, argument }
    }
}

impl Words {
    fn new(command: &'static Command) -> Self {
        let (given, texts) = (Vec::new(), Vec::new());
        Self { command, given, positionals: 0, texts, ended: false, awaits: None }
    }

    fn add(&mut self, word: &str) {
        if self.awaits.take().is_some() {
            return;
        }
        if self.ended || !word.starts_with('-') || word == "-" {
            return self.add_positional(word);
        }
        if word == "--" {
            self.ended = true;
            return;
        }
        let (name, value) =
            word.split_once('=').map_or((word, None), |(it, value)| (it, Some(value)));
        if let Some(argument) = self.option(name) {
            self.given.push(argument.get_id().as_str());
            if takes_value(argument) && value.is_none() {
                self.awaits = Some(argument);
            }
        } else if !word.starts_with("--") {
            self.add_short(word);
        }
    }

    /// `-abVALUE`, or `-abV VALUE`.
    fn add_short(&mut self, word: &str) {
        for (at, letter) in word.char_indices().skip(1) {
            let command = self.command;
            let found = command.get_arguments().find(|it| it.get_short() == Some(letter));
            let Some(argument) = found else { return };
            self.given.push(argument.get_id().as_str());
            if takes_value(argument) {
                let is_last = at + letter.len_utf8() == word.len();
                self.awaits = is_last.then_some(argument);
                return;
            }
        }
    }

    fn add_positional(&mut self, word: &str) {
        if self.positionals == 0
            && let Some(inner) = self.command.find_subcommand(word)
        {
            *self = Self::new(inner);
            return;
        }
        // All that follows is the argument's.
        self.ended |= self.positional().is_some_and(Arg::is_trailing_var_arg_set);
        self.positionals += 1;
        self.texts.push(word.to_owned());
    }

    fn option(&self, name: &str) -> Option<&'static Arg> {
        let command = self.command;
        let long = name.strip_prefix("--");
        command.get_arguments().find(|argument| match long {
            Some(long) => argument.get_long() == Some(long),
            None => argument.get_short().is_some_and(|short| {
                name.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4]))
            }),
        })
    }

    /// The argument that the next word with no option is.
    pub(in crate::shell) fn positional(&self) -> Option<&'static Arg> {
        let command = self.command;
        let all: Vec<_> = command.get_positionals().collect();
        let repeats = |argument: &&Arg| is_several(argument);
        all.get(self.positionals).or_else(|| all.last().filter(|it| repeats(it))).copied()
    }

    /// The positional arguments that have no word yet and need one.
    pub(in crate::shell) fn missing(&self) -> impl Iterator<Item = &'static Arg> {
        let command = self.command;
        command.get_positionals().skip(self.positionals).filter(|it| it.is_required_set())
    }

    fn options(&self, settled: &[&str]) -> Vec<Offer> {
        let command = self.command;
        let may_come = |argument: &&Arg| {
            let id = argument.get_id().as_str();
            !argument.is_hide_set()
                && !settled.contains(&id)
                && (!self.given.contains(&id) || is_several(argument))
        };
        let offer = |argument: &'static Arg| {
            let note = help_of(argument);
            let rank = if argument.is_required_set() { Rank::Required } else { Rank::Usual };
            Some(Offer::new(format!("--{}", argument.get_long()?), note).ranked(rank))
        };
        command.get_arguments().filter(may_come).filter_map(offer).collect()
    }
}

fn takes_value(argument: &Arg) -> bool {
    argument.get_action().takes_values() && !argument.is_positional()
}

fn is_several(argument: &Arg) -> bool {
    matches!(argument.get_action(), clap::ArgAction::Append | clap::ArgAction::Count)
        || argument.get_num_args().is_some_and(|range| range.max_values() > 1)
}

/// What may stand there, of which `text` is typed.
pub(super) fn values(spot: &VerbSpot, text: &str, world: &dyn World) -> Values {
    let settled = world.vocabulary().settled;
    match spot {
        VerbSpot::Option(words) => Values::from(words.options(settled)),
        VerbSpot::Value { words, argument, from } => {
            let values = of_argument(words, argument, &text[*from..], world);
            Values { from: from + values.from, ..values }
        }
        VerbSpot::Positional { words, argument } => {
            let mut values = match argument {
                Some(argument) => of_argument(words, argument, text, world),
                None => Values::default(),
            };
            if words.positionals == 0 {
                let inner = words.command.get_subcommands().filter(|it| it.get_name() != "help");
                values.offers.extend(inner.map(|it| Offer::new(it.get_name(), about(it))));
            }
            // With nothing else to say, there are the options.
            if values.offers.is_empty() && text.is_empty() && !words.ended {
                values.offers = words.options(settled);
            }
            values
        }
    }
}

fn of_argument(words: &Words, argument: &Arg, text: &str, world: &dyn World) -> Values {
    let possible = argument.get_possible_values();
    if !possible.is_empty() {
        let offer = |value: &clap::builder::PossibleValue| {
            let note = value.get_help().map(ToString::to_string).unwrap_or_default();
            Offer::new(value.get_name(), note)
        };
        return Values::from(possible.iter().map(offer).collect::<Vec<_>>());
    }
    if ["limits", "throttle"].contains(&argument.get_id().as_str()) {
        return limits(text);
    }
    let verb = words.command.get_name();
    match verb {
        "cp" => return side(text, world),
        "sh" => return device(text, world),
        _ => {}
    }
    if let Some(kind) = kinds::of_word(verb, argument.get_id().as_str(), &words.texts) {
        let mut values = names::of(&kind, text, world);
        // What is named once is not named again.
        values.offers.retain(|offer| !words.texts.contains(&offer.text));
        return values;
    }
    match argument.get_value_hint() {
        ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath => {
            names::of(&Kind::Files(String::new()), text, world)
        }
        _ => Values::default(),
    }
}

/// A side of a copy: `:` stands before a path of the appliance's.
fn side(text: &str, world: &dyn World) -> Values {
    if let Some(path) = text.strip_prefix(':') {
        let values = names::of(&Kind::Tree(String::new()), path, world);
        return Values { from: values.from + 1, ..values };
    }
    let mut values = names::of(&Kind::Files(String::new()), text, world);
    // The command line has the appliance's name before the colon.
    if text.is_empty() && !world.vocabulary().speaks_qmp {
        values.offers.push(Offer::new(":/", "the appliance's").and_more());
    }
    values
}

/// A disk of an appliance's, as programs find it.
fn device(text: &str, world: &dyn World) -> Values {
    if text.starts_with(LINKS) {
        let values = names::of(&Kind::Links, text, world);
        return Values { from: LINKS.len(), ..values };
    }
    let is_begun = text.starts_with('/') && LINKS.starts_with(text);
    let offers = is_begun.then(|| Offer::new(LINKS, "").and_more());
    Values::from(offers.into_iter().collect::<Vec<_>>())
}

/// `KEY=NUMBER`, several with commas between them.
fn limits(text: &str) -> Values {
    let from = text.rfind(',').map_or(0, |at| at + 1);
    let offer = |limit: &str| Offer::new(format!("{limit}="), "a number").and_more();
    let is_key = !text[from..].contains('=');
    let offers = if is_key { Throttle::limits().map(offer).collect() } else { Vec::new() };
    Values { offers, left_out: 0, from }
}
