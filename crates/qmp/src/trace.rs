//! A conversation as it goes, written down as a transcript that tests can replay.
//!
//! `-> ` is a line that was sent, `<- ` one that was received, `# ` a remark. What is secret is
//! blotted out; all else is as it went over the wire.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qplug_proto::Framer;
use serde_json::Value;

use crate::aside::Aside;
use crate::redact::{BLOT, redacted, returns_secret};

/// A longer line than this was never meant to be sent; it is not written down.
const MAX_LINE_BYTES: usize = 64 << 20;

/// How many bytes wait to be written down at most: two of the longest messages. What comes when there
/// is no room is missing from the trace, which says so.
pub const TRACE_BACKLOG: usize = 128 << 20;

/// How long the trace's writer may take nothing, before [`Trace::outcome`] gives it up.
pub const TRACE_PATIENCE: Duration = Duration::from_secs(10);

/// Writes conversations down, on a thread of its own, so that none waits for the writer. Clones write
/// to the same place.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Recorder>>);

struct Recorder {
    page: Aside,
    /// How many lines were missing when the caller was last told.
    told_missing: u64,
    /// What was sent of a line that is not ended.
    sent: Vec<u8>,
    received: Framer,
    /// Commands whose answer is a secret.
    secret_answers: HashSet<String>,
}

impl Trace {
    /// A trace that goes to this writer, a whole line at a time.
    #[must_use]
    pub fn new(writer: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Recorder {
            page: Aside::new(writer, TRACE_BACKLOG, |count| {
                format!("# {count} lines are missing: they came faster than they were written\n")
            }),
            told_missing: 0,
            sent: Vec::new(),
            received: Framer::default(),
            secret_answers: HashSet::new(),
        })))
    }

    /// Waits until everything is written, and says how it went, once. It blocks: call it when the
    /// conversation is over, or beside a runtime.
    ///
    /// # Errors
    /// What the writer said when it could not be written to; the trace ends there. That it took
    /// nothing for [`TRACE_PATIENCE`]. How many lines are missing, because [`TRACE_BACKLOG`] bytes
    /// waited already.
    pub fn outcome(&self) -> io::Result<()> {
        let page = self.lock().page.clone();
        page.drain(Some(TRACE_PATIENCE))?;
        let mut recorder = self.lock();
        let missing = page.missing();
        match missing - std::mem::replace(&mut recorder.told_missing, missing) {
            0 => Ok(()),
            count => Err(io::Error::other(format!("{count} lines are missing"))),
        }
    }

    /// A connection begins.
    pub(crate) fn begin(&self) {
        let mut recorder = self.lock();
        recorder.sent.clear();
        recorder.received = Framer::default();
        recorder.secret_answers.clear();
    }

    /// Bytes were sent, and so many descriptors beside the first of them.
    pub(crate) fn sent(&self, bytes: &[u8], descriptors: usize) {
        let mut recorder = self.lock();
        if descriptors > 0 {
            recorder.write("#", &format!("{descriptors} descriptors go with this"));
        }
        recorder.sent.extend_from_slice(bytes);
        while let Some(end) = recorder.sent.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = recorder.sent.drain(..=end).collect();
            recorder.line_sent(&line);
        }
        if recorder.sent.len() > MAX_LINE_BYTES {
            recorder.sent.clear();
        }
    }

    /// Bytes were received.
    pub(crate) fn received(&self, bytes: &[u8]) {
        let mut recorder = self.lock();
        recorder.received.push(bytes);
        loop {
            match recorder.received.next_frame() {
                Ok(Some(frame)) => {
                    let frame = frame.to_vec();
                    // A message may be broken over lines, of which some have half of its brackets.
                    if serde_json::from_slice::<serde::de::IgnoredAny>(&frame).is_err()
                        && recorder.received.recheck()
                    {
                        continue;
                    }
                    recorder.received.accept();
                    recorder.line_received(&frame);
                }
                Ok(None) => return,
                // The client closes the connection for it, and says why.
                Err(_) => {
                    recorder.received = Framer::default();
                    return;
                }
            }
        }
    }

    /// No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Recorder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trace")
    }
}

impl Recorder {
    fn line_sent(&mut self, line: &[u8]) {
        // An agent's mark is no text.
        let line = String::from_utf8_lossy(line.strip_prefix(b"\xff").unwrap_or(line));
        let line = line.trim();
        let Ok(mut command) = serde_json::from_str::<Value>(line) else {
            return self.write("#", "a line that is no JSON is sent");
        };
        let verb = if command.get("exec-oob").is_some() { "exec-oob" } else { "execute" };
        let name = command[verb].as_str().unwrap_or_default().to_owned();
        if returns_secret(&name, &command["arguments"]) {
            self.secret_answers.insert(command["id"].to_string());
        }
        match redacted(&name, &command["arguments"]) {
            None => self.write("->", line),
            Some(arguments) => {
                command["arguments"] = arguments;
                self.write("->", &command.to_string());
            }
        }
    }

    fn line_received(&mut self, frame: &[u8]) {
        let text = String::from_utf8_lossy(frame);
        // White space inside a string is escaped, so that a line end is one between members.
        let line = text.trim().replace(['\r', '\n'], " ");
        if !self.secret_answers.is_empty()
            && let Ok(mut reply) = serde_json::from_str::<Value>(&line)
            && reply.get("return").is_some()
            && self.secret_answers.remove(&reply["id"].to_string())
        {
            reply["return"] = BLOT.into();
            return self.write("<-", &reply.to_string());
        }
        self.write("<-", &line);
    }

    fn write(&self, sign: &str, line: &str) {
        self.page.put(format!("{sign} {line}\n").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Page {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn lines_are_whole_however_they_travel() {
        let page = Page::default();
        let trace = Trace::new(page.clone());
        trace.received(b"{\"QMP\": {\"ver");
        trace.received(b"sion\": {}}}\r\n{\"event\":");
        trace.sent(b"{\"execute\":\"qmp_capabil", 0);
        trace.sent(b"ities\",\"id\":-1}\n{\"execute\":\"stop\"}\n", 1);
        trace.received(b" \"STOP\"}\r\n");
        trace.received(b"{\r\n    \"return\": {\r\n    }\r\n}\r\n");
        trace.outcome().unwrap();
        assert_eq!(
            page.text(),
            "<- {\"QMP\": {\"version\": {}}}\n\
             # 1 descriptors go with this\n\
             -> {\"execute\":\"qmp_capabilities\",\"id\":-1}\n\
             -> {\"execute\":\"stop\"}\n\
             <- {\"event\": \"STOP\"}\n\
             <- {      \"return\": {      }  }\n"
        );
    }

    #[test]
    fn secrets_are_not_written_down_in_either_direction() {
        let page = Page::default();
        let trace = Trace::new(page.clone());
        let add = br#"{"execute":"object-add","arguments":{"qom-type":"secret","id":"s","data":"hush"},"id":1}"#;
        trace.sent(add, 0);
        trace.sent(b"\n", 0);
        let get =
            br#"{"execute":"qom-get","arguments":{"path":"/objects/s","property":"data"},"id":2}"#;
        trace.sent(get, 0);
        trace.sent(b"\n", 0);
        trace.received(b"{\"return\": {}, \"id\": 1}\r\n{\"return\": \"hush\", \"id\": 2}\r\n");
        trace.outcome().unwrap();
        let text = page.text();
        assert!(!text.contains("hush") && text.contains("***"), "{text}");
        assert_eq!(text.lines().count(), 4, "{text}");
    }

    #[test]
    fn a_writer_that_fails_ends_the_trace_and_is_told_of() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let trace = Trace::new(Full);
        trace.sent(b"{}\n{}\n", 0);
        assert_eq!(trace.outcome().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(trace.outcome().is_ok());
    }
}
