//! From tokens to strict JSON text, in ASCII, as QEMU writes it.

use std::collections::HashSet;

use super::lex::{Kind, Token};
use super::number;
use crate::generation::Generation;

/// Turns the tokens of a message into strict JSON. The first mistake is the error.
pub(super) fn parse(
    tokens: &[Token],
    text: &[u8],
    generation: Generation,
) -> Result<String, String> {
    let out = String::with_capacity(text.len());
    let mut parser = Parser { tokens: tokens.iter(), text, out, open: Vec::new(), generation };
    parser.message()?;
    Ok(parser.out)
}

/// Keeps what is open in a list of its own, not on the stack: a peer chooses how deep it goes, and
/// the thread that serves it how much stack there is.
struct Parser<'a> {
    tokens: std::slice::Iter<'a, Token>,
    text: &'a [u8],
    out: String,
    /// As many as the reader's nesting limit allows.
    open: Vec<Open>,
    generation: Generation,
}

/// An object or an array whose end has not come.
enum Open {
    Object { keys: HashSet<String>, member: Member },
    Array,
}

/// Where an object stands.
enum Member {
    /// At the key, which begins here in the text that is written.
    Key(usize),
    /// At the value of this key.
    Value(String),
}

impl Open {
    fn closing(&self) -> u8 {
        match self {
            Self::Object { .. } => b'}',
            Self::Array => b']',
        }
    }
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Result<Token, String> {
        self.tokens.next().copied().ok_or_else(|| "premature EOI".to_owned())
    }

    fn bytes(&self, token: Token) -> &'a [u8] {
        &self.text[token.start..token.end]
    }

    fn message(&mut self) -> Result<(), String> {
        loop {
            let token = self.next()?;
            let mut ended = match token.kind {
                Kind::Open(bracket) => {
                    self.begin(bracket);
                    self.end_if_empty()
                }
                _ => Some(self.scalar(token)?),
            };
            // A value may be the last of what it is in, and that of what that is in.
            while let Some(is_string) = ended {
                if self.open.is_empty() {
                    return Ok(());
                }
                ended = self.follow(is_string)?;
            }
        }
    }

    fn begin(&mut self, bracket: u8) {
        self.out.push(char::from(bracket));
        self.open.push(match bracket {
            b'{' => Open::Object { keys: HashSet::new(), member: Member::Key(self.out.len()) },
            _ => Open::Array,
        });
    }

    /// Ends what is open if its closing bracket is next; what has ended is no string.
    fn end_if_empty(&mut self) -> Option<bool> {
        let closing = self.open.last().map(Open::closing)?;
        let next = self.tokens.as_slice().first()?;
        (next.kind == Kind::Close(closing)).then(|| {
            self.tokens.next();
            self.end(closing)
        })
    }

    fn end(&mut self, closing: u8) -> bool {
        self.out.push(char::from(closing));
        self.open.pop();
        false
    }

    /// What follows a value, or a key: says whether what it was in has ended with it.
    fn follow(&mut self, is_string: bool) -> Result<Option<bool>, String> {
        let place = match self.open.last_mut() {
            Some(Open::Object { keys, member }) => match member {
                Member::Key(_) if !is_string => {
                    return Err("key is not a string in object".to_owned());
                }
                Member::Key(start) => {
                    *member = Member::Value(self.out[*start..].to_owned());
                    if self.next()?.kind != Kind::Colon {
                        return Err("missing : in object pair".to_owned());
                    }
                    self.out.push(':');
                    return Ok(None);
                }
                Member::Value(key) => {
                    // QEMU too notices after the value, so a mistake in it goes first.
                    if !keys.insert(std::mem::take(key)) && self.generation == Generation::V7_2 {
                        return Err("duplicate key".to_owned());
                    }
                    *member = Member::Key(self.out.len() + ",".len());
                    "dict"
                }
            },
            _ => "list",
        };
        match self.next()?.kind {
            Kind::Comma => {
                self.out.push(',');
                Ok(None)
            }
            Kind::Close(bracket) if self.open.last().map(Open::closing) == Some(bracket) => {
                Ok(Some(self.end(bracket)))
            }
            _ => Err(format!("expected separator in {place}")),
        }
    }

    /// A value that is no object and no array, and whether it is a string.
    fn scalar(&mut self, token: Token) -> Result<bool, String> {
        match token.kind {
            Kind::String => self.string(token)?,
            Kind::Number => {
                let digits = String::from_utf8_lossy(self.bytes(token));
                self.out.push_str(&number::read(&digits, self.generation));
            }
            Kind::Keyword => match self.bytes(token) {
                word @ (b"true" | b"false") => {
                    self.out.push_str(&String::from_utf8_lossy(word));
                }
                b"null" if self.generation > Generation::V1_2 => self.out.push_str("null"),
                other => {
                    let other = String::from_utf8_lossy(other);
                    return Err(format!("invalid keyword '{other}'"));
                }
            },
            _ => return Err("expecting value".to_owned()),
        }
        Ok(token.kind == Kind::String)
    }

    fn string(&mut self, token: Token) -> Result<(), String> {
        let bytes = self.bytes(token);
        let mut rest = &bytes[1..bytes.len() - 1];
        self.out.push('"');
        while let Some(byte) = rest.first() {
            let (character, length) = match byte {
                // The closing quote is still shown in the error for a `\u` that is cut short.
                b'\\' => escape(rest, &bytes[bytes.len() - 1..], self.generation)?,
                _ => match raw(rest) {
                    Some(known) => known,
                    None if self.generation == Generation::V7_2 => {
                        return Err("invalid UTF-8 sequence in string".to_owned());
                    }
                    // What QEMU writes for a byte that is no UTF-8.
                    None if self.generation < Generation::V2_5 => ('\u{ffff}', 1),
                    None => (char::REPLACEMENT_CHARACTER, 1),
                },
            };
            push_escaped(&mut self.out, character);
            rest = &rest[length.min(rest.len())..];
        }
        self.out.push('"');
        Ok(())
    }
}

/// The character of an escape at the start of `rest`, and the escape's length.
fn escape(rest: &[u8], quote: &[u8], generation: Generation) -> Result<(char, usize), String> {
    let character = match rest.get(1) {
        Some(b'"') => '"',
        Some(b'\'') => '\'',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode_escape(rest, quote, generation),
        _ => return Err("invalid escape sequence in string".to_owned()),
    };
    Ok((character, 2))
}

fn unicode_escape(
    rest: &[u8],
    quote: &[u8],
    generation: Generation,
) -> Result<(char, usize), String> {
    let first = hex4(rest.get(2..6));
    // 2.5 and 2.9 put no pairs together.
    let has_pairs = !(Generation::V2_5..=Generation::V2_9).contains(&generation);
    let (code, length) = match (first, rest.get(6..8)) {
        (Some(high @ 0xd800..=0xdbff), Some(b"\\u")) if has_pairs => match hex4(rest.get(8..12)) {
            Some(low @ 0xdc00..=0xdfff) => {
                (Some(0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff)), 12)
            }
            _ => (None, 6),
        },
        (code, _) => (code, 6),
    };
    if first.is_some() && generation < Generation::V7_2 {
        let character = code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
        return Ok((character, length));
    }
    code.and_then(char::from_u32).filter(|c| !is_noncharacter(*c)).map(|c| (c, length)).ok_or_else(
        || {
            let shown = [rest, quote].concat();
            let shown = String::from_utf8_lossy(&shown[..shown.len().min(length)]).into_owned();
            format!("{shown} is not a valid Unicode character")
        },
    )
}

fn hex4(digits: Option<&[u8]>) -> Option<u32> {
    let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The character at the start of `rest`, in UTF-8 with NUL as C0 80, and its length.
fn raw(rest: &[u8]) -> Option<(char, usize)> {
    if rest.starts_with(b"\xc0\x80") {
        return Some(('\0', 2));
    }
    let length = match rest.first()? {
        0..0x80 => 1,
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    };
    let character = std::str::from_utf8(rest.get(..length)?).ok()?.chars().next()?;
    (!is_noncharacter(character)).then_some((character, length))
}

/// Code points that Unicode sets aside for good; QEMU takes none of them.
fn is_noncharacter(character: char) -> bool {
    let code = u32::from(character);
    (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

/// Writes a character of a string the way QEMU does: in ASCII.
pub(super) fn push_escaped(out: &mut String, character: char) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        ' '..='~' => out.push(character),
        other => {
            for unit in other.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04X}"));
            }
        }
    }
}
