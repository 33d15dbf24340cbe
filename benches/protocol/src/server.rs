//! The stand-in for QEMU: it costs as little as it can, and the same for everybody.
//!
//! A request ends where its JSON object ends: some clients send no line end.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::reply::{GREETING, Replies};

/// What is read at once; more than 64 commands take.
const READ_BYTES: usize = 16 << 10;

/// A thousand threads serve a thousand clients; none of them needs much.
const STACK_BYTES: usize = 128 << 10;

/// What was read from all clients so far.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Whole requests.
    pub(crate) requests: AtomicU64,
    /// All bytes.
    pub(crate) bytes: AtomicU64,
}

/// Serves everybody who connects, for ever.
pub(crate) fn serve(path: &Path, heard: &Arc<Heard>) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    let replies = Arc::new(Replies::prepared());
    for stream in listener.incoming() {
        let (stream, replies, heard) = (stream?, Arc::clone(&replies), Arc::clone(heard));
        thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            // A client that leaves in the middle of a reply is nobody's fault.
            let _ = talk(stream, &replies, &heard);
        })?;
    }
    Ok(())
}

fn talk(mut stream: UnixStream, replies: &Replies, heard: &Heard) -> io::Result<()> {
    stream.write_all(GREETING)?;
    let (mut buffer, mut filled) = (vec![0; READ_BYTES], 0);
    let mut out = Vec::new();
    let mut requests = Requests::default();
    loop {
        if filled == buffer.len() {
            buffer.resize(buffer.len() * 2, 0);
        }
        let count = stream.read(&mut buffer[filled..])?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        heard.bytes.fetch_add(count as u64, Ordering::Relaxed);
        let mut begin = 0;
        while let Some(end) = requests.next_end(&buffer[begin..filled]) {
            heard.requests.fetch_add(1, Ordering::Relaxed);
            let blocks = replies.answer(&buffer[begin..begin + end], &mut out);
            begin += end;
            for _ in 0..blocks {
                stream.write_all(&out)?;
                out.clear();
                stream.write_all(replies.events())?;
            }
        }
        stream.write_all(&out)?;
        out.clear();
        buffer.copy_within(begin..filled, 0);
        filled -= begin;
    }
}

/// Finds where requests end.
#[derive(Debug, Default)]
struct Requests {
    seen: usize,
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Requests {
    /// The length of the request at the front of `bytes`; whatever is in front of it counts to it.
    /// When there is none yet, `bytes` are to come again, with more behind them.
    fn next_end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (i, &byte) in bytes.iter().enumerate().skip(self.seen) {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' => self.depth += 1,
                b'}' if self.depth > 1 => self.depth -= 1,
                b'}' => {
                    *self = Self::default();
                    return Some(i + 1);
                }
                _ => {}
            }
        }
        self.seen = bytes.len();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_where_its_object_ends() {
        let bytes = b"{\"a\":{\"b\":\"}\\\"{\"}} \r\n{}{";
        let mut requests = Requests::default();
        for end in 0..18 {
            assert_eq!(requests.next_end(&bytes[..end]), None);
        }
        assert_eq!(requests.next_end(bytes), Some(18));
        assert_eq!(requests.next_end(&bytes[18..]), Some(5));
        assert_eq!(requests.next_end(&bytes[23..]), None);
    }
}
