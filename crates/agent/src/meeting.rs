//! How a host and an agent begin anew.
//!
//! A virtio-serial port has no connections: a host that comes finds what the one before it did not
//! read, and the agent may not have noticed that the host has changed, or that the machine it runs
//! in was saved and restored. So a host says a mark that nobody can have said before: 0xFF, which is in
//! no UTF-8, then 32 hexadecimal digits of its own choice, then LF. On the control port the agent
//! answers with the same mark and a greeting right behind it, and forgets all that was before; the host
//! passes over whatever comes ahead of the mark. On the files port the mark is the one that the
//! command `open-files` named, and each side says it ahead of its first frame.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many bytes a mark has.
pub const MARK_BYTES: usize = 2 * TOKEN_BYTES + 2;

const TOKEN_BYTES: usize = 16;
const START: u8 = 0xff;

/// What makes a mark unlike all others: 16 random bytes. In JSON and in a mark, 32 lower-case
/// hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; TOKEN_BYTES]);

impl Token {
    /// A token of these bytes, which should be random.
    #[must_use]
    pub fn new(bytes: [u8; TOKEN_BYTES]) -> Self {
        Self(bytes)
    }

    /// What is said on a port.
    #[must_use]
    pub fn mark(&self) -> [u8; MARK_BYTES] {
        let mut mark = [START; MARK_BYTES];
        mark[1..=2 * TOKEN_BYTES].copy_from_slice(self.to_string().as_bytes());
        mark[MARK_BYTES - 1] = b'\n';
        mark
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// The text is not 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token is 32 lower-case hexadecimal digits")]
pub struct NoToken;

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(NoToken),
        };
        let digits = text.as_bytes();
        if digits.len() != 2 * TOKEN_BYTES {
            return Err(NoToken);
        }
        let mut bytes = [0; TOKEN_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Passes over bytes until a mark was seen.
#[derive(Debug, Clone)]
pub struct Seek {
    mark: [u8; MARK_BYTES],
    matched: usize,
}

impl Seek {
    /// Looks for the mark of this token.
    #[must_use]
    pub fn new(token: &Token) -> Self {
        Self { mark: token.mark(), matched: 0 }
    }

    /// Takes bytes in. `Some` has what came behind the mark; call no more then.
    pub fn take<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        for (at, &byte) in bytes.iter().enumerate() {
            // No mark has its first byte within, so a mismatch can only begin another at once.
            self.matched = match byte {
                _ if byte == self.mark[self.matched] => self.matched + 1,
                START => 1,
                _ => 0,
            };
            if self.matched == MARK_BYTES {
                return Some(&bytes[at + 1..]);
            }
        }
        None
    }
}

/// What an agent hears on its control port.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Bytes of the conversation.
    Bytes(Vec<u8>),
    /// A host begins anew.
    Hello(Token),
}

/// Tells marks from the rest of what a host says.
#[derive(Debug, Default)]
pub struct Door {
    /// A mark that has begun.
    begun: Vec<u8>,
}

impl Door {
    /// Takes bytes in. What looks like a mark and is none is passed on as bytes.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        let mut plain = Vec::new();
        for &byte in bytes {
            if byte == START {
                plain.append(&mut self.begun);
                self.begun.push(byte);
                continue;
            }
            let into = if self.begun.is_empty() { &mut plain } else { &mut self.begun };
            into.push(byte);
            if let Some(token) = token_of(&self.begun) {
                self.begun.clear();
                push(&mut heard, &mut plain);
                heard.push(Heard::Hello(token));
            } else if self.begun.len() > 1 && !may_go_on(byte, self.begun.len()) {
                plain.append(&mut self.begun);
            }
        }
        push(&mut heard, &mut plain);
        heard
    }
}

fn push(heard: &mut Vec<Heard>, plain: &mut Vec<u8>) {
    if !plain.is_empty() {
        heard.push(Heard::Bytes(std::mem::take(plain)));
    }
}

/// Whether a mark of this many bytes can end in this one, and not be whole.
fn may_go_on(last: u8, length: usize) -> bool {
    length < MARK_BYTES && matches!(last, b'0'..=b'9' | b'a'..=b'f')
}

fn token_of(mark: &[u8]) -> Option<Token> {
    let digits = mark.strip_suffix(b"\n")?.get(1..)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token = Token([0xa5; TOKEN_BYTES]);

    #[test]
    fn a_token_is_read_as_it_is_written() {
        assert_eq!(TOKEN.to_string().parse(), Ok(TOKEN));
        assert_eq!("a5".parse::<Token>(), Err(NoToken));
        assert_eq!("A5".repeat(16).parse::<Token>(), Err(NoToken));
    }

    #[test]
    fn a_mark_is_found_however_it_is_cut_and_whatever_is_ahead_of_it() {
        let mut bytes = b"old \xff\xffa5a5".to_vec();
        bytes.extend(TOKEN.mark());
        bytes.extend(b"new");
        for cut in 0..bytes.len() - 3 {
            let mut seek = Seek::new(&TOKEN);
            let (one, other) = bytes.split_at(cut);
            assert_eq!(seek.take(one), None, "{cut}");
            assert_eq!(seek.take(other), Some(&b"new"[..]), "{cut}");
        }
    }

    #[test]
    fn a_door_hears_a_hello_however_it_is_cut() {
        let mut bytes = b"{\"exec".to_vec();
        bytes.extend(TOKEN.mark());
        bytes.extend(b"{}");
        for cut in 0..bytes.len() {
            let mut door = Door::default();
            let (one, other) = bytes.split_at(cut);
            let mut heard = door.take(one);
            heard.extend(door.take(other));
            assert!(heard.contains(&Heard::Hello(TOKEN)), "{cut}");
            let plain: Vec<u8> = heard
                .iter()
                .filter_map(|it| match it {
                    Heard::Bytes(bytes) => Some(bytes.clone()),
                    Heard::Hello(_) => None,
                })
                .flatten()
                .collect();
            assert_eq!(plain, b"{\"exec{}", "{cut}");
        }
    }

    #[test]
    fn what_only_looks_like_a_mark_is_bytes() {
        let mut door = Door::default();
        let mut false_mark = TOKEN.mark();
        false_mark[7] = b'G';
        // Nothing is held back that cannot be a mark any more.
        assert_eq!(door.take(&false_mark), [Heard::Bytes(false_mark.to_vec())]);
    }
}
