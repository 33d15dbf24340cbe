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

/// Another thing of this kind has the id.
pub(crate) fn duplicate(object: &str, id: &str) -> ErrorReply {
    generic(format!("Duplicate ID '{id}' for {object}"))
}

/// An id that is none.
pub(crate) fn no_identifier() -> ErrorReply {
    generic("Parameter 'id' expects an identifier")
}

/// An option that there is not.
pub(crate) fn unknown_parameter(parameter: &str) -> ErrorReply {
    generic(format!("Invalid parameter '{parameter}'"))
}

/// A bus that there is not.
pub(crate) fn no_bus(bus: &str) -> ErrorReply {
    generic(format!("Bus '{bus}' not found"))
}

/// No bus of this type is there for a device that names none.
pub(crate) fn no_bus_for(device: &str, kind: &str) -> ErrorReply {
    generic(format!("No '{kind}' bus found for device '{device}'"))
}

/// A value that a property does not take.
pub(crate) fn bad_value(device: &str, property: &str, value: &str) -> ErrorReply {
    generic(format!("Property '{device}.{property}' doesn't take value '{value}'"))
}

/// A drive that there is not.
pub(crate) fn no_drive(device: &str, drive: &str) -> ErrorReply {
    generic(format!("Property '{device}.drive' can't find value '{drive}'"))
}

/// What QEMU of before 1.5 says of any device that it cannot make: the reason is on its stderr.
pub(crate) fn init_failed(device: &str) -> ErrorReply {
    generic(format!("Device '{device}' could not be initialized"))
}

/// A drive whose medium stays.
pub(crate) fn not_removable(device: &str) -> ErrorReply {
    generic(format!("Device '{device}' is not removable"))
}
