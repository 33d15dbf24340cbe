//! A line of the shell: words, a message in JSON, and where the output goes.
//!
//! A line is read the same way whether it is finished or not, so that completion sees what the shell
//! will see: [`scan`] never fails, and [`parse`] says what is wrong with what was scanned.

mod lex;

use std::ops::Range;

pub(crate) use lex::scan;

/// The longest line, in bytes, over however many lines it goes.
pub(crate) const MAX_LINE_BYTES: usize = 1 << 20;

/// Why a line that is longer is none.
pub(crate) const TOO_LONG: LineError = LineError::Wrong("the line is longer than a MiB");

/// A word as it was typed, and as it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// Where it stands, in bytes, quotes included.
    pub(crate) span: Range<usize>,
    /// What it says, without quotes and backslashes.
    pub(crate) text: String,
}

/// What a line has not closed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Open {
    /// A quote of the shell: `'` or `"`.
    Quote(char),
    /// JSON: so many braces and brackets.
    Json(Brackets),
    /// A backslash at the very end.
    Backslash,
}

/// Where reading JSON has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Brackets {
    /// How many are open.
    depth: usize,
    /// The quote that is open.
    quote: Option<char>,
    /// Whether a backslash was the last.
    is_escaped: bool,
}

/// Tells of one row after the other whether a line ends there. Long JSON is not read anew for each of its
/// rows.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    brackets: Option<Brackets>,
}

/// Where the output goes, as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// `| COMMAND`: the rest of the line, which is the host's shell's.
    Pipe(Word),
    /// `> FILE`, or `>> FILE`; no file yet where none is typed.
    File {
        /// Where it is written to.
        path: Option<Word>,
        /// Whether behind what is there.
        append: bool,
        /// What stands behind the file's name, which nothing may.
        extra: Option<Word>,
    },
}

/// What a line, finished or not, is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Scan {
    /// Whether it begins with `-`: a failure does not stop a script.
    pub(crate) is_tolerant: bool,
    /// Whether its first word is a message in JSON, which is its only word then.
    pub(crate) is_message: bool,
    pub(crate) words: Vec<Word>,
    pub(crate) target: Option<Target>,
    pub(crate) open: Option<Open>,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) is_tolerant: bool,
    pub(crate) request: Request,
    pub(crate) sink: Sink,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// Nothing, or a comment.
    Nothing,
    /// A whole QMP message.
    Message(String),
    /// A command and its words: never none.
    Words(Vec<String>),
}

/// Where the output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sink {
    /// Where the shell's goes.
    Shell,
    /// Into a command of the host.
    Pipe(String),
    /// Into a file.
    File {
        /// Where it is.
        path: String,
        /// Whether behind what is there.
        append: bool,
    },
}

/// Why a line is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    /// It goes on in the next line.
    #[error("the line ends inside {}", .0.describe())]
    Unfinished(Open),
    /// It makes no sense.
    #[error("{0}")]
    Wrong(&'static str),
}

impl Open {
    fn describe(self) -> &'static str {
        match self {
            Self::Quote('\'') => "a quote (')",
            Self::Quote(_) => "a quote (\")",
            Self::Json(_) => "JSON: a bracket is open",
            Self::Backslash => "a \\ at its end",
        }
    }
}

/// The lines of a text, as they are pasted: a row that leaves something open goes on in the next one.
pub(crate) fn split(text: &str) -> Vec<&str> {
    let (mut lines, mut start, mut row) = (Vec::new(), 0, 0);
    let mut ending = Ending::default();
    for (at, _) in text.match_indices('\n') {
        if ending.is_whole(&text[start..at], &text[row..at]) {
            lines.push(&text[start..at]);
            start = at + 1;
        }
        row = at;
    }
    lines.push(&text[start..]);
    lines
}

/// Reads a line.
pub(crate) fn parse(text: &str) -> Result<Line, LineError> {
    if text.len() > MAX_LINE_BYTES {
        return Err(TOO_LONG);
    }
    let Scan { is_tolerant, is_message, words, target, open } = scan(text);
    if let Some(open) = open {
        return Err(LineError::Unfinished(open));
    }
    let sink = match target {
        None => Sink::Shell,
        Some(Target::Pipe(command)) if command.text.trim().is_empty() => {
            return Err(LineError::Wrong("| into which command?"));
        }
        Some(Target::Pipe(command)) => Sink::Pipe(command.text),
        Some(Target::File { extra: Some(_), .. }) => {
            return Err(LineError::Wrong("nothing may follow the file that > writes to"));
        }
        Some(Target::File { path: Some(path), append, .. }) if !path.text.is_empty() => {
            Sink::File { path: path.text, append }
        }
        Some(Target::File { .. }) => return Err(LineError::Wrong("> into which file?")),
    };
    let mut words: Vec<_> = words.into_iter().map(|word| word.text).collect();
    let request = match words.len() {
        0 if sink != Sink::Shell => return Err(LineError::Wrong("there is no command before it")),
        0 => Request::Nothing,
        1 if is_message => Request::Message(words.remove(0)),
        _ if is_message => return Err(LineError::Wrong("nothing may follow a message in JSON")),
        _ => Request::Words(words),
    };
    Ok(Line { is_tolerant, request, sink })
}

#[cfg(test)]
mod tests;
