//! Commands that are types, on the wire and back: the same for both clients.

use std::fmt::Display;

use qplug_qapi::Command;
use qplug_qapi::wire::{Object, Wire as _};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::Error;

/// What a command sends; nothing at all where nothing is to be said.
pub(crate) fn arguments<C: Command>(command: &C) -> Option<Value> {
    let arguments = command.write();
    let is_bare = arguments.as_object().is_some_and(Object::is_empty);
    (!is_bare).then_some(arguments)
}

/// What a command returned.
pub(crate) fn reply<C: Command>(reply: &RawValue) -> Result<C::Reply, Error> {
    decode(C::NAME, reply, C::Reply::read)
}

/// Reads a reply, first as JSON and then as what it should be.
pub(crate) fn decode<J: DeserializeOwned, T, E: Display>(
    command: &str,
    reply: &RawValue,
    read: impl FnOnce(J) -> Result<T, E>,
) -> Result<T, Error> {
    let parsed = serde_json::from_str(reply.get()).map_err(|error| error.to_string());
    let decoded = parsed.and_then(|json| read(json).map_err(|error| error.to_string()));
    decoded.map_err(|reason| Error::Decode { command: command.to_owned(), reason })
}
