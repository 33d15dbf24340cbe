//! Finds where a message ends.
//!
//! QEMU ends its messages with CR LF, but a monitor with `pretty=on` also breaks lines *inside* a
//! message. So a frame ends where its JSON object ends, and line ends mean nothing.

/// The largest message a peer may send, in bytes. Replies of several hundred KiB are ordinary
/// (`query-qmp-schema` is 236 KB in QEMU 10.0); QEMU itself limits its input to the same 64 MiB.
pub const MAX_FRAME_BYTES: usize = 64 << 20;

/// How deep objects and arrays may be nested in a message; QEMU's own limit for its input.
pub const MAX_NESTING: u32 = 1024;

/// What the framer keeps allocated when it is idle, so that one large reply does not hold its
/// memory for the rest of a connection.
const IDLE_CAPACITY: usize = 64 << 10;

/// Cuts a stream of bytes into JSON objects, without parsing them.
///
/// ```text
/// buffer   [ given out | frame being scanned ... | not yet scanned ]
///          0        start                     scanned           len
/// ```
///
/// Invariant: `start <= scanned <= buffer.len()`. `depth` is zero exactly when `start == scanned`
/// or the object that begins at `start` has just ended.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    start: usize,
    scanned: usize,
    depth: u32,
    in_string: bool,
    escaped: bool,
}

/// The bytes cannot be a sequence of JSON objects: the peer does not speak QMP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Something other than an object or white space stands between messages.
    #[error("expected a JSON object, found {found:?}")]
    NotAnObject {
        /// The first offending bytes, made printable.
        found: String,
    },
    /// A message is larger than [`MAX_FRAME_BYTES`].
    #[error("a message is larger than {MAX_FRAME_BYTES} bytes")]
    TooLarge,
    /// A message is nested deeper than [`MAX_NESTING`].
    #[error("a message is nested deeper than {MAX_NESTING} levels")]
    TooDeep,
}

impl Framer {
    /// Appends bytes as they came from the peer.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 && self.start == self.buffer.len() {
            self.buffer.clear();
            self.buffer.shrink_to(IDLE_CAPACITY);
            self.scanned = 0;
            self.start = 0;
        } else if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete message, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// When the bytes cannot be QMP. The stream has no way back then: close the connection.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        if self.depth == 0 && !self.skip_to_object()? {
            return Ok(None);
        }
        while self.scanned < self.buffer.len() {
            if self.in_string {
                self.scan_string();
            } else if self.scan_structure()? {
                let frame = &self.buffer[self.start..self.scanned];
                self.start = self.scanned;
                return Ok(Some(frame));
            }
        }
        if self.buffer.len() - self.start > MAX_FRAME_BYTES {
            return Err(FrameError::TooLarge);
        }
        Ok(None)
    }

    /// Moves past white space to the start of the next object; false when there is none yet.
    fn skip_to_object(&mut self) -> Result<bool, FrameError> {
        let rest = &self.buffer[self.start..];
        let Some(skip) = rest.iter().position(|b| !b.is_ascii_whitespace()) else {
            self.start = self.buffer.len();
            self.scanned = self.start;
            return Ok(false);
        };
        if rest[skip] != b'{' {
            let shown = &rest[skip..rest.len().min(skip + 24)];
            return Err(FrameError::NotAnObject {
                found: String::from_utf8_lossy(shown).into_owned(),
            });
        }
        self.start += skip;
        self.scanned = self.start;
        Ok(true)
    }

    /// Scans inside a string until its closing quote or the end of the buffer.
    fn scan_string(&mut self) {
        for (i, &byte) in self.buffer[self.scanned..].iter().enumerate() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_string = false;
                    self.scanned += i + 1;
                    return;
                }
                _ => {}
            }
        }
        self.scanned = self.buffer.len();
    }

    /// Scans outside strings until a string begins (false) or the object ends (true).
    fn scan_structure(&mut self) -> Result<bool, FrameError> {
        for (i, &byte) in self.buffer[self.scanned..].iter().enumerate() {
            match byte {
                b'"' => {
                    self.in_string = true;
                    self.scanned += i + 1;
                    return Ok(false);
                }
                b'{' | b'[' if self.depth == MAX_NESTING => return Err(FrameError::TooDeep),
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.scanned += i + 1;
                        return Ok(true);
                    }
                }
                _ => {}
            }
        }
        self.scanned = self.buffer.len();
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(framer: &mut Framer) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(frame) = framer.next_frame().unwrap() {
            out.push(String::from_utf8(frame.to_vec()).unwrap());
        }
        out
    }

    const STREAM: &str = "{\"a\": \"}\\\"{\"}\r\n{\r\n  \"b\": [1, {\"c\": {}}]\r\n}\r\n {} ";

    #[test]
    fn a_frame_ends_where_its_object_ends() {
        let mut framer = Framer::default();
        framer.push(STREAM.as_bytes());
        let expected = ["{\"a\": \"}\\\"{\"}", "{\r\n  \"b\": [1, {\"c\": {}}]\r\n}", "{}"];
        assert_eq!(frames(&mut framer), expected);
    }

    #[test]
    fn splitting_the_stream_at_any_byte_changes_nothing() {
        let mut whole = Framer::default();
        whole.push(STREAM.as_bytes());
        let expected = frames(&mut whole);
        for cut in 0..=STREAM.len() {
            let (head, tail) = STREAM.as_bytes().split_at(cut);
            let mut framer = Framer::default();
            framer.push(head);
            let mut got = frames(&mut framer);
            framer.push(tail);
            got.extend(frames(&mut framer));
            assert_eq!(got, expected, "cut at {cut}");
        }
    }

    #[test]
    fn rubbish_between_messages_is_an_error_that_shows_it() {
        let mut framer = Framer::default();
        framer.push(b"SSH-2.0-OpenSSH_9.2\r\n");
        let error = framer.next_frame().unwrap_err();
        assert!(error.to_string().contains("SSH-2.0"), "{error}");
    }

    #[test]
    fn nesting_is_bounded() {
        let mut framer = Framer::default();
        framer.push(b"{\"a\":");
        framer.push("[".repeat(MAX_NESTING as usize).as_bytes());
        assert_eq!(framer.next_frame(), Err(FrameError::TooDeep));
    }

    #[test]
    fn a_message_without_end_is_refused_at_the_bound() {
        let mut framer = Framer::default();
        framer.push(b"{\"a\": \"");
        let chunk = vec![b'x'; 1 << 20];
        let mut result = Ok(false);
        for _ in 0..=(MAX_FRAME_BYTES >> 20) {
            framer.push(&chunk);
            result = framer.next_frame().map(|frame| frame.is_some());
        }
        assert_eq!(result, Err(FrameError::TooLarge));
    }

    #[test]
    fn memory_of_a_large_reply_is_given_back() {
        let mut framer = Framer::default();
        framer.push(format!("{{\"a\": \"{}\"}}", "x".repeat(1 << 20)).as_bytes());
        assert!(framer.next_frame().unwrap().is_some());
        framer.push(b"{}");
        assert!(framer.buffer.capacity() <= IDLE_CAPACITY);
        assert_eq!(frames(&mut framer), ["{}"]);
    }
}
