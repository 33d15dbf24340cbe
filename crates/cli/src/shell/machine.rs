//! A machine at its monitor: commands of qplug and of QMP, messages, transactions, events.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::built_in::{self, BuiltIn, of};
use super::face::Subject;
use super::filter::Filter;
use super::link::Link;
use super::live::Live;
use super::partner::Partner;
use super::session::Flow;
use super::transaction::Transaction;
use super::vocabulary::Vocabulary;
use super::{Ends, interactive, message, script, verb};
use crate::commands::exec;
use crate::commands::schema::source::{self, Freshness};
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::{Output, printable};

/// The file of lines that are remembered.
const HISTORY: &str = "history";

/// The shell's own commands.
pub(super) const BUILT_INS: &[BuiltIn] = &[
    built_in::HELP,
    of("events", "[all | none | PATTERN… !PATTERN…]", "Choose which events are shown"),
    of("transaction", "[KEY=VALUE…]", "Begin changes that are made all at once, or not at all"),
    of("commit", "", "Have QEMU make the changes of the transaction"),
    of("abort", "", "Drop the transaction"),
    built_in::HISTORY,
    built_in::EXIT,
    of("quit", "", "The same ('exec quit' is QEMU's own, and ends the machine)"),
];

/// A machine, as a shell talks to it.
#[derive(Debug)]
pub(super) struct Machine {
    link: Link,
    /// The changes that are being put together, if any.
    transaction: Option<Transaction>,
}

/// Reads lines from somebody at a terminal, with the machine's events above them.
pub(super) async fn converse(monitor: Monitor, output: &Output) -> Result<Exit, Failure> {
    let (link, events) = Link::open(monitor, Filter::all()).await?;
    link.look().await;
    greet(&link, output);
    let shown = tokio::spawn(link.clone().keep(events, output.clone()));
    let _ends = Ends(shown.abort_handle());
    let live = Live::new(&link);
    interactive::run(Machine { link, transaction: None }, &live, HISTORY, output).await
}

/// Runs the lines of a file. Events are shown once they ask for them.
pub(super) async fn run_script(
    path: PathBuf,
    monitor: Monitor,
    output: &Output,
) -> Result<Exit, Failure> {
    let lines = script::Lines::open(&path)?;
    let (link, mut events) = Link::open(monitor, Filter::none()).await?;
    let shown = {
        let (link, output) = (link.clone(), output.clone());
        tokio::spawn(async move { link.follow(&mut events, &output).await })
    };
    let _ends = Ends(shown.abort_handle());
    // A snapshot that thaws its guest first has taken them from the system.
    let ends = interactive::terminated()?;
    tokio::select! {
        ended = script::run(lines, Machine { link, transaction: None }, output) => ended,
        ended = ends => ended,
    }
}

fn greet(link: &Link, output: &Output) {
    let face = link.face();
    let version = link.client().map(|client| client.greeting().version.to_string());
    output.announce(&format!(
        "{} is {}; QEMU {}. Tab completes, help helps, Ctrl-D leaves",
        printable(&face.name),
        printable(&face.state),
        version.unwrap_or_default()
    ));
}

impl Partner for Machine {
    fn vocabulary(&self) -> &'static Vocabulary {
        &verb::QPLUG
    }

    fn subject(&self) -> Arc<dyn Subject> {
        Arc::new(self.link.clone())
    }

    fn actions(&self) -> Option<usize> {
        self.transaction.as_ref().map(Transaction::len)
    }

    async fn help(&self, topic: Option<&str>) -> Result<String, Failure> {
        let schema = match (topic, self.link.client()) {
            (Some(_), Some(client)) => source::live(&client, Freshness::Cached).await?,
            _ => None,
        };
        let schema = schema.as_ref().map(|known| &known.schema);
        let text = super::help::help(topic, self.vocabulary(), schema);
        // Without a connection nobody knows what QEMU has.
        text.map_err(|why| self.link.monitor().err().unwrap_or(Failure::usage(why)))
    }

    async fn run(&mut self, words: &[String], output: &Output) -> Result<Flow, Failure> {
        let (name, rest) = words.split_first().map_or(("", words), |(name, rest)| (name, rest));
        let exit = match name {
            "events" => self.events(rest, output).await,
            "transaction" if !has_actions(rest) => self.begin(rest).await,
            "commit" | "abort" if !rest.is_empty() => {
                built_in::nothing_follows(name, rest).map(|()| Exit::Done)
            }
            "commit" => self.commit(output).await,
            "abort" => self.transaction.take().map(|_| Exit::Done).ok_or_else(none),
            _ if self.transaction.is_some() => self.add(words).await,
            _ => verb::run(words, &self.link, output).await,
        };
        exit.map(Flow::On)
    }

    async fn message(&mut self, text: &str, output: &Output) -> Result<Flow, Failure> {
        if let Some(transaction) = &mut self.transaction {
            transaction.add_json(message::read_json(text)?)?;
            return Ok(Flow::On(Exit::Done));
        }
        let monitor = self.link.monitor()?;
        message::run(text, &monitor, output).await.map(Flow::On)
    }

    async fn look(&self) {
        self.link.look().await;
    }
}

/// With its actions given, `transaction` is QEMU's own command.
fn has_actions(words: &[String]) -> bool {
    words.iter().any(|word| word.starts_with("actions") || word.starts_with('{'))
}

impl Machine {
    async fn events(&self, words: &[String], output: &Output) -> Result<Exit, Failure> {
        let told = {
            let mut filter = self.link.filter();
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

    async fn begin(&mut self, words: &[String]) -> Result<Exit, Failure> {
        if self.transaction.is_some() {
            return Err(Failure::usage("there is a transaction already: commit or abort it first"));
        }
        self.transaction = Some(Transaction::begin(words, &self.link.monitor()?).await?);
        Ok(Exit::Done)
    }

    async fn add(&mut self, words: &[String]) -> Result<Exit, Failure> {
        let monitor = self.link.monitor()?;
        if let Some(transaction) = &mut self.transaction {
            transaction.add(words, &monitor).await?;
        }
        Ok(Exit::Done)
    }

    /// What QEMU refused stays, to be looked at and sent again; what it may have made does not, also when
    /// the wait for it is interrupted.
    async fn commit(&mut self, output: &Output) -> Result<Exit, Failure> {
        if self.transaction.is_none() {
            return Err(none());
        }
        let monitor = self.link.monitor()?;
        let transaction = self.transaction.take().ok_or_else(none)?;
        match transaction.commit(&monitor).await {
            Ok(reply) => exec::print(&reply, output).await,
            Err(mut failure) => {
                if failure.exit != Exit::Unknown {
                    failure.message += "\n(the transaction is still open: abort drops it)";
                    self.transaction = Some(transaction);
                }
                Err(failure)
            }
        }
    }
}

fn none() -> Failure {
    Failure::usage("there is no transaction: 'transaction' begins one")
}
