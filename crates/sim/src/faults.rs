//! What goes wrong between a machine and its client, by script.
//!
//! A script has a fault a line; `#` begins a comment. Commands and events are counted from 1, over
//! all connections; the negotiation is not counted.
//!
//! ```text
//! drop 3 unheard              # the connection is lost before the third command is carried out
//! drop device_add unanswered  # carried out, and lost before the reply: every time
//! drop blockdev-add:2 answered
//! fail 2 GenericError Could not open 'x': No such file or directory
//! twice 2                     # the reply comes twice
//! swap device_del             # the reply comes behind the next event
//! garbage 1 {"nonsense        # these bytes come before the reply
//! lose DEVICE_DELETED:2
//! delay DEVICE_DELETED 500ms
//! double DEVICE_DELETED
//! ```

use std::str::FromStr;
use std::time::Duration;

use qplug_proto::ErrorReply;
use thiserror::Error;

use crate::guest::duration;

/// The most faults that a script may have.
pub const MAX_FAULTS: usize = 1000;

/// A script of faults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    which: Which,
    what: What,
}

/// Which commands, or which events.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Which {
    /// All of them where there is none.
    name: Option<String>,
    /// The first is 1; each of them where there is none.
    number: Option<u64>,
    seen: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Drop(Drop),
    Fail(ErrorReply),
    Twice,
    Swap,
    Garbage(Vec<u8>),
    Lose,
    Delay(Duration),
    Double,
}

/// When a connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drop {
    /// Before the command is carried out.
    Unheard,
    /// Before its reply.
    Unanswered,
    /// After its reply.
    Answered,
}

/// What happens to a command and its reply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CommandFaults {
    pub(crate) drop: Option<Drop>,
    pub(crate) fail: Option<ErrorReply>,
    pub(crate) is_doubled: bool,
    pub(crate) is_swapped: bool,
    pub(crate) garbage: Vec<u8>,
}

/// What happens to an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct EventFaults {
    pub(crate) is_lost: bool,
    pub(crate) is_doubled: bool,
    pub(crate) delay: Option<Duration>,
}

/// A script that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line} of the faults makes no sense: {text:?} (docs/simulator.md has the forms)")]
pub struct ParseFaultsError {
    line: usize,
    text: String,
}

impl Faults {
    /// What happens to the command that came now.
    pub(crate) fn of_command(&mut self, name: &str) -> CommandFaults {
        let mut found = CommandFaults::default();
        for fault in self.0.iter_mut().filter(|fault| !fault.what.is_of_event()) {
            if !fault.which.matches(name) {
                continue;
            }
            match &fault.what {
                What::Drop(drop) => found.drop = Some(*drop),
                What::Fail(error) => found.fail = Some(error.clone()),
                What::Twice => found.is_doubled = true,
                What::Swap => found.is_swapped = true,
                What::Garbage(bytes) => found.garbage.extend_from_slice(bytes),
                What::Lose | What::Delay(_) | What::Double => {}
            }
        }
        found
    }

    /// What happens to the event that is about to be sent.
    pub(crate) fn of_event(&mut self, name: &str) -> EventFaults {
        let mut found = EventFaults::default();
        for fault in self.0.iter_mut().filter(|fault| fault.what.is_of_event()) {
            if !fault.which.matches(name) {
                continue;
            }
            match fault.what {
                What::Lose => found.is_lost = true,
                What::Delay(time) => found.delay = Some(time),
                What::Double => found.is_doubled = true,
                _ => {}
            }
        }
        found
    }
}

impl What {
    fn is_of_event(&self) -> bool {
        matches!(self, Self::Lose | Self::Delay(_) | Self::Double)
    }
}

impl Which {
    /// `3`, `device_add` or `device_add:3`.
    fn parse(text: &str) -> Option<Self> {
        let (name, number) = match (text.parse(), text.split_once(':')) {
            (Ok(number), _) => (None, Some(number)),
            (_, Some((name, number))) => (Some(name), Some(number.parse().ok()?)),
            (_, None) => (Some(text), None),
        };
        let is_wrong = number == Some(0) || name.is_some_and(str::is_empty);
        (!is_wrong).then(|| Self { name: name.map(ToOwned::to_owned), number, seen: 0 })
    }

    /// Counts, and tells whether this is the one.
    fn matches(&mut self, name: &str) -> bool {
        if self.name.as_deref().is_some_and(|wanted| wanted != name) {
            return false;
        }
        self.seen += 1;
        self.number.is_none_or(|number| number == self.seen)
    }
}

impl FromStr for Faults {
    type Err = ParseFaultsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut faults = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            match Fault::parse(text).filter(|_| faults.len() < MAX_FAULTS) {
                Some(fault) => faults.push(fault),
                None => return Err(ParseFaultsError { line, text: text.to_owned() }),
            }
        }
        Ok(Self(faults))
    }
}

impl Fault {
    fn parse(text: &str) -> Option<Self> {
        let (verb, rest) = text.split_once(' ')?;
        let (which, rest) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
        // Texts are taken as they are; elsewhere a comment may follow.
        let words = rest.split(" #").next().unwrap_or_default().trim();
        let words = if words.starts_with('#') { "" } else { words };
        let what = match (verb, words) {
            ("drop", "unheard") => What::Drop(Drop::Unheard),
            ("drop", "unanswered") => What::Drop(Drop::Unanswered),
            ("drop", "answered") => What::Drop(Drop::Answered),
            ("fail", _) => {
                let (class, desc) = rest.trim().split_once(' ')?;
                What::Fail(ErrorReply::new(class, desc.trim()))
            }
            ("twice", "") => What::Twice,
            ("swap", "") => What::Swap,
            ("garbage", _) if !rest.is_empty() => What::Garbage(rest.as_bytes().to_vec()),
            ("lose", "") => What::Lose,
            ("double", "") => What::Double,
            ("delay", time) => What::Delay(duration(time)?),
            _ => return None,
        };
        Some(Self { which: Which::parse(which)?, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_says_which_and_what() {
        let text = "# faults\n\ndrop 3 unheard # so\nfail device_add:2 GenericError No # room\n\
                    swap device_del\nlose DEVICE_DELETED:2\ndelay RESET 1.5s # later\ntwice 1";
        let mut faults: Faults = text.parse().expect("the script makes sense");
        assert!(faults.of_command("device_add").is_doubled);
        let second = faults.of_command("device_add");
        assert_eq!(second.fail, Some(ErrorReply::new("GenericError", "No # room")));
        let third = faults.of_command("device_del");
        assert_eq!((third.drop, third.is_swapped), (Some(Drop::Unheard), true));
        assert!(!faults.of_event("DEVICE_DELETED").is_lost);
        assert!(faults.of_event("DEVICE_DELETED").is_lost);
        assert_eq!(faults.of_event("RESET").delay, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn what_makes_no_sense_is_named_by_its_line() {
        for bad in ["drop", "drop 1", "drop 1 now", "drop 0 unheard", "fail 1 X", "lose", "delay A"]
        {
            let error = format!("\n{bad}").parse::<Faults>().expect_err(bad);
            assert!(error.to_string().contains("line 2"), "{error}");
        }
    }
}
