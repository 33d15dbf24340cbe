//! Exit codes, and which failure has which. The README has the same table.

use std::process::ExitCode;

use qplug_hotplug::{DiskError, Error, Kind};
use qplug_qmp::ConnectError;

/// How the command ends, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or already so.
    Done,
    /// Something that no other code names.
    Other,
    /// The command line is wrong; clap uses the same code.
    Usage,
    /// No conversation with QEMU came about, or it ended before anything was changed.
    Connection,
    /// QEMU or the guest refused.
    Refused,
    /// The guest was asked to let go, and has not answered yet.
    Pending,
    /// It cannot be done with this machine or image; nothing was changed.
    Impossible,
    /// A command was sent and not answered.
    Unknown,
    /// Interrupted by the user, as shells number it.
    Interrupted,
    /// As a program that was run for the user ended, with anything from 1 to 255.
    Program(u8),
}

/// How a command ends that runs a program, where it is qplug that fails and not the program: docker's and
/// GNU's number for it, as a program may end with any of ours.
pub(crate) const NO_PROGRAM: u8 = 125;

impl Exit {
    /// The worse of two ends, for a command that is about several disks: unknown before refused,
    /// then connection, impossible, pending, done. So 5 says that nothing is wrong but the waiting.
    pub(crate) fn worse(self, other: Self) -> Self {
        if self.badness() >= other.badness() { self } else { other }
    }

    fn badness(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Pending => 1,
            Self::Impossible => 2,
            Self::Connection => 3,
            Self::Refused => 4,
            Self::Unknown => 5,
            Self::Other | Self::Program(_) => 6,
            Self::Usage => 7,
            Self::Interrupted => 8,
        }
    }

    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Other => 1,
            Self::Usage => 2,
            Self::Connection => 3,
            Self::Refused => 4,
            Self::Pending => 5,
            Self::Impossible => 6,
            Self::Unknown => 7,
            Self::Interrupted => 130,
            Self::Program(code) => code,
        }
    }

    /// The code's name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Other => "other",
            Self::Usage => "usage",
            Self::Connection => "connection",
            Self::Refused => "refused",
            Self::Pending => "pending",
            Self::Impossible => "impossible",
            Self::Unknown => "unknown",
            Self::Interrupted => "interrupted",
            Self::Program(_) => "program",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A command that failed: what to print, and how to exit.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    /// The failure that such an error is.
    pub(crate) fn about(error: &Error) -> Self {
        Self::of(Self::exit_of(error), error)
    }

    /// How the command exits for such an error.
    pub(crate) fn exit_of(error: &Error) -> Exit {
        match error.kind() {
            Kind::Impossible => Exit::Impossible,
            Kind::Refused => Exit::Refused,
            Kind::Pending => Exit::Pending,
            Kind::Unknown => Exit::Unknown,
            Kind::Connection => Exit::Connection,
        }
    }

    /// The failure as programs see it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "kind": self.exit.name(), "exit_code": self.exit.code(), "message": self.message,
        })
    }

    fn of(exit: Exit, error: &impl ToString) -> Self {
        Self { exit, message: error.to_string() }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::of(Exit::Connection, &error)
    }
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        Self::of(Exit::Impossible, &error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::about(&error)
    }
}

impl From<qplug_qmp::Error> for Failure {
    fn from(error: qplug_qmp::Error) -> Self {
        use qplug_qmp::Error as E;
        let exit = match error {
            E::Refused { .. } => Exit::Refused,
            E::NotSent { .. } => Exit::Connection,
            E::Unknown { .. } | E::Overdue { .. } => Exit::Unknown,
            E::Unsendable { .. } => Exit::Usage,
            E::Decode { .. } => Exit::Other,
        };
        Self::of(exit, &error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::of(Exit::Other, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_ends_is_the_commands() {
        let order = [
            Exit::Done,
            Exit::Pending,
            Exit::Impossible,
            Exit::Connection,
            Exit::Refused,
            Exit::Unknown,
        ];
        for (at, worse) in order.iter().enumerate() {
            for better in &order[..=at] {
                assert_eq!((worse.worse(*better), better.worse(*worse)), (*worse, *worse));
            }
        }
    }
}
