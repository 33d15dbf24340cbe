//! Refusals that QEMU worded otherwise in other versions. (The classes and the data of before 1.2
//! follow from the texts: `qplug_proto::Server` adds them.)

use qplug_proto::ErrorReply;

use crate::config::Version;
use crate::refusal::generic;

/// A device model that there is not.
pub(crate) fn no_model(version: Version, driver: &str) -> ErrorReply {
    generic(match version {
        Version::V0_14 | Version::Rhel6 => "Parameter 'driver' expects a driver name".to_owned(),
        Version::V1_2 => "Parameter 'driver' expects device type".to_owned(),
        _ => format!("'{driver}' is not a valid device model name"),
    })
}

/// A bus of the wrong type.
pub(crate) fn wrong_bus(version: Version, device: &str, kind: &str) -> ErrorReply {
    let article = if version < Version::V2_5 { "a " } else { "" };
    generic(format!("Device '{device}' can't go on {article}{kind} bus"))
}

/// A property that a device does not have. From 1.2 to 2.9 the device has no name yet when it is
/// asked.
pub(crate) fn no_property(version: Version, device: &str, property: &str) -> ErrorReply {
    let is_named = !(Version::V1_2..=Version::V2_9).contains(&version);
    let of = if is_named { device } else { "" };
    generic(format!("Property '{of}.{property}' not found"))
}

/// A drive that another device has.
pub(crate) fn drive_in_use(version: Version, device: &str, drive: &str) -> ErrorReply {
    generic(match version < Version::V2_5 {
        true => format!("Property '{device}.drive' can't take value '{drive}', it's in use"),
        false => format!("Drive '{drive}' is already in use by another device"),
    })
}

/// A format that there is not, for a medium.
pub(crate) fn no_format(version: Version, format: &str) -> ErrorReply {
    generic(match version < Version::V2_5 {
        true => format!("Invalid block format '{format}'"),
        false => format!("Unknown driver '{format}'"),
    })
}

/// Neither a drive nor a node is called so, where the command takes either.
pub(crate) fn no_drive_nor_node(version: Version, drive: &str, node: &str) -> ErrorReply {
    match version {
        Version::V0_14 | Version::Rhel6 | Version::V1_2 => crate::refusal::no_device(drive),
        Version::V2_5 | Version::V2_9 => {
            generic(format!("Cannot find device={drive} nor node_name={node}"))
        }
        _ => crate::refusal::no_device_nor_node(drive, node),
    }
}
