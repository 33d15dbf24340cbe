//! Disks as the kernel shows them in `/sys`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use qplug_agent::wire::{Device, OWN_PREFIX, Partition};

/// `size` and `start` count in these, whatever the disk's own sectors are.
const SECTOR: u64 = 512;

/// The most bytes of a serial that are looked at: QEMU's limits are far below.
const MAX_SERIAL: usize = 256;

/// A disk, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Disk {
    /// The user's.
    Users(Device),
    /// The appliance's own, of this label.
    Own(String),
}

/// Looks a disk up by the kernel's name. `None` when it is not there, or is no disk that anybody
/// plugged in.
pub(crate) fn look_up(name: &str) -> Option<Disk> {
    let folder = Path::new("/sys/block").join(name);
    // A drive's medium, and what the kernel made by itself: loop, ram, dm, md.
    if name.starts_with("sr") || !folder.join("device").exists() {
        return None;
    }
    // A path of a multipath NVMe disk, which nobody can open; the disk itself is another.
    if attribute(&folder, "hidden").is_some_and(|hidden| hidden != "0") {
        return None;
    }
    let label = label(&serial(&folder));
    let label = match label {
        Some(own) if own.starts_with(OWN_PREFIX) => return Some(Disk::Own(own)),
        other => other,
    };
    Some(Disk::Users(Device {
        label,
        kernel_name: name.to_owned(),
        // Since Linux 5.15; without it the disks are in the order of their names.
        sequence: number(&folder, "diskseq").unwrap_or(0),
        bytes: number::<u64>(&folder, "size")?.saturating_mul(SECTOR),
        sector_bytes: number(&folder, "queue/logical_block_size").unwrap_or(512),
        read_only: attribute(&folder, "ro")? != "0",
        partitions: partitions(&folder),
    }))
}

/// The names of all block devices that are not partitions.
pub(crate) fn block_devices() -> Vec<String> {
    let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// The name that device-mapper has for one of its devices, else the kernel's.
pub(crate) fn friendly_name(kernel_name: &str) -> String {
    let folder = Path::new("/sys/block").join(kernel_name);
    match attribute(&folder, "dm/name") {
        Some(name) => format!("/dev/mapper/{name}"),
        None => format!("/dev/{kernel_name}"),
    }
}

/// What lies on a device or on one of its partitions: their kernel names.
pub(crate) fn holders(kernel_name: &str) -> Vec<String> {
    let folder = Path::new("/sys/class/block").join(kernel_name).join("holders");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// The device's major and minor number.
pub(crate) fn numbers(kernel_name: &str) -> Option<(u32, u32)> {
    let text = attribute(&Path::new("/sys/class/block").join(kernel_name), "dev")?;
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The size of any block device.
pub(crate) fn bytes(kernel_name: &str) -> Option<u64> {
    let folder = Path::new("/sys/class/block").join(kernel_name);
    Some(number::<u64>(&folder, "size")?.saturating_mul(SECTOR))
}

/// The partitions of a disk, by number.
pub(crate) fn partitions_of(kernel_name: &str) -> Vec<Partition> {
    partitions(&Path::new("/sys/block").join(kernel_name))
}

fn partitions(folder: &Path) -> Vec<Partition> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let partition = |entry: fs::DirEntry| {
        let folder = entry.path();
        Some(Partition {
            number: number(&folder, "partition")?,
            kernel_name: entry.file_name().into_string().ok()?,
            start_bytes: number::<u64>(&folder, "start")?.saturating_mul(SECTOR),
            bytes: number::<u64>(&folder, "size")?.saturating_mul(SECTOR),
        })
    };
    let mut partitions: Vec<_> = entries.filter_map(partition).collect();
    partitions.sort_by_key(|partition| partition.number);
    partitions
}

fn attribute(folder: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(folder.join(name)).ok()?;
    Some(text.trim().to_owned())
}

fn number<T: FromStr>(folder: &Path, name: &str) -> Option<T> {
    attribute(folder, name)?.parse().ok()
}

/// Each kind of disk keeps its serial elsewhere: virtio-blk; NVMe; SCSI in page 0x80, behind a header of
/// four bytes; a USB disk in the device around it.
fn serial(folder: &Path) -> Vec<u8> {
    let file = |name: &str| fs::read(folder.join(name)).ok();
    file("serial")
        .or_else(|| file("device/serial"))
        .or_else(|| file("device/vpd_pg80")?.get(4..).map(<[u8]>::to_vec))
        .or_else(|| {
            let device = fs::canonicalize(folder.join("device")).ok()?;
            let usb = device.ancestors().find(|above| above.join("idVendor").exists())?;
            fs::read(usb.join("serial")).ok()
        })
        .unwrap_or_default()
}

/// A serial as a name for commands and links.
fn label(serial: &[u8]) -> Option<String> {
    let text = serial.split(|byte| *byte == 0).next()?.trim_ascii();
    let mut label = String::new();
    for &byte in text.iter().take(MAX_SERIAL) {
        if byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'-')
            || (byte == b'.' && !label.is_empty())
        {
            label.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(label, "%{byte:02X}");
        }
    }
    (!label.is_empty()).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_one_plain_name() {
        let label = |serial: &[u8]| label(serial).unwrap_or_default();
        assert_eq!(label(b"data\0\0"), "data");
        assert_eq!(label(b"  my disk 100%\n"), "my%20disk%20100%25");
        assert_eq!(label(b"../x:1\xff"), "%2E.%2Fx%3A1%FF");
        assert_eq!(label(b" \0data"), "");
    }
}
