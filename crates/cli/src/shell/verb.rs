//! The commands of qplug, in the shell.

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use super::link::Link;
use crate::args::Args;
use crate::commands;
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::Output;

/// What is not a command in a shell: the shell itself, what is no machine's, and what the shell has a
/// command of its own for.
const NOT_HERE: [&str; 3] = ["shell", "sim", "events"];

/// Options that say how the machine is reached, which is settled.
const SETTLED: [&str; 5] = ["socket", "connect_timeout", "tls_creds", "trace", "verbose"];

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

/// Runs one; the first word is its name.
pub(super) async fn run(words: &[String], link: &Link, output: &Output) -> Result<Exit, Failure> {
    let matches = match command().try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => {
            let help = error.render().to_string();
            output.result(&serde_json::json!({"help": help}), |out| write!(out, "{help}")).await?;
            return Ok(Exit::Done);
        }
        Err(error) => return Err(usage(&error)),
    };
    refuse_settled(&matches)?;
    let args = Args::from_arg_matches(&matches).map_err(|error| usage(&error))?;
    let monitor = link.monitor()?;
    let monitor = Monitor { dialect: args.dialect.or(monitor.dialect), ..monitor };
    if args.json {
        return commands::run_command(args.command, &monitor, &output.with_json(true)).await;
    }
    commands::run_command(args.command, &monitor, output).await
}

fn refuse_settled(matches: &ArgMatches) -> Result<(), Failure> {
    for option in SETTLED {
        if matches.value_source(option) == Some(ValueSource::CommandLine) {
            let option = option.replace('_', "-");
            return Err(Failure::usage(format!(
                "--{option} is for 'qplug shell' itself: here the machine is reached already"
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
        assert!(names().contains(&"detach".to_owned()));
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
