//! Somebody at a terminal.

use std::io;

use reedline::Signal;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinError;

use super::editor::{Editor, Face, Quiet};
use super::filter::Filter;
use super::history::{self, Discreet};
use super::link::Link;
use super::session::{Flow, Session};
use super::transaction::Transaction;
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::{Output, printable};

/// How many lines `history` shows when it is not told.
const USUAL_LINES: usize = 20;

/// Reads lines until the user leaves.
pub(super) async fn run(monitor: Monitor, output: &Output) -> Result<Exit, Failure> {
    let (link, events) = Link::open(monitor, Filter::all()).await?;
    link.look().await;
    greet(&link, output);
    let shown = tokio::spawn(link.clone().keep(events, output.clone()));
    let (history, failure) = Discreet::open();
    if let Some(error) = failure {
        output.remark(&format!("lines are remembered for this session alone: {error}"));
    }
    let editor = Editor::new(&link, output.screen(), history, output.has_colour());
    let quiet = Quiet::begin()?;
    let session = Session { quiet: Some(quiet), ..Session::new(link, output.clone()) };
    let ended = tokio::select! {
        ended = converse(session, editor, output) => ended,
        ended = terminated() => ended,
    };
    shown.abort();
    ended
}

/// Waits for a signal that ends the shell, after which the terminal is as it was.
async fn terminated() -> Result<Exit, Failure> {
    signal(SignalKind::terminate())?.recv().await;
    Err(Failure { exit: Exit::Interrupted, message: "ended by a signal".to_owned() })
}

async fn converse(
    mut session: Session,
    mut editor: Editor,
    output: &Output,
) -> Result<Exit, Failure> {
    loop {
        let face = Face {
            link: session.link.clone(),
            actions: session.transaction.as_ref().map(Transaction::len),
        };
        let signal;
        (editor, signal) = read(editor, face, output.clone()).await?;
        match signal? {
            Signal::Success(text) => {
                match line(&mut session, &mut editor, &text).await {
                    Ok(Flow::On(_)) => {}
                    Ok(Flow::Leave) => break,
                    Err(failure) => drop(output.failure(&failure)),
                }
                session.link.look().await;
            }
            Signal::CtrlD => break,
            // What was typed is dropped, and nothing else.
            _ => {}
        }
    }
    if session.transaction.is_some() {
        output.announce("the transaction is dropped: nothing of it was sent");
    }
    Ok(Exit::Done)
}

fn greet(link: &Link, output: &Output) {
    let face = link.face();
    let version = link.client().map(|client| client.greeting().version.to_string());
    output.announce(&format!(
        "{} is {}; QEMU {}. Tab completes, help helps, Ctrl-D leaves",
        printable(&face.name),
        face.state.as_deref().unwrap_or("not connected"),
        version.unwrap_or_default()
    ));
}

/// Has the editor read a line, on a thread of its own. What was said before it comes first.
async fn read(
    mut editor: Editor,
    face: Face,
    output: Output,
) -> Result<(Editor, io::Result<Signal>), Failure> {
    let read = tokio::task::spawn_blocking(move || {
        output.finish();
        let signal = editor.read(&face);
        (editor, signal)
    });
    read.await.map_err(|error: JoinError| io::Error::other(error).into())
}

async fn line(session: &mut Session, editor: &mut Editor, text: &str) -> Result<Flow, Failure> {
    let expanded = history::expand(text, editor.history()).map_err(Failure::usage)?;
    if let Some(line) = &expanded {
        editor.remember(line);
        session.output.announce(&printable(line));
    }
    let text = expanded.as_deref().unwrap_or(text);
    if let Some(count) = asks_for_history(text)? {
        show_history(editor, count, &session.output).await?;
        return Ok(Flow::On(Exit::Done));
    }
    session.run(text).await
}

/// How many lines `history` is to show.
fn asks_for_history(text: &str) -> Result<Option<usize>, Failure> {
    let mut words = text.split_whitespace();
    if words.next() != Some("history") {
        return Ok(None);
    }
    match (words.next(), words.next()) {
        (None, _) => Ok(Some(USUAL_LINES)),
        (Some(count), None) => match count.parse() {
            Ok(count) => Ok(Some(count)),
            Err(_) => Err(Failure::usage(format!("history {count}: how many lines?"))),
        },
        _ => Err(Failure::usage("history takes a number alone")),
    }
}

async fn show_history(editor: &Editor, count: usize, output: &Output) -> Result<(), Failure> {
    let lines = history::lines(editor.history());
    let skipped = lines.len().saturating_sub(count);
    output
        .result(&json!(lines[skipped..]), |out| {
            let numbered = lines.iter().enumerate().skip(skipped);
            for (number, line) in numbered {
                writeln!(out, "{:5}  {}", number + 1, printable(line))?;
            }
            Ok(())
        })
        .await?;
    Ok(())
}
