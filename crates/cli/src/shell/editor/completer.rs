//! Completion, as the line editor takes it.

use reedline::{Completer, CompletionResult, Span, Suggestion};

use super::Block;
use crate::shell::complete::{Candidate, Completion, complete};
use crate::shell::live::Live;

/// With how many candidates each has its note beside it, on a row of its own.
const MAX_NOTED: usize = 80;

/// Completes from the machine as it is.
pub(super) struct FromMachine {
    live: Live,
    block: Block,
}

impl FromMachine {
    pub(super) fn new(live: &Live, block: &Block) -> Self {
        Self { live: live.clone(), block: block.clone() }
    }
}

impl Completer for FromMachine {
    fn complete(&mut self, line: &str, at: usize) -> CompletionResult {
        let Completion { span, candidates, more } =
            complete(line, at, self.block.is_open(), &self.live);
        let is_noted = candidates.len() <= MAX_NOTED;
        let span = Span::new(span.start, span.end);
        let mut suggestions: Vec<_> =
            candidates.into_iter().map(|it| suggestion(it, span, is_noted)).collect();
        if more > 0 {
            // What is put in its place is nothing: it is there to be read.
            suggestions.push(Suggestion {
                display_override: Some(format!("… {more} more")),
                span: Span::new(at, at),
                ..Suggestion::default()
            });
        }
        CompletionResult::fresh(suggestions)
    }
}

fn suggestion(candidate: Candidate, span: Span, is_noted: bool) -> Suggestion {
    let Candidate { insert, shown, note, ends_word } = candidate;
    Suggestion {
        display_override: (shown != insert).then_some(shown),
        description: (is_noted && !note.is_empty()).then_some(note),
        value: insert,
        span,
        append_whitespace: ends_word,
        ..Suggestion::default()
    }
}
