//! Somebody at a terminal.

use std::io;

use reedline::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinError;

use super::editor::{Editor, Lead, Quiet};
use super::history::{self, Discreet};
use super::line;
use super::live::{Live, Source};
use super::partner::Partner;
use super::session::{Flow, Session};
use crate::failure::{Exit, Failure};
use crate::output::{Output, printable};

/// Reads lines until the user leaves. `past` is the file of lines that are remembered.
pub(super) async fn run<P: Partner, S: Source>(
    partner: P,
    live: &Live<S>,
    past: &str,
    output: &Output,
) -> Result<Exit, Failure> {
    let (history, failure) = Discreet::open(past);
    if let Some(error) = failure {
        output.remark(&format!("lines are remembered for this session alone: {error}"));
    }
    let editor = Editor::new(live, output.screen(), history, output.has_colour());
    // From here on, Ctrl-C and its like would leave a terminal that does not show what is typed.
    let _interrupts = signal(SignalKind::interrupt())?;
    let ends = terminated()?;
    let quiet = Quiet::begin()?;
    let session = Session { quiet: Some(quiet), ..Session::new(partner, output.clone()) };
    tokio::select! {
        ended = converse(session, editor, output) => ended,
        ended = ends => ended,
    }
}

/// Waits for a signal that ends the shell, after which the terminal is as it was.
pub(super) fn terminated() -> io::Result<impl Future<Output = Result<Exit, Failure>>> {
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

async fn converse<P: Partner>(
    mut session: Session<P>,
    mut editor: Editor,
    output: &Output,
) -> Result<Exit, Failure> {
    loop {
        let lead = Lead { subject: session.partner.subject(), actions: session.partner.actions() };
        let signal;
        (editor, signal) = read(editor, lead, output.clone()).await?;
        match signal? {
            Signal::Success(text) => {
                match lines(&mut session, &mut editor, &text).await {
                    Ok(Flow::On(_)) => {}
                    Ok(Flow::Leave) => break,
                    Err(failure) => drop(output.failure(&failure)),
                }
                session.partner.look().await;
            }
            Signal::CtrlD => break,
            // What was typed is dropped, and nothing else.
            _ => {}
        }
    }
    if session.partner.actions().is_some() {
        output.announce("the transaction is dropped: nothing of it was sent");
    }
    Ok(Exit::Done)
}

/// Has the editor read a line, on a thread of its own. What was said before it comes first.
async fn read(
    mut editor: Editor,
    lead: Lead,
    output: Output,
) -> Result<(Editor, io::Result<Signal>), Failure> {
    let read = tokio::task::spawn_blocking(move || {
        output.finish();
        let signal = editor.read(&lead);
        (editor, signal)
    });
    read.await.map_err(|error: JoinError| io::Error::other(error).into())
}

/// Does what was typed, which may be several lines when it was pasted: the first that fails ends them, as
/// in a script.
async fn lines<P: Partner>(
    session: &mut Session<P>,
    editor: &mut Editor,
    text: &str,
) -> Result<Flow, Failure> {
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
