//! Exit codes, and which failure has which. The README has the same table.

use std::process::ExitCode;

use qplug_hotplug::{DiskError, Error, Kind};
use qplug_qmp::ConnectError;

/// How the command ends, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or already so.
    Done = 0,
    /// Something that no other code names.
    Other = 1,
    /// The command line is wrong; clap uses the same code.
    Usage = 2,
    /// No conversation with QEMU came about, or it ended before anything was changed.
    Connection = 3,
    /// QEMU or the guest refused.
    Refused = 4,
    /// The guest was asked to let go, and has not answered yet.
    Pending = 5,
    /// It cannot be done with this machine or image; nothing was changed.
    Impossible = 6,
    /// A command was sent and not answered.
    Unknown = 7,
    /// Interrupted by the user, as shells number it.
    Interrupted = 130,
}

impl Exit {
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
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
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
        let exit = match error.kind() {
            Kind::Impossible => Exit::Impossible,
            Kind::Refused => Exit::Refused,
            Kind::Pending => Exit::Pending,
            Kind::Unknown => Exit::Unknown,
            Kind::Connection => Exit::Connection,
        };
        Self::of(exit, &error)
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
