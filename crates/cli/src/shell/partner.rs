//! What a shell talks to, and what that makes of a line.

use std::sync::Arc;

use super::face::Subject;
use super::session::Flow;
use super::vocabulary::Vocabulary;
use crate::failure::Failure;
use crate::output::Output;

/// The other end of a shell: a machine at its monitor, or an appliance. All else is the same in
/// every shell: lines, where their output goes, scripts, the line editor.
pub(super) trait Partner {
    /// What it understands.
    fn vocabulary(&self) -> &'static Vocabulary;

    /// What a prompt shows of it.
    fn subject(&self) -> Arc<dyn Subject>;

    /// How many changes are in the transaction, if there is one.
    fn actions(&self) -> Option<usize> {
        None
    }

    /// What there is to be said of a word, or of everything.
    async fn help(&self, topic: Option<&str>) -> Result<String, Failure>;

    /// Does what words say; there is one at least. Those that every shell has are done before.
    async fn run(&mut self, words: &[String], output: &Output) -> Result<Flow, Failure>;

    /// Does what a message in JSON says.
    async fn message(&mut self, text: &str, output: &Output) -> Result<Flow, Failure>;

    /// Looks how it is, after a line, if it says so soon.
    async fn look(&self);
}
