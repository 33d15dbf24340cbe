//! Which names an argument takes: QEMU's schema calls them all strings.

use qplug_qapi::introspection::Given;

use super::world::Kind;

/// Of which argument of a command it is said. `*` is any command.
type Row = (&'static str, &'static str, Takes);

/// What an argument takes. Kinds that hang on another argument name it.
#[derive(Debug, Clone, Copy)]
enum Takes {
    /// A name that is not there yet.
    New,
    Node,
    BlockDevice,
    Device,
    Drive,
    DriveDevice,
    Bus,
    Job,
    Export,
    Object,
    Chardev,
    Netdev,
    DeviceType,
    Type,
    QomPath,
    QomProperty,
    /// The dirty bitmaps of the node that another argument names.
    BitmapOf(&'static str),
    File,
}

/// The first row that fits counts. A command that ends with `*` is all that begin so.
const ARGUMENTS: &[Row] = &[
    ("blockdev-add", "node-name", Takes::New),
    ("device_add", "id", Takes::New),
    ("device_add", "driver", Takes::DeviceType),
    ("device_add", "bus", Takes::Bus),
    ("device_add", "drive", Takes::BlockDevice),
    ("device_del", "id", Takes::Device),
    ("device-sync-config", "id", Takes::Device),
    ("device-list-properties", "typename", Takes::DeviceType),
    ("qom-list-properties", "typename", Takes::Type),
    ("qom-list-types", "implements", Takes::Type),
    ("qom-*", "path", Takes::QomPath),
    ("qom-*", "property", Takes::QomProperty),
    ("object-del", "id", Takes::Object),
    ("chardev-add", "id", Takes::New),
    ("chardev-*", "id", Takes::Chardev),
    ("ringbuf-*", "device", Takes::Chardev),
    ("netdev_del", "id", Takes::Netdev),
    ("set_link", "name", Takes::Netdev),
    ("block-export-add", "id", Takes::New),
    ("block-export-del", "id", Takes::Export),
    ("nbd-server-remove", "name", Takes::Export),
    ("job-*", "id", Takes::Job),
    ("block-job-*", "device", Takes::Job),
    ("block-job-*", "id", Takes::Job),
    ("eject", "id", Takes::DriveDevice),
    ("eject", "device", Takes::Drive),
    ("blockdev-*-tray", "id", Takes::DriveDevice),
    ("blockdev-*-medium", "id", Takes::DriveDevice),
    ("block_set_io_throttle", "id", Takes::Device),
    ("blockdev-mirror", "target", Takes::Node),
    ("blockdev-backup", "target", Takes::Node),
    ("drive-mirror", "target", Takes::File),
    ("drive-backup", "target", Takes::File),
    ("block-dirty-bitmap-add", "name", Takes::New),
    ("block-dirty-bitmap-merge", "target", Takes::BitmapOf("node")),
    ("block-dirty-bitmap-*", "name", Takes::BitmapOf("node")),
    ("nbd-server-add", "bitmap", Takes::BitmapOf("device")),
    ("*", "bitmap", Takes::BitmapOf("device")),
    ("*", "node-name", Takes::Node),
    ("*", "node", Takes::Node),
    ("*", "base-node", Takes::Node),
    ("*", "top-node", Takes::Node),
    ("*", "bottom", Takes::Node),
    ("*", "overlay", Takes::Node),
    ("*", "replaces", Takes::Node),
    ("*", "parent", Takes::Node),
    ("*", "vmstate", Takes::Node),
    ("*", "devices", Takes::Node),
    ("*", "device", Takes::BlockDevice),
    ("*", "chardev", Takes::Chardev),
    ("*", "netdev", Takes::Netdev),
    ("*", "iothread", Takes::Object),
    ("*", "memdev", Takes::Object),
    ("*", "throttle-group", Takes::Object),
    ("*", "tls-creds", Takes::Object),
    ("*", "key-secret", Takes::Object),
    ("*", "password-secret", Takes::Object),
    ("*", "filename", Takes::File),
    ("*", "snapshot-file", Takes::File),
    ("*", "backing-file", Takes::File),
    ("*", "logfile", Takes::File),
    ("*", "mem-path", Takes::File),
    ("*", "dir", Takes::File),
    ("*", "path", Takes::File),
    ("*", "firmware", Takes::File),
];

/// The names that the argument at a dotted key takes, where it is in the table. `key` may end with
/// the number of an element.
pub(super) fn of_argument(command: &str, key: &str, given: &Given) -> Option<Kind> {
    let is_number = |part: &&str| part.parse::<usize>().is_err();
    let name = key.rsplit('.').find(is_number)?;
    let folder = key.strip_suffix(name).unwrap_or_default();
    let fits = |(pattern, argument, _): &&Row| *argument == name && matches(pattern, command);
    let (_, _, takes) = ARGUMENTS.iter().find(fits)?;
    let sibling = |name: &str| given.text(&format!("{folder}{name}")).map(ToOwned::to_owned);
    Some(match takes {
        Takes::New => return None,
        Takes::Node => Kind::Nodes,
        Takes::BlockDevice => Kind::BlockDevices,
        Takes::Device => Kind::Devices,
        Takes::Drive => Kind::Drives,
        Takes::DriveDevice => Kind::DriveDevices,
        Takes::Bus => Kind::Buses,
        Takes::Job => Kind::Jobs,
        Takes::Export => Kind::Exports,
        Takes::Object => Kind::Objects,
        Takes::Chardev => Kind::Chardevs,
        Takes::Netdev => Kind::Netdevs,
        Takes::DeviceType => Kind::DeviceTypes,
        Takes::Type => Kind::Types,
        Takes::QomPath => Kind::QomChildren(String::new()),
        Takes::QomProperty => Kind::QomProperties(sibling("path")?),
        Takes::BitmapOf(node) => Kind::Bitmaps(sibling(node)?),
        Takes::File => Kind::MachineFiles(String::new()),
    })
}

/// Whether a command is meant by a pattern with at most one `*`.
fn matches(pattern: &str, command: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == command,
        Some((start, end)) => command.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
    }
}

/// The names that a word of a command of qplug's takes. `argument` is clap's id of it, `before` are the
/// words before it that belong to no option.
pub(super) fn of_word(verb: &str, argument: &str, before: &[String]) -> Option<Kind> {
    Some(match (verb, argument) {
        ("detach", "names") | ("resize" | "throttle", "name") | ("snapshot", "disks") => {
            Kind::Disks
        }
        ("insert" | "swap" | "eject", "drive") => Kind::Drives,
        ("hmp", "command_line") => match before {
            [] => Kind::HumanCommands,
            [info] if info == "info" => Kind::HumanInfo,
            _ => return None,
        },
        ("remove", "labels") => Kind::Labels,
        ("mount", "device") => Kind::Mountable,
        ("umount", "path") => Kind::Mounts,
        ("mount" | "ls" | "stat" | "find" | "mkdir" | "rm" | "tar-in" | "tar-out", "path")
        | ("cat", "paths") => Kind::Tree(String::new()),
        (_, "port") => Kind::Ports,
        (_, "iothread" | "throttle_group") => Kind::Objects,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_that_fits_counts() {
        let mut given = Given::default();
        given.insert("node", "n");
        given.insert("actions.0.data.node", "m");
        for (command, key, expected) in [
            ("blockdev-add", "node-name", None),
            ("blockdev-del", "node-name", Some(Kind::Nodes)),
            ("blockdev-open-tray", "id", Some(Kind::DriveDevices)),
            ("job-cancel", "id", Some(Kind::Jobs)),
            ("object-add", "id", None),
            ("snapshot-save", "devices.0", Some(Kind::Nodes)),
            ("block-dirty-bitmap-clear", "name", Some(Kind::Bitmaps("n".to_owned()))),
            ("transaction", "actions.0.data.node", Some(Kind::Nodes)),
            ("qom-get", "property", None),
            ("x", "0", None),
        ] {
            assert_eq!(of_argument(command, key, &given), expected, "{command} {key}");
        }
    }
}
