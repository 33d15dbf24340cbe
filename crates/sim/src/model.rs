//! The device models there are: where each goes, and what it can be told.

use qplug_proto::ErrorReply;
use serde_json::{Map, Value};

use crate::config::Version;
use crate::pci::Facts;
use crate::refusal::{self, generic, not_accepted, wrong_type};
use crate::words;

/// Where a device goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goes {
    Pci,
    Scsi,
    Usb,
    /// To IDE, which takes nothing while the machine runs.
    Ide,
    /// To `isa.0`, likewise.
    Isa,
    /// To a virtio-serial controller.
    Serial,
    /// To a bus of this type, of which there is none, or none that takes anything.
    Elsewhere(&'static str),
}

/// Whether a device has a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drive {
    None,
    /// It may have one.
    Optional,
    /// It must have one.
    Needed,
}

/// A device model.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) goes: Goes,
    pub(crate) drive: Drive,
    /// The device within it that holds the drive; messages name it.
    pub(crate) inner: &'static str,
    /// What it can be told, besides [`PCI`] or [`BLOCK`] properties.
    properties: &'static [&'static [(&'static str, Type)]],
    pub(crate) facts: Facts,
    /// The buses that it brings along: what comes behind its id.
    pub(crate) buses: &'static [&'static str],
    /// What goes there.
    pub(crate) carries: Option<Goes>,
    /// The first version that has it, of those that are imitated.
    since: Version,
    /// The last one.
    until: Version,
    /// Whether it has a tray.
    pub(crate) is_cd: bool,
    /// The most characters of a serial, where QEMU 10.0 minds.
    pub(crate) serial_limit: Option<usize>,
}

/// The type of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Bool,
    Number,
    Signed,
    /// A size of a block: a power of two from 512 to 2 MiB.
    Block,
    Words(&'static [&'static str]),
    Address,
    Any,
}

use Type::{Address, Any, Block, Bool, Number, Signed, Text, Words};

const ON_OFF_AUTO: Type = Words(&["auto", "on", "off"]);
const ON_ERROR: Type = Words(&["report", "ignore", "enospc", "stop", "auto"]);

const PCI: &[(&str, Type)] = &[
    ("addr", Address),
    ("romfile", Text),
    ("rombar", Number),
    ("multifunction", Bool),
    ("command_serr_enable", Bool),
    ("acpi-index", Number),
    ("failover_pair_id", Text),
];

const BLOCK: &[(&str, Type)] = &[
    ("drive", Text),
    ("backend_defaults", ON_OFF_AUTO),
    ("logical_block_size", Block),
    ("physical_block_size", Block),
    ("min_io_size", Number),
    ("opt_io_size", Number),
    ("discard_granularity", Number),
    ("write-cache", ON_OFF_AUTO),
    ("share-rw", Bool),
    ("account-invalid", Any),
    ("account-failed", Any),
    ("rerror", ON_ERROR),
    ("werror", ON_ERROR),
    ("bootindex", Signed),
];

const VIRTIO: &[(&str, Type)] = &[
    ("disable-legacy", ON_OFF_AUTO),
    ("disable-modern", Bool),
    ("iommu_platform", Bool),
    ("packed", Bool),
    ("event_idx", Bool),
    ("indirect_desc", Bool),
    ("ats", Bool),
    ("ioeventfd", Bool),
    ("vectors", Number),
    ("page-per-vq", Bool),
    ("iothread", Text),
];

const VIRTIO_BLK: &[(&str, Type)] = &[
    ("serial", Text),
    ("num-queues", Number),
    ("queue-size", Number),
    ("seg-max-adjust", Bool),
    ("config-wce", Bool),
    ("scsi", Bool),
    ("request-merging", Bool),
    ("discard", Bool),
    ("write-zeroes", Bool),
    ("report-discard-granularity", Bool),
    ("max-discard-sectors", Number),
    ("max-write-zeroes-sectors", Number),
    ("cyls", Number),
    ("heads", Number),
    ("secs", Number),
];

const VIRTIO_SCSI: &[(&str, Type)] = &[
    ("num_queues", Number),
    ("virtqueue_size", Number),
    ("max_sectors", Number),
    ("cmd_per_lun", Number),
    ("hotplug", Bool),
    ("param_change", Bool),
    ("seg_max_adjust", Bool),
];

const SCSI: &[(&str, Type)] = &[
    ("channel", Number),
    ("scsi-id", Number),
    ("lun", Number),
    ("serial", Text),
    ("ver", Text),
    ("vendor", Text),
    ("product", Text),
    ("device_id", Text),
    ("wwn", Number),
    ("port_wwn", Number),
    ("port_index", Number),
    ("removable", Bool),
    ("dpofua", Bool),
    ("rotation_rate", Number),
    ("max_unmap_size", Number),
    ("max_io_size", Number),
    ("scsi_version", Number),
];

const NVME: &[(&str, Type)] = &[
    ("serial", Text),
    ("max_ioqpairs", Number),
    ("mdts", Number),
    ("cmb_size_mb", Number),
    ("use-intel-id", Bool),
    ("num_queues", Number),
];

const USB: &[(&str, Type)] =
    &[("port", Text), ("serial", Text), ("pcap", Text), ("attached", Bool), ("removable", Bool)];

const PORT: &[(&str, Type)] =
    &[("chassis", Number), ("slot", Number), ("port", Number), ("hotplug", Bool)];

const NOTHING: Facts = Facts { vendor: 0, device: 0, class: 0, desc: None };

const fn facts(vendor: u16, device: u16, class: u16, desc: &'static str) -> Facts {
    Facts { vendor, device, class, desc: Some(desc) }
}

const PLAIN: Model = Model {
    name: "",
    goes: Goes::Pci,
    drive: Drive::None,
    inner: "",
    properties: &[],
    facts: NOTHING,
    buses: &[],
    carries: None,
    since: Version::V0_14,
    until: Version::V10_0,
    is_cd: false,
    serial_limit: None,
};

const MODELS: &[Model] = &[
    Model {
        name: "virtio-blk-pci",
        drive: Drive::Needed,
        inner: "virtio-blk-device",
        properties: &[PCI, VIRTIO, VIRTIO_BLK, BLOCK],
        facts: facts(0x1af4, 0x1042, 0x0100, "SCSI controller"),
        ..PLAIN
    },
    Model {
        name: "virtio-scsi-pci",
        inner: "virtio-scsi-device",
        properties: &[PCI, VIRTIO, VIRTIO_SCSI],
        facts: facts(0x1af4, 0x1048, 0x0100, "SCSI controller"),
        buses: &[".0"],
        carries: Some(Goes::Scsi),
        since: Version::V1_2,
        ..PLAIN
    },
    Model {
        name: "lsi53c895a",
        properties: &[PCI],
        facts: facts(0x1000, 0x0012, 0x0100, "SCSI controller"),
        buses: &[".0"],
        carries: Some(Goes::Scsi),
        ..PLAIN
    },
    Model {
        name: "nvme",
        drive: Drive::Optional,
        inner: "nvme",
        properties: &[PCI, NVME, BLOCK],
        facts: Facts { vendor: 0x1b36, device: 0x0010, class: 0x0108, desc: None },
        buses: &[""],
        carries: Some(Goes::Elsewhere("nvme-bus")),
        since: Version::V2_5,
        ..PLAIN
    },
    Model {
        name: "qemu-xhci",
        properties: &[PCI],
        facts: facts(0x1b36, 0x000d, 0x0c03, "USB controller"),
        buses: &[".0"],
        carries: Some(Goes::Usb),
        since: Version::V7_2,
        ..PLAIN
    },
    Model {
        name: "piix3-usb-uhci",
        properties: &[PCI],
        facts: facts(0x8086, 0x7020, 0x0c03, "USB controller"),
        buses: &[".0"],
        carries: Some(Goes::Usb),
        ..PLAIN
    },
    Model {
        name: "pcie-root-port",
        properties: &[PCI, PORT],
        facts: facts(0x1b36, 0x000c, 0x0604, "PCI bridge"),
        since: Version::V2_9,
        ..PLAIN
    },
    Model {
        name: "pcie-pci-bridge",
        properties: &[PCI],
        facts: facts(0x1b36, 0x000e, 0x0604, "PCI bridge"),
        since: Version::V7_2,
        ..PLAIN
    },
    Model {
        name: "pci-bridge",
        properties: &[PCI, &[("chassis_nr", Number)]],
        facts: facts(0x1b36, 0x0001, 0x0604, "PCI bridge"),
        since: Version::V2_5,
        ..PLAIN
    },
    Model {
        name: "virtio-net-pci",
        inner: "virtio-net-device",
        properties: &[PCI, VIRTIO, &[("netdev", Text), ("mac", Text)]],
        facts: facts(0x1af4, 0x1041, 0x0200, "Ethernet controller"),
        ..PLAIN
    },
    Model {
        name: "virtio-balloon-pci",
        properties: &[PCI, VIRTIO],
        facts: facts(0x1af4, 0x1045, 0x0500, "RAM controller"),
        until: Version::Rhel6,
        ..PLAIN
    },
    Model {
        name: "virtio-balloon-pci",
        inner: "virtio-balloon-device",
        properties: &[PCI, VIRTIO],
        facts: Facts { vendor: 0x1af4, device: 0x1045, class: 0x00ff, desc: None },
        since: Version::V1_2,
        ..PLAIN
    },
    Model {
        name: "virtio-serial-pci",
        inner: "virtio-serial-device",
        properties: &[PCI, VIRTIO],
        facts: Facts { vendor: 0x1af4, device: 0x1043, class: 0x0780, desc: None },
        buses: &[".0"],
        carries: Some(Goes::Serial),
        ..PLAIN
    },
    Model {
        name: "virtserialport",
        goes: Goes::Serial,
        properties: &[&[("name", Text), ("chardev", Text), ("nr", Number)]],
        ..PLAIN
    },
    Model { name: "VGA", facts: facts(0x1234, 0x1111, 0x0300, "VGA controller"), ..PLAIN },
    Model {
        name: "scsi-hd",
        goes: Goes::Scsi,
        drive: Drive::Needed,
        inner: "scsi-hd",
        properties: &[SCSI, BLOCK],
        since: Version::V1_2,
        serial_limit: Some(36),
        ..PLAIN
    },
    Model {
        name: "scsi-cd",
        goes: Goes::Scsi,
        drive: Drive::Optional,
        inner: "scsi-cd",
        properties: &[SCSI, BLOCK],
        is_cd: true,
        since: Version::V1_2,
        serial_limit: Some(36),
        ..PLAIN
    },
    Model {
        name: "scsi-disk",
        goes: Goes::Scsi,
        drive: Drive::Needed,
        inner: "scsi-disk",
        properties: &[SCSI, BLOCK],
        until: Version::V2_9,
        ..PLAIN
    },
    Model {
        name: "usb-storage",
        goes: Goes::Usb,
        drive: Drive::Needed,
        inner: "usb-storage",
        properties: &[USB, BLOCK],
        ..PLAIN
    },
    Model {
        name: "usb-uas",
        goes: Goes::Usb,
        properties: &[USB],
        buses: &[".0"],
        carries: Some(Goes::Scsi),
        since: Version::V2_5,
        ..PLAIN
    },
    Model {
        name: "usb-bot",
        goes: Goes::Usb,
        properties: &[USB],
        buses: &[".0"],
        carries: Some(Goes::Scsi),
        since: Version::V2_5,
        ..PLAIN
    },
    Model { name: "ide-hd", goes: Goes::Ide, since: Version::V1_2, ..PLAIN },
    Model {
        name: "ide-cd",
        goes: Goes::Ide,
        drive: Drive::Optional,
        inner: "ide-cd",
        is_cd: true,
        since: Version::V1_2,
        ..PLAIN
    },
    Model {
        name: "ide-drive",
        goes: Goes::Ide,
        drive: Drive::Optional,
        inner: "ide-drive",
        properties: &[BLOCK, &[("serial", Text)]],
        until: Version::V2_9,
        ..PLAIN
    },
    Model { name: "isa-fdc", goes: Goes::Isa, ..PLAIN },
    Model { name: "floppy", goes: Goes::Elsewhere("floppy-bus"), since: Version::V2_9, ..PLAIN },
    Model { name: "nvme-ns", goes: Goes::Elsewhere("nvme-bus"), since: Version::V7_2, ..PLAIN },
    Model { name: "sd-card", goes: Goes::Elsewhere("sd-bus"), since: Version::V2_5, ..PLAIN },
    Model {
        name: "virtio-blk-device",
        goes: Goes::Elsewhere("virtio-bus"),
        since: Version::V2_5,
        ..PLAIN
    },
];

/// The first version that has a property of this name, where it came later than the device: some
/// by the recorded `info qtree`, some by QEMU's release notes.
const LATER: &[(&str, Version)] = &[
    ("event_idx", Version::V1_2),
    ("config-wce", Version::V1_2),
    ("cyls", Version::V1_2),
    ("heads", Version::V1_2),
    ("secs", Version::V1_2),
    ("wwn", Version::V1_2),
    ("disable-legacy", Version::V2_5),
    ("disable-modern", Version::V2_5),
    ("iothread", Version::V2_5),
    ("request-merging", Version::V2_5),
    ("iommu_platform", Version::V2_9),
    ("num-queues", Version::V2_9),
    ("page-per-vq", Version::V2_9),
    ("ats", Version::V2_9),
    ("rerror", Version::V2_9),
    ("werror", Version::V2_9),
    ("share-rw", Version::V2_9),
    ("write-cache", Version::V2_9),
    ("account-failed", Version::V7_2),
    ("account-invalid", Version::V7_2),
    ("acpi-index", Version::V7_2),
    ("backend_defaults", Version::V7_2),
    ("device_id", Version::V7_2),
    ("discard", Version::V7_2),
    ("failover_pair_id", Version::V7_2),
    ("packed", Version::V7_2),
    ("queue-size", Version::V7_2),
    ("rotation_rate", Version::V7_2),
    ("write-zeroes", Version::V7_2),
];

/// Short names that QEMU takes on these boards.
const ALIASES: &[(&str, &str)] =
    &[("virtio-blk", "virtio-blk-pci"), ("virtio-scsi", "virtio-scsi-pci")];

impl Model {
    pub(crate) fn find(name: &str, version: Version) -> Option<&'static Self> {
        let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, it)| it);
        let is_there = |model: &&Model| (model.since..=model.until).contains(&version);
        MODELS.iter().filter(is_there).find(|model| model.name == name)
    }

    /// The device that has the drive, as messages name it. Until QEMU 1.4 a virtio disk is one
    /// device.
    pub(crate) fn drive_holder(&self, version: Version) -> &'static str {
        if version < Version::V2_5 { self.name } else { self.inner }
    }

    fn property(&self, name: &str, version: Version) -> Option<Type> {
        let since = LATER.iter().find(|(later, _)| *later == name);
        let is_early = since.is_some_and(|(_, since)| version < *since);
        // Until 0.15 a drive has its serial itself, but for those of SCSI and IDE.
        let on_drive = ["virtio-blk-pci", "usb-storage"].contains(&self.name);
        if is_early || (name == "serial" && on_drive && version < Version::V1_2) {
            return None;
        }
        let known = self.properties.iter().flat_map(|list| list.iter());
        known.into_iter().find(|(known, _)| *known == name).map(|(_, of)| *of)
    }

    /// A virtio device on a conventional bus shows the id of old ones.
    pub(crate) fn facts_on(&self, is_express: bool) -> Facts {
        let device = match (self.name, is_express) {
            ("virtio-blk-pci", false) => 0x1001,
            ("virtio-scsi-pci", false) => 0x1004,
            ("virtio-net-pci", false) => 0x1000,
            ("virtio-balloon-pci", false) => 0x1002,
            ("virtio-serial-pci", false) => 0x1003,
            _ => self.facts.device,
        };
        Facts { device, ..self.facts }
    }

    /// Checks what a device is told, one by one as QEMU sets it.
    pub(crate) fn check(
        &self,
        properties: &Map<String, Value>,
        version: Version,
    ) -> Result<(), ErrorReply> {
        for (name, value) in properties {
            let Some(of) = self.property(name, version) else {
                return Err(words::no_property(version, self.name, name));
            };
            if version < Version::V10_0 {
                self.check_text(name, of, value, version)?;
            } else {
                self.check_typed(name, of, value)?;
            }
        }
        Ok(())
    }

    /// QEMU 10.0 takes JSON as it is.
    fn check_typed(&self, name: &str, of: Type, value: &Value) -> Result<(), ErrorReply> {
        match of {
            Text if !value.is_string() => Err(wrong_type(name, "string")),
            Bool if !value.is_boolean() => Err(wrong_type(name, "boolean")),
            Number | Signed if !value.is_i64() && !value.is_u64() => {
                Err(wrong_type(name, "integer"))
            }
            Block => match value.as_u64() {
                None => Err(wrong_type(name, "integer")),
                Some(size) if is_block(size) => Ok(()),
                Some(_) => Err(generic(format!(
                    "parameter {name} must be a power of 2 between 512 and 2097152"
                ))),
            },
            Words(words) => match value.as_str() {
                None => Err(wrong_type(name, "string")),
                Some(word) if words.contains(&word) => Ok(()),
                Some(word) => Err(not_accepted(name, word)),
            },
            Address if crate::pci::address(value).is_none() => Err(self.bad_value(name, value)),
            _ => Ok(()),
        }
    }

    /// Those before make texts of all first.
    fn check_text(
        &self,
        name: &str,
        of: Type,
        value: &Value,
        version: Version,
    ) -> Result<(), ErrorReply> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(true) => "on".to_owned(),
            Value::Bool(false) => "off".to_owned(),
            other => other.to_string(),
        };
        match of {
            Bool if !["on", "off", "yes", "no", "true", "false", "y", "n"]
                .contains(&text.as_str()) =>
            {
                Err(self.bad_text(name, &text, "'on' or 'off'", version))
            }
            Number | Signed if text.parse::<i128>().is_err() && !text.starts_with("0x") => {
                let expected = match (of, version) {
                    (_, Version::V2_5 | Version::V2_9) => "an int64 value or range",
                    (Signed, _) => "integer",
                    _ => "a number",
                };
                Err(self.bad_text(name, &text, expected, version))
            }
            Block if !text.parse().is_ok_and(is_block) => Err(generic(format!(
                "Property .{name} doesn't take value {text} (minimum: 512, maximum: 2097152)"
            ))),
            Words(words) if !words.contains(&text.as_str()) => Err(not_accepted(name, &text)),
            Address if crate::pci::address(value).is_none() => {
                Err(refusal::bad_value(self.name, name, &text))
            }
            _ => Ok(()),
        }
    }

    fn bad_text(&self, name: &str, text: &str, expected: &str, version: Version) -> ErrorReply {
        if version < Version::V1_2 {
            return refusal::bad_value(self.name, name, text);
        }
        if version < Version::V2_5 && expected != "'on' or 'off'" {
            return wrong_type(name, "integer");
        }
        generic(format!("Parameter '{name}' expects {expected}"))
    }

    fn bad_value(&self, name: &str, value: &Value) -> ErrorReply {
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        generic(format!("Property '{}.{name}' doesn't take value '{text}'", self.name))
    }
}

fn is_block(size: u64) -> bool {
    size.is_power_of_two() && (512..=2 << 20).contains(&size)
}
