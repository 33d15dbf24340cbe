//! libvirt, unpacked like QEMU: only the benchmarks ask for it, to be measured against.

use std::fs;
use std::path::PathBuf;

use qplug_testbed::cache::Lock;
use qplug_testbed::{Error, Result, cache};

use super::apt::Packages;

/// The daemon, its QEMU driver and `virsh`.
const PACKAGES: [&str; 3] = ["libvirt-daemon", "libvirt-daemon-driver-qemu", "libvirt-clients"];

/// Fetches libvirt when it is not there yet, and gives its folder.
pub(crate) fn set_up() -> Result<PathBuf> {
    let place = cache::folder()?.join("libvirt");
    if place.exists() {
        return Ok(place);
    }
    let _lock = Lock::acquire("setup")?;
    println!("fetching libvirt");
    let workshop = place.with_file_name("libvirt.unpacking");
    // Left behind by a set-up that was killed; the lock says that none is running.
    if workshop.exists() {
        fs::remove_dir_all(&workshop).map_err(Error::file("remove", &workshop))?;
    }
    fs::create_dir_all(&workshop).map_err(Error::file("make the folder", &workshop))?;
    let mut packages = Packages::default();
    packages.fetched()?.unpack_with_needs(&PACKAGES, None, &workshop)?;
    fs::rename(&workshop, &place).map_err(Error::file("move into place", &place))?;
    Ok(place)
}
