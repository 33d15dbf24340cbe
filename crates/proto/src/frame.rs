//! Finds where a message ends.
//!
//! QEMU ends its messages with CR LF, but a monitor with `pretty=on` also breaks lines *inside* a
//! message. So a frame ends where its JSON object ends, and line ends mean nothing but this: a line
//! that looks like an object is most likely a whole one, and handing it to the parser at once saves
//! a pass over its bytes. Where the parser disagrees, [`Framer::recheck`] counts the brackets.
//!
//! A peer that ends no lines is understood as well. Only where a read ends in the middle of its
//! message, a whole one before it may wait for the rest.

/// The largest message a peer may send, in bytes. Replies of several hundred KiB are ordinary
/// (`query-qmp-schema` is 236 KB in QEMU 10.0); QEMU itself limits its input to the same 64 MiB.
pub const MAX_FRAME_BYTES: usize = 64 << 20;

/// How deep objects and arrays may be nested in a message; QEMU's own limit for its input.
pub const MAX_NESTING: u32 = 1024;

/// What a framer allocates first, and goes back to when large messages have become rare, so that
/// one large reply does not hold its memory for the rest of a connection.
const IDLE_BYTES: usize = 2 << 10;

/// How many messages in a row must be small before memory is given back.
const SMALL_IN_A_ROW: u32 = 64;

/// Cuts a stream of bytes into JSON objects, without parsing them.
///
/// ```text
/// buffer   [ given out | frame being scanned ... | not yet scanned | room for more ]
///          0        start                     scanned            filled          len
/// ```
///
/// Invariant: `start <= scanned <= filled <= buffer.len()`.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    start: usize,
    scanned: usize,
    filled: usize,
    /// Brackets are counted up to the end of the line: it was no whole object.
    counting: bool,
    depth: u32,
    in_string: bool,
    escaped: bool,
    small_in_a_row: u32,
    /// Where the frame given out last begins and ends, in case it is to be rechecked.
    last: (usize, usize),
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
    /// Room for bytes of the peer's, to be read into directly. Say how many came with
    /// [`Framer::filled`].
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.filled {
            self.rewind();
        }
        if self.buffer.len() - self.filled < self.buffer.len() / 4 + 1 {
            if self.start > self.buffer.len() / 2 {
                self.buffer.copy_within(self.start..self.filled, 0);
                self.filled -= self.start;
                self.scanned -= self.start;
                self.start = 0;
            } else {
                let size = (self.buffer.len() * 2).max(IDLE_BYTES);
                self.buffer.resize(size, 0);
            }
        }
        &mut self.buffer[self.filled..]
    }

    /// Takes in that `count` bytes were read into [`Framer::space`].
    pub fn filled(&mut self, count: usize) {
        self.filled = (self.filled + count).min(self.buffer.len());
    }

    /// Appends bytes as they came from the peer.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let count = bytes.len().min(space.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.filled(count);
            bytes = &bytes[count..];
        }
    }

    /// The next message, or `None` until there are more bytes. A message that turns out to be no
    /// JSON is to be asked for again with [`Framer::recheck`].
    ///
    /// # Errors
    /// When the bytes cannot be QMP. The stream has no way back then: close the connection.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        if !self.skip_to_object()? {
            return Ok(None);
        }
        let end = if self.counting { self.count()? } else { self.line()? };
        if let Some(end) = end {
            self.last = (self.start, end);
            self.start = end;
            self.scanned = end;
            return Ok(Some(&self.buffer[self.last.0..end]));
        }
        if self.filled - self.start > MAX_FRAME_BYTES {
            return Err(FrameError::TooLarge);
        }
        Ok(None)
    }

    /// Takes the message given out last back, and finds its end by counting brackets: true when
    /// there is a way on, false when the brackets were counted already, and it is what it is.
    pub fn recheck(&mut self) -> bool {
        if std::mem::replace(&mut self.counting, true) {
            return false;
        }
        self.start = self.last.0;
        self.scanned = self.start;
        true
    }

    /// The message given out last.
    pub(crate) fn last_frame(&self) -> &[u8] {
        &self.buffer[self.last.0..self.last.1]
    }

    /// Takes in that the message given out last was a good one.
    pub fn accept(&mut self) {
        let small = self.last.1 - self.last.0 <= IDLE_BYTES;
        self.small_in_a_row = if small { self.small_in_a_row.saturating_add(1) } else { 0 };
    }

    /// Drops everything up to this byte, and the byte; false when it has not come yet.
    pub(crate) fn skip_past(&mut self, mark: u8) -> bool {
        let found = memchr::memchr(mark, &self.buffer[self.start..self.filled]);
        self.start = found.map_or(self.filled, |at| self.start + at + 1);
        self.scanned = self.start;
        found.is_some()
    }

    /// Begins at the front again, and gives back what has not been needed for a while.
    fn rewind(&mut self) {
        (self.start, self.scanned, self.filled) = (0, 0, 0);
        if self.buffer.len() > IDLE_BYTES && self.small_in_a_row >= SMALL_IN_A_ROW {
            self.buffer = vec![0; IDLE_BYTES];
        }
    }

    /// The end of a line that looks like an object.
    fn line(&mut self) -> Result<Option<usize>, FrameError> {
        let unseen = &self.buffer[self.scanned..self.filled];
        let Some(at) = memchr::memchr(b'\n', unseen) else {
            self.scanned = self.filled;
            // A message may come with no line end, and then nothing more.
            if self.buffer[self.start..self.filled].trim_ascii_end().ends_with(b"}") {
                return self.begin_counting();
            }
            return Ok(None);
        };
        let line = &self.buffer[self.start..self.scanned + at];
        let length = line.trim_ascii_end().len();
        if line[..length].ends_with(b"}") {
            return Ok(Some(self.start + length));
        }
        self.begin_counting()
    }

    fn begin_counting(&mut self) -> Result<Option<usize>, FrameError> {
        self.counting = true;
        self.scanned = self.start;
        self.count()
    }

    /// Moves past white space to the start of the next object; false when there is none yet.
    fn skip_to_object(&mut self) -> Result<bool, FrameError> {
        if self.scanned > self.start {
            return Ok(true);
        }
        let rest = &self.buffer[self.start..self.filled];
        // 0xFF: a guest agent's mark, which begins its answer to a synchronization.
        let is_between = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0xff;
        let Some(skip) = rest.iter().position(|byte| !is_between(byte)) else {
            self.counting &= !rest.contains(&b'\n');
            self.start = self.filled;
            self.scanned = self.filled;
            return Ok(false);
        };
        if rest[skip] != b'{' {
            const SHOWN: usize = 24;
            let shown = &rest[skip..rest.len().min(skip + SHOWN)];
            return Err(FrameError::NotAnObject {
                found: String::from_utf8_lossy(shown).into_owned(),
            });
        }
        // Lines are believed in again where one ends, and no sooner: were each of many messages in
        // one line to look for its end, a long line would take for ever.
        self.counting &= !rest[..skip].contains(&b'\n');
        self.start += skip;
        self.scanned = self.start;
        Ok(true)
    }

    /// The end of the object at `start`, by its brackets.
    fn count(&mut self) -> Result<Option<usize>, FrameError> {
        while self.scanned < self.filled {
            if self.in_string {
                self.scan_string();
            } else if self.scan_structure()? {
                return Ok(Some(self.scanned));
            }
        }
        Ok(None)
    }

    /// Scans inside a string until its closing quote or the end of the bytes.
    fn scan_string(&mut self) {
        for (i, &byte) in self.buffer[self.scanned..self.filled].iter().enumerate() {
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
        self.scanned = self.filled;
    }

    /// Scans outside strings until a string begins (false) or the object ends (true).
    fn scan_structure(&mut self) -> Result<bool, FrameError> {
        for (i, &byte) in self.buffer[self.scanned..self.filled].iter().enumerate() {
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
        self.scanned = self.filled;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client does with frames.
    fn frames(framer: &mut Framer) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(frame) = framer.next_frame().unwrap() {
            let text = String::from_utf8(frame.to_vec()).unwrap();
            if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
                framer.accept();
                out.push(text);
            } else {
                assert!(framer.recheck(), "{text}");
            }
        }
        out
    }

    const STREAM: &str = "{\"a\": \"}\\\"{\"}\r\n{\r\n  \"b\": [1, {\"c\": {}}]\r\n}\r\n {} {\"d\": 1}{\"e\":\"}\"}\n{\"f\": 1}";

    #[test]
    fn a_frame_ends_where_its_object_ends() {
        let mut framer = Framer::default();
        framer.push(STREAM.as_bytes());
        let expected = [
            "{\"a\": \"}\\\"{\"}",
            "{\r\n  \"b\": [1, {\"c\": {}}]\r\n}",
            "{}",
            "{\"d\": 1}",
            "{\"e\":\"}\"}",
            "{\"f\": 1}",
        ];
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
        let mut framer = Framer::default();
        let mut got = Vec::new();
        for byte in STREAM.bytes() {
            framer.push(&[byte]);
            got.extend(frames(&mut framer));
        }
        assert_eq!(got, expected);
    }

    #[test]
    fn rubbish_between_messages_is_an_error_that_shows_it() {
        let mut framer = Framer::default();
        framer.push(b"SSH-2.0-OpenSSH_9.2\r\n");
        let error = framer.next_frame().unwrap_err();
        assert!(error.to_string().contains("SSH-2.0"), "{error}");
    }

    #[test]
    fn nesting_is_bounded_where_brackets_are_counted() {
        let mut framer = Framer::default();
        framer.push(b"{\"a\":\n");
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
    fn a_line_of_many_messages_is_looked_through_once() {
        const MESSAGES: usize = 1 << 20;
        let mut framer = Framer::default();
        framer.push("{}".repeat(MESSAGES).as_bytes());
        framer.push(b"\n{\"a\":1}\n");
        assert_eq!(frames(&mut framer).len(), MESSAGES + 1);
        assert!(!framer.counting);
    }

    #[test]
    fn memory_of_a_large_reply_is_given_back() {
        let mut framer = Framer::default();
        framer.push(format!("{{\"a\": \"{}\"}}\n", "x".repeat(1 << 20)).as_bytes());
        assert_eq!(frames(&mut framer).len(), 1);
        for _ in 0..=SMALL_IN_A_ROW {
            framer.push(b"{}\n");
            assert_eq!(frames(&mut framer), ["{}"]);
        }
        framer.push(b"{}\n");
        assert_eq!(framer.buffer.capacity(), IDLE_BYTES);
    }
}
