//! Somebody at a terminal.

use std::io;

use reedline::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinError;

use super::editor::{Editor, Face, Quiet};
use super::filter::Filter;
use super::history::{self, Discreet};
use super::line;
use super::link::Link;
use super::session::{Flow, Session};
use super::transaction::Transaction;
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::{Output, printable};

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
    // From here on, Ctrl-C and its like would leave a terminal that does not show what is typed.
    let _interrupts = signal(SignalKind::interrupt())?;
    let ends = terminated()?;
    let quiet = Quiet::begin()?;
    let session = Session { quiet: Some(quiet), ..Session::new(link, output.clone()) };
    let ended = tokio::select! {
        ended = converse(session, editor, output) => ended,
        ended = ends => ended,
    };
    shown.abort();
    ended
}

/// Waits for a signal that ends the shell, after which the terminal is as it was.
fn terminated() -> io::Result<impl Future<Output = Result<Exit, Failure>>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut quit = signal(SignalKind::quit())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
            _ = quit.recv() => {}
        }
        Err(Failure { exit: Exit::Interrupted, message: "ended by a signal".to_owned() })
    })
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
                match lines(&mut session, &mut editor, &text).await {
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

/// Does what was typed, which may be several lines when it was pasted: the first that fails ends them, as
/// in a script.
async fn lines(session: &mut Session, editor: &mut Editor, text: &str) -> Result<Flow, Failure> {
    let expanded = history::expand(text, editor.history()).map_err(Failure::usage)?;
    if let Some(line) = &expanded {
        editor.remember(line);
        session.output.announce(&printable(line));
    }
    session.past = Some(history::lines(editor.history()));
    let lines = line::split(expanded.as_deref().unwrap_or(text));
    for (number, line) in lines.iter().enumerate() {
        let outcome = session.run(line).await;
        let left = lines[number + 1..].iter().filter(|line| !line.trim().is_empty()).count();
        let goes_on = matches!(outcome, Ok(Flow::On(Exit::Done))) || line::scan(line).is_tolerant;
        match outcome {
            Ok(Flow::Leave) => return Ok(Flow::Leave),
            Err(failure) if left == 0 => return Err(failure),
            Err(failure) => drop(session.output.failure(&failure)),
            Ok(Flow::On(_)) => {}
        }
        if !goes_on && left > 0 {
            session.output.announce(&format!("the lines behind it are not done: {left}"));
            break;
        }
    }
    Ok(Flow::On(Exit::Done))
}
