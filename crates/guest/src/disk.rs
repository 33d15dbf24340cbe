//! Disks as the guest's kernel sees them.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

/// `/sys/block/…/size` counts in these, whatever the disk's own sector size.
pub(crate) const SYSFS_SECTOR: u64 = 512;

/// Where libudev finds what udev knows about devices, one file each, `b8:0` for a block device.
const UDEV_NOTES: &str = "/run/udev/data";

/// One disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    /// The kernel's name, such as `vda`: never promised, and used again after a removal.
    pub(crate) name: String,
    /// What identifies the disk; empty when it has none. See [`printable`].
    pub(crate) serial: String,
    /// Size.
    pub(crate) bytes: u64,
    /// Whether the kernel refuses writes.
    pub(crate) read_only: bool,
}

impl fmt::Display for Disk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} serial={} bytes={} ro={}",
            self.name,
            self.serial,
            self.bytes,
            u8::from(self.read_only)
        )
    }
}

impl Disk {
    /// Looks a disk up by the kernel's name; `None` when it is not there (any more).
    pub(crate) fn look_up(name: &str) -> Option<Self> {
        let folder = Path::new("/sys/block").join(name);
        // A drive is not a disk: what is inside comes and goes by itself. See `drive.rs`.
        if name.starts_with("sr") {
            return None;
        }
        // Disks without a device behind them (loop, ram) are the kernel's own.
        if !folder.join("device").exists() {
            return None;
        }
        // A path of a multipath NVMe disk, which nobody can open; the disk itself comes as another.
        if attribute(&folder, "hidden").is_some_and(|hidden| hidden != "0") {
            return None;
        }
        let sectors: u64 = attribute(&folder, "size")?.parse().ok()?;
        Some(Self {
            name: name.to_owned(),
            serial: printable(&serial(&folder)),
            bytes: sectors.saturating_mul(SYSFS_SECTOR),
            read_only: attribute(&folder, "ro")? != "0",
        })
    }

    /// All disks, in the order of their names.
    pub(crate) fn all() -> Vec<Self> {
        let Ok(entries) = fs::read_dir("/sys/block") else {
            return Vec::new();
        };
        let mut disks: Vec<_> = entries
            .flatten()
            .filter_map(|entry| Self::look_up(&entry.file_name().to_string_lossy()))
            .collect();
        disks.sort_by(|one, other| one.name.cmp(&other.name));
        disks
    }

    /// Notes in udev's own database, which the guest agent looks into, what udev would have said of
    /// this disk's serial: there is no udev here.
    pub(crate) fn note_for_udev(&self, id_serial: &str) -> Result<(), String> {
        let number = attribute(&Path::new("/sys/block").join(&self.name), "dev")
            .ok_or_else(|| format!("{} has no device number", self.name))?;
        let note = Path::new(UDEV_NOTES).join(format!("b{number}"));
        fs::create_dir_all(UDEV_NOTES)
            .and_then(|()| fs::write(&note, format!("E:ID_SERIAL={id_serial}\n")))
            .map_err(|error| format!("cannot write {}: {error}", note.display()))
    }

    /// Where to open it.
    pub(crate) fn device_node(&self) -> PathBuf {
        Path::new("/dev").join(&self.name)
    }
}

fn attribute(folder: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(folder.join(name)).ok()?;
    Some(text.trim().to_owned())
}

/// Each kind of disk keeps its serial elsewhere: virtio-blk, nvme, then scsi's page 0x80, which has
/// a header of four bytes, then the USB device around it: of some, the kernel reads no such page.
fn serial(folder: &Path) -> Vec<u8> {
    attribute(folder, "serial")
        .or_else(|| attribute(folder, "device/serial"))
        .map(String::into_bytes)
        .or_else(|| fs::read(folder.join("device/vpd_pg80")).ok()?.get(4..).map(<[u8]>::to_vec))
        .or_else(|| usb_serial(folder).map(String::into_bytes))
        .unwrap_or_default()
}

/// The serial of the nearest USB device above a disk: a folder that also names a vendor.
fn usb_serial(folder: &Path) -> Option<String> {
    let device = fs::canonicalize(folder.join("device")).ok()?;
    let usb = device.ancestors().find(|above| above.join("idVendor").exists())?;
    attribute(usb, "serial")
}

/// A serial as one word of the line protocol: white space and odd bytes become `%XX`.
fn printable(serial: &[u8]) -> String {
    let mut word = String::new();
    let text = serial.split(|&byte| byte == 0).next().unwrap_or_default();
    for &byte in text.trim_ascii() {
        if byte.is_ascii_graphic() && byte != b'%' {
            word.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(word, "%{byte:02X}");
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_is_always_one_word() {
        assert_eq!(printable(b"data"), "data");
        assert_eq!(printable(b"  my disk 100%  \0\0"), "my%20disk%20100%25");
        assert_eq!(printable(b""), "");
        assert_eq!(printable(b"\xff\n"), "%FF");
    }
}
