//! What is typed: the word at the cursor, and those around it.

use super::candidate::Piece;
use super::quote::Quoting;
use crate::shell::line::{Open, Target, Word, scan};

/// A line, as the cursor cuts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shell) struct Typed<'l> {
    pub(in crate::shell) part: Part,
    /// The words before the one at the cursor.
    pub(in crate::shell) before: Vec<String>,
    pub(in crate::shell) current: Current<'l>,
    /// The words behind the one at the cursor.
    pub(in crate::shell) after: Vec<String>,
}

/// What the words are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shell) enum Part {
    /// A command of the shell's.
    Command,
    /// A whole message in JSON; the word at the cursor is what there is of it.
    Message,
    /// A command of the host's, behind `|`.
    Host,
    /// The file that the output goes to.
    File,
}

/// The word at the cursor, as far as that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shell) struct Current<'l> {
    /// What it says, without quotes and backslashes.
    pub(in crate::shell) text: String,
    /// As it is in the line.
    raw: &'l str,
    /// Where it begins in the line, in bytes.
    start: usize,
    /// What it leaves open.
    open: Option<Open>,
    /// What comes right behind the cursor.
    pub(in crate::shell) next: Option<char>,
    is_host: bool,
}

impl<'l> Typed<'l> {
    /// Reads a line; `None` where there is nothing to be said of the cursor's place, as in a comment.
    pub(in crate::shell) fn read(line: &'l str, cursor: usize) -> Option<Self> {
        Self::read_from(line, 0, cursor, false)
    }

    /// Reads the command that begins at a byte of the line.
    fn read_from(line: &'l str, from: usize, cursor: usize, is_host: bool) -> Option<Self> {
        let typed = line.get(from..cursor)?;
        let scanned = scan(typed);
        let (part, words, is_open) = match scanned.target {
            Some(Target::Pipe(command)) => {
                return Self::read_from(line, from + command.span.start, cursor, true);
            }
            Some(Target::File { extra: Some(_), .. }) => return None,
            Some(Target::File { path, .. }) => {
                (Part::File, path.into_iter().collect(), scanned.open)
            }
            None if is_host => (Part::Host, scanned.words, scanned.open),
            None if scanned.is_message => (Part::Message, scanned.words, scanned.open),
            None => (Part::Command, scanned.words, scanned.open),
        };
        let mut words: Vec<Word> = words;
        let last = words.pop_if(|word| is_open.is_some() || word.span.end == typed.len());
        let behind_words = words.last().map_or(0, |word| word.span.end);
        if last.is_none() && typed[behind_words..].contains('#') {
            return None;
        }
        let last = last.unwrap_or(Word { span: typed.len()..typed.len(), text: String::new() });
        let after = scan(&line[from..]).words.into_iter();
        let after = after.filter(|word| word.span.start >= typed.len()).map(|word| word.text);
        let current = Current {
            text: last.text,
            raw: &typed[last.span.start..],
            start: from + last.span.start,
            open: is_open,
            next: line[cursor..].chars().next(),
            is_host,
        };
        let before = words.into_iter().map(|word| word.text).collect();
        Some(Self { part, before, current, after: after.collect() })
    }

    /// All words but the one at the cursor.
    pub(in crate::shell) fn others(&self) -> impl Iterator<Item = &str> {
        self.before.iter().chain(&self.after).map(String::as_str)
    }
}

impl Current<'_> {
    /// Where the cursor is in the line.
    pub(super) fn cursor(&self) -> usize {
        self.start + self.raw.len()
    }

    /// Where in the line the word's text begins from this byte on, if it stands there as it is.
    pub(super) fn verbatim(&self, from: usize) -> Option<usize> {
        let rest = &self.text[from..];
        self.raw.ends_with(rest).then(|| self.cursor() - rest.len())
    }

    /// The piece of the line from this byte of the word's text to the cursor, and how it is quoted.
    pub(super) fn piece(&self, from: usize) -> Piece {
        let (raw, before) = self.raw_start(from);
        let quote = |open| match open {
            Some(Open::Quote(quote)) => Some(quote),
            _ => None,
        };
        let text = &self.text[..from];
        let quoting = Quoting {
            before: quote(before),
            at_cursor: quote(self.open),
            begins_word: raw == 0,
            begins_value: raw == 0 || (text.ends_with('=') && text.matches('=').count() == 1),
            is_host: self.is_host,
        };
        Piece { span: self.start + raw..self.cursor(), quoting }
    }

    /// Where the piece begins in the word as it stands, and what is open there. More of a word never
    /// says less, so it can be searched for by halves.
    fn raw_start(&self, from: usize) -> (usize, Option<Open>) {
        if from == 0 {
            return (0, None);
        }
        let ends: Vec<_> = self.raw.char_indices().map(|(at, it)| at + it.len_utf8()).collect();
        let read = |end: usize| {
            let scanned = scan(&format!("- x {}", &self.raw[..end]));
            let said = scanned.words.get(1).map_or(0, |word| word.text.len());
            (said, scanned.open)
        };
        let at = ends.partition_point(|end| read(*end).0 < from);
        let end = ends.get(at).copied().unwrap_or(self.raw.len());
        (end, read(end).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `|` is the cursor.
    fn typed(marked: &str) -> (String, usize) {
        let cursor = marked.find('|').unwrap();
        (marked.replacen('|', "", 1), cursor)
    }

    #[test]
    fn the_word_at_the_cursor_is_apart() {
        for (marked, before, current, after) in [
            ("|", vec![], "", vec![]),
            ("li|", vec![], "li", vec![]),
            ("detach | b", vec!["detach"], "", vec!["b"]),
            ("x a=1 b|=2 c=3", vec!["x", "a=1"], "b", vec!["c=3"]),
            ("x 'a b|", vec!["x"], "a b", vec![]),
            (r"x a\ b|", vec!["x"], "a b", vec![]),
            ("- x|", vec![], "x", vec![]),
            ("x a={\"b\": |", vec!["x"], "a={\"b\": ", vec![]),
        ] {
            let (line, cursor) = typed(marked);
            let typed = Typed::read(&line, cursor).unwrap();
            assert_eq!(typed.before, before, "{marked}");
            assert_eq!(typed.current.text, current, "{marked}");
            assert_eq!(typed.after, after, "{marked}");
        }
    }

    #[test]
    fn a_piece_of_a_word_is_found_in_its_quotes() {
        for (line, from, start, before) in [
            ("x file=a", 5, 7, None),
            ("x file='a b", 5, 7, None),
            ("x 'file=a b", 5, 8, Some('\'')),
            (r"x a\ b/c", 4, 7, None),
            ("x fi\"l\"e=é", 5, 9, None),
        ] {
            let typed = Typed::read(line, line.len()).unwrap();
            let piece = typed.current.piece(from);
            assert_eq!(piece.span, start..line.len(), "{line}");
            assert_eq!(piece.quoting.before, before, "{line}");
        }
    }

    #[test]
    fn what_follows_a_pipe_is_the_hosts() {
        for (line, part, before, current) in [
            ("list | jq . x", Part::Host, vec!["jq", "."], "x"),
            ("list | ", Part::Host, vec![], ""),
            ("list | jq . | gr", Part::Host, vec![], "gr"),
            ("list > a b", Part::File, vec![], "a b"),
            ("list >> 'a b", Part::File, vec![], "a b"),
            ("list > ", Part::File, vec![], ""),
            ("{\"a", Part::Message, vec![], "{\"a"),
        ] {
            let typed = Typed::read(line, line.len());
            if line == "list > a b" {
                assert_eq!(typed, None);
                continue;
            }
            let typed = typed.unwrap();
            assert_eq!(typed.part, part, "{line}");
            assert_eq!(typed.before, before, "{line}");
            assert_eq!(typed.current.text, current, "{line}");
        }
        assert_eq!(Typed::read("list # an", 9), None);
    }
}
