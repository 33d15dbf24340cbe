//! What all operations have in common: a state machine that is told answers, events and the time,
//! and says which command comes next. None knows that sockets exist; `drive.rs` moves them all.

use std::time::Instant;

use qplug_proto::{ErrorReply, Event};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::command::Command;
use crate::dialect::Features;
use crate::error::Error;

/// What became of a command.
#[derive(Debug)]
pub enum Answer {
    /// QEMU carried it out.
    Returned(Box<RawValue>),
    /// QEMU refused it.
    Refused(ErrorReply),
    /// It was sent, and nobody knows; the text says why.
    Lost(String),
    /// It was never sent; the text says why.
    NotSent(String),
}

/// A piece of work on a machine.
///
/// Callers send what [`Operation::poll_transmit`] gives, in that order, hand the answers in in the
/// same order, and stop at the first outcome.
pub trait Operation {
    /// How it ends.
    type Outcome;

    /// Is told what the machine can, before its first command is sent. One that is not told takes
    /// the machine for one that can everything.
    fn speak(&mut self, features: &Features);

    /// The next command to send; `None` until more is known.
    fn poll_transmit(&mut self) -> Option<Command>;

    /// Takes in the answer to the oldest command that has none.
    fn handle_answer(&mut self, answer: Answer, now: Instant);

    /// Takes in an event, in the order of arrival among the answers.
    fn handle_event(&mut self, _event: &Event, _now: Instant) {}

    /// Takes in that it is `now`.
    fn handle_timeout(&mut self, _now: Instant) {}

    /// Takes in that events may have been missed.
    fn handle_missed(&mut self, _now: Instant) {}

    /// Takes in that the connection is lost while no command waits for an answer.
    fn handle_lost(&mut self, _why: String) {}

    /// When [`Operation::handle_timeout`] is to be called at the latest.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// The outcome, once.
    fn poll_outcome(&mut self) -> Option<Self::Outcome>;
}

/// Decodes the answer to a query, which changes nothing whatever becomes of it.
pub(crate) fn decode<T: DeserializeOwned>(query: &Command, answer: Answer) -> Result<T, Error> {
    let command = query.name;
    match answer {
        Answer::Returned(value) => serde_json::from_str(value.get())
            .map_err(|error| Error::NotUnderstood { command, reason: error.to_string() }),
        Answer::Refused(reply) => Err(Error::QueryRefused { command, reply }),
        Answer::Lost(why) | Answer::NotSent(why) => Err(Error::QueryLost { command, why }),
    }
}

/// The same for a query that QEMU may refuse, because the thing is not there or QEMU is too old to
/// know of it; then there is no answer.
pub(crate) fn decode_optional<T: DeserializeOwned>(
    query: &Command,
    answer: Answer,
) -> Result<Option<T>, Error> {
    match answer {
        Answer::Refused(_) => Ok(None),
        answer => decode(query, answer).map(Some),
    }
}

#[cfg(test)]
pub(crate) mod script {
    //! Plays an operation against answers that a test writes down, in virtual time.

    use std::time::Duration;

    use super::*;

    /// What happens next to an operation.
    pub(crate) enum Happens {
        /// This command is sent (name, and a part of its arguments), and answered so.
        Answer(&'static str, &'static str, Result<&'static str, &'static str>),
        /// This command is sent, and never answered.
        Lost(&'static str),
        /// This command is given, and never sent.
        Unsent(&'static str),
        /// An event of this name and data comes.
        Event(&'static str, &'static str),
        /// So many milliseconds after the start, the time has come.
        At(u64),
        /// The connection closes.
        Closed,
    }

    /// Plays the script, and gives the outcome, which must not come before its end.
    pub(crate) fn play<O: Operation>(mut operation: O, script: Vec<Happens>) -> O::Outcome {
        let start = Instant::now();
        let mut now = start;
        for (number, happens) in script.into_iter().enumerate() {
            assert!(operation.poll_outcome().is_none(), "it ended before line {number}");
            match happens {
                Happens::Answer(name, part, answer) => {
                    expect_command(&mut operation, number, name, part);
                    operation.handle_answer(to_answer(answer), now);
                }
                Happens::Lost(name) => {
                    expect_command(&mut operation, number, name, "");
                    operation.handle_answer(Answer::Lost("gone".to_owned()), now);
                }
                Happens::Unsent(name) => {
                    expect_command(&mut operation, number, name, "");
                    operation.handle_answer(Answer::NotSent("gone".to_owned()), now);
                }
                Happens::Event(name, data) => {
                    let data = serde_json::from_str(data).ok();
                    let event = Event { name: name.to_owned(), data, timestamp: None };
                    operation.handle_event(&event, now);
                }
                Happens::At(ms) => {
                    let at = start + Duration::from_millis(ms);
                    let wanted = operation.poll_timeout();
                    assert!(wanted.is_some_and(|t| t <= at), "line {number}: no timer is due");
                    now = at;
                    operation.handle_timeout(now);
                }
                Happens::Closed => operation.handle_lost("gone".to_owned()),
            }
        }
        assert_eq!(operation.poll_transmit(), None, "a command too many");
        operation.poll_outcome().expect("the script ends, and the operation does not")
    }

    fn expect_command<O: Operation>(operation: &mut O, number: usize, name: &str, part: &str) {
        let command = operation.poll_transmit();
        let command = command.unwrap_or_else(|| panic!("line {number}: {name} was not sent"));
        assert_eq!(command.name, name, "line {number}");
        // QEMU 0.14 takes none anywhere.
        assert!(!command.arguments.as_ref().is_some_and(has_null), "line {number}: a null is sent");
        let arguments = command.arguments.map(|it| it.to_string()).unwrap_or_default();
        assert!(arguments.contains(part), "line {number}: {arguments} lacks {part}");
    }

    fn has_null(value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::Null => true,
            serde_json::Value::Array(elements) => elements.iter().any(has_null),
            serde_json::Value::Object(members) => members.values().any(has_null),
            _ => false,
        }
    }

    fn to_answer(answer: Result<&str, &str>) -> Answer {
        match answer {
            Ok(json) => {
                Answer::Returned(RawValue::from_string(json.to_owned()).expect("the test's JSON"))
            }
            Err(text) => {
                let not_found = text.strip_prefix("DeviceNotFound: ");
                let class = if not_found.is_some() { "DeviceNotFound" } else { "GenericError" };
                let desc = not_found.unwrap_or(text);
                Answer::Refused(ErrorReply::new(class, desc))
            }
        }
    }
}
