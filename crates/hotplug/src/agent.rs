//! What a guest's agent says of a disk: which device it is there, and what uses it. Pure.
//!
//! Linux's agent tells a disk's serial where the guest has udev, and the PCI address of virtio-blk
//! disks always. Of others it may tell neither; then all that may be the disk are looked at.

use std::collections::HashSet;

use serde::Deserialize;

use crate::bus::Bus;
use crate::identity::Identity;

/// What the agent said.
#[derive(Debug, Default)]
pub(crate) struct GuestView {
    pub(crate) disks: Vec<GuestDisk>,
    pub(crate) file_systems: Vec<FileSystem>,
}

/// A disk, a partition, or what lies on them, from `guest-get-disks` (QEMU 5.2).
#[derive(Debug, Deserialize)]
pub(crate) struct GuestDisk {
    name: String,
    #[serde(default)]
    partition: bool,
    #[serde(default)]
    dependencies: Vec<String>,
    address: Option<Address>,
    /// What the guest's user calls it, such as `vg-root`.
    alias: Option<String>,
}

/// A mounted file system, from `guest-get-fsinfo`.
#[derive(Debug, Deserialize)]
pub(crate) struct FileSystem {
    mountpoint: String,
    /// The disks that it lies on.
    #[serde(default)]
    disk: Vec<Address>,
}

/// Where a disk is in the guest (`GuestDiskAddress`).
#[derive(Debug, Deserialize)]
struct Address {
    serial: Option<String>,
    #[serde(rename = "bus-type")]
    bus_type: String,
    #[serde(rename = "pci-controller")]
    pci: PciAddress,
    dev: Option<String>,
}

/// Where the disk's PCI device is; -1 where it has none, or none that the agent finds.
#[derive(Debug, Deserialize)]
struct PciAddress {
    bus: i64,
    slot: i64,
}

/// What uses a disk in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InUse {
    /// In words: where it is mounted, and what holds it.
    pub(crate) by: Vec<String>,
    /// Whether the agent tells that this is the disk; else it only may be.
    pub(crate) is_certain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    Yes,
    May,
    No,
}

impl GuestView {
    /// The guest's name of the device, such as `/dev/vdb`, where the agent tells it.
    pub(crate) fn device(&self, identity: &Identity) -> Option<&str> {
        let is_it = |disk: &&GuestDisk| !disk.partition && disk.is(identity) == Match::Yes;
        self.disks.iter().find(is_it).map(|disk| disk.name.as_str())
    }

    /// What uses the disk, if anything does.
    pub(crate) fn use_of(&self, identity: &Identity) -> Option<InUse> {
        let is_certain = self.device(identity).is_some();
        let least = |found: Match| found == Match::Yes || (!is_certain && found == Match::May);
        let roots = self.disks.iter().filter(|disk| least(disk.is(identity)));
        let reached = self.reached_from(roots.map(|disk| disk.name.as_str()).collect());
        let on_it = |address: &Address| {
            least(address.is(identity))
                || address.dev.as_deref().is_some_and(|dev| reached.contains(dev))
        };
        let mounted = self.file_systems.iter().filter(|it| it.disk.iter().any(on_it));
        let mounted = mounted.map(|it| format!("mounted at {}", it.mountpoint));
        let held = self.disks.iter().filter(|disk| {
            !disk.partition && !disk.dependencies.is_empty() && reached.contains(disk.name.as_str())
        });
        let held =
            held.map(|disk| format!("held by {}", disk.alias.as_ref().unwrap_or(&disk.name)));
        let by: Vec<_> = mounted.chain(held).collect();
        (!by.is_empty()).then_some(InUse { by, is_certain })
    }

    /// These devices, and all that lies on them.
    fn reached_from<'a>(&'a self, mut reached: HashSet<&'a str>) -> HashSet<&'a str> {
        loop {
            let before = reached.len();
            for disk in &self.disks {
                if disk.dependencies.iter().any(|it| reached.contains(it.as_str())) {
                    reached.insert(&disk.name);
                }
            }
            if reached.len() == before {
                return reached;
            }
        }
    }
}

impl GuestDisk {
    fn is(&self, identity: &Identity) -> Match {
        self.address.as_ref().map_or(Match::No, |address| address.is(identity))
    }
}

impl Address {
    fn is(&self, identity: &Identity) -> Match {
        let of = |found: bool| if found { Match::Yes } else { Match::No };
        if let (Some(told), Some(serial)) = (&self.serial, &identity.serial) {
            return of(told == serial || identity.udev_serial().as_deref() == Some(told));
        }
        let on = |bus: Bus| identity.bus == Some(bus);
        if self.pci.slot >= 0 && self.bus_type == "virtio" {
            let place = identity.pci.map(|(bus, slot)| (i64::from(bus), i64::from(slot)));
            return of(on(Bus::VirtioBlk) && place == Some((self.pci.bus, self.pci.slot)));
        }
        // An agent finds the PCI address of every virtio-blk disk that has one.
        if on(Bus::VirtioBlk) && identity.pci.is_some() {
            return Match::No;
        }
        let dev = self.dev.as_deref().unwrap_or_default();
        let is_linux = dev.starts_with("/dev/");
        match is_linux && dev.starts_with("/dev/nvme") != on(Bus::Nvme) {
            true => Match::No,
            false => Match::May,
        }
    }
}

#[cfg(test)]
mod tests;
