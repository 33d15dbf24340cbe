//! What is measured.

use std::str::FromStr;

/// How many commands are in flight at once.
pub(crate) const IN_FLIGHT: u32 = 64;

/// How many events one command sets off.
pub(crate) const BURST: u32 = 200_000;

/// Something that a client does again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// A command, and its reply, one at a time.
    Single,
    /// [`IN_FLIGHT`] commands at once, and all their replies.
    InFlight,
    /// One command that sets [`BURST`] events off, handed to one subscriber as values of its own.
    Events,
    /// A reply as large as QEMU's schema, handed over as text.
    Unparsed,
    /// The same reply, as a list of types.
    Decoded,
}

impl FromStr for Work {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "single" => Self::Single,
            "in-flight" => Self::InFlight,
            "events" => Self::Events,
            "unparsed" => Self::Unparsed,
            "decoded" => Self::Decoded,
            _ => return Err(format!("no work is called {name}")),
        })
    }
}
