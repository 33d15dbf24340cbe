//! What a guest's agent says of a disk: which device it is there, and what uses it. Pure.
//!
//! Linux's agent tells a disk's serial where the guest has udev, the PCI address of virtio-blk disks
//! always, and of disks on a virtio-scsi controller the controller's address and the LUN, but never
//! the target (QEMU 7.2, read and tried). Of others it may tell nothing; then all that may be the
//! disk are looked at.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::bus::Bus;
use crate::identity::{Identities, Identity};

/// What a guest's agent says of the guest's disks.
#[derive(Debug, Default)]
pub struct GuestView {
    /// Nothing where the agent has no such command (before QEMU 5.2).
    pub(crate) disks: Option<Vec<ToldDisk>>,
    pub(crate) file_systems: Vec<FileSystem>,
}

/// A disk as its guest has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuestDisk {
    /// The guest's name of it, such as `/dev/vdb` or `\\.\PHYSICALDRIVE1`; absent where the agent is
    /// too old to tell.
    pub device: Option<String>,
    /// Where file systems that lie on it are mounted, in the order of the alphabet.
    pub mounts: Vec<String>,
}

/// A disk, a partition, or what lies on them, from `guest-get-disks` (QEMU 5.2).
#[derive(Debug, Deserialize)]
pub(crate) struct ToldDisk {
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
    /// Of a SCSI disk, the LUN.
    unit: i64,
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

/// Whether a disk of the guest is the one that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    No,
    /// Nothing speaks against it.
    May,
    /// It is where the disk is; others may be, too, which the agent does not tell apart.
    There,
    Yes,
}

impl GuestView {
    /// Whether the agent tells the names of devices (QEMU 5.2).
    #[must_use]
    pub fn names_devices(&self) -> bool {
        self.disks.is_some()
    }

    /// Whether anything is mounted from a disk, as far as the agent tells.
    #[must_use]
    pub fn has_file_systems(&self) -> bool {
        !self.file_systems.is_empty()
    }

    /// The guest's side of each of these disks; nothing for one that the agent does not show, or
    /// does not tell from another.
    #[must_use]
    pub fn find(&self, disks: &Identities) -> Vec<Option<GuestDisk>> {
        let find = |identity: &Option<Identity>| {
            let identity = identity.as_ref()?;
            let sure = self.device(identity);
            let device = sure.or_else(|| self.only_one_there(identity, disks));
            let mounts = self.mounts(identity, device);
            let is_known = device.is_some() || !mounts.is_empty();
            is_known.then(|| GuestDisk { device: device.map(ToOwned::to_owned), mounts })
        };
        disks.each.iter().map(find).collect()
    }

    /// The guest's name of the device, such as `/dev/vdb`, where the agent tells it.
    pub(crate) fn device(&self, identity: &Identity) -> Option<&str> {
        let mut whole = self.whole_disks();
        whole.find(|disk| disk.is(identity) == Match::Yes).map(|disk| disk.name.as_str())
    }

    /// The device where the disk is, if the guest has no other there and neither has the machine.
    fn only_one_there(&self, identity: &Identity, disks: &Identities) -> Option<&str> {
        let mut there = self.whole_disks().filter(|disk| disk.is(identity) == Match::There);
        let (only, second) = (there.next()?, there.next());
        let others = disks.each.iter().flatten().filter(|other| other.name != identity.name);
        let is_anothers = others.into_iter().any(|other| only.is(other) >= Match::There);
        (second.is_none() && !is_anothers && disks.are_complete).then_some(only.name.as_str())
    }

    fn whole_disks(&self) -> impl Iterator<Item = &ToldDisk> {
        self.told().filter(|disk| !disk.partition)
    }

    fn told(&self) -> impl Iterator<Item = &ToldDisk> {
        self.disks.iter().flatten()
    }

    /// Where the file systems are mounted that lie on this disk, which is this device.
    fn mounts(&self, identity: &Identity, device: Option<&str>) -> Vec<String> {
        let reached = self.reached_from(device.into_iter().collect());
        let on_it = |address: &Address| {
            address.is(identity) == Match::Yes
                || address.dev.as_deref().is_some_and(|dev| reached.contains(dev))
        };
        let mounted = self.file_systems.iter().filter(|it| it.disk.iter().any(on_it));
        let mut mounts: Vec<_> = mounted.map(|it| it.mountpoint.clone()).collect();
        mounts.sort();
        mounts
    }

    /// What uses the disk, if anything does.
    pub(crate) fn use_of(&self, identity: &Identity) -> Option<InUse> {
        let is_certain = self.device(identity).is_some();
        let least = |found: Match| found == Match::Yes || (!is_certain && found >= Match::May);
        let roots = self.told().filter(|disk| least(disk.is(identity)));
        let reached = self.reached_from(roots.map(|disk| disk.name.as_str()).collect());
        let on_it = |address: &Address| {
            least(address.is(identity))
                || address.dev.as_deref().is_some_and(|dev| reached.contains(dev))
        };
        let mounted = self.file_systems.iter().filter(|it| it.disk.iter().any(on_it));
        let mounted = mounted.map(|it| format!("mounted at {}", it.mountpoint));
        let held = self.told().filter(|disk| {
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
            for disk in self.told() {
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

impl ToldDisk {
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
        let dev = self.dev.as_deref().unwrap_or_default();
        let is_linux = dev.starts_with("/dev/");
        let told = (self.pci.slot >= 0).then_some((self.pci.bus, self.pci.slot));
        let place = identity.pci.map(|(bus, slot)| (i64::from(bus), i64::from(slot)));
        match (told, place) {
            (Some(told), Some(place)) if told != place => return Match::No,
            (Some(_), Some(_)) if on(Bus::VirtioScsi) => {
                let is_other = identity.lun.is_some_and(|lun| i64::from(lun) != self.unit);
                return if is_other { Match::No } else { Match::There };
            }
            (Some(_), Some(_)) => return of(on(Bus::VirtioBlk) || on(Bus::Nvme)),
            (Some(_), None) if self.bus_type == "virtio" => return Match::No,
            // Linux's agent finds the PCI address of every virtio-blk disk that has one.
            (None, Some(_)) if on(Bus::VirtioBlk) && is_linux => return Match::No,
            _ => {}
        }
        match is_linux && dev.starts_with("/dev/nvme") != on(Bus::Nvme) {
            true => Match::No,
            false => Match::May,
        }
    }
}

#[cfg(test)]
mod tests;
