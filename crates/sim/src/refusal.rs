//! What a command returns, and the refusals that many commands share, in QEMU's own words.

use qplug_proto::ErrorReply;
use serde_json::Value;

/// What a command returns, or why it is refused.
pub type Reply = Result<Value, ErrorReply>;

/// A refusal of the class that nearly all have.
pub(crate) fn generic(text: impl Into<String>) -> ErrorReply {
    ErrorReply::new("GenericError", text)
}

/// There is no such device, object or QOM path.
pub(crate) fn no_device(id: &str) -> ErrorReply {
    ErrorReply::new("DeviceNotFound", format!("Device '{id}' not found"))
}

/// The bus takes no device while the machine runs.
pub(crate) fn no_hotplug(bus: &str) -> ErrorReply {
    generic(format!("Bus '{bus}' does not support hotplugging"))
}

/// No argument of this name was given, and one must be.
pub(crate) fn missing(parameter: &str) -> ErrorReply {
    generic(format!("Parameter '{parameter}' is missing"))
}

/// An argument has the wrong JSON type.
pub(crate) fn wrong_type(parameter: &str, expected: &str) -> ErrorReply {
    generic(format!("Invalid parameter type for '{parameter}', expected: {expected}"))
}

/// An argument is not one of the words that there are.
pub(crate) fn not_accepted(parameter: &str, value: &str) -> ErrorReply {
    generic(format!("Parameter '{parameter}' does not accept value '{value}'"))
}

/// A node is looked for under both names that it could have.
pub(crate) fn no_device_nor_node(device: &str, node: &str) -> ErrorReply {
    generic(format!("Cannot find device='{device}' nor node-name='{node}'"))
}
