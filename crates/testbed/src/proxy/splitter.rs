//! Where one JSON object ends and the next begins.

/// No message is longer: QEMU itself gives up at this size.
const MAX_MESSAGE: usize = 64 << 20;

/// A piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A whole object.
    Message(Vec<u8>),
    /// What stands between objects: line ends, mostly.
    Between(Vec<u8>),
}

/// The state between two reads.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    partial: Vec<u8>,
    depth: usize,
    quote: Option<u8>,
    escaped: bool,
}

impl Splitter {
    /// Takes bytes in and gives whole pieces out, or `None` when a message has no end.
    pub(super) fn split(&mut self, bytes: &[u8]) -> Option<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut between = Vec::new();
        for &byte in bytes {
            if self.depth == 0 && byte != b'{' {
                between.push(byte);
                continue;
            }
            if !between.is_empty() {
                pieces.push(Piece::Between(std::mem::take(&mut between)));
            }
            self.partial.push(byte);
            if self.ends_with(byte) {
                pieces.push(Piece::Message(std::mem::take(&mut self.partial)));
            }
            if self.partial.len() > MAX_MESSAGE {
                return None;
            }
        }
        if !between.is_empty() {
            pieces.push(Piece::Between(between));
        }
        Some(pieces)
    }

    /// Whether this byte closes the object.
    fn ends_with(&mut self, byte: u8) -> bool {
        if self.escaped {
            self.escaped = false;
            return false;
        }
        match (self.quote, byte) {
            (Some(_), b'\\') => self.escaped = true,
            (Some(quote), _) if quote == byte => self.quote = None,
            (Some(_), _) => {}
            // QEMU takes both kinds of quotes.
            (None, b'"' | b'\'') => self.quote = Some(byte),
            (None, b'{') => self.depth += 1,
            (None, b'}') => {
                self.depth -= 1;
                return self.depth == 0;
            }
            (None, _) => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_messages_however_the_bytes_come() {
        let stream = b"{\"a\": \"}\\\"{\"}\r\n{'b': {\"c\": '\"}'}}\n";
        let expected: [&[u8]; 2] = [b"{\"a\": \"}\\\"{\"}", b"{'b': {\"c\": '\"}'}}"];
        for cut in 0..stream.len() {
            let mut splitter = Splitter::default();
            let mut pieces = splitter.split(&stream[..cut]).unwrap();
            pieces.extend(splitter.split(&stream[cut..]).unwrap());
            let mut messages = Vec::new();
            let mut all = Vec::new();
            for piece in pieces {
                let (Piece::Message(bytes) | Piece::Between(bytes)) = &piece;
                all.extend_from_slice(bytes);
                if let Piece::Message(bytes) = piece {
                    messages.push(bytes);
                }
            }
            assert_eq!(messages, expected, "cut at {cut}");
            assert_eq!(all, stream, "cut at {cut}");
        }
    }
}
