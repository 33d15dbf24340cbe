//! What the stand-in answers: bytes prepared beforehand, and the id.

use crate::schema;
use crate::work::BURST;

/// What a monitor says first.
pub(crate) const GREETING: &[u8] = b"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n";

/// An event as it comes when a disk is gone.
pub(crate) const EVENT: &[u8] = b"{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 123456}, \"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"data\", \"path\": \"/machine/peripheral/data\"}}\r\n";

const STATUS: &[u8] =
    b"{\"return\": {\"status\": \"prelaunch\", \"singlestep\": false, \"running\": false}";

/// How many events are written at once.
const EVENTS_IN_A_BLOCK: u32 = 1000;

/// Everything that is ever answered.
#[derive(Debug)]
pub(crate) struct Replies {
    schema: Vec<u8>,
    events: Vec<u8>,
}

impl Replies {
    pub(crate) fn prepared() -> Self {
        let mut schema = b"{\"return\": ".to_vec();
        schema.extend(schema::written().into_bytes());
        Self { schema, events: EVENT.repeat(EVENTS_IN_A_BLOCK as usize) }
    }

    /// Appends the reply to a request, and tells how often [`Replies::events`] follow it.
    pub(crate) fn answer(&self, request: &[u8], out: &mut Vec<u8>) -> u32 {
        let (reply, blocks) = if has(request, b"\"query-status\"") {
            (STATUS, 0)
        } else if has(request, b"\"query-qmp-schema\"") {
            (self.schema.as_slice(), 0)
        } else if has(request, b"\"stop\"") {
            (b"{\"return\": {}".as_slice(), BURST / EVENTS_IN_A_BLOCK)
        } else {
            (b"{\"return\": {}".as_slice(), 0)
        };
        out.extend_from_slice(reply);
        if let Some(id) = id(request) {
            out.extend_from_slice(b", \"id\": ");
            out.extend_from_slice(id);
        }
        out.extend_from_slice(b"}\r\n");
        blocks
    }

    pub(crate) fn events(&self) -> &[u8] {
        &self.events
    }
}

/// The id of a request, as it was written. All who are measured have ids that hold no comma, and
/// arguments that hold no id.
fn id(request: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = b"\"id\":";
    let at = request.windows(KEY.len()).position(|window| window == KEY)?;
    let rest = &request[at + KEY.len()..];
    let end = rest.iter().position(|byte| matches!(byte, b',' | b'}'))?;
    Some(rest[..end].trim_ascii())
}

fn has(request: &[u8], word: &[u8]) -> bool {
    request.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_as_they_were() {
        let replies = Replies::prepared();
        let mut out = Vec::new();
        replies.answer(b"{\"execute\": \"cont\", \"id\": \"a#1\"}", &mut out);
        assert_eq!(out, b"{\"return\": {}, \"id\": \"a#1\"}\r\n");
        out.clear();
        assert_eq!(replies.answer(b"{\"execute\":\"stop\",\"id\":7}", &mut out), 200);
        assert_eq!(out, b"{\"return\": {}, \"id\": 7}\r\n");
    }
}
