//! Commands on their way out, as bytes.

use std::collections::VecDeque;

use serde::Serialize;

/// What is kept allocated when nothing waits to be sent.
const IDLE_BYTES: usize = 2 << 10;

/// What the negotiation is known by. A reply of another id before its own is left over from an
/// earlier client, whose last command QEMU was carrying out when it left (seen with 7.2 and 10.0).
/// No command of ours has such an id.
pub(super) const NEGOTIATION_ID: &str = "-1";

/// What was sent so far, negotiation included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Commands sent.
    pub commands: u64,
    /// Bytes sent.
    pub bytes: u64,
}

/// ```text
/// bytes   [ sent | to be sent now ]        later   [ command | command | ... ]
///         0     start            len       lengths   4         9
/// ```
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    start: usize,
    later: VecDeque<u8>,
    lengths: VecDeque<usize>,
    traffic: Traffic,
}

impl Outbox {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn sent(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(IDLE_BYTES);
            self.start = 0;
        }
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// How many commands wait for others to be answered first.
    pub(super) fn waiting(&self) -> usize {
        self.lengths.len()
    }

    /// Lets the oldest of them go.
    pub(super) fn release(&mut self) {
        if let Some(length) = self.lengths.pop_front() {
            self.bytes.extend(self.later.drain(..length));
        }
    }

    /// What ends the negotiation.
    pub(super) fn negotiate(&mut self, oob: bool) {
        let arguments = if oob { ",\"arguments\":{\"enable\":[\"oob\"]}" } else { "" };
        let (command, id) = ("qmp_capabilities", NEGOTIATION_ID);
        let line = format!("{{\"execute\":\"{command}\"{arguments},\"id\":{id}}}\n");
        self.send(line.as_bytes());
    }

    /// Bytes that are a command of the protocol's own.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.count(bytes.len());
    }

    pub(super) fn encode(
        &mut self,
        verb: &str,
        command: &str,
        arguments: Option<&impl Serialize>,
        id: Option<u32>,
    ) -> serde_json::Result<()> {
        let before = self.bytes.len();
        if let Err(error) = write(&mut self.bytes, verb, command, arguments, id) {
            self.bytes.truncate(before);
            return Err(error);
        }
        self.count(self.bytes.len() - before);
        Ok(())
    }

    pub(super) fn encode_later(
        &mut self,
        verb: &str,
        command: &str,
        arguments: Option<&impl Serialize>,
        id: Option<u32>,
    ) -> serde_json::Result<()> {
        let mut bytes = Vec::new();
        write(&mut bytes, verb, command, arguments, id)?;
        self.lengths.push_back(bytes.len());
        self.count(bytes.len());
        self.later.extend(bytes);
        Ok(())
    }

    fn count(&mut self, bytes: usize) {
        self.traffic.commands += 1;
        self.traffic.bytes += bytes as u64;
    }
}

/// One line: QEMU needs no line end, but costs only 4 µs for it, and line-based peers want one.
/// Arguments that are `null` are none: no QEMU takes them, and 0.14 answers a message that has a
/// `null` anywhere with an error that has no id (recorded from 0.14.1).
fn write(
    out: &mut Vec<u8>,
    verb: &str,
    command: &str,
    arguments: Option<&impl Serialize>,
    id: Option<u32>,
) -> serde_json::Result<()> {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(verb.as_bytes());
    out.extend_from_slice(b"\":");
    serde_json::to_writer(&mut *out, command)?;
    if let Some(arguments) = arguments {
        let before = out.len();
        out.extend_from_slice(b",\"arguments\":");
        let value_at = out.len();
        serde_json::to_writer(&mut *out, arguments)?;
        if &out[value_at..] == b"null" {
            out.truncate(before);
        }
    }
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        serde_json::to_writer(&mut *out, &id)?;
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}
