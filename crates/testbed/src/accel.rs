//! Whether hardware virtualisation works here.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::boot_files::BootFiles;
use crate::cache::{self, Key};
use crate::machine::{Board, Machine};
use crate::{Error, Qemu, Result};

/// A guest on working KVM boots in well under a second.
const BOOT_WITHIN: Duration = Duration::from_secs(5);

/// Whether this QEMU really boots a guest on KVM: the device file alone says nothing, as a guest on
/// it may hang. Tried once per boot of this host and QEMU; the answer is kept in the cache.
#[must_use]
pub fn usable_kvm(qemu: &Qemu) -> bool {
    if !Path::new("/dev/kvm").exists() {
        return false;
    }
    cached(qemu).unwrap_or(false)
}

fn cached(qemu: &Qemu) -> Result<bool> {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let key = Key::default()
        .with(boot_id.trim())
        .with(qemu.version.to_string())
        .with(qemu.path.as_os_str().as_encoded_bytes());
    let place = cache::folder()?.join("kvm").join(key.to_string());
    if let Ok(answer) = fs::read_to_string(&place) {
        return Ok(answer == "yes");
    }
    let works = boots(qemu)?;
    let answer = if works { "yes" } else { "no" };
    cache::install(&place, |file| fs::write(file, answer).map_err(Error::file("write", file)))?;
    Ok(works)
}

/// An error means that nothing could be tried, which is no answer.
fn boots(qemu: &Qemu) -> Result<bool> {
    // Without these files no guest boots anywhere.
    BootFiles::ready()?;
    let machine = Machine::builder(qemu, Board::Q35).accel("kvm").boot_within(BOOT_WITHIN);
    Ok(machine.is_ok())
}
