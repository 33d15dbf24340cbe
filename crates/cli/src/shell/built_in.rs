//! What every shell has of its own.

use serde_json::json;

use super::partner::Partner;
use super::session::{Flow, Session};
use crate::failure::{Exit, Failure};
use crate::output::{Output, printable};

/// How many lines `history` shows when it is not told.
const USUAL_LINES: usize = 20;

/// A command of the shell's own.
#[derive(Debug)]
pub(super) struct BuiltIn {
    pub(super) name: &'static str,
    /// What may follow it.
    pub(super) words: &'static str,
    /// What it does, in a line.
    pub(super) about: &'static str,
}

pub(super) const HELP: BuiltIn =
    of("help", "[COMMAND]", "Say what there is, or what a command takes");

pub(super) const HISTORY: BuiltIn =
    of("history", "[COUNT]", "Show the last lines; !!, !N and !TEXT repeat one");

pub(super) const EXIT: BuiltIn = of("exit", "", "Leave the shell; the machine goes on");

pub(super) const fn of(name: &'static str, words: &'static str, about: &'static str) -> BuiltIn {
    BuiltIn { name, words, about }
}

/// Runs the line if it is one of those that every shell has.
pub(super) async fn run<P: Partner>(
    session: &Session<P>,
    words: &[String],
    output: &Output,
) -> Option<Result<Flow, Failure>> {
    let (name, rest) = words.split_first()?;
    let exit = match name.as_str() {
        "help" => help(session, rest, output).await,
        "history" => history(session, rest, output).await,
        "exit" | "quit" => return Some(nothing_follows(name, rest).map(|()| Flow::Leave)),
        mark if mark.starts_with('!') => {
            Err(Failure::usage("! repeats a line where it is typed, and alone: a script has none"))
        }
        _ => return None,
    };
    Some(exit.map(Flow::On))
}

/// Checks that a command that takes nothing was given nothing.
pub(super) fn nothing_follows(name: &str, rest: &[String]) -> Result<(), Failure> {
    let refused = |word| Failure::usage(format!("{name} takes nothing, and here is {word:?}"));
    rest.first().map_or(Ok(()), |word| Err(refused(word)))
}

async fn help<P: Partner>(
    session: &Session<P>,
    words: &[String],
    output: &Output,
) -> Result<Exit, Failure> {
    let topic = match words {
        [] => None,
        [topic] => Some(topic.as_str()),
        _ => return Err(Failure::usage("help takes the name of one command")),
    };
    let text = session.partner.help(topic).await?;
    super::help::print(&text, output).await
}

async fn history<P: Partner>(
    session: &Session<P>,
    words: &[String],
    output: &Output,
) -> Result<Exit, Failure> {
    let lines = session.past.as_ref().ok_or_else(|| Failure::usage("a script has no history"))?;
    let count = match words {
        [] => USUAL_LINES,
        [count] => count
            .parse()
            .map_err(|_| Failure::usage(format!("history {count}: how many lines?")))?,
        _ => return Err(Failure::usage("history takes a number alone")),
    };
    let skipped = lines.len().saturating_sub(count);
    output
        .result(&json!(lines[skipped..]), |out| {
            for (number, line) in lines.iter().enumerate().skip(skipped) {
                writeln!(out, "{:5}  {}", number + 1, printable(line))?;
            }
            Ok(())
        })
        .await?;
    Ok(Exit::Done)
}
