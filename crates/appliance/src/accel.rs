//! What runs the guest's instructions: the host's processor, where a guest really boots on it, or QEMU.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::cache::{Cache, Key, Shelf};
use crate::error::{Error, Result};
use crate::qemu::Qemu;

/// Whether KVM works, for each QEMU, and since the host booted.
const TRIED: Shelf = Shelf { name: "accel", most: 32 };

const DEVICE: &str = "/dev/kvm";

/// Changes when the host boots, with another kernel perhaps.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// QEMU translates them, everywhere.
    Tcg,
    /// The host's processor, through `/dev/kvm`.
    Kvm,
}

impl Accel {
    /// QEMU's word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcg => "tcg",
            Self::Kvm => "kvm",
        }
    }

    /// The processor that a guest sees. With TCG one of fewer abilities boots faster than `max`: each
    /// is looked at, tested and translated.
    pub(crate) fn processor(self) -> &'static str {
        match self {
            Self::Tcg => "qemu64,+rdrand",
            Self::Kvm => "host",
        }
    }

    /// What works with this QEMU here; nothing where only trying tells: the device is there, and a
    /// guest on it may hang all the same.
    pub(crate) fn known(cache: &Cache, qemu: &Qemu) -> Result<Option<Self>> {
        // The user may have no right to it.
        if fs::OpenOptions::new().read(true).write(true).open(DEVICE).is_err() {
            return Ok(Some(Self::Tcg));
        }
        let Some(place) = cache.kept(TRIED, &tried(qemu)?) else {
            return Ok(None);
        };
        let name = fs::read_to_string(place).unwrap_or_default();
        Ok([Self::Tcg, Self::Kvm].into_iter().find(|accel| accel.name() == name))
    }

    /// Remembers what was found to work.
    pub(crate) fn remember(self, cache: &Cache, qemu: &Qemu) -> Result<()> {
        let key = tried(qemu)?;
        cache.made(TRIED, &key, |file| {
            let written = file.write_all(self.name().as_bytes());
            written.map_err(Error::file("write", &cache.place(TRIED, &key)))
        })?;
        Ok(())
    }
}

fn tried(qemu: &Qemu) -> Result<Key> {
    let boot = fs::read_to_string(BOOT_ID).map_err(Error::file("read", Path::new(BOOT_ID)))?;
    qemu.key(Key::default().with("kvm").with(boot.trim()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

    use super::*;

    #[test]
    fn what_was_tried_is_known_until_qemu_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let program = folder.path().join("qemu");
        fs::write(&program, "one").unwrap();
        let qemu = Qemu::at(&program);
        let has_device = fs::OpenOptions::new().read(true).write(true).open(DEVICE).is_ok();
        let untried = if has_device { None } else { Some(Accel::Tcg) };
        assert_eq!(Accel::known(&cache, &qemu).unwrap(), untried);
        Accel::Tcg.remember(&cache, &qemu).unwrap();
        assert_eq!(Accel::known(&cache, &qemu).unwrap(), Some(Accel::Tcg));
        fs::write(&program, "another").unwrap();
        assert_eq!(Accel::known(&cache, &qemu).unwrap(), untried);
    }
}
