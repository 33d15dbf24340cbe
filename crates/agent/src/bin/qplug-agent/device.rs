//! What a command calls a device.

use std::fs;

use qplug_agent::wire::{DEVICE_NOT_FOUND, Device, LINKS};
use qplug_proto::ErrorReply;

use crate::disks::{Disks, is_own};
use crate::refusal::Result;
use crate::sysfs;

/// A device that a command named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// What the command called it.
    pub(crate) name: String,
    /// The kernel's name.
    pub(crate) kernel_name: String,
    /// Whether the disk refuses writes; of what lies on disks, only trying tells.
    pub(crate) is_read_only: bool,
}

impl Named {
    /// Where to open it.
    pub(crate) fn node(&self) -> String {
        format!("/dev/{}", self.kernel_name)
    }
}

/// Finds `LABEL`, `LABEL:N`, their links, `/dev/mapper/NAME` and `/dev/mdN`. The kernel's names of
/// disks are not taken: they may be another disk's tomorrow.
pub(crate) fn find(name: &str, disks: &Disks) -> Result<Named> {
    let named = |kernel_name: &str, is_read_only: bool| Named {
        name: name.to_owned(),
        kernel_name: kernel_name.to_owned(),
        is_read_only,
    };
    if name.starts_with("/dev/mapper/") || name.starts_with("/dev/md") {
        return on_disks(name).map(|kernel| named(&kernel, false)).ok_or_else(|| not_found(name));
    }
    let all = disks.all();
    let (disk, partition) = split(name, &all)?;
    let Some(number) = partition else {
        return Ok(named(&disk.kernel_name, disk.read_only));
    };
    let mut partitions = disk.partitions.iter();
    let partition = partitions.find(|partition| partition.number == number);
    partition
        .map(|partition| named(&partition.kernel_name, disk.read_only))
        .ok_or_else(|| not_found(name))
}

/// Finds a whole disk.
pub(crate) fn find_disk(name: &str, disks: &Disks) -> Result<Device> {
    let all = disks.all();
    match split(name, &all)? {
        (disk, None) => Ok(disk.clone()),
        (_, Some(_)) => Err(not_found(name)),
    }
}

/// What a command calls the device that the kernel calls so, where it is the user's.
pub(crate) fn name_of(kernel_name: &str, disks: &[Device]) -> Option<String> {
    for disk in disks {
        let Some(label) = disk.label.as_deref() else { continue };
        if disk.kernel_name == kernel_name {
            return Some(label.to_owned());
        }
        let mut partitions = disk.partitions.iter();
        if let Some(found) = partitions.find(|partition| partition.kernel_name == kernel_name) {
            return Some(format!("{label}:{}", found.number));
        }
    }
    None
}

fn split<'a>(name: &str, disks: &'a [Device]) -> Result<(&'a Device, Option<u32>)> {
    let label = name.strip_prefix(LINKS).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
    let (label, partition) = match label.split_once(':') {
        None => (label, None),
        Some((label, number)) => match number.parse() {
            Ok(number) => (label, Some(number)),
            Err(_) => return Err(not_found(name)),
        },
    };
    let mut disks = disks.iter().filter(|_| !is_own(label));
    let disk = disks.find(|disk| disk.label.as_deref() == Some(label));
    Ok((disk.ok_or_else(|| not_found(name))?, partition))
}

/// The kernel's name of a device that lies on disks.
fn on_disks(path: &str) -> Option<String> {
    let numbers = fs::metadata(path).ok().map(|it| std::os::unix::fs::MetadataExt::rdev(&it))?;
    let wanted = (rustix::fs::major(numbers), rustix::fs::minor(numbers));
    let mut names = sysfs::block_devices().into_iter();
    names.find(|name| is_on_disks(name) && sysfs::numbers(name) == Some(wanted))
}

/// Whether the kernel's name is of device-mapper or RAID.
pub(crate) fn is_on_disks(kernel_name: &str) -> bool {
    kernel_name.starts_with("dm-") || kernel_name.starts_with("md")
}

/// What nobody has plugged in.
pub(crate) fn not_found(name: &str) -> ErrorReply {
    let words = format!("no such device: {name}; list-devices shows the disks there are");
    ErrorReply::new(DEVICE_NOT_FOUND, words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use qplug_agent::wire::Partition;

    fn disks() -> Vec<Device> {
        let partition = |number: u32| Partition {
            number,
            kernel_name: format!("nvme0n1p{number}"),
            start_bytes: 0,
            bytes: 0,
        };
        vec![Device {
            label: Some("data".to_owned()),
            kernel_name: "nvme0n1".to_owned(),
            sequence: 1,
            bytes: 0,
            sector_bytes: 512,
            read_only: true,
            partitions: vec![partition(1), partition(15)],
        }]
    }

    #[test]
    fn labels_and_links_name_disks_and_partitions() {
        let all = disks();
        for name in ["data:15", "/dev/disk/qplug/data:15"] {
            assert_eq!(split(name, &all).unwrap().1, Some(15), "{name}");
        }
        assert_eq!(split("data", &all).unwrap().0.kernel_name, "nvme0n1");
        for name in ["nvme0n1", "/dev/nvme0n1", "data:x", "other", "qplug.root", "", ":1"] {
            assert_eq!(split(name, &all).unwrap_err().class, DEVICE_NOT_FOUND, "{name}");
        }
        assert_eq!(name_of("nvme0n1p15", &all).as_deref(), Some("data:15"));
        assert_eq!(name_of("nvme0n1p2", &all), None);
    }
}
