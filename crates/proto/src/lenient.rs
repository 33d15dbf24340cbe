//! The JSON that QEMU's monitor reads, which is laxer than JSON in some things and stricter in
//! others, turned into strict JSON.
//!
//! Laxer: single quotes, `\'` as an escape, NUL as `\u0000` or C0 80. Stricter: no duplicate keys, no
//! lone surrogates, no noncharacters, three limits. A byte that no token can have ends the message
//! with one error, and the rest is skipped up to the next structural character or control byte, so
//! that a client can always get through again: 0xFF is sure to be such a byte.
//!
//! The words of the errors are those of QEMU 7.2 and 10.0. Older ones ([`Generation`]) read other
//! things still: 0.14 stays where it is at a stray byte, and waits for what a closing bracket that
//! nothing opened closes. Bytes become tokens in `lenient/lex.rs`,
//! tokens become text in `lenient/parse.rs`.

mod lex;
mod number;
mod parse;

use crate::frame::MAX_NESTING;
use crate::generation::Generation;
use lex::{Kind, Lexer, Token};

/// The most bytes that the tokens of one message may have; QEMU's own limit.
pub const MAX_TOKEN_BYTES: usize = 64 << 20;

/// The most tokens that one message may have; QEMU's own limit.
pub const MAX_TOKENS: usize = 2 << 20;

/// What a reader keeps allocated between messages.
const IDLE_BYTES: usize = 16 << 10;
const IDLE_TOKENS: usize = 1 << 10;

/// Reads messages out of a stream of bytes.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    generation: Generation,
    lexer: Lexer,
    /// The bytes of the tokens of the message under way, without what stands between them.
    text: Vec<u8>,
    tokens: Vec<Token>,
    braces: i32,
    brackets: i32,
}

/// A message, or why there is none: one bad input may give several errors.
pub(crate) type Input = Result<String, String>;

/// One message as QEMU's monitor takes it, with single quotes and all, as strict JSON.
///
/// # Errors
/// What QEMU says of it; that it is not finished, or is more than one.
pub fn strict_json(text: &str) -> Result<String, String> {
    let mut reader = Reader::default();
    let mut messages = Vec::new();
    for byte in text.trim_end().bytes().chain([b'\n']) {
        messages.extend(reader.push(byte).into_iter().flatten());
    }
    let is_finished = reader.tokens.is_empty();
    let mut messages = messages.into_iter();
    match (messages.next(), messages.next()) {
        (Some(message), None) if is_finished => message,
        (Some(Err(error)), _) => Err(error),
        (None, _) => Err("it is not finished".to_owned()),
        _ => Err("it is more than one message".to_owned()),
    }
}

impl Reader {
    /// Reads what a QEMU of this generation reads.
    pub(crate) fn new(generation: Generation) -> Self {
        Self { generation, lexer: Lexer::new(generation), ..Self::default() }
    }

    /// Takes a byte in, and gives the messages that it ends: one, or, after a number or a word, two.
    pub(crate) fn push(&mut self, byte: u8) -> [Option<Input>; 2] {
        let Some((token, is_its_last)) = self.lexer.step(byte, &mut self.text) else {
            // A token that never ends is given up as well.
            if self.text.len() > MAX_TOKEN_BYTES {
                self.lexer.clear();
                return [Some(self.give_up("token size")), None];
            }
            return [None, None];
        };
        let first = self.take(token);
        if is_its_last {
            return [first, None];
        }
        let second = self.lexer.step(byte, &mut self.text);
        [first, second.and_then(|(token, _)| self.take(token))]
    }

    fn take(&mut self, token: Token) -> Option<Input> {
        match token.kind {
            Kind::Error => {
                let stray = &self.text[token.start..];
                // QEMU's texts end at a NUL.
                let stray = stray.split(|byte| *byte == 0).next().unwrap_or_default();
                let stray = String::from_utf8_lossy(stray).into_owned();
                self.clear();
                let words = format!("JSON parse error, stray '{stray}'");
                return Some(Err(self.generation.unreadable(words)));
            }
            Kind::Open(b'{') => self.braces += 1,
            Kind::Close(b'}') => self.braces -= 1,
            Kind::Open(_) => self.brackets += 1,
            Kind::Close(_) => self.brackets -= 1,
            _ => {}
        }
        self.tokens.push(token);
        let is_broken = self.braces < 0 || self.brackets < 0;
        let is_balanced = self.braces == 0 && self.brackets == 0;
        if is_balanced || (is_broken && self.generation > Generation::V0_14) {
            let message = parse::parse(&self.tokens, &self.text, self.generation);
            self.clear();
            let words = |error| self.generation.unreadable(format!("JSON parse error, {error}"));
            return Some(message.map_err(words));
        }
        self.exceeded().map(|what| self.give_up(what))
    }

    fn give_up(&mut self, limit: &str) -> Input {
        self.clear();
        Err(format!("JSON {limit} limit exceeded"))
    }

    fn exceeded(&self) -> Option<&'static str> {
        let depth = u32::try_from(self.braces + self.brackets).unwrap_or_default();
        if self.text.len() > MAX_TOKEN_BYTES {
            Some("token size")
        } else if self.tokens.len() > MAX_TOKENS {
            Some("token count")
        } else if depth > MAX_NESTING && self.generation > Generation::V0_14 {
            Some("nesting depth")
        } else {
            None
        }
    }

    /// Forgets the message under way, and gives its memory back.
    fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(IDLE_BYTES);
        self.tokens.clear();
        self.tokens.shrink_to(IDLE_TOKENS);
        (self.braces, self.brackets) = (0, 0);
    }
}

/// A JSON string in ASCII, as QEMU writes all it sends.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        parse::push_escaped(&mut quoted, character);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Input> {
        let mut reader = Reader::default();
        bytes.iter().flat_map(|byte| reader.push(*byte)).flatten().collect()
    }

    fn one(bytes: &[u8]) -> Input {
        let mut all = read(bytes);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    #[test]
    fn what_is_laxer_than_json_comes_out_strict() {
        for (input, output) in [
            (
                &br#"{"a" : [1, -2.50, 1e400, true, null]}"#[..],
                r#"{"a":[1,-2.50,1e400,true,null]}"#,
            ),
            (br#"{'execute':'a"b\'c'}"#, r#"{"execute":"a\"b'c"}"#),
            (b"{\"a\":\"\\u0000\xc0\x80\"}", r#"{"a":"\u0000\u0000"}"#),
            (
                "{\"a\":\"é€😀\u{7f}\\u00e9\\ud83d\\ude00\\/\"}".as_bytes(),
                r#"{"a":"\u00E9\u20AC\uD83D\uDE00\u007F\u00E9\uD83D\uDE00/"}"#,
            ),
            (b"{}", "{}"),
            (b"[ ]", "[]"),
            (b"\"x\"", "\"x\""),
            (b"42 ", "42"),
            (b"null\n", "null"),
        ] {
            assert_eq!(one(input).as_deref(), Ok(output), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn the_words_of_qemu_7_2_for_what_it_refuses() {
        for (input, words) in [
            (&b"{\"execute\": foo}"[..], "JSON parse error, invalid keyword 'foo'"),
            (b"{\"execute\": }", "JSON parse error, expecting value"),
            (b"{\"execute\"}", "JSON parse error, missing : in object pair"),
            (b"}", "JSON parse error, expecting value"),
            (b"{]", "JSON parse error, expecting value"),
            (b"{\"a\":1,}", "JSON parse error, expecting value"),
            (b"{\"a\":1 \"b\":1}", "JSON parse error, expected separator in dict"),
            (b"[1 2]", "JSON parse error, expected separator in list"),
            (b"{\"a\":1,\"\\u0061\":2}", "JSON parse error, duplicate key"),
            (b"{1:2}", "JSON parse error, key is not a string in object"),
            (b"{\"a\":1.}", "JSON parse error, stray '1.}'"),
            (b"\xff", "JSON parse error, stray '\u{fffd}'"),
            (b"\0", "JSON parse error, stray ''"),
            (b"\"\n", "JSON parse error, stray '\"\n'"),
            (b"[\"\\ud800\"]", "JSON parse error, \\ud800 is not a valid Unicode character"),
            (b"[\"\\ud800\\u0041\"]", "JSON parse error, \\ud800 is not a valid Unicode character"),
            (b"[\"\\x\"]", "JSON parse error, invalid escape sequence in string"),
            (b"[\"\xc3(\"]", "JSON parse error, invalid UTF-8 sequence in string"),
            (b"[\"\xed\xa0\x80\"]", "JSON parse error, invalid UTF-8 sequence in string"),
            (b"[\"\xef\xbf\xbf\"]", "JSON parse error, invalid UTF-8 sequence in string"),
        ] {
            assert_eq!(one(input), Err(words.to_owned()), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn after_a_stray_byte_the_next_structure_is_read_again() {
        let stray = |text: &str| Err(format!("JSON parse error, stray '{text}'"));
        let expecting = || Err("JSON parse error, expecting value".to_owned());
        assert_eq!(read(b"@@@ {\"a\":1}"), [stray("@"), Ok("{\"a\":1}".to_owned())]);
        assert_eq!(read(b"{\"id\":True}"), [stray("T"), expecting()]);
        assert_eq!(read(b"{\"a\":01}"), [stray("01"), expecting()]);
        assert_eq!(read(b"{\"a\":\"b\x01c\"}"), [stray("\"b\u{1}"), expecting()]);
        assert_eq!(read(b"@ x\nnull "), [stray("@"), Ok("null".to_owned())]);
        assert_eq!(read(b"\"abc\xff{}"), [stray("\"abc\u{fffd}"), Ok("{}".to_owned())]);
    }

    #[test]
    fn a_token_that_the_next_one_ends_leaves_that_one_whole() {
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(read(b"true\"x\""), [ok("true"), ok("\"x\"")]);
        assert_eq!(read(b"1{\"a\":2}"), [ok("1"), ok("{\"a\":2}")]);
        assert_eq!(
            read(b"0e1 "),
            [ok("0"), Err("JSON parse error, invalid keyword 'e'".to_owned()), ok("1")]
        );
    }

    #[test]
    fn nesting_is_limited_as_in_qemu() {
        let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
        assert!(one(&nested(MAX_NESTING as usize)).is_ok());
        let all = read(&nested(MAX_NESTING as usize + 1));
        assert_eq!(all[0], Err("JSON nesting depth limit exceeded".to_owned()));
        assert_eq!(all.len(), MAX_NESTING as usize + 2);
    }

    #[test]
    fn a_token_without_end_is_given_up_at_the_bound() {
        let mut reader = Reader::default();
        assert_eq!(reader.push(b'"'), [None, None]);
        let mut bytes = 1;
        let error = loop {
            bytes += 1;
            if let [Some(error), None] = reader.push(b'x') {
                break error;
            }
        };
        assert_eq!(error, Err("JSON token size limit exceeded".to_owned()));
        assert_eq!(bytes, MAX_TOKEN_BYTES + 1);
        assert!(reader.text.capacity() <= IDLE_BYTES);
        assert_eq!(reader.push(b'{').into_iter().chain(reader.push(b'}')).flatten().count(), 1);
    }

    #[test]
    fn tokens_are_limited_and_their_memory_is_given_back() {
        let mut reader = Reader::default();
        let mut error = reader.push(b'[').into_iter().flatten().next();
        let mut tokens = 1;
        while error.is_none() {
            error = b"0,".iter().flat_map(|byte| reader.push(*byte)).flatten().next();
            tokens += 2;
        }
        assert_eq!(error, Some(Err("JSON token count limit exceeded".to_owned())));
        assert_eq!(tokens, MAX_TOKENS + 1);
        assert!(reader.text.capacity() <= IDLE_BYTES && reader.tokens.capacity() <= IDLE_TOKENS);
    }
}
