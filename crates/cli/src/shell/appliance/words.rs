//! The commands of an appliance, as its shell has them: without its name.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use clap::{Arg, Command, CommandFactory as _, FromArgMatches as _, Parser};
use qplug_appliance::ApplianceName;

use crate::args::ApplianceVerb as Verb;
use crate::args::appliance::Cp;
use crate::failure::Failure;
use crate::shell::built_in::{self, BuiltIn, of};
use crate::shell::help::no_such;
use crate::shell::vocabulary::{self, Vocabulary, Words};

/// What is not a command here: what is no running appliance's, and the shell itself.
const NOT_HERE: [&str; 3] = ["up", "list", "shell"];

/// The argument that is the appliance's name, which the shell knows.
const NAME: &str = "name";

/// The option that it is given in, and the same as a word.
const NAME_OPTION: &str = "appliance";
const NAME_WORD: &str = "--appliance";

const BUILT_INS: &[BuiltIn] = &[
    built_in::HELP,
    built_in::HISTORY,
    of("exit", "", "Leave the shell; the appliance goes on, but for one of the shell's own (-a)"),
    of("quit", "", "The same"),
];

/// What a shell in an appliance understands.
pub(in crate::shell) static APPLIANCE: Vocabulary = Vocabulary {
    title: "Commands of the appliance",
    command,
    built: LazyLock::new(|| vocabulary::built(command())),
    not_here: &NOT_HERE,
    settled: &[],
    built_ins: BUILT_INS,
    notes: "
Tab completes, 'help COMMAND' says what a command takes; 'cp notes.txt :/notes' and back: the appliance's
files have a : before them there. Behind a line, | COMMAND, > FILE and >> FILE say where its output goes;
for the appliance's own, quote them: sh 'mount | grep data'.
",
    speaks_qmp: false,
};

/// A line.
#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_version_flag = true)]
struct Line {
    /// Print JSON, for programs (docs/json.md has the shapes).
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    verb: Verb,
}

/// What a line says.
pub(super) enum Read {
    /// A command; whether its result is for programs.
    Verb(Box<Verb>, bool),
    /// Its help was asked for, which is this.
    Help(String),
}

fn command() -> Command {
    let unnamed = |name: Arg| name.long(NAME_OPTION).required(false).hide(true);
    Line::command().mut_subcommands(|verb| match is_named(&verb) {
        true => verb.mut_arg(NAME, unnamed),
        false => verb,
    })
}

/// Whether a command is told the appliance's name.
fn is_named(verb: &Command) -> bool {
    !NOT_HERE.contains(&verb.get_name()) && verb.get_arguments().any(|it| it.get_id() == NAME)
}

/// Reads the words of a command of this appliance.
///
/// # Errors
/// When there is no such command, or it takes other words.
pub(super) fn read(words: &[String], name: &ApplianceName) -> Result<Read, Failure> {
    let mut words: Vec<_> = words.iter().map(String::as_str).collect();
    if let Some(at) = words.iter().position(|word| !word.starts_with('-')) {
        let verb = APPLIANCE.verb(words[at]).ok_or_else(|| refused(words[at]))?;
        if is_named(verb) {
            words.splice(at + 1..at + 1, [NAME_WORD, name.as_str()]);
        }
    }
    let matches = match APPLIANCE.read(words.into_iter())? {
        Words::Help(help) => return Ok(Read::Help(help)),
        Words::Matches(matches) => matches,
    };
    let line = Line::from_arg_matches(&matches).map_err(|error| vocabulary::usage(&error))?;
    let verb = match line.verb {
        Verb::Cp(args) => {
            let from = args.from.iter().map(|from| full(from, name)).collect();
            Verb::Cp(Cp { from, to: full(&args.to, name) })
        }
        verb => verb,
    };
    Ok(Read::Verb(Box::new(verb), line.json))
}

/// A path as the command line has it: `:PATH` is the appliance's.
fn full(path: &Path, name: &ApplianceName) -> PathBuf {
    if !path.as_os_str().as_bytes().starts_with(b":") {
        return path.to_owned();
    }
    let mut full = OsString::from(name.as_str());
    full.push(path);
    full.into()
}

fn refused(word: &str) -> Failure {
    if NOT_HERE.contains(&word) {
        return Failure::usage(format!("'qplug appliance {word}' is for outside of this shell"));
    }
    Failure::usage(no_such(word, &APPLIANCE.like(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Read, Failure> {
        let words: Vec<_> = line.split(' ').map(ToOwned::to_owned).collect();
        read(&words, &ApplianceName::new("work").unwrap())
    }

    #[test]
    fn the_name_goes_without_saying() {
        for (line, expected) in [
            (
                "ls -l /etc",
                r#"Ls { appliance: Named { name: ApplianceName("work") }, path: "/etc", long: true }"#,
            ),
            ("sh ls -l", r#"has_input: false, line: ["ls", "-l"] }"#),
            ("cp a :/b", r#"Cp { from: ["a"], to: "work:/b" }"#),
            ("cp other:/a ./:b", r#"Cp { from: ["other:/a"], to: "./:b" }"#),
            ("--json df", r#"Df(Named { name: ApplianceName("work") })"#),
        ] {
            let Ok(Read::Verb(verb, is_json)) = words(line) else { panic!("{line}") };
            assert!(format!("{verb:?}").contains(expected), "{verb:?}");
            assert_eq!(is_json, line.contains("--json"));
        }
    }

    #[test]
    fn what_is_no_command_is_refused_with_what_may_be_meant() {
        for (line, expected) in [
            ("up", "outside of this shell"),
            ("shell", "outside of this shell"),
            ("moutn /", "did you mean mount?"),
            ("ls --appliance other", "cannot be used multiple times"),
            ("rm", "required"),
        ] {
            let Err(failure) = words(line) else { panic!("{line}") };
            assert!(failure.message.contains(expected), "{}", failure.message);
        }
    }

    #[test]
    fn help_says_nothing_of_the_name() {
        for verb in APPLIANCE.verbs() {
            let help = APPLIANCE.help(verb.get_name()).unwrap();
            assert!(!help.contains("<NAME>") && !help.contains(NAME_WORD), "{help}");
        }
        let Ok(Read::Help(help)) = words("ls --help") else { panic!("no help") };
        assert!(help.contains("Usage: ls [OPTIONS] [PATH]"), "{help}");
    }
}
