//! The buses that a disk can be plugged into, and what each makes of a disk.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A bus, which is also a kind of disk for the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bus {
    /// A paravirtual disk on a port or slot of its own (on s390x, on the channel subsystem).
    VirtioBlk,
    /// A disk behind a virtio-scsi controller, one of many.
    VirtioScsi,
    /// An NVMe controller with one namespace, on a port or slot of its own.
    Nvme,
    /// A USB mass storage device (bulk-only transport).
    UsbStorage,
    /// A USB mass storage device (USB Attached SCSI).
    UsbUas,
}

/// A text that names no bus that takes disks while the machine runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// QEMU cannot plug such a disk while the machine runs.
    #[error("{bus} takes no disk while the machine runs: {why}. Use one of {known}", known = known())]
    NotHotpluggable {
        /// The bus.
        bus: String,
        /// Why not.
        why: &'static str,
    },
    /// There is no such bus.
    #[error("{0:?} is no bus; one of auto, {known}", known = known())]
    Unknown(String),
}

/// Their names, as QEMU's users call them.
const NAMES: [(&str, Bus); 5] = [
    ("virtio-blk", Bus::VirtioBlk),
    ("virtio-scsi", Bus::VirtioScsi),
    ("nvme", Bus::Nvme),
    ("usb-storage", Bus::UsbStorage),
    ("usb-uas", Bus::UsbUas),
];

/// What QEMU does not plug while the machine runs, and why (`hotpluggable = false` of the device,
/// or a bus without a hotplug handler; QEMU 7.2 and 10.0).
const FIXED: [(&str, &str); 7] = [
    ("ide", "IDE knows no plugging, and QEMU's IDE bus refuses it"),
    ("sata", "QEMU's AHCI controller does not implement SATA hot-plug"),
    ("ahci", "QEMU's AHCI controller does not implement SATA hot-plug"),
    (
        "floppy",
        "a floppy drive is part of its controller (its medium can be changed: 'qplug insert')",
    ),
    ("fdc", "a floppy drive is part of its controller (its medium can be changed: 'qplug insert')"),
    ("virtio-mmio", "the transports of a microvm are there from the start or not at all"),
    (
        "nvme-ns",
        "QEMU adds namespaces to an NVMe controller only before the machine starts; --bus nvme plugs a controller with a namespace",
    ),
];

fn known() -> String {
    Bus::words().collect::<Vec<_>>().join(", ")
}

impl Bus {
    /// The names of all buses that take disks, as `--bus` takes them.
    pub fn words() -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().map(|(name, _)| name)
    }

    /// The name, as `--bus` takes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|(_, bus)| *bus == self).map_or("", |(name, _)| name)
    }

    /// How long a serial may be, in bytes. QEMU cuts a longer one without a word (virtio-blk's
    /// `VIRTIO_BLK_ID_BYTES`, the serial field of NVMe's identify data, SCSI's unit serial page), or
    /// refuses it: 10.0 takes 36 bytes for SCSI, and 20 where they have to do for the device
    /// identification page too. A scsi-hd gets that in a property of its own,
    /// `device_id`; a usb-storage has no such property.
    #[must_use]
    pub fn max_serial_bytes(self) -> usize {
        match self {
            Self::VirtioBlk | Self::Nvme | Self::UsbStorage => 20,
            Self::VirtioScsi | Self::UsbUas => 36,
        }
    }

    /// The `device_id` of a scsi-hd whose serial is too long to be one by default: QEMU 7.2 takes
    /// its first 20 bytes, which makes two disks one for udev, and 10.0 refuses it
    /// (`scsi_realize` in `hw/scsi/scsi-disk.c`).
    pub(crate) fn device_id(self, serial: &str) -> Option<&str> {
        const DEFAULT_BYTES: usize = 20;
        let is_scsi = matches!(self, Self::VirtioScsi | Self::UsbUas);
        (is_scsi && serial.len() > DEFAULT_BYTES).then_some(serial)
    }

    /// Where a Linux guest with udev finds the disk (systemd's `60-persistent-storage.rules`, with
    /// QEMU's own vendor and model names). A World Wide Name stands in for the serial of a SCSI
    /// disk; a USB one is known by the serial of its USB device.
    #[must_use]
    pub fn guest_path(self, serial: &str, wwn: Option<u64>) -> String {
        let name = match (self, wwn) {
            (Self::VirtioBlk, _) => format!("virtio-{serial}"),
            (Self::Nvme, _) => format!("nvme-QEMU_NVMe_Ctrl_{serial}"),
            (Self::VirtioScsi, Some(wwn)) => format!("wwn-0x{wwn:016x}"),
            (Self::VirtioScsi, None) => format!("scsi-0QEMU_QEMU_HARDDISK_{serial}"),
            (Self::UsbStorage | Self::UsbUas, _) => {
                format!("usb-QEMU_QEMU_HARDDISK_{serial}-0:0")
            }
        };
        format!("/dev/disk/by-id/{name}")
    }

    /// The bus that a device of this type is for.
    pub(crate) fn of_device(kind: &str) -> Option<Self> {
        Some(match kind {
            "virtio-blk-pci" | "virtio-blk-ccw" => Self::VirtioBlk,
            "scsi-hd" => Self::VirtioScsi,
            "nvme" => Self::Nvme,
            "usb-storage" => Self::UsbStorage,
            _ => return None,
        })
    }

    /// Whether a disk takes a PCI port of its own.
    pub(crate) fn is_pci(self) -> bool {
        matches!(self, Self::VirtioBlk | Self::Nvme)
    }

    /// Whether disks hang on a USB bus.
    pub(crate) fn is_usb(self) -> bool {
        matches!(self, Self::UsbStorage | Self::UsbUas)
    }
}

impl fmt::Display for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Bus {
    type Err = BusError;

    fn from_str(text: &str) -> Result<Self, BusError> {
        if let Some((_, bus)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(*bus);
        }
        Err(match FIXED.iter().find(|(name, _)| *name == text) {
            Some((bus, why)) => BusError::NotHotpluggable { bus: (*bus).to_owned(), why },
            None => BusError::Unknown(text.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bus_is_known_by_its_name() {
        for (name, bus) in NAMES {
            assert_eq!(name.parse(), Ok(bus));
            assert_eq!(bus.to_string(), name);
        }
    }

    #[test]
    fn what_cannot_be_plugged_is_refused_with_the_reason() {
        for bus in ["ide", "sata", "floppy", "nvme-ns", "virtio-mmio"] {
            let error = bus.parse::<Bus>().unwrap_err();
            assert!(matches!(error, BusError::NotHotpluggable { .. }), "{error}");
        }
        let error = "scsi".parse::<Bus>().unwrap_err().to_string();
        assert!(error.contains("virtio-scsi"), "{error}");
    }

    #[test]
    fn a_disk_is_found_by_what_its_bus_shows_of_it() {
        let path = |bus: Bus, wwn| bus.guest_path("data", wwn);
        let wwn = Some(0x0000_c500_15ea_71aa);
        assert_eq!(path(Bus::VirtioBlk, None), "/dev/disk/by-id/virtio-data");
        assert_eq!(path(Bus::VirtioScsi, wwn), "/dev/disk/by-id/wwn-0x0000c50015ea71aa");
        assert_eq!(path(Bus::UsbUas, wwn), path(Bus::UsbStorage, None));
    }

    #[test]
    fn a_long_serial_is_told_twice_where_the_device_can_be_told() {
        let long = "x".repeat(21);
        assert_eq!(Bus::VirtioScsi.device_id(&long), Some(long.as_str()));
        assert_eq!(Bus::VirtioScsi.device_id(&long[..20]), None);
        assert_eq!(Bus::Nvme.device_id(&long), None);
    }
}
