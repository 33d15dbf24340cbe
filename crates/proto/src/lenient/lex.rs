//! From bytes to tokens.

use crate::generation::Generation;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `{` or `[`.
    Open(u8),
    /// `}` or `]`.
    Close(u8),
    Colon,
    Comma,
    /// With its quotes, of either kind, and its escapes.
    String,
    /// An integer or a floating-point number, well-formed.
    Number,
    /// Small letters: `true`, `false`, `null`, or a mistake.
    Keyword,
    /// Bytes that no token can begin with or have.
    Error,
}

/// A token: bytes `start..end` of the message's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Where the lexer stands within a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Between,
    /// After a stray byte: everything is skipped up to a byte that may begin anew.
    Recovering,
    String {
        quote: u8,
        escaped: bool,
    },
    Keyword,
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

/// What a byte does to a token.
enum Step {
    /// It belongs to it.
    Grow(State),
    /// It is its last byte.
    Last(Kind),
    /// The token ended before it.
    Before(Kind),
    Stray,
}

#[derive(Debug, Default)]
pub(super) struct Lexer {
    generation: Generation,
    state: State,
    start: usize,
    /// Stray bytes stand before the next token, and pass for a part of it.
    has_strayed: bool,
}

impl Lexer {
    pub(super) fn new(generation: Generation) -> Self {
        Self { generation, ..Self::default() }
    }

    /// Takes a byte in, and appends it to the text if it belongs to a token. Gives the token that
    /// ends at it, or just before it (false): then the byte is to be given once more, after the
    /// token was dealt with, for the text may be another by then.
    pub(super) fn step(&mut self, byte: u8, text: &mut Vec<u8>) -> Option<(Token, bool)> {
        if self.state == State::Recovering {
            if !begins_anew(byte) {
                return None;
            }
            self.state = State::Between;
        }
        if self.state == State::Between {
            if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                if self.has_strayed {
                    text.truncate(self.start);
                    self.has_strayed = false;
                }
                return None;
            }
            if !self.has_strayed {
                self.start = text.len();
            }
        }
        match next(self.state, byte, self.generation) {
            Step::Grow(state) => {
                text.push(byte);
                self.state = state;
                None
            }
            Step::Last(kind) => {
                text.push(byte);
                Some((self.end(kind, State::Between, text), true))
            }
            Step::Before(kind) => Some((self.end(kind, State::Between, text), false)),
            Step::Stray if self.generation == Generation::V0_14 => {
                text.push(byte);
                self.has_strayed |= self.state == State::Between;
                None
            }
            Step::Stray => {
                text.push(byte);
                Some((self.end(Kind::Error, State::Recovering, text), true))
            }
        }
    }

    /// Forgets the token under way.
    pub(super) fn clear(&mut self) {
        self.state = State::Between;
        self.has_strayed = false;
    }

    fn end(&mut self, kind: Kind, state: State, text: &[u8]) -> Token {
        self.state = state;
        self.has_strayed = false;
        Token { kind, start: self.start, end: text.len() }
    }
}

/// Structural characters, control bytes, line ends among them, and the two bytes that UTF-8 never has.
fn begins_anew(byte: u8) -> bool {
    let structural = matches!(byte, b'{' | b'}' | b'[' | b']' | b':' | b',');
    structural || !(0x20..0xfe).contains(&byte)
}

fn next(state: State, byte: u8, generation: Generation) -> Step {
    use State::{
        Between, Digits, Exponent, ExponentDigits, ExponentSign, Fraction, Keyword, Minus, Point,
        Recovering, Zero,
    };
    match (state, byte) {
        (Between | Recovering, _) => first(byte),
        (State::String { .. }, 0) => Step::Stray,
        (State::String { .. }, 1..0x20) if generation == Generation::V7_2 => Step::Stray,
        (State::String { .. }, 0xfe..) if generation > Generation::V0_14 => Step::Stray,
        (State::String { escaped: true, .. }, _)
            if generation == Generation::V0_14 && !is_escape(byte) =>
        {
            Step::Stray
        }
        (State::String { quote, escaped: true }, _) => {
            Step::Grow(State::String { quote, escaped: false })
        }
        (State::String { quote, .. }, b'\\') => Step::Grow(State::String { quote, escaped: true }),
        (State::String { quote, .. }, _) if byte == quote => Step::Last(Kind::String),
        (State::String { .. }, _) => Step::Grow(state),
        (Keyword, b'a'..=b'z') => Step::Grow(Keyword),
        (Minus, b'0') => Step::Grow(Zero),
        (Minus, b'1'..=b'9') | (Digits, b'0'..=b'9') => Step::Grow(Digits),
        (Zero, b'0'..=b'9') => Step::Stray,
        (Zero | Digits, b'.') => Step::Grow(Point),
        // Not after a lone zero: in QEMU `0e1` is a number and a word.
        (Digits | Fraction, b'e' | b'E') => Step::Grow(Exponent),
        (Point | Fraction, b'0'..=b'9') => Step::Grow(Fraction),
        (Exponent, b'+' | b'-') => Step::Grow(ExponentSign),
        (Exponent | ExponentSign | ExponentDigits, b'0'..=b'9') => Step::Grow(ExponentDigits),
        (Keyword, _) => Step::Before(Kind::Keyword),
        (Zero | Digits | Fraction | ExponentDigits, _) => Step::Before(Kind::Number),
        (Minus | Point | Exponent | ExponentSign, _) => Step::Stray,
    }
}

/// What may stand behind a backslash.
fn is_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'u')
}

fn first(byte: u8) -> Step {
    match byte {
        b'{' | b'[' => Step::Last(Kind::Open(byte)),
        b'}' | b']' => Step::Last(Kind::Close(byte)),
        b':' => Step::Last(Kind::Colon),
        b',' => Step::Last(Kind::Comma),
        b'"' | b'\'' => Step::Grow(State::String { quote: byte, escaped: false }),
        b'a'..=b'z' => Step::Grow(State::Keyword),
        b'-' => Step::Grow(State::Minus),
        b'0' => Step::Grow(State::Zero),
        b'1'..=b'9' => Step::Grow(State::Digits),
        _ => Step::Stray,
    }
}
