//! What a guest agent's server does of its own: bringing a client in step.

use serde_json::value::RawValue;

use super::envelope::Members;
use crate::message::ErrorReply;

/// Stands ahead of the answer to `guest-sync-delimited`: no JSON in UTF-8 has this byte.
pub(super) const MARK: u8 = 0xff;

/// Whether the answer to a command comes behind the mark.
pub(super) fn is_delimited(command: &str) -> bool {
    command == "guest-sync-delimited"
}

/// The answer to a synchronization: the number that came with it. `None` for any other command.
pub(super) fn synchronize(
    command: &str,
    arguments: Option<&RawValue>,
) -> Option<Result<Box<RawValue>, ErrorReply>> {
    (command == "guest-sync" || is_delimited(command)).then(|| token(arguments))
}

fn token(arguments: Option<&RawValue>) -> Result<Box<RawValue>, ErrorReply> {
    let refuse = |text: &str| Err(ErrorReply::new("GenericError", text));
    let members = arguments.map(Members::of).unwrap_or_default();
    let Some((_, token)) = members.iter().find(|(key, _)| key == "id") else {
        return refuse("Parameter 'id' is missing");
    };
    if serde_json::from_str::<i64>(token.get()).is_err() {
        return refuse("Invalid parameter type for 'id', expected: integer");
    }
    match members.iter().find(|(key, _)| key != "id") {
        Some((other, _)) => refuse(&format!("Parameter '{other}' is unexpected")),
        None => Ok((*token).to_owned()),
    }
}
