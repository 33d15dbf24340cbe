//! The one table of QEMU's error texts.
//!
//! Different failures share the class `GenericError`, so the text is all that tells them apart. No
//! other file of qplug looks into a `desc`.

use qplug_qmp::ErrorReply;

use crate::command::{Command, HUMAN};

/// What an error reply means for a hotplug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A node of that name exists already.
    DuplicateNode,
    /// A device with that id exists already.
    DuplicateDevice,
    /// An object with that id exists already.
    DuplicateObject,
    /// There is no such object.
    NoObject,
    /// There is no such set of descriptors.
    NoDescriptors,
    /// There is no such device.
    NoDevice,
    /// There is no such node.
    NoNode,
    /// The node still has a user.
    NodeInUse,
    /// The port or slot holds another device.
    PortTaken,
    /// The bus takes no device while the machine runs.
    NotHotpluggable,
    /// There is no such bus.
    NoBus,
    /// The bus is of another kind than the device.
    WrongBus,
    /// The guest was asked before, and has not answered yet.
    AlreadyUnplugging,
    /// The guest is busy with this port: ask again a little later.
    GuestBusy,
    /// The drive's tray is closed: the guest has locked it, and was asked to open it.
    TrayClosed,
    /// Another process has the image open.
    ImageLocked,
    /// The image is already in use within this machine.
    ImageShared,
    /// QEMU finds no such file.
    ImageMissing,
    /// QEMU may not open the file.
    ImageDenied,
    /// QEMU cannot open the file, and does not say why.
    ImageUnopened,
    /// The image is not of the format that was named.
    WrongFormat,
    /// The passphrase is not the image's.
    WrongPassphrase,
    /// The image is not encrypted.
    NotEncrypted,
    /// QEMU cannot reach the server that has the image.
    NoServer,
    /// QEMU has no such block driver.
    NoDriver,
    /// A migration is running.
    Migrating,
    /// QEMU does not know the command.
    NoCommand,
}

/// A text, the class it comes with where that matters, and where it was seen.
struct Text {
    /// All of these must occur in the description, in this order.
    parts: &'static [&'static str],
    meaning: Meaning,
}

const fn text(parts: &'static [&'static str], meaning: Meaning) -> Text {
    Text { parts, meaning }
}

/// Seen in QEMU 7.2 and 10.0, except where a line says otherwise.
const TEXTS: &[Text] = &[
    text(&["Duplicate nodes with node-name="], Meaning::DuplicateNode),
    // 5.2.
    text(&["Duplicate node name"], Meaning::DuplicateNode),
    // 7.2 has capital letters here, 10.0 too; 1.2 to 2.9 say "Duplicate ID 'x' for device".
    text(&["Duplicate device ID"], Meaning::DuplicateDevice),
    text(&["Duplicate ID", "for device"], Meaning::DuplicateDevice),
    // Of drives: 0.14 to 7.2, from the human monitor.
    text(&["Duplicate ID '", "' for drive"], Meaning::DuplicateNode),
    text(&["Device '", "' not found"], Meaning::NoDevice),
    text(&["Drive '", "' is already in use by another device"], Meaning::ImageShared),
    text(&[".drive' can't take value '", "it's in use"], Meaning::ImageShared),
    text(&["could not open disk image ", ": No such file or directory"], Meaning::ImageMissing),
    text(&["could not open disk image ", ": Permission denied"], Meaning::ImageDenied),
    // What 0.14 and 1.2 say of an image that is of another format.
    text(&["could not open disk image ", ": Invalid argument"], Meaning::WrongFormat),
    text(&["' invalid format"], Meaning::NoDriver),
    text(&["Invalid block format '"], Meaning::NoDriver),
    // 0.14 and 1.2, with no word of which slot it was.
    text(&["Device '", "' could not be initialized"], Meaning::PortTaken),
    // 1.2 and later, when a guest has locked a tray.
    text(&["Device '", "' is locked"], Meaning::TrayClosed),
    text(
        &["attempt to add duplicate property '", "' to object (type 'container')"],
        Meaning::DuplicateObject,
    ),
    text(&["object '", "' not found"], Meaning::NoObject),
    text(&["File descriptor named '", "' not found"], Meaning::NoDescriptors),
    text(&["Failed to find node with node-name="], Meaning::NoNode),
    text(&["Cannot find device=", "nor node-name="], Meaning::NoNode),
    // 5.2, of `blockdev-del` and of `block_resize`.
    text(&["Cannot find node "], Meaning::NoNode),
    text(&["Cannot find device=", "nor node_name="], Meaning::NoNode),
    text(&["Property '", ".drive' can't find value '"], Meaning::NoNode),
    text(&["Node ", " is in use"], Meaning::NodeInUse),
    text(&["Node '", "' is busy"], Meaning::NodeInUse),
    text(&["PCI: slot ", " in use by "], Meaning::PortTaken),
    text(&["PCI: slot ", "already occupied by"], Meaning::PortTaken),
    text(&["PCI: no slot/function available"], Meaning::PortTaken),
    text(&["no free target"], Meaning::PortTaken),
    text(&["lun already used by '"], Meaning::PortTaken),
    text(&["tried to attach usb device", "no free ports"], Meaning::PortTaken),
    // A slot 0 behind a bridge whose own controller (SHPC) hot-plugs.
    text(&["Unsupported PCI slot ", " for standard hotplug controller"], Meaning::PortTaken),
    text(&["Bus '", "' does not support hotplugging"], Meaning::NotHotpluggable),
    // usb-uas on a USB 1 bus.
    text(&["speed mismatch trying to attach usb device"], Meaning::WrongBus),
    text(&["Device '", "' can't go on ", " bus"], Meaning::WrongBus),
    text(&["Hot-plug failed: unsupported by the port device"], Meaning::NotHotpluggable),
    text(&["Bus '", "' not found"], Meaning::NoBus),
    text(&["is already in the process of unplug"], Meaning::AlreadyUnplugging),
    text(&["guest is busy"], Meaning::GuestBusy),
    text(&["Node '", "' not found"], Meaning::NoNode),
    text(&["Tray of device '", "' is not open"], Meaning::TrayClosed),
    text(&["Failed to get ", " lock"], Meaning::ImageLocked),
    text(&["Failed to lock byte"], Meaning::ImageLocked),
    text(&["Permission conflict on node"], Meaning::ImageShared),
    // 5.2.
    text(&["Conflicts with use by ", "which does not allow '"], Meaning::ImageShared),
    text(&["Could not open '", "': No such file or directory"], Meaning::ImageMissing),
    text(&["Could not open '", "': Permission denied"], Meaning::ImageDenied),
    // 'change' of 0.14 and 1.2 does not say why.
    text(&["Could not open '", "'"], Meaning::ImageUnopened),
    text(&["Image is not in ", " format"], Meaning::WrongFormat),
    text(&["Invalid password, cannot unlock any keyslot"], Meaning::WrongPassphrase),
    text(&["No encryption in image header, but options"], Meaning::NotEncrypted),
    text(&["Failed to connect to "], Meaning::NoServer),
    text(&["address resolution failed for "], Meaning::NoServer),
    text(&["Unknown driver '"], Meaning::NoDriver),
    text(&["not allowed while migrating"], Meaning::Migrating),
];

impl Meaning {
    /// What a reply means; `None` for the many that mean nothing in particular here.
    #[must_use]
    pub fn of(reply: &ErrorReply) -> Option<Self> {
        match reply.class.as_str() {
            "DeviceNotFound" => return Some(Self::NoDevice),
            "CommandNotFound" => return Some(Self::NoCommand),
            _ => {}
        }
        TEXTS.iter().find(|text| occur_in_order(text.parts, &reply.desc)).map(|text| text.meaning)
    }

    /// Whether another port may take what this one refused.
    pub(crate) fn is_about_the_port(self) -> bool {
        matches!(self, Self::PortTaken | Self::NotHotpluggable | Self::NoBus | Self::WrongBus)
    }

    /// Whether another client made or removed something of this name meanwhile.
    pub(crate) fn is_about_others(self) -> bool {
        matches!(
            self,
            Self::DuplicateNode | Self::DuplicateDevice | Self::DuplicateObject | Self::NoNode
        )
    }

    /// Whether the reply to this command, which was to remove something, says that it is not there.
    pub(crate) fn is_gone(reply: &ErrorReply, command: &Command) -> bool {
        matches!(
            (command.name, Self::of(reply)),
            ("blockdev-del", Some(Self::NoNode))
                | ("device_del", Some(Self::NoDevice))
                | (HUMAN | "__com.redhat_drive_del", Some(Self::NoDevice))
                | ("object-del", Some(Self::NoObject))
                | ("remove-fd", Some(Self::NoDescriptors))
        )
    }

    /// What a person can do about it.
    #[must_use]
    pub fn remedy(self) -> Option<&'static str> {
        Some(match self {
            Self::ImageLocked => {
                "the image is open for writing elsewhere, in another process or under another path in this machine ('lslocks' and 'qplug list' tell): close it there"
            }
            Self::ImageShared => {
                "the image is in use within this machine already: 'qplug list' shows where"
            }
            Self::ImageMissing => {
                "QEMU does not see that path; it may run in another folder tree or container"
            }
            Self::ImageDenied => {
                "let the user that QEMU runs as read and write the image (or have it only read: --read-only; IMAGE:ro in an appliance)"
            }
            Self::ImageUnopened => {
                "see whether QEMU sees the path, may read and write it, and whether it is of that format"
            }
            Self::WrongFormat => {
                "give the image's real format with --format ('qemu-img info' tells it)"
            }
            Self::WrongPassphrase => "give the image's own passphrase",
            Self::NotEncrypted => "leave out the passphrase: the image is not encrypted",
            Self::NoServer => {
                "see whether the server runs, and can be reached from where QEMU runs"
            }
            Self::NoDriver => {
                "install QEMU's driver where it runs: block drivers may be in packages of their own (qemu-block-extra)"
            }
            Self::Migrating => "wait until the migration ends ('qplug exec query-migrate')",
            Self::NodeInUse => {
                "something still uses it, such as a block job or an export ('qplug exec query-block-jobs', 'qplug exec query-block-exports'): end that, then run the command again"
            }
            Self::DuplicateDevice => "take another name with --name",
            _ => return None,
        })
    }
}

fn occur_in_order(parts: &[&str], text: &str) -> bool {
    let mut rest = text;
    parts.iter().all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(class: &str, desc: &str) -> Option<Meaning> {
        Meaning::of(&ErrorReply::new(class, desc))
    }

    fn all_mean(texts: &[(&str, Meaning)]) {
        for (desc, expected) in texts {
            assert_eq!(meaning("GenericError", desc), Some(*expected), "{desc}");
        }
    }

    // The texts of the tests below are what QEMU 5.2.0, 7.2.22 and 10.0.2 say, word for word.

    #[test]
    fn what_is_said_of_nodes_and_devices() {
        all_mean(&[
            ("Duplicate nodes with node-name='data.file'", Meaning::DuplicateNode),
            ("Duplicate node name", Meaning::DuplicateNode),
            ("Cannot find node data.format", Meaning::NoNode),
            ("Cannot find device= nor node_name=data.format", Meaning::NoNode),
            (
                "Conflicts with use by x as 'root', which does not allow 'write' on n",
                Meaning::ImageShared,
            ),
            ("Duplicate device ID 's0'", Meaning::DuplicateDevice),
            ("Node data.format is in use", Meaning::NodeInUse),
            ("Failed to find node with node-name='nope'", Meaning::NoNode),
            ("Property 'virtio-blk-device.drive' can't find value 'data.format'", Meaning::NoNode),
            ("Property 'scsi-hd.drive' can't find value 'nonode'", Meaning::NoNode),
            ("Failed to get \"write\" lock", Meaning::ImageLocked),
            ("Could not open '/x': No such file or directory", Meaning::ImageMissing),
            (
                "Permission conflict on node 'n0': permissions 'write' are both required by block device 's0' (uses node 'n0' as 'root' child) and unshared by block device 's2' (uses node 'n0' as 'root' child).",
                Meaning::ImageShared,
            ),
        ]);
        assert_eq!(meaning("DeviceNotFound", "Device 'x' not found"), Some(Meaning::NoDevice));
        assert_eq!(meaning("GenericError", "something else"), None);
        assert_eq!(meaning("GenericError", "Property 'nvme.rerror' not found"), None);
    }

    #[test]
    fn what_is_said_of_objects_and_descriptors() {
        all_mean(&[
            (
                "attempt to add duplicate property 'g' to object (type 'container')",
                Meaning::DuplicateObject,
            ),
            ("object 'g' not found", Meaning::NoObject),
            ("File descriptor named 'fdset-id:77' not found", Meaning::NoDescriptors),
            ("File descriptor named 'fdset-id:77, fd:3' not found", Meaning::NoDescriptors),
        ]);
    }

    #[test]
    fn what_is_said_of_ports() {
        all_mean(&[
            (
                "PCI: slot 0 function 0 not available for virtio-blk-pci, in use by virtio-blk-pci,id=boot",
                Meaning::PortTaken,
            ),
            (
                "PCI: slot 1 function 0 not available for virtio-blk-pci, in use by PIIX3,id=(null)",
                Meaning::PortTaken,
            ),
            (
                "PCI: slot 0 function 0 already occupied by nvme, new func nvme cannot be exposed to guest.",
                Meaning::PortTaken,
            ),
            (
                "PCI: no slot/function available for virtio-blk-pci, all in use or reserved",
                Meaning::PortTaken,
            ),
            (
                "Unsupported PCI slot 0 for standard hotplug controller. Valid slots are between 1 and 31.",
                Meaning::PortTaken,
            ),
            ("Bus 'pcie.0' does not support hotplugging", Meaning::NotHotpluggable),
            ("Hot-plug failed: unsupported by the port device 'fixed0'", Meaning::NotHotpluggable),
            ("Bus 'nobus.0' not found", Meaning::NoBus),
            ("Device 'scsi-hd' can't go on PCIE bus", Meaning::WrongBus),
            ("Device 'virtio-blk-pci' can't go on usb-bus bus", Meaning::WrongBus),
            ("Device data is already in the process of unplug", Meaning::AlreadyUnplugging),
        ]);
    }

    #[test]
    fn what_is_said_of_images_and_their_servers() {
        all_mean(&[
            ("Invalid password, cannot unlock any keyslot", Meaning::WrongPassphrase),
            (
                "No encryption in image header, but options specified format 'luks'",
                Meaning::NotEncrypted,
            ),
            ("Failed to connect to '127.0.0.1:1': Connection refused", Meaning::NoServer),
            (
                "CURL: Error opening file: Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server",
                Meaning::NoServer,
            ),
            (
                "address resolution failed for no.such.host.invalid:1: Name or service not known",
                Meaning::NoServer,
            ),
            ("Unknown driver 'https'", Meaning::NoDriver),
        ]);
    }

    #[test]
    fn what_is_said_of_scsi_and_usb() {
        all_mean(&[
            ("lun already used by 's0'", Meaning::PortTaken),
            ("no free target", Meaning::PortTaken),
            (
                "tried to attach usb device QEMU USB MSD to a bus with no free ports",
                Meaning::PortTaken,
            ),
            (
                "Warning: speed mismatch trying to attach usb device \"USB Attached SCSI HBA\" (high+super speed) to bus \"uhci.0\", port \"2.1\" (full speed)",
                Meaning::WrongBus,
            ),
        ]);
    }

    #[test]
    fn parts_must_come_in_order() {
        assert!(occur_in_order(&["a", "b"], "xaxbx"));
        assert!(!occur_in_order(&["b", "a"], "xaxbx"));
    }
}
