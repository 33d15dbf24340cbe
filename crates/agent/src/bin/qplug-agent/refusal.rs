//! Why a command has no result.

use std::fmt::Display;

use qplug_proto::ErrorReply;

/// What a command returns, or why it does not.
pub(crate) type Result<T, E = ErrorReply> = std::result::Result<T, E>;

/// A refusal in words.
pub(crate) fn refuse(text: impl Into<String>) -> ErrorReply {
    ErrorReply::new("GenericError", text)
}

/// A refusal that an error is behind: `cannot WHAT: ERROR`.
pub(crate) fn cannot<E: Display>(what: impl Display) -> impl FnOnce(E) -> ErrorReply {
    move |error| refuse(format!("cannot {what}: {error}"))
}
