//! What the lines of a shell may begin with: its commands, and its own words.

use std::sync::LazyLock;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use qplug_qapi::introspection::nearest;

use super::built_in::BuiltIn;
use crate::failure::Failure;

/// What a shell understands. Completion, hints, colours and help are all made of it.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    /// Whose the commands are, as a heading has it.
    pub(in crate::shell) title: &'static str,
    /// The commands, with the options that each takes.
    pub(in crate::shell) command: fn() -> Command,
    /// The same, with the options of all of them in each.
    pub(in crate::shell) built: LazyLock<Command>,
    /// Those that this shell does not have.
    pub(in crate::shell) not_here: &'static [&'static str],
    /// Options that say what is settled in a shell.
    pub(in crate::shell) settled: &'static [&'static str],
    /// The shell's own.
    pub(in crate::shell) built_ins: &'static [BuiltIn],
    /// What else `help` says.
    pub(in crate::shell) notes: &'static str,
    /// Whether any other word is a command of QMP's.
    pub(in crate::shell) speaks_qmp: bool,
}

/// What the words of a command say.
pub(in crate::shell) enum Words {
    /// The command, with its options.
    Matches(Box<ArgMatches>),
    /// Its help was asked for, which is this.
    Help(String),
}

impl Vocabulary {
    /// The commands that the shell has.
    pub(in crate::shell) fn verbs(&'static self) -> impl Iterator<Item = &'static Command> {
        let is_here = |name| name != "help" && !self.not_here.contains(&name);
        self.built.get_subcommands().filter(move |verb| is_here(verb.get_name()))
    }

    /// The command of this name.
    pub(in crate::shell) fn verb(&'static self, name: &str) -> Option<&'static Command> {
        self.verbs().find(|verb| verb.get_name() == name)
    }

    /// The shell's own of this name.
    pub(in crate::shell) fn built_in(&self, name: &str) -> Option<&'static BuiltIn> {
        self.built_ins.iter().find(|it| it.name == name)
    }

    /// A command's help, as the shell has it: the options that every command takes are left out.
    pub(in crate::shell) fn help(&'static self, name: &str) -> Option<String> {
        let all = (self.command)();
        let verb = all.find_subcommand(self.verb(name)?.get_name())?;
        Some(verb.clone().bin_name(name.to_owned()).render_long_help().to_string())
    }

    /// What may have been meant by a word that is no command.
    pub(in crate::shell) fn like(&'static self, name: &str) -> Vec<String> {
        let verbs = self.verbs().map(Command::get_name);
        nearest(name, verbs.chain(self.built_ins.iter().map(|it| it.name)))
    }

    /// Reads the words of a command.
    ///
    /// # Errors
    /// When they make no sense, or say what is settled.
    pub(in crate::shell) fn read<'a>(
        &self,
        words: impl Iterator<Item = &'a str>,
    ) -> Result<Words, Failure> {
        let matches = match (self.command)().try_get_matches_from(words) {
            Ok(matches) => matches,
            Err(error) if !error.use_stderr() => {
                return Ok(Words::Help(error.render().to_string()));
            }
            Err(error) => return Err(usage(&error)),
        };
        self.refuse_settled(&matches)?;
        Ok(Words::Matches(Box::new(matches)))
    }

    fn refuse_settled(&self, matches: &ArgMatches) -> Result<(), Failure> {
        for option in self.settled {
            if matches.value_source(option) == Some(ValueSource::CommandLine) {
                let option = option.replace('_', "-");
                return Err(Failure::usage(format!(
                    "--{option} is for qplug's own command line: here the machine is reached already"
                )));
            }
        }
        Ok(())
    }
}

/// A command with the options of all of them in each.
pub(in crate::shell) fn built(mut command: Command) -> Command {
    command.build();
    command
}

/// A command line that does not parse.
pub(in crate::shell) fn usage(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    Failure::usage(text.strip_prefix("error: ").unwrap_or(&text).trim_end())
}
