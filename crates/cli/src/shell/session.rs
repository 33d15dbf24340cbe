//! What becomes of a line.

use std::time::Duration;

use super::built_in;
use super::editor::Quiet;
use super::line::{self, Line, LineError, Request};
use super::partner::Partner;
use super::sink::Sink;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// How long a command that was interrupted may take to say so itself.
const INTERRUPTED_WITHIN: Duration = Duration::from_millis(500);

/// A conversation with one partner, a line after the other.
#[derive(Debug)]
pub(super) struct Session<P> {
    pub(super) partner: P,
    pub(super) output: Output,
    /// The lines before this one, where they are remembered.
    pub(super) past: Option<Vec<String>>,
    /// The terminal, where there is one.
    pub(super) quiet: Option<Quiet>,
}

/// How it goes on after a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// With the next one. The line ended like this.
    On(Exit),
    /// Not at all: the user leaves.
    Leave,
}

impl<P: Partner> Session<P> {
    pub(super) fn new(partner: P, output: Output) -> Self {
        Self { partner, output, past: None, quiet: None }
    }

    /// Does what a line says.
    pub(super) async fn run(&mut self, text: &str) -> Result<Flow, Failure> {
        let line = line::parse(text)?;
        // A command of the host's may want to talk to the user itself.
        let is_lent = matches!(line.sink, line::Sink::Pipe(_));
        if let Some(quiet) = &self.quiet {
            // Whoever stopped us with Ctrl-Z may have left the terminal otherwise.
            if is_lent { quiet.suspend() } else { quiet.resume() }
        }
        let flow = self.run_into(line).await;
        if let Some(quiet) = self.quiet.as_ref().filter(|_| is_lent) {
            quiet.resume();
        }
        flow
    }

    async fn run_into(&mut self, line: Line) -> Result<Flow, Failure> {
        let sink = Sink::open(&line.sink, &self.output)?;
        let outcome = self.interruptible(line.request, sink.output()).await;
        let closed = sink.close().await;
        let flow = outcome?;
        closed.map(|()| flow)
    }

    /// Ctrl-C ends the wait for a command. One that has something to say of that may.
    async fn interruptible(&mut self, request: Request, output: &Output) -> Result<Flow, Failure> {
        let had_transaction = self.partner.actions().is_some();
        {
            let mut run = std::pin::pin!(self.request(request, output));
            tokio::select! {
                biased;
                outcome = &mut run => return outcome,
                signal = tokio::signal::ctrl_c() => signal?,
            }
            if let Ok(said) = tokio::time::timeout(INTERRUPTED_WITHIN, run).await {
                return said;
            }
        }
        let what = match had_transaction && self.partner.actions().is_none() {
            true => "the transaction was sent, and",
            false => "what was sent",
        };
        let message = format!("interrupted; {what} may still be carried out");
        Err(Failure { exit: Exit::Interrupted, message })
    }

    async fn request(&mut self, request: Request, output: &Output) -> Result<Flow, Failure> {
        let words = match request {
            Request::Nothing => return Ok(Flow::On(Exit::Done)),
            Request::Message(text) => return self.partner.message(&text, output).await,
            Request::Words(words) => words,
        };
        match built_in::run(self, &words, output).await {
            Some(flow) => flow,
            None => self.partner.run(&words, output).await,
        }
    }
}

impl From<LineError> for Failure {
    fn from(error: LineError) -> Self {
        Self::usage(error.to_string())
    }
}
