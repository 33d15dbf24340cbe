//! Frames: what a stream's bytes travel in.

use super::{Fault, MAX_PAYLOAD, MAX_REASON};

const HEADER_BYTES: usize = 9;

/// The length of a whole stream.
const TOTAL_BYTES: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data = 1,
    End = 2,
    Abort = 3,
    Credit = 4,
}

/// A frame, or a part of one: data is handed on as it comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Data(u32, &'a [u8]),
    /// With how many bytes there were in all.
    End(u32, u64),
    Abort(u32, String),
    Credit(u32, usize),
}

pub(super) fn encode(kind: Kind, number: u32, payload: &[u8], into: &mut Vec<u8>) {
    into.reserve(HEADER_BYTES + payload.len());
    into.push(kind as u8);
    into.extend_from_slice(&number.to_le_bytes());
    // Payloads are bounded far below this.
    into.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    into.extend_from_slice(payload);
}

/// Cuts frames out of a stream.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// A header that has begun.
    header: Vec<u8>,
    under_way: Option<(Kind, u32)>,
    /// How many bytes of the frame are still to come.
    missing: usize,
    /// Those that came, where they are of use only together.
    payload: Vec<u8>,
}

impl Parser {
    /// Takes bytes off the front, as many as make a frame, or a part of its data. `None` where all
    /// were taken and there is no frame yet.
    pub(super) fn take<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Frame<'a>>, Fault> {
        let Some((kind, number)) = self.under_way else {
            let wanted = HEADER_BYTES - self.header.len();
            let (now, rest) = bytes.split_at(wanted.min(bytes.len()));
            self.header.extend_from_slice(now);
            *bytes = rest;
            if self.header.len() < HEADER_BYTES {
                return Ok(None);
            }
            self.begin()?;
            return Ok(if self.missing == 0 { self.end() } else { None });
        };
        let (now, rest) = bytes.split_at(self.missing.min(bytes.len()));
        *bytes = rest;
        self.missing -= now.len();
        if kind == Kind::Data {
            if self.missing == 0 {
                self.under_way = None;
            }
            return Ok(Some(Frame::Data(number, now)));
        }
        self.payload.extend_from_slice(now);
        Ok(if self.missing == 0 { self.end() } else { None })
    }

    fn begin(&mut self) -> Result<(), Fault> {
        let field = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&self.header[at..at + 4]);
            u32::from_le_bytes(bytes)
        };
        let (number, length) = (field(1), field(5));
        let (kind, shortest, longest) = match self.header[0] {
            1 => (Kind::Data, 0, MAX_PAYLOAD),
            2 => (Kind::End, TOTAL_BYTES, TOTAL_BYTES),
            3 => (Kind::Abort, 0, MAX_REASON),
            4 => (Kind::Credit, 4, 4),
            other => return Err(Fault::Kind(other)),
        };
        self.header.clear();
        self.missing = length as usize;
        if self.missing < shortest || self.missing > longest {
            return Err(Fault::Length(length));
        }
        self.under_way = Some((kind, number));
        Ok(())
    }

    fn end(&mut self) -> Option<Frame<'static>> {
        let (kind, number) = self.under_way.take()?;
        let payload = std::mem::take(&mut self.payload);
        Some(match kind {
            Kind::Data => Frame::Data(number, &[]),
            Kind::End => {
                let bytes = payload.try_into().unwrap_or([0; TOTAL_BYTES]);
                Frame::End(number, u64::from_le_bytes(bytes))
            }
            Kind::Abort => Frame::Abort(number, String::from_utf8_lossy(&payload).into_owned()),
            Kind::Credit => {
                let bytes = payload.try_into().unwrap_or([0; 4]);
                Frame::Credit(number, u32::from_le_bytes(bytes) as usize)
            }
        })
    }
}
