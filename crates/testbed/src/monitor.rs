//! A tiny QMP client, the tests' oracle.
//!
//! It shares no code with the product on purpose: a misunderstanding of the protocol in one is then
//! not confirmed by the other. It relies on what the testbed's own monitor promises (one message a
//! line, commands answered in order) and on nothing else.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::lines::Lines;
use crate::{Error, Evidence, Result};

/// How long QEMU may take to answer anything; a busy machine under TCG is slow, not that slow.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A negotiated connection to a monitor.
#[derive(Debug)]
pub struct Monitor {
    lines: Lines,
    events: Vec<Value>,
    evidence: Option<Evidence>,
    /// The id of the last command: a reply with another one is an earlier client's, whose last
    /// command QEMU was carrying out when it left.
    last_id: u64,
}

impl Monitor {
    /// Waits for the socket, then negotiates.
    pub fn connect(path: &Path, within: Duration) -> Result<Self> {
        Self::meet(Lines::connect(path, within, || true)?, within, None)
    }

    /// Negotiates on a connection.
    pub(crate) fn meet(lines: Lines, within: Duration, evidence: Option<Evidence>) -> Result<Self> {
        let mut monitor = Self { lines, events: Vec::new(), evidence, last_id: 0 };
        let deadline = Instant::now() + within;
        let mut greeting = monitor.next_message(deadline)?;
        if is_answer(&greeting) {
            greeting = monitor.next_message(deadline)?;
        }
        if greeting.get("QMP").is_none() {
            return Err(Error::failed(format!("not a QMP greeting: {greeting}")));
        }
        monitor
            .execute("qmp_capabilities", json!({}))
            .map_err(|refusal| Error::failed(format!("negotiation was refused: {refusal}")))?;
        Ok(monitor)
    }

    /// Executes a command: `Ok` with what it returned, or `Err` with QEMU's error object. When the
    /// connection itself fails, the error object's class is `Testbed`.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, Value> {
        self.last_id += 1;
        let id = format!("oracle {}", self.last_id);
        let message = json!({"execute": command, "arguments": arguments, "id": id});
        self.converse(&message).unwrap_or_else(|error| {
            Err(json!({"class": "Testbed", "desc": format!("{command}: {error}")}))
        })
    }

    /// Executes a command that has to succeed: a refusal is an error with all the evidence.
    pub fn demand(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.execute(command, arguments)
            .map_err(|refusal| self.failure(&format!("QEMU refused {command}: {refusal}")))
    }

    fn converse(&mut self, command: &Value) -> Result<Result<Value, Value>> {
        self.lines
            .send(&command.to_string())
            .map_err(|error| self.failure(&format!("QEMU's monitor takes nothing: {error}")))?;
        let deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            let mut message = self.next_message(deadline)?;
            if is_answer(&message) && message["id"] != command["id"] {
                continue;
            }
            if let Some(answer) = message.get_mut("return") {
                return Ok(Ok(answer.take()));
            }
            if let Some(error) = message.get_mut("error") {
                return Ok(Err(error.take()));
            }
            self.events.push(message);
        }
    }

    /// All events so far, oldest first, but for those [`Monitor::wait_event`] has taken.
    pub fn events(&mut self) -> &[Value] {
        // A deadline in the past reads only what is there already.
        let now = Instant::now();
        while let Ok(line) = self.lines.next(now) {
            self.events.extend(serde_json::from_str::<Value>(&line));
        }
        &self.events
    }

    /// Takes the oldest event called `name`, waiting for it when there is none yet.
    pub fn wait_event(&mut self, name: &str, within: Duration) -> Result<Value> {
        self.wait_event_where(name, within, |_| true)
    }

    /// Takes the oldest event called `name` whose data `is_it`.
    pub fn wait_event_where(
        &mut self,
        name: &str,
        within: Duration,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let deadline = Instant::now() + within;
        let mut seen = 0;
        loop {
            while seen < self.events.len() {
                let event = &self.events[seen];
                if event["event"] == name && is_it(&event["data"]) {
                    return Ok(self.events.remove(seen));
                }
                seen += 1;
            }
            let event = self.next_message(deadline).map_err(|error| {
                error.while_doing(&format!("waited {within:?} for the event {name}"))
            })?;
            self.events.push(event);
        }
    }

    fn next_message(&mut self, deadline: Instant) -> Result<Value> {
        let line = self
            .lines
            .next(deadline)
            .map_err(|reason| self.failure(&format!("QEMU's monitor {reason}")))?;
        serde_json::from_str(&line)
            .map_err(|error| self.failure(&format!("QEMU sent no JSON ({error}): {line}")))
    }

    fn failure(&self, what: &str) -> Error {
        match &self.evidence {
            Some(evidence) => evidence.failure(what),
            None => Error::failed(what),
        }
    }
}

fn is_answer(message: &Value) -> bool {
    message.get("return").is_some() || message.get("error").is_some()
}
