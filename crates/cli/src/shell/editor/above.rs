//! What is said above the line while it is typed.
//!
//! The editor prints texts above its line, and to find the line's first row it counts bytes, without
//! the prompt. So the first text begins with the difference, for which the line as it was last drawn
//! is remembered.

use std::ops::Range;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reedline::{
    Completer, CompletionResult, CompletionStatus, Highlighter, StyledText, Suggestions,
};
use unicode_width::UnicodeWidthStr as _;

use super::prompt::{Lead, NEXT_ROW};
use crate::output::Screen;

/// How many columns a terminal has that does not say.
const USUAL_COLUMNS: usize = 80;

/// What the editor has before the line, by its own count.
const COUNTED_PROMPT: usize = 3;

/// What waits to be shown, and where the line is. Clones are the same.
#[derive(Debug, Clone)]
pub(in crate::shell) struct Above(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    screen: Screen,
    printer: SyncSender<String>,
    drawn: Mutex<Drawn>,
}

/// The line as it was last drawn.
#[derive(Debug, Default)]
struct Drawn {
    lead: Option<Lead>,
    line: String,
    /// In bytes.
    cursor: usize,
    /// What the printer had no room for.
    left: Option<String>,
}

impl Above {
    pub(super) fn new(screen: Screen, printer: SyncSender<String>) -> Self {
        Self(Arc::new(Shared { screen, printer, drawn: Mutex::default() }))
    }

    /// A line begins, behind this prompt.
    pub(in crate::shell) fn begin(&self, lead: &Lead) {
        let mut drawn = self.lock();
        drawn.lead = Some(lead.clone());
        drawn.line.clear();
        drawn.cursor = 0;
    }

    /// Hands what was said to the painter.
    fn show(&self) {
        let mut drawn = self.lock();
        let Some(text) = drawn.left.take().or_else(|| self.0.screen.take()) else { return };
        let columns = crossterm::terminal::size().map_or(USUAL_COLUMNS, |size| size.0.into());
        let prompt = drawn.lead.as_ref().map_or(0, Lead::width);
        let moved = drawn.to_first_row(prompt, columns.max(1));
        match self.0.printer.try_send(format!("{moved}{text}")) {
            Err(TrySendError::Full(_)) => drawn.left = Some(text),
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Drawn> {
        self.0.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drawn {
    /// Moves the cursor from where the editor thinks that its line begins to where it does, and clears
    /// the screen from there on. By ECMA-48's CUU, CUD and ED.
    fn to_first_row(&self, prompt: usize, columns: usize) -> String {
        let (real, counted) = (self.rows_above(prompt, columns), self.counted_rows_above(columns));
        let moved = match real.checked_sub(counted) {
            Some(0) => String::new(),
            Some(up) => format!("\u{1b}[{up}A"),
            None => format!("\u{1b}[{}B", counted - real),
        };
        format!("{moved}\r\u{1b}[J")
    }

    /// How many rows of the line are above the cursor's.
    fn rows_above(&self, prompt: usize, columns: usize) -> usize {
        let before = self.line.get(..self.cursor).unwrap_or(&self.line);
        let mut rows = 0;
        let mut lines = before.split('\n').peekable();
        let mut indent = prompt;
        while let Some(line) = lines.next() {
            let width = indent + line.width();
            rows += match lines.peek() {
                Some(_) => width.div_ceil(columns).max(1),
                None => width / columns,
            };
            indent = NEXT_ROW.width();
        }
        rows
    }

    /// The same as the editor counts it.
    fn counted_rows_above(&self, columns: usize) -> usize {
        let rows = |(number, line): (usize, &str)| {
            let prompt = if number == 0 { COUNTED_PROMPT } else { 0 };
            (line.len() + prompt) / columns + 1
        };
        let rows: usize = self.line.lines().enumerate().map(rows).sum();
        rows.saturating_sub(1)
    }
}

/// A highlighter that remembers what is drawn.
pub(super) struct Watchful<H> {
    inner: H,
    above: Above,
}

impl<H> Watchful<H> {
    pub(super) fn new(inner: H, above: &Above) -> Self {
        Self { inner, above: above.clone() }
    }
}

impl<H: Highlighter> Highlighter for Watchful<H> {
    fn highlight(&self, line: &str, cursor: usize) -> StyledText {
        let mut drawn = self.above.lock();
        line.clone_into(&mut drawn.line);
        drawn.cursor = cursor;
        drop(drawn);
        self.inner.highlight(line, cursor)
    }
}

/// A completer that is asked at every turn of the editor's, and shows then what was said.
pub(super) struct Attentive<C> {
    inner: C,
    above: Above,
}

impl<C> Attentive<C> {
    pub(super) fn new(inner: C, above: Above) -> Self {
        Self { inner, above }
    }
}

impl<C: Completer> Completer for Attentive<C> {
    fn complete(&mut self, line: &str, at: usize) -> CompletionResult {
        self.inner.complete(line, at)
    }

    fn complete_with_base_ranges(
        &mut self,
        line: &str,
        at: usize,
    ) -> (CompletionResult, Vec<Range<usize>>) {
        self.inner.complete_with_base_ranges(line, at)
    }

    fn partial_complete(
        &mut self,
        line: &str,
        at: usize,
        start: usize,
        count: usize,
    ) -> Suggestions {
        self.inner.partial_complete(line, at, start, count)
    }

    fn total_completions(&mut self, line: &str, at: usize) -> usize {
        self.inner.total_completions(line, at)
    }

    fn poll_completion(&mut self) -> CompletionStatus {
        self.above.show();
        self.inner.poll_completion()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(prompt: usize, line: &str, cursor: usize) -> (usize, Drawn) {
        (prompt, Drawn { line: line.to_owned(), cursor, ..Drawn::default() })
    }

    #[test]
    fn the_first_row_is_found_whatever_the_editor_counts() {
        let wide = "x".repeat(70);
        let json = "{\n\"a\": 1,\n}";
        for ((prompt, drawn), moved) in [
            (drawn(13, "", 0), ""),
            (drawn(13, "list", 4), ""),
            // 83 columns, of which the editor counts 73.
            (drawn(13, &wide, 70), "\u{1b}[1A"),
            // Back on the first row.
            (drawn(13, &wide, 3), ""),
            (drawn(13, json, json.len()), ""),
            // The editor takes the cursor to be at the end.
            (drawn(13, json, 0), "\u{1b}[2B"),
            // Six bytes more than columns.
            (drawn(2, &"é".repeat(40), 80), "\u{1b}[1B"),
        ] {
            assert_eq!(drawn.to_first_row(prompt, 80), format!("{moved}\r\u{1b}[J"), "{drawn:?}");
        }
    }
}
