//! File systems on disks: what a disk in use looks like to a guest agent.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::boot::{MODULES_LATER, load_modules};
use crate::disk::Disk;

/// Each disk is mounted below this, under its serial.
const PLACE: &str = "/mnt";

/// Mounts the file system of a whole disk, and returns where.
pub(crate) fn attach(disk: &Disk, kind: &str) -> Result<PathBuf, String> {
    // Loading them again costs next to nothing.
    for complaint in load_modules(MODULES_LATER) {
        println!("guest: {complaint}");
    }
    let place = place(&disk.serial);
    fs::create_dir_all(&place)
        .map_err(|error| format!("cannot make {}: {error}", place.display()))?;
    let flags = if disk.read_only { MountFlags::RDONLY } else { MountFlags::empty() };
    mount(disk.device_node(), &place, kind, flags, None)
        .map_err(|errno| format!("cannot mount {} as {kind}: {errno}", disk.name))?;
    Ok(place)
}

/// Unmounts it again. The disk itself may be gone by now.
pub(crate) fn detach(serial: &str) -> Result<(), String> {
    unmount(place(serial), UnmountFlags::empty())
        .map_err(|errno| format!("cannot unmount '{serial}': {errno}"))
}

fn place(serial: &str) -> PathBuf {
    // A serial is one printable word; a slash in it would make folders of it.
    Path::new(PLACE).join(serial.replace('/', "%2F"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_is_one_folder() {
        assert_eq!(place("data"), Path::new("/mnt/data"));
        assert_eq!(place("../etc"), Path::new("/mnt/..%2Fetc"));
    }
}
