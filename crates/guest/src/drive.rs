//! CD drives: what medium is inside.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::disk::SYSFS_SECTOR;

const AUTOCLOSE: &str = "/proc/sys/dev/cdrom/autoclose";

/// Bytes of the medium that are told: enough for a test to know it by.
const FIRST_BYTES: usize = 32;

/// An IDE drive fails the first read behind a change of media, to tell of the change.
const READ_TRIES: u32 = 2;

/// Makes opening a drive leave its tray as it is: a look must not change what it sees.
pub(crate) fn leave_trays_alone() {
    // Without the file the kernel has no CD drives.
    let _ = fs::write(AUTOCLOSE, "0");
}

/// Where the kernel has a drive called `name`, such as `sr0`.
pub(crate) fn device_node(name: &str) -> Option<PathBuf> {
    let is_drive = name.starts_with("sr") && Path::new("/sys/block").join(name).exists();
    is_drive.then(|| Path::new("/dev").join(name))
}

/// All CD drives, by the kernel's names.
pub(crate) fn names() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/sys/block") else {
        return Vec::new();
    };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut drives: Vec<_> = names.filter(|name| name.starts_with("sr")).collect();
    drives.sort();
    drives
}

/// `none`, or the medium's size and its first bytes. Opening asks the drive, so this is not what
/// was there before.
pub(crate) fn medium(name: &str) -> Result<String, String> {
    let node = device_node(name).ok_or_else(|| format!("no CD drive is called '{name}'"))?;
    let mut tries_left = READ_TRIES;
    let bytes = loop {
        match first_bytes(&node) {
            Ok(bytes) => break bytes,
            Err(error) if is_empty(&error) => return Ok("none".to_owned()),
            Err(error) => {
                tries_left -= 1;
                if tries_left == 0 {
                    return Err(format!("cannot read from {name}: {error}"));
                }
            }
        }
    };
    let size = fs::read_to_string(Path::new("/sys/block").join(name).join("size"))
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok())
        .ok_or_else(|| format!("the kernel tells no size of {name}"))?;
    let first = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(format!("bytes={} first={}", size.saturating_mul(SYSFS_SECTOR), first.escape_ascii()))
}

fn first_bytes(node: &Path) -> std::io::Result<[u8; FIRST_BYTES]> {
    let mut bytes = [0; FIRST_BYTES];
    File::open(node)?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The kernel's ENOMEDIUM has no name in `std`.
fn is_empty(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NOMEDIUM.raw_os_error())
}
