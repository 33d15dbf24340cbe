//! The commands of qplug, in the shell.

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use qplug_qapi::introspection::nearest;

use super::built_in;
use super::link::Link;
use crate::args::Args;
use crate::commands;
use crate::commands::schema::source;
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::Output;

/// What is not a command in a shell: the shell itself, what is no machine's, and what the shell has a
/// command of its own for.
pub(crate) const NOT_HERE: [&str; 5] = ["shell", "sim", "events", "completions", "pages"];

/// What runs commands of QMP.
pub(super) const EXEC: &str = "exec";

/// Options that say how the machine is reached, which is settled.
pub(super) const SETTLED: [&str; 5] =
    ["socket", "connect_timeout", "tls_creds", "trace", "verbose"];

/// The commands of qplug as a shell has them: with no options for how to reach the machine.
pub(super) fn command() -> clap::Command {
    Args::command().name("").no_binary_name(true).disable_version_flag(true)
}

/// Whether this is a command of qplug.
pub(super) fn is_one(word: &str) -> bool {
    !NOT_HERE.contains(&word) && Args::command().find_subcommand(word).is_some()
}

/// The names of all.
pub(super) fn names() -> Vec<String> {
    let command = Args::command();
    let names = command.get_subcommands().map(|command| command.get_name().to_owned());
    names.filter(|name| !NOT_HERE.contains(&name.as_str())).collect()
}

/// Runs one; the first word is its name. Any other word is a command of QMP, which `exec` runs.
pub(super) async fn run(words: &[String], link: &Link, output: &Output) -> Result<Exit, Failure> {
    let qmp = words.first().filter(|first| !is_one(first) && !first.starts_with('-'));
    if let Some(name) = qmp {
        refuse_slip(name, &link.monitor()?).await?;
    }
    let is_qmp = qmp.is_some();
    let words = is_qmp.then_some(EXEC).into_iter().chain(words.iter().map(String::as_str));
    let args = match read(words)? {
        Read::Args(args) => *args,
        Read::Help(help) => {
            output.result(&serde_json::json!({"help": help}), |out| write!(out, "{help}")).await?;
            return Ok(Exit::Done);
        }
    };
    let monitor = link.monitor()?;
    let monitor = Monitor { dialect: args.dialect.or(monitor.dialect), ..monitor };
    if args.json {
        return commands::run_command(args.command, &monitor, &output.with_json(true)).await;
    }
    commands::run_command(args.command, &monitor, output).await
}

/// What words say.
pub(crate) enum Read {
    /// A command, with its options.
    Args(Box<Args>),
    /// Its help was asked for, which is this.
    Help(String),
}

/// Reads the words of a command of qplug, where the machine is reached already.
pub(crate) fn read<'a>(words: impl Iterator<Item = &'a str>) -> Result<Read, Failure> {
    let matches = match command().try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return Ok(Read::Help(error.render().to_string())),
        Err(error) => return Err(usage(&error)),
    };
    refuse_settled(&matches)?;
    let args = Args::from_arg_matches(&matches).map_err(|error| usage(&error))?;
    Ok(Read::Args(Box::new(args)))
}

/// A word that is almost a command of qplug's or the shell's, and none of the machine's.
async fn refuse_slip(name: &str, monitor: &Monitor) -> Result<(), Failure> {
    if NOT_HERE.contains(&name) {
        return Err(Failure::usage(format!("'qplug {name}' is for outside of this shell")));
    }
    let names = names();
    let ours = names.iter().map(String::as_str).chain(built_in::ALL.iter().map(|it| it.name));
    let like = nearest(name, ours);
    if like.is_empty() {
        return Ok(());
    }
    let commands = source::commands(&monitor.connect().await?).await?;
    if commands.is_none_or(|commands| commands.iter().any(|it| it == name)) {
        return Ok(());
    }
    let like = like.join(" or ");
    Err(Failure::usage(format!("there is no command {name}; did you mean {like}?")))
}

fn refuse_settled(matches: &ArgMatches) -> Result<(), Failure> {
    for option in SETTLED {
        if matches.value_source(option) == Some(ValueSource::CommandLine) {
            let option = option.replace('_', "-");
            return Err(Failure::usage(format!(
                "--{option} is for qplug's own command line: here the machine is reached already"
            )));
        }
    }
    Ok(())
}

fn usage(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    Failure::usage(text.strip_prefix("error: ").unwrap_or(&text).trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_has_the_commands_of_a_machine() {
        assert!(is_one("attach") && is_one("watch") && is_one("schema"));
        assert!(!is_one("shell") && !is_one("sim") && !is_one("query-block"));
    }

    #[test]
    fn how_the_machine_is_reached_is_settled() {
        for (line, refused) in [
            ("list --socket /x", true),
            ("list --trace /x", true),
            ("list --json", false),
            ("list --dialect drive", false),
        ] {
            let matches = command().try_get_matches_from(line.split(' ')).unwrap();
            assert_eq!(refuse_settled(&matches).is_err(), refused, "{line}");
        }
    }
}
