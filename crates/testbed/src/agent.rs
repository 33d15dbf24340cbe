//! The host's end of QEMU's guest agent, as an oracle beside the product's own.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::lines::Lines;
use crate::{Error, Result};

/// How long the agent may take to answer; it starts with the guest and its folders are small.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The agent starts to listen some time after the guest is up, and what came before is lost.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A conversation with an agent that answered.
#[derive(Debug)]
pub struct Agent {
    lines: Lines,
}

impl Agent {
    /// Connects to the socket and waits until the agent answers to a number of ours: what it said
    /// before was for somebody else.
    pub fn connect(path: &Path) -> Result<Self> {
        let mut agent = Self { lines: Lines::connect(path, ANSWER_WITHIN, || true)? };
        let deadline = Instant::now() + ANSWER_WITHIN;
        let mut number = u64::from(std::process::id());
        loop {
            number += 1;
            agent.send("guest-sync-delimited", &json!({ "id": number }))?;
            let round = Instant::now() + ASK_AGAIN_AFTER;
            while let Ok(line) = agent.lines.next(round) {
                if parse(&line).is_some_and(|answer| answer["return"] == number) {
                    return Ok(agent);
                }
            }
            if Instant::now() > deadline {
                return Err(Error::failed(format!(
                    "waited {ANSWER_WITHIN:?} for the guest agent at {}",
                    path.display()
                )));
            }
        }
    }

    /// Executes a command: `Ok` with what it returned, or `Err` with the agent's error object. When
    /// the connection itself fails, the error object's class is `Testbed`.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, Value> {
        let answer = self
            .converse(command, arguments)
            .map_err(|error| json!({"class": "Testbed", "desc": format!("{command}: {error}")}))?;
        match answer {
            Value::Object(mut members) if members.contains_key("return") => {
                Ok(members.remove("return").unwrap_or_default())
            }
            other => Err(other["error"].clone()),
        }
    }

    /// Executes a command and returns its answer as it came, for recordings.
    pub fn answer(&mut self, command: &str, arguments: &Value) -> Result<String> {
        self.send(command, arguments)?;
        self.lines
            .next(Instant::now() + ANSWER_WITHIN)
            .map_err(|reason| Error::failed(format!("the guest agent {reason}")))
    }

    fn converse(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let line = self.answer(command, arguments)?;
        parse(&line).ok_or_else(|| Error::failed(format!("the guest agent sent no JSON: {line}")))
    }

    fn send(&mut self, command: &str, arguments: &Value) -> Result<()> {
        let line = json!({"execute": command, "arguments": arguments}).to_string();
        self.lines.send(&line).map_err(|error| {
            Error::failed(format!("the guest agent's port takes nothing: {error}"))
        })
    }
}

/// A delimited answer has a byte in front of it that is no text.
fn parse(line: &str) -> Option<Value> {
    serde_json::from_str(line.trim_start_matches(char::REPLACEMENT_CHARACTER)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delimiter_is_no_part_of_the_answer() {
        let line = String::from_utf8_lossy(b"\xff{\"return\": 7}").into_owned();
        assert_eq!(parse(&line), Some(json!({"return": 7})));
        assert_eq!(parse("\u{fffd}"), None);
    }
}
