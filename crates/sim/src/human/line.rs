//! A line of the human monitor: its command's name, and the arguments that come after it.

use crate::config::Version;

/// The longest text that an argument may be; what is beyond is dropped without a word (`char
/// buf[1024]` in QEMU's `monitor_parse_arguments`).
const MAX_TEXT: usize = 1023;

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word, or a text in quotes.
    Text,
    /// A file's name.
    File,
    /// A drive's name.
    Drive,
    /// A word that may be missing.
    Optional,
    /// Options with commas between them. None at all is for the command to complain of.
    Options,
    /// A letter behind a dash, which may be missing.
    Flag(char),
    /// A size: MiB, unless a letter behind it says else.
    Size,
}

/// What a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Syntax {
    /// The command's names, the first as messages show it.
    pub(super) names: &'static [&'static str],
    pub(super) takes: &'static [Kind],
}

/// An argument as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Given {
    Text(String),
    Flag(bool),
    /// In bytes.
    Size(i64),
    Missing,
}

/// The arguments of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line(Vec<Given>);

impl Line {
    /// The text at this place; empty where there is none.
    pub(super) fn text(&self, at: usize) -> &str {
        match self.0.get(at) {
            Some(Given::Text(text)) => text,
            _ => "",
        }
    }

    pub(super) fn optional(&self, at: usize) -> Option<&str> {
        match self.0.get(at) {
            Some(Given::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn flag(&self, at: usize) -> bool {
        matches!(self.0.get(at), Some(Given::Flag(true)))
    }

    pub(super) fn size(&self, at: usize) -> i64 {
        match self.0.get(at) {
            Some(Given::Size(size)) => *size,
            _ => 0,
        }
    }
}

/// Cuts the command's name off a line. Nothing is left of a line of blanks.
pub(super) fn command(line: &str) -> (&str, &str) {
    let line = line.trim_start();
    let ends = |c: char| c.is_ascii_whitespace() || c == '/';
    line.split_at(line.find(ends).unwrap_or(line.len()))
}

impl Syntax {
    /// As messages name the command: since QEMU 7.2 with its short names.
    fn label(&self, version: Version) -> String {
        match version < Version::V7_2 {
            true => self.names[0].to_owned(),
            false => self.names.join("|"),
        }
    }

    /// Reads the arguments.
    ///
    /// # Errors
    /// What the monitor prints to a line that it cannot read.
    pub(super) fn read(&self, rest: &str, version: Version) -> Result<Line, String> {
        let mut rest = rest;
        let mut given = Vec::new();
        for kind in self.takes {
            given.push(kind.read(&mut rest).map_err(|why| self.complaint(&why, version))?);
        }
        if !rest.trim_start().is_empty() {
            return Err(self.complaint("extraneous characters at the end of line", version));
        }
        Ok(Line(given))
    }

    fn complaint(&self, why: &str, version: Version) -> String {
        let hint = match version < Version::V2_5 {
            true => String::new(),
            false => format!("Try \"help {}\" for more information\n", self.names[0]),
        };
        format!("{}: {why}\n{hint}", self.label(version))
    }
}

impl Kind {
    fn read(self, rest: &mut &str) -> Result<Given, String> {
        *rest = rest.trim_start();
        let is_over = rest.is_empty();
        let expected = match self {
            Self::Optional | Self::Options if is_over => return Ok(Given::Missing),
            Self::Flag(letter) => return flag(letter, rest),
            Self::Size => {
                let bytes = word(rest).and_then(|text| size(&text));
                return bytes.map(Given::Size).ok_or_else(|| "invalid size".to_owned());
            }
            Self::File => "filename expected",
            Self::Drive => "block device name expected",
            Self::Text | Self::Optional | Self::Options => "string expected",
        };
        word(rest).map(Given::Text).ok_or_else(|| expected.to_owned())
    }
}

fn flag(letter: char, rest: &mut &str) -> Result<Given, String> {
    let Some(behind) = rest.strip_prefix('-') else { return Ok(Given::Flag(false)) };
    match behind.strip_prefix(letter) {
        Some(behind) => {
            *rest = behind;
            Ok(Given::Flag(true))
        }
        None => {
            let other = behind.chars().next().unwrap_or(' ');
            Err(format!("unsupported option -{other}"))
        }
    }
}

/// A size with its letter, in bytes; MiB without one (`strtosz`).
fn size(text: &str) -> Option<i64> {
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'a'..='z' | 'A'..='Z')) => text.split_at(at),
        _ => (text, "m"),
    };
    let shift = match unit.to_ascii_lowercase().as_str() {
        "b" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(1 << shift)
}

/// The next word, or the text in the next quotes; `None` where there is none that can be read. (Why
/// not is on QEMU's own output, not the monitor's.)
fn word(rest: &mut &str) -> Option<String> {
    if rest.is_empty() {
        return None;
    }
    let Some(quoted) = rest.strip_prefix('"') else {
        let (word, behind) =
            rest.split_at(rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len()));
        *rest = behind;
        return Some(cut(word));
    };
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                *rest = &quoted[at + 1..];
                return Some(cut(&text));
            }
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some(c @ ('\\' | '\'' | '"')) => text.push(c),
                _ => return None,
            },
            c => text.push(c),
        }
    }
    None
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADD: Syntax = Syntax { names: &["drive_add"], takes: &[Kind::Text, Kind::Text] };

    fn read(rest: &str) -> Result<Vec<String>, String> {
        let line = ADD.read(rest, Version::V0_14)?;
        Ok(vec![line.text(0).to_owned(), line.text(1).to_owned()])
    }

    #[test]
    fn words_and_quotes_are_told_apart() {
        assert_eq!(read(" 0  if=none").unwrap(), ["0", "if=none"]);
        assert_eq!(read(r#" 0 "a b""#).unwrap(), ["0", "a b"]);
        assert_eq!(read(r#" 0 "q\"\\x\n""#).unwrap(), ["0", "q\"\\x\n"]);
        // Quotes within a word are part of it, and so are backslashes.
        assert_eq!(read(r#" 0 a"b\c"#).unwrap(), ["0", r#"a"b\c"#]);
    }

    #[test]
    fn what_cannot_be_read_is_told_in_the_monitors_words() {
        let more = "drive_add: extraneous characters at the end of line\n";
        assert_eq!(read(" 0").unwrap_err(), "drive_add: string expected\n");
        assert_eq!(read(" 0 a b.raw").unwrap_err(), more);
        assert_eq!(read(r#" 0 "a"b"#).unwrap_err(), more);
        for unreadable in [r#" 0 "a"#, r#" 0 "a\tb""#, r#" 0 "a\"#] {
            assert_eq!(read(unreadable).unwrap_err(), "drive_add: string expected\n");
        }
        let stop = Syntax { names: &["stop", "s"], takes: &[] };
        let said = stop.read(" extra", Version::V7_2).unwrap_err();
        let hint = "Try \"help stop\" for more information\n";
        assert_eq!(said, format!("stop|s: extraneous characters at the end of line\n{hint}"));
    }

    #[test]
    fn flags_and_sizes_are_read() {
        let eject = Syntax { names: &["eject"], takes: &[Kind::Flag('f'), Kind::Drive] };
        let line = eject.read(" -f cd0", Version::V1_2).unwrap();
        assert_eq!((line.flag(0), line.text(1)), (true, "cd0"));
        assert!(!eject.read(" cd0", Version::V1_2).unwrap().flag(0));
        assert!(eject.read(" -x cd0", Version::V1_2).is_err());
        for (text, bytes) in [("64", 64 << 20), ("1G", 1 << 30), ("512b", 512), ("3k", 3072)] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        assert_eq!(size("1x"), None);
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_off() {
        let long = "x".repeat(2000);
        assert_eq!(read(&format!(" 0 {long}")).unwrap()[1].len(), MAX_TEXT);
    }
}
