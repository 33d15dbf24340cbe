//! Completion in the line in which a command is typed.

use crate::shell::offers::{Known, Offers, offers};

/// How many choices are shown.
const MAX_CHOICES: usize = 100;

/// What a completion found: how much of the line goes, what comes in its place, and what there is to
/// choose from when it is not the only one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Completed {
    /// The line before the cursor that was completed: another one may stand there by now.
    pub(crate) before: String,
    /// Characters before the cursor that are replaced.
    pub(crate) erase: usize,
    pub(crate) insert: String,
    pub(crate) choices: Vec<String>,
}

/// Completes the line before the cursor as far as there is one way. It may read a folder, which may
/// take its time.
pub(crate) fn complete(before: &str, known: &Known) -> Completed {
    let Offers { span, inserts, mut shown } = offers(before, known);
    let typed = &before[span];
    let insert = match common(&inserts) {
        Some(only) if inserts.len() == 1 => only,
        // A quote or a backslash may have been typed otherwise than it would be written.
        Some(common) if common.len() > typed.len() => common,
        _ => typed,
    };
    shown.truncate(MAX_CHOICES);
    Completed {
        before: before.to_owned(),
        erase: typed.chars().count(),
        insert: insert.to_owned(),
        choices: if inserts.len() > 1 { shown } else { Vec::new() },
    }
}

/// What they all begin with.
fn common(texts: &[String]) -> Option<&str> {
    let (first, others) = texts.split_first()?;
    let shared = others.iter().fold(first.len(), |shared, text| {
        let alike = first.char_indices().zip(text.chars()).find(|((_, a), b)| a != b);
        shared.min(alike.map_or(text.len(), |((at, _), _)| at))
    });
    Some(&first[..shared])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_completed_as_far_as_there_is_one_way() {
        let disks = ["data-a", "data-b", "other"].map(str::to_owned).to_vec();
        let known = Known { disks, ..Known::default() };
        let both = ["data-a", "data-b"].map(str::to_owned).to_vec();
        let line = |before: &str| {
            let done = complete(before, &known);
            let kept = before.chars().count() - done.erase;
            let kept: String = before.chars().take(kept).collect();
            (kept + &done.insert, done.choices)
        };
        assert_eq!(line("detach d"), ("detach data-".to_owned(), both.clone()));
        assert_eq!(line("detach data-"), ("detach data-".to_owned(), both));
        assert_eq!(line("detach o"), ("detach other ".to_owned(), Vec::new()));
        assert_eq!(line("detach xyz"), ("detach xyz".to_owned(), Vec::new()));
        assert_eq!(line("detach ").1.len(), 3);
        assert_eq!(line("swa"), ("swap ".to_owned(), Vec::new()));
    }
}
