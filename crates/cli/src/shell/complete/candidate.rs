//! What may be put at the cursor.

use std::ops::Range;

use super::quote::Quoting;
use super::typed::Current;
use crate::output::printable;

/// How many candidates are shown. The rest is a number.
pub(in crate::shell) const MAX_CANDIDATES: usize = 500;

/// Something that fits, before it is known what was typed of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) text: String,
    pub(super) note: String,
    pub(super) rank: Rank,
    pub(super) then: Then,
}

/// Which come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::shell) enum Rank {
    /// Nothing goes without it.
    Required,
    Usual,
    /// Deprecated, or unstable.
    Discouraged,
}

/// What follows a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// The next word.
    Space,
    /// More of the same word: a value, a part of a key, a file in a folder.
    More,
}

impl Offer {
    pub(super) fn new(text: impl Into<String>, note: impl Into<String>) -> Self {
        Self { text: text.into(), note: note.into(), rank: Rank::Usual, then: Then::Space }
    }

    pub(super) fn ranked(self, rank: Rank) -> Self {
        Self { rank, ..self }
    }

    pub(super) fn and_more(self) -> Self {
        Self { then: Then::More, ..self }
    }
}

/// What may be put at the cursor, best first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::shell) struct Completion {
    /// The bytes of the line that a candidate replaces; they end at the cursor.
    pub(in crate::shell) span: Range<usize>,
    /// At most [`MAX_CANDIDATES`].
    pub(in crate::shell) candidates: Vec<Candidate>,
    /// How many there are besides.
    pub(in crate::shell) more: usize,
}

/// A text that may be put at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shell) struct Candidate {
    /// As it stands in the line, quoted.
    pub(in crate::shell) insert: String,
    /// As it is shown: fit for a terminal.
    pub(in crate::shell) shown: String,
    /// What is said of it, fit for a terminal; may be empty.
    pub(in crate::shell) note: String,
    /// Whether a space follows.
    pub(in crate::shell) ends_word: bool,
}

/// Those of the offers that go on with what is typed from the byte `from` of the word on.
pub(super) fn fitting(
    current: &Current<'_>,
    from: usize,
    offers: Vec<Offer>,
    left_out: usize,
) -> Completion {
    let piece = current.piece(from);
    let stem = &current.text[from..];
    chosen(piece.span, stem, offers, left_out, |offer| {
        let text = piece.quoting.write(&offer.text, offer.then == Then::Space);
        let ends_word = offer.then == Then::Space;
        (text, ends_word)
    })
}

/// The same for the cursor in JSON, where an offer is put as `write` says.
pub(super) fn chosen(
    span: Range<usize>,
    stem: &str,
    offers: Vec<Offer>,
    left_out: usize,
    write: impl Fn(&Offer) -> (String, bool),
) -> Completion {
    let mut found = matching(stem, offers);
    found.retain(|offer| can_be_typed(&offer.text));
    found.sort_by(|a, b| (a.rank, &a.text).cmp(&(b.rank, &b.text)));
    found.dedup_by(|a, b| a.text == b.text);
    let more = left_out + found.len().saturating_sub(MAX_CANDIDATES);
    found.truncate(MAX_CANDIDATES);
    let candidates = found.iter().map(|offer| {
        let (insert, ends_word) = write(offer);
        let (shown, note) = (printable(&offer.text), printable(&offer.note));
        Candidate { insert, shown, note, ends_word }
    });
    Completion { span, candidates: candidates.collect(), more }
}

/// Whether a text can be typed, and drawn once it is: control characters cannot, but a line end.
fn can_be_typed(text: &str) -> bool {
    !text.contains(|character: char| character.is_control() && character != '\n')
}

/// Those that begin with what is typed; when there are none, those that do with the other dash, and
/// then those that have it anywhere.
fn matching(stem: &str, offers: Vec<Offer>) -> Vec<Offer> {
    let begins = |offer: &&Offer| offer.text.starts_with(stem);
    let folded = fold(stem);
    let begins_folded = |offer: &&Offer| fold(&offer.text).starts_with(&folded);
    let has = |offer: &&Offer| fold(&offer.text).contains(&folded);
    let tries: [&dyn Fn(&&Offer) -> bool; 3] = [&begins, &begins_folded, &has];
    let found = tries.iter().map(|fits| offers.iter().filter(fits).cloned().collect::<Vec<_>>());
    found.into_iter().find(|found| !found.is_empty()).unwrap_or_default()
}

/// Which of the two dashes a name has nobody remembers.
fn fold(text: &str) -> String {
    text.replace('_', "-").to_lowercase()
}

/// How candidates are written into a word, from some place in it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) span: Range<usize>,
    pub(super) quoting: Quoting,
}
