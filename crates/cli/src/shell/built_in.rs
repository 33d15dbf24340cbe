//! The shell's own commands.

use serde_json::json;

use super::filter::Filter;
use super::session::{Flow, Session};
use super::transaction::Transaction;
use crate::commands::exec;
use crate::commands::schema::source::{self, Freshness};
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

/// All of them.
pub(super) const ALL: [BuiltIn; 8] = [
    of("help", "[COMMAND]", "Say what there is, or what a command takes"),
    of("events", "[all | none | PATTERN… !PATTERN…]", "Choose which events are shown"),
    of("transaction", "[KEY=VALUE…]", "Begin changes that are made all at once, or not at all"),
    of("commit", "", "Have QEMU make the changes of the transaction"),
    of("abort", "", "Drop the transaction"),
    of("history", "[COUNT]", "Show the last lines; !!, !N and !TEXT repeat one"),
    of("exit", "", "Leave the shell; the machine goes on"),
    of("quit", "", "The same ('exec quit' is QEMU's own, and ends the machine)"),
];

const fn of(name: &'static str, words: &'static str, about: &'static str) -> BuiltIn {
    BuiltIn { name, words, about }
}

/// Runs the line if it is one of these.
pub(super) async fn run(
    session: &mut Session,
    words: &[String],
    output: &Output,
) -> Option<Result<Flow, Failure>> {
    let (name, rest) = words.split_first()?;
    let exit = match name.as_str() {
        "help" => help(session, rest, output).await,
        "events" => events(session, rest, output).await,
        // With its actions given, it is QEMU's own command.
        "transaction"
            if rest.iter().any(|word| word.starts_with("actions") || word.starts_with('{')) =>
        {
            return None;
        }
        "transaction" => begin(session, rest).await,
        "commit" | "abort" | "exit" | "quit" if !rest.is_empty() => {
            Err(Failure::usage(format!("{name} takes nothing, and here is {:?}", rest[0])))
        }
        "commit" => commit(session, output).await,
        "abort" => abort(session),
        "history" => history(session, rest, output).await,
        mark if mark.starts_with('!') => {
            Err(Failure::usage("! repeats a line where it is typed, and alone: a script has none"))
        }
        "exit" | "quit" => return Some(Ok(Flow::Leave)),
        _ => return None,
    };
    Some(exit.map(Flow::On))
}

async fn help(session: &Session, words: &[String], output: &Output) -> Result<Exit, Failure> {
    let topic = match words {
        [] => None,
        [topic] => Some(topic.as_str()),
        _ => return Err(Failure::usage("help takes the name of one command")),
    };
    let schema = match (topic, session.link.client()) {
        (Some(_), Some(client)) => source::live(&client, Freshness::Cached).await?,
        _ => None,
    };
    let text = super::help::help(topic, schema.as_ref().map(|known| &known.schema));
    // Without a connection nobody knows what QEMU has.
    let text = text.map_err(|why| session.link.monitor().err().unwrap_or(Failure::usage(why)))?;
    output.result(&json!({"help": text}), |out| write!(out, "{text}")).await?;
    Ok(Exit::Done)
}

async fn events(session: &Session, words: &[String], output: &Output) -> Result<Exit, Failure> {
    let told = {
        let mut filter = session.link.filter();
        if !words.is_empty() {
            *filter = Filter::read(words).map_err(Failure::usage)?;
        }
        filter.describe()
    };
    if words.is_empty() {
        output.result(&json!({"events": told}), |out| writeln!(out, "{told}")).await?;
    }
    Ok(Exit::Done)
}

async fn begin(session: &mut Session, words: &[String]) -> Result<Exit, Failure> {
    if session.transaction.is_some() {
        return Err(Failure::usage("there is a transaction already: commit or abort it first"));
    }
    session.transaction = Some(Transaction::begin(words, &session.link.monitor()?).await?);
    Ok(Exit::Done)
}

/// What QEMU refused stays, to be looked at and sent again; what it may have made does not, also when
/// the wait for it is interrupted.
async fn commit(session: &mut Session, output: &Output) -> Result<Exit, Failure> {
    if session.transaction.is_none() {
        return Err(none());
    }
    let monitor = session.link.monitor()?;
    let transaction = session.transaction.take().ok_or_else(none)?;
    match transaction.commit(&monitor).await {
        Ok(reply) => exec::print(&reply, output).await,
        Err(mut failure) => {
            if failure.exit != Exit::Unknown {
                failure.message += "\n(the transaction is still open: abort drops it)";
                session.transaction = Some(transaction);
            }
            Err(failure)
        }
    }
}

async fn history(session: &Session, words: &[String], output: &Output) -> Result<Exit, Failure> {
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

fn abort(session: &mut Session) -> Result<Exit, Failure> {
    session.transaction.take().map(|_| Exit::Done).ok_or_else(none)
}

fn none() -> Failure {
    Failure::usage("there is no transaction: 'transaction' begins one")
}
