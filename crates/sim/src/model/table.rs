//! The device models that are imitated, and what each can be told.

use super::Type::{self, Address, Any, Block, Bool, Number, Signed, Text, Words};
use super::{Drive, Goes, Model};
use crate::config::Version;
use crate::pci::Facts;

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

pub(super) const MODELS: &[Model] = &[
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
pub(super) const LATER: &[(&str, Version)] = &[
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
pub(super) const ALIASES: &[(&str, &str)] =
    &[("virtio-blk", "virtio-blk-pci"), ("virtio-scsi", "virtio-scsi-pci")];
