//! Cutting a line into words.

use super::{Brackets, Ending, Open, Scan, Target, Word};

/// Cuts a line into words, as far as it goes.
pub(crate) fn scan(text: &str) -> Scan {
    let mut lexer = Lexer { text, at: 0 };
    let mut scan = Scan::default();
    lexer.skip_blanks();
    // `--json list` begins with an option.
    if lexer.peek() == Some('-') && !lexer.text[lexer.at..].starts_with("--") {
        lexer.bump();
        scan.is_tolerant = true;
        lexer.skip_blanks();
    }
    scan.is_message = lexer.peek() == Some('{');
    loop {
        lexer.skip_blanks();
        match lexer.peek() {
            None | Some('#') => return scan,
            Some('|') => {
                lexer.bump();
                scan.target = Some(Target::Pipe(lexer.rest()));
                return scan;
            }
            Some('>') => {
                lexer.bump();
                scan.open = lexer.file(&mut scan.target);
                return scan;
            }
            Some(_) => {
                let (word, open) = lexer.word();
                scan.words.push(word);
                if open.is_some() {
                    scan.open = open;
                    return scan;
                }
            }
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    /// Where it is, in bytes: on the boundary of a character.
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(character) if character.is_whitespace() => {
                    self.bump();
                }
                // A line that goes on.
                Some('\\') if self.text[self.at + 1..].starts_with('\n') => self.at += 2,
                _ => return,
            }
        }
    }

    /// All that is left, which is one word of somebody else's.
    fn rest(&mut self) -> Word {
        self.skip_blanks();
        let text = self.text[self.at..].trim_end();
        let span = self.at..self.at + text.len();
        self.at = self.text.len();
        Word { span, text: text.to_owned() }
    }

    /// What follows `>`.
    fn file(&mut self, target: &mut Option<Target>) -> Option<Open> {
        let append = self.peek() == Some('>');
        if append {
            self.bump();
        }
        let mut next = || {
            self.skip_blanks();
            match self.peek() {
                None | Some('#') => (None, None),
                Some('|' | '>') => {
                    let extra = self.rest();
                    (Some(extra), None)
                }
                Some(_) => {
                    let (word, open) = self.word();
                    (Some(word), open)
                }
            }
        };
        let (path, open) = next();
        let (extra, open) = if open.is_none() { next() } else { (None, open) };
        *target = Some(Target::File { path, append, extra });
        open
    }

    /// One word, and what it leaves open.
    fn word(&mut self) -> (Word, Option<Open>) {
        let start = self.at;
        let mut text = String::new();
        // JSON may be a word, or the value of its first `=`.
        let mut takes_json = true;
        let mut has_equals = false;
        let open = loop {
            let Some(character) = self.peek() else { break None };
            match character {
                '{' | '[' if takes_json => {
                    let open = self.json(&mut text);
                    takes_json = false;
                    if open.is_some() {
                        break open;
                    }
                    continue;
                }
                '|' | '>' => break None,
                character if character.is_whitespace() => break None,
                '\'' | '"' => {
                    if let Some(open) = self.quoted(character, &mut text) {
                        break Some(open);
                    }
                }
                '\\' => {
                    self.bump();
                    match self.bump() {
                        None => break Some(Open::Backslash),
                        // A line that goes on.
                        Some('\n') => {}
                        Some(escaped) => text.push(escaped),
                    }
                }
                _ => {
                    self.bump();
                    text.push(character);
                }
            }
            takes_json = character == '=' && !has_equals;
            has_equals |= character == '=';
        };
        (Word { span: start..self.at, text }, open)
    }

    /// A quoted part: nothing is special between ', and " and \ are between ".
    fn quoted(&mut self, quote: char, text: &mut String) -> Option<Open> {
        self.bump();
        loop {
            match self.bump() {
                None => return Some(Open::Quote(quote)),
                Some(character) if character == quote => return None,
                Some('\\') if quote == '"' => match self.bump() {
                    None => return Some(Open::Quote(quote)),
                    Some('\n') => {}
                    Some(escaped @ ('"' | '\\')) => text.push(escaped),
                    Some(other) => text.extend(['\\', other]),
                },
                Some(character) => text.push(character),
            }
        }
    }

    /// JSON up to the bracket that closes its first one, as it stands. QEMU takes ' for " too.
    fn json(&mut self, text: &mut String) -> Option<Open> {
        let mut brackets = Brackets::default();
        while let Some(character) = self.bump() {
            text.push(character);
            if brackets.are_closed_by(character) {
                return None;
            }
        }
        Some(Open::Json(brackets))
    }
}

impl Brackets {
    /// Goes on by a character; whether it closes the first bracket.
    fn are_closed_by(&mut self, character: char) -> bool {
        if std::mem::take(&mut self.is_escaped) {
            return false;
        }
        match (self.quote, character) {
            (Some(_), '\\') => self.is_escaped = true,
            (Some(open), _) if open == character => self.quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => self.quote = Some(character),
            (None, '{' | '[') => self.depth += 1,
            (None, '}' | ']') => self.depth = self.depth.saturating_sub(1),
            (None, _) => {}
        }
        self.depth == 0
    }
}

impl Ending {
    /// Whether a line is whole, of which this row was added, and the line end before it.
    pub(crate) fn is_whole(&mut self, line: &str, row: &str) -> bool {
        if let Some(brackets) = &mut self.brackets
            && !row.chars().any(|character| brackets.are_closed_by(character))
        {
            return false;
        }
        let open = scan(line).open;
        self.brackets = match open {
            Some(Open::Json(brackets)) => Some(brackets),
            _ => None,
        };
        open.is_none()
    }
}
