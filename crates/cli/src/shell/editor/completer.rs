//! Completion, as the line editor takes it.

use reedline::{Completer, CompletionResult, Span, Suggestion};

use super::Block;
use crate::shell::complete::{Candidate, Completion, complete};
use crate::shell::live::{Live, Source};

/// With how many candidates each has its note beside it, on a row of its own.
const MAX_NOTED: usize = 80;

/// The longest note that stands behind its candidate, in characters: `deprecated, unstable`.
const MAX_INLINE_CHARS: usize = 20;

/// Where notes stand. With any apart, the menu has one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notes {
    /// In a column of their own.
    Apart,
    /// Behind what they are of.
    InLine,
}

/// Completes from the machine as it is.
pub(super) struct FromMachine<S> {
    live: Live<S>,
    block: Block,
}

impl<S: Source> FromMachine<S> {
    pub(super) fn new(live: &Live<S>, block: &Block) -> Self {
        Self { live: live.clone(), block: block.clone() }
    }
}

impl<S: Source> Completer for FromMachine<S> {
    fn complete(&mut self, line: &str, at: usize) -> CompletionResult {
        let found = complete(line, at, self.block.is_open(), &self.live);
        CompletionResult::fresh(suggestions(found, at))
    }
}

fn suggestions(found: Completion, at: usize) -> Vec<Suggestion> {
    let Completion { span, candidates, more } = found;
    let noted = candidates.iter().filter(|it| !it.note.is_empty()).count();
    let notes = match candidates.len() {
        count if count > MAX_NOTED || noted * 2 < count => Notes::InLine,
        _ => Notes::Apart,
    };
    let span = Span::new(span.start, span.end);
    let all = candidates.into_iter().map(|it| suggestion(it, span, notes));
    let nothing = Suggestion { span: Span::new(at, at), ..Suggestion::default() };
    // What is put in its place is nothing: it is there to be read.
    let rest = (more > 0).then(|| Suggestion {
        display_override: Some(format!("… {more} more")),
        ..nothing.clone()
    });
    let mut all: Vec<_> = all.chain(rest).collect();
    if all.is_empty() {
        // The editor would draw an empty menu; of one alone it draws none.
        all.push(nothing);
    }
    all
}

fn suggestion(candidate: Candidate, span: Span, notes: Notes) -> Suggestion {
    let Candidate { insert, shown, note, ends_word } = candidate;
    let (shown, description) = match notes {
        Notes::Apart => (shown, (!note.is_empty()).then_some(note)),
        Notes::InLine if (1..=MAX_INLINE_CHARS).contains(&note.chars().count()) => {
            (format!("{shown} ({note})"), None)
        }
        Notes::InLine => (shown, None),
    };
    Suggestion {
        display_override: (shown != insert).then_some(shown),
        description,
        value: insert,
        span,
        append_whitespace: ends_word,
        ..Suggestion::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(count: usize, noted: usize, more: usize) -> Vec<Suggestion> {
        let candidate = |number: usize| Candidate {
            insert: format!("a{number}"),
            shown: format!("a{number}"),
            note: if number < noted { "note".to_owned() } else { String::new() },
            ends_word: true,
        };
        let candidates = (0..count).map(candidate).collect();
        suggestions(Completion { span: 3..5, candidates, more }, 5)
    }

    #[test]
    fn what_is_left_out_is_said_and_puts_nothing_in() {
        let found = found(2, 2, 7);
        assert_eq!(found[0].description.as_deref(), Some("note"));
        assert_eq!((found[0].span.start, found[0].span.end), (3, 5));
        let last = found.last().unwrap();
        assert_eq!(last.display_value(), "… 7 more");
        assert_eq!((last.value.as_str(), last.span.start, last.append_whitespace), ("", 5, false));
    }

    #[test]
    fn many_candidates_or_few_notes_have_no_column_for_notes() {
        for found in [found(MAX_NOTED + 1, MAX_NOTED + 1, 0), found(5, 1, 0)] {
            assert!(found.iter().all(|it| it.description.is_none()));
            assert_eq!(found[0].display_value(), "a0 (note)");
            assert_eq!(found[0].value, "a0");
        }
    }
}
