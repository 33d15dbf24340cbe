//! The error classes of before QEMU 1.2, and what their data is: both follow from the text, which is
//! made of the data. (The texts outlived the classes, so that they are what a server is given.)

use serde_json::value::RawValue;

use crate::message::ErrorReply;

/// A class, its text, and the names of what `%` stands for in it, in their order.
type Class = (&'static str, &'static str, &'static [&'static str]);

/// Those that a hotplug may meet (QEMU 0.14's `qerror.c`; most were recorded too). The first text that
/// fits is it.
const CLASSES: &[Class] = &[
    ("BadBusForDevice", "Device '%' can't go on a % bus", &["device", "bad_bus_type"]),
    ("BusNoHotplug", "Bus '%' does not support hotplugging", &["bus"]),
    ("BusNotFound", "Bus '%' not found", &["bus"]),
    ("CommandNotFound", "The command % has not been found", &["name"]),
    ("DeviceEncrypted", "Device '%' is encrypted", &["device"]),
    ("DeviceInitFailed", "Device '%' could not be initialized", &["device"]),
    ("DeviceInUse", "Device '%' is in use", &["device"]),
    ("DeviceLocked", "Device '%' is locked", &["device"]),
    ("DeviceMultipleBusses", "Device '%' has multiple child busses", &["device"]),
    ("DeviceNotActive", "Device '%' has not been activated", &["device"]),
    ("DeviceNotEncrypted", "Device '%' is not encrypted", &["device"]),
    ("DeviceNotFound", "Device '%' not found", &["device"]),
    ("DeviceNotRemovable", "Device '%' is not removable", &["device"]),
    ("DeviceNoBus", "Device '%' has no child bus", &["device"]),
    ("DeviceNoHotplug", "Device '%' does not support hotplugging", &["device"]),
    ("DuplicateId", "Duplicate ID '%' for %", &["id", "object"]),
    ("FdNotFound", "File descriptor named '%' not found", &["name"]),
    ("FdNotSupplied", "No file descriptor supplied via SCM_RIGHTS", &[]),
    ("InvalidBlockFormat", "Invalid block format '%'", &["name"]),
    ("InvalidParameter", "Invalid parameter '%'", &["name"]),
    ("InvalidParameterType", "Invalid parameter type for '%', expected: %", &["name", "expected"]),
    ("InvalidParameterValue", "Parameter '%' expects %", &["name", "expected"]),
    ("InvalidPassword", "Password incorrect", &[]),
    ("JSONParsing", "Invalid JSON syntax", &[]),
    ("MissingParameter", "Parameter '%' is missing", &["name"]),
    ("NoBusForDevice", "No '%' bus found for device '%'", &["bus", "device"]),
    ("OpenFileFailed", "Could not open '%'", &["filename"]),
    ("PropertyNotFound", "Property '%.%' not found", &["device", "property"]),
    ("PropertyValueBad", "Property '%.%' doesn't take value '%'", &["device", "property", "value"]),
    (
        "PropertyValueInUse",
        "Property '%.%' can't take value '%', it's in use",
        &["device", "property", "value"],
    ),
    (
        "PropertyValueNotFound",
        "Property '%.%' can't find value '%'",
        &["device", "property", "value"],
    ),
    ("QMPBadInputObject", "Expected '%' in QMP input", &["expected"]),
    ("QMPBadInputObjectMember", "QMP input object member '%' expects '%'", &["member", "expected"]),
    ("QMPExtraInputObjectMember", "QMP input object member '%' is unexpected", &["member"]),
    ("SetPasswdFailed", "Could not set password", &[]),
    ("TooManyFiles", "Too many open files", &[]),
];

/// The class of every other error, and its text, as QEMU spelt it.
const OTHER: &str = "UndefinedError";
const OTHER_TEXT: &str = "An undefined error has ocurred";

/// An error as QEMU 0.14 sends it. One that has data, or a class of its own, keeps them.
pub(super) fn classed(error: &ErrorReply) -> ErrorReply {
    if error.data.is_some() {
        return error.clone();
    }
    let known = CLASSES.iter().find_map(|class| Some((class, values(class.1, &error.desc)?)));
    let Some(((class, _, names), values)) = known else {
        let other = match error.class.as_str() {
            "GenericError" => ErrorReply::new(OTHER, OTHER_TEXT),
            _ => error.clone(),
        };
        return other.with_data(data(&[], &[]));
    };
    let desc = match (*class, values.as_slice()) {
        // The only text that does not tell all of its data, before 1.2.
        ("InvalidParameterType", [_, expected]) => {
            format!("Invalid parameter type, expected: {expected}")
        }
        _ => error.desc.clone(),
    };
    ErrorReply::new(class, desc).with_data(data(names, &values))
}

/// What stands for each `%`.
fn values<'a>(pattern: &str, text: &'a str) -> Option<Vec<&'a str>> {
    let mut parts = pattern.split('%');
    let mut rest = text.strip_prefix(parts.next()?)?;
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty().then(Vec::new) };
    let mut values = Vec::new();
    for part in parts {
        let (value, behind) = rest.split_once(part)?;
        values.push(value);
        rest = behind;
    }
    values.push(rest.strip_suffix(last)?);
    Some(values)
}

fn data(names: &[&str], values: &[&str]) -> Box<RawValue> {
    let members: Vec<String> = names
        .iter()
        .zip(values)
        .map(|(name, value)| format!("\"{name}\": {}", crate::lenient::quote(value)))
        .collect();
    let text = format!("{{{}}}", members.join(", "));
    RawValue::from_string(text).expect("names and quoted texts are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_gets_the_class_and_the_data_that_its_text_tells() {
        for (text, class, data) in [
            ("Device 'a' not found", "DeviceNotFound", r#"{"device": "a"}"#),
            ("Duplicate ID 'v' for drive", "DuplicateId", r#"{"id": "v", "object": "drive"}"#),
            ("Invalid JSON syntax", "JSONParsing", "{}"),
            (
                "Property 'virtio-blk-pci.drive' can't take value 'a', it's in use",
                "PropertyValueInUse",
                r#"{"device": "virtio-blk-pci", "property": "drive", "value": "a"}"#,
            ),
            (
                "Invalid parameter type for 'id', expected: string",
                "InvalidParameterType",
                r#"{"name": "id", "expected": "string"}"#,
            ),
            ("Something else", "UndefinedError", "{}"),
        ] {
            let error = classed(&ErrorReply::new("GenericError", text));
            assert_eq!(error.class, class);
            assert_eq!(error.data.unwrap().get(), data);
        }
    }

    #[test]
    fn an_error_that_has_data_is_left_alone() {
        let error = ErrorReply::new("A", "Device 'a' not found").with_data(data(&["x"], &["y"]));
        assert_eq!(classed(&error), error);
    }
}
