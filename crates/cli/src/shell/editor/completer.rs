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
        let found = complete(line, at, self.block.is_open(), &self.live);
        CompletionResult::fresh(suggestions(found, at))
    }
}

fn suggestions(found: Completion, at: usize) -> Vec<Suggestion> {
    let Completion { span, candidates, more } = found;
    let is_noted = candidates.len() <= MAX_NOTED;
    let span = Span::new(span.start, span.end);
    let all = candidates.into_iter().map(|it| suggestion(it, span, is_noted));
    // What is put in its place is nothing: it is there to be read.
    let rest = (more > 0).then(|| Suggestion {
        display_override: Some(format!("… {more} more")),
        span: Span::new(at, at),
        ..Suggestion::default()
    });
    all.chain(rest).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found(count: usize, more: usize) -> Vec<Suggestion> {
        let candidate = |number: usize| Candidate {
            insert: format!("a{number}"),
            shown: format!("a{number}"),
            note: "note".to_owned(),
            ends_word: true,
        };
        let candidates = (0..count).map(candidate).collect();
        suggestions(Completion { span: 3..5, candidates, more }, 5)
    }

    #[test]
    fn what_is_left_out_is_said_and_puts_nothing_in() {
        let found = found(2, 7);
        assert_eq!(found[0].description.as_deref(), Some("note"));
        assert_eq!((found[0].span.start, found[0].span.end), (3, 5));
        let last = found.last().unwrap();
        assert_eq!(last.display_value(), "… 7 more");
        assert_eq!((last.value.as_str(), last.span.start, last.append_whitespace), ("", 5, false));
    }

    #[test]
    fn many_candidates_have_no_room_for_notes() {
        assert!(found(MAX_NOTED + 1, 0).iter().all(|it| it.description.is_none()));
    }
}
