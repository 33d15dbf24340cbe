//! Streams of bytes over one port, for both of its ends, with no I/O.
//!
//! A host numbers its streams, never the same number twice with one token, opens a stream and names it in
//! a command; the agent opens it when it carries the command out. What is for a stream that is not open
//! is passed over.
//!
//! A frame is a kind, the stream's number (u32), a length (u32), both little-endian, and so many bytes:
//!
//! | kind | bytes | means |
//! |---|---|---|
//! | 1, data | at most [`MAX_PAYLOAD`] | more of the stream |
//! | 2, end | a u64 | no more will be sent; so many bytes were sent in all |
//! | 3, abort | text, at most [`MAX_REASON`] | the stream is over, both ways, and why |
//! | 4, credit | a u32 | so many more bytes may be sent |
//!
//! A reader is told of the end only when as many bytes came as were sent; else the stream is aborted. So no
//! stream that lost its beginning or its end is taken for a whole one, not even for an empty one.
//!
//! Flow control: nobody sends more than was granted. The agent may send [`WINDOW`] bytes from the start,
//! because the host has opened the stream before it asks; the host may send nothing until the agent
//! has opened it, which grants [`WINDOW`]. What the reader took is granted anew. So neither end holds
//! more than a window a stream, and a stream that nobody reads holds up no other.

mod frame;

use std::collections::{BTreeMap, VecDeque};

use crate::meeting::{Seek, Token};
use frame::{Frame, Kind, Parser};

/// The most bytes of a data frame.
pub const MAX_PAYLOAD: usize = 64 << 10;

/// The longest reason of an abort, in bytes; a longer one is cut.
pub const MAX_REASON: usize = 4 << 10;

/// How many bytes a stream may have on its way or unread, each way.
pub const WINDOW: usize = 1 << 20;

/// How many streams may be open at once.
pub const MAX_STREAMS: usize = 32;

/// How many bytes may wait to be sent before writers have to wait.
pub const HIGH_WATER: usize = 256 << 10;

/// What the reader took is granted anew in portions of this size.
const GRANT: usize = WINDOW / 4;

/// Which end of the port this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The end that numbers streams and asks.
    Host,
    /// The end that serves.
    Agent,
}

/// The peer broke the rules; nothing that it says can be understood any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A kind of frame that does not exist.
    #[error("a frame of kind {0} came on the files port")]
    Kind(u8),
    /// A frame of an impossible length.
    #[error("a frame of {0} bytes came on the files port")]
    Length(u32),
    /// More was sent than was granted.
    #[error("more came in stream {0} than was granted")]
    Overrun(u32),
}

/// Why a stream cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The number is in use.
    #[error("stream {0} is open already")]
    InUse(u32),
    /// [`MAX_STREAMS`] are open.
    #[error("{MAX_STREAMS} streams are open, which is the most there can be")]
    TooMany,
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing yet.
    Wait,
    /// No more will come.
    End,
    /// The stream is over, and why.
    Aborted(String),
}

/// What a writer gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// So many bytes were taken, at least one where any were given.
    Taken(usize),
    /// Nothing can be taken now.
    Wait,
    /// The stream is over, and why.
    Aborted(String),
}

#[derive(Debug)]
struct Stream {
    /// What came and was not read.
    unread: VecDeque<u8>,
    /// How much the peer may still send.
    granted: usize,
    /// What was read since the last grant.
    taken: usize,
    /// How much may still be sent.
    credit: usize,
    /// How many bytes were sent so far.
    sent: u64,
    /// How many came.
    came: u64,
    /// The peer will send no more.
    has_ended: bool,
    /// The stream is over.
    aborted: Option<String>,
    /// Nothing more will be sent.
    is_finished: bool,
    /// The peer has opened it too; what is said earlier is passed over.
    is_met: bool,
    /// This end has closed it, and the peer is still to be told why.
    closed: Option<String>,
}

impl Stream {
    /// Takes in that the peer has sent everything, so many bytes.
    fn end(&mut self, total: u64) {
        if self.came == total {
            self.has_ended = true;
        } else {
            let reason = format!("{} of {total} bytes came", self.came);
            self.unread.clear();
            self.aborted.get_or_insert(reason);
        }
    }
}

/// All streams of a port, from one of its ends.
///
/// Whoever owns the port hands in what came ([`Streams::handle_input`]) and sends what
/// [`Streams::poll_transmit`] gives; whoever reads and writes streams asks again when either happened.
#[derive(Debug)]
pub struct Streams {
    end: End,
    seek: Option<Seek>,
    parser: Parser,
    streams: BTreeMap<u32, Stream>,
    transmit: Vec<u8>,
    fault: Option<Fault>,
}

impl Streams {
    /// This end of a port; what came before the token's mark is passed over.
    #[must_use]
    pub fn new(end: End, token: &Token) -> Self {
        Self {
            end,
            seek: Some(Seek::new(token)),
            parser: Parser::default(),
            streams: BTreeMap::new(),
            transmit: token.mark().to_vec(),
            fault: None,
        }
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// The number is in use, or too many are.
    pub fn open(&mut self, number: u32) -> Result<(), OpenError> {
        if self.streams.contains_key(&number) {
            return Err(OpenError::InUse(number));
        }
        if self.streams.len() >= MAX_STREAMS {
            return Err(OpenError::TooMany);
        }
        let credit = if self.end == End::Agent { WINDOW } else { 0 };
        if self.end == End::Agent {
            self.push(Kind::Credit, number, &length(WINDOW));
        }
        let stream = Stream {
            unread: VecDeque::new(),
            granted: WINDOW,
            taken: 0,
            credit,
            sent: 0,
            came: 0,
            has_ended: false,
            aborted: None,
            is_finished: false,
            is_met: self.end == End::Agent,
            closed: None,
        };
        self.streams.insert(number, stream);
        Ok(())
    }

    /// Takes in bytes as they came from the port.
    ///
    /// # Errors
    /// The peer broke the rules: all streams are aborted, and every further call fails alike.
    pub fn handle_input(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let bytes = match &mut self.seek {
            None => bytes,
            Some(seek) => match seek.take(bytes) {
                None => return Ok(()),
                Some(rest) => {
                    self.seek = None;
                    rest
                }
            },
        };
        let outcome = self.fault.clone().map_or_else(|| self.read_frames(bytes), Err);
        if let Err(fault) = &outcome {
            self.fault = Some(fault.clone());
            self.abort_all(&fault.to_string());
        }
        outcome
    }

    fn read_frames(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let frame = self.parser.take(&mut bytes)?;
            match frame {
                None => {}
                Some(Frame::Data(number, part)) => {
                    let Some(stream) = self.streams.get_mut(&number) else { continue };
                    if stream.granted < part.len() {
                        return Err(Fault::Overrun(number));
                    }
                    stream.granted -= part.len();
                    stream.came += part.len() as u64;
                    stream.unread.extend(part);
                }
                Some(Frame::End(number, total)) => {
                    if let Some(stream) = self.streams.get_mut(&number) {
                        stream.end(total);
                    }
                }
                Some(Frame::Abort(number, reason)) => {
                    if let Some(stream) = self.streams.get_mut(&number) {
                        stream.unread.clear();
                        stream.aborted = Some(reason);
                    }
                }
                Some(Frame::Credit(number, more)) => self.grant(number, more),
            }
        }
        Ok(())
    }

    /// Takes in that the peer may be sent more. The first time it says that it has opened the stream.
    fn grant(&mut self, number: u32, more: usize) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        stream.credit = stream.credit.saturating_add(more).min(2 * WINDOW);
        if std::mem::replace(&mut stream.is_met, true) {
            return;
        }
        if let Some(reason) = stream.closed.take() {
            self.streams.remove(&number);
            self.push(Kind::Abort, number, reason.as_bytes());
        } else if stream.is_finished {
            let total = stream.sent.to_le_bytes();
            self.push(Kind::End, number, &total);
        }
    }

    /// Reads what came in a stream. A stream that is not open is one that was aborted.
    pub fn read(&mut self, number: u32, buffer: &mut [u8]) -> Read {
        let Some(stream) = self.streams.get_mut(&number) else {
            return Read::Aborted(NOT_OPEN.to_owned());
        };
        if let Some(reason) = &stream.aborted {
            return Read::Aborted(reason.clone());
        }
        if stream.unread.is_empty() {
            return if stream.has_ended { Read::End } else { Read::Wait };
        }
        let count = std::io::Read::read(&mut stream.unread, buffer).unwrap_or(0);
        stream.taken += count;
        if stream.taken >= GRANT && !stream.has_ended {
            let taken = std::mem::take(&mut stream.taken);
            stream.granted += taken;
            self.push(Kind::Credit, number, &length(taken));
        }
        Read::Bytes(count)
    }

    /// Sends bytes in a stream, as many as there is room for.
    pub fn write(&mut self, number: u32, bytes: &[u8]) -> Write {
        let is_full = self.transmit.len() >= HIGH_WATER;
        let Some(stream) = self.streams.get_mut(&number) else {
            return Write::Aborted(NOT_OPEN.to_owned());
        };
        if let Some(reason) = &stream.aborted {
            return Write::Aborted(reason.clone());
        }
        let count = bytes.len().min(stream.credit).min(MAX_PAYLOAD);
        if stream.is_finished {
            return Write::Aborted(NOT_OPEN.to_owned());
        }
        if !bytes.is_empty() && (is_full || count == 0) {
            return Write::Wait;
        }
        stream.credit -= count;
        stream.sent += count as u64;
        if count > 0 {
            self.push(Kind::Data, number, &bytes[..count]);
        }
        Write::Taken(count)
    }

    /// Sends no more in a stream.
    pub fn finish(&mut self, number: u32) {
        if let Some(stream) = self.streams.get_mut(&number)
            && !std::mem::replace(&mut stream.is_finished, true)
            && stream.aborted.is_none()
            && stream.is_met
        {
            let total = stream.sent.to_le_bytes();
            self.push(Kind::End, number, &total);
        }
    }

    /// Closes a stream: what is still unread is forgotten. The peer is told unless both ends had
    /// finished, with the reason: as soon as it has opened the stream, if need be.
    pub fn close(&mut self, number: u32, reason: &str) {
        let Some(mut stream) = self.streams.remove(&number) else { return };
        let is_over = (stream.is_finished && stream.has_ended) || stream.aborted.is_some();
        let length =
            (0..=MAX_REASON.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at));
        let reason = &reason[..length.unwrap_or(0)];
        if !is_over && !stream.is_met {
            stream.closed = Some(reason.to_owned());
            self.streams.insert(number, stream);
        } else if !is_over {
            self.push(Kind::Abort, number, reason.as_bytes());
        }
    }

    /// Closes a stream that the peer knows nothing of, or nothing more: its command was answered.
    pub fn forget(&mut self, number: u32) {
        self.streams.remove(&number);
    }

    /// Closes a stream that this end has finished and expects nothing from: the peer is told
    /// nothing more.
    pub fn leave(&mut self, number: u32) {
        self.finish(number);
        self.streams.remove(&number);
    }

    /// Aborts all streams, as when the port is lost; the peer is told nothing.
    pub fn abort_all(&mut self, reason: &str) {
        for stream in self.streams.values_mut() {
            stream.unread.clear();
            stream.aborted.get_or_insert_with(|| reason.to_owned());
        }
    }

    /// Whether the peer's mark was seen.
    #[must_use]
    pub fn has_met(&self) -> bool {
        self.seek.is_none()
    }

    /// The bytes to send now; `None` when there are none.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        (!self.transmit.is_empty()).then(|| std::mem::take(&mut self.transmit))
    }

    fn push(&mut self, kind: Kind, number: u32, payload: &[u8]) {
        frame::encode(kind, number, payload, &mut self.transmit);
    }
}

const NOT_OPEN: &str = "the stream is not open";

/// A length of at most [`WINDOW`], as it goes over the wire.
fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests;
