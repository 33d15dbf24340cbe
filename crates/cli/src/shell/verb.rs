//! The commands of qplug, in the shell.

use std::sync::LazyLock;

use clap::{CommandFactory as _, FromArgMatches as _};

use super::link::Link;
use super::machine;
use super::vocabulary::{self, Vocabulary, Words};
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
const SETTLED: [&str; 5] = ["socket", "connect_timeout", "tls_creds", "trace", "verbose"];

/// What a shell at a monitor understands.
pub(super) static QPLUG: Vocabulary = Vocabulary {
    title: "Commands of qplug",
    command,
    built: LazyLock::new(|| vocabulary::built(command())),
    not_here: &NOT_HERE,
    settled: &SETTLED,
    built_ins: machine::BUILT_INS,
    notes: "
Any other word is a command of QMP, with key=value or JSON for its arguments; a line that begins with {
is a whole message. Tab completes, 'help COMMAND' says what a command takes, 'schema' lists all.
Behind a line, | COMMAND, > FILE and >> FILE say where its output goes.
",
    speaks_qmp: true,
};

/// The commands of qplug as a shell has them: with no options for how to reach the machine.
fn command() -> clap::Command {
    Args::command().name("").no_binary_name(true).disable_version_flag(true)
}

/// Runs one; the first word is its name. Any other word is a command of QMP, which `exec` runs.
pub(super) async fn run(words: &[String], link: &Link, output: &Output) -> Result<Exit, Failure> {
    let qmp = words.first().filter(|first| QPLUG.verb(first).is_none() && !first.starts_with('-'));
    if let Some(name) = qmp {
        refuse_slip(name, &link.monitor()?).await?;
    }
    let is_qmp = qmp.is_some();
    let words = is_qmp.then_some(EXEC).into_iter().chain(words.iter().map(String::as_str));
    let args = match read(words)? {
        Read::Args(args) => *args,
        Read::Help(help) => return super::help::print(&help, output).await,
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
    Ok(match QPLUG.read(words)? {
        Words::Help(help) => Read::Help(help),
        Words::Matches(matches) => {
            let args = Args::from_arg_matches(&matches);
            Read::Args(Box::new(args.map_err(|error| vocabulary::usage(&error))?))
        }
    })
}

/// A word that is almost a command of qplug's or the shell's, and none of the machine's.
async fn refuse_slip(name: &str, monitor: &Monitor) -> Result<(), Failure> {
    if NOT_HERE.contains(&name) {
        return Err(Failure::usage(format!("'qplug {name}' is for outside of this shell")));
    }
    let like = QPLUG.like(name);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_has_the_commands_of_a_machine() {
        let is_one = |name| QPLUG.verb(name).is_some();
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
            assert_eq!(QPLUG.read(line.split(' ')).is_err(), refused, "{line}");
        }
    }
}
