//! Two QEMUs, unpacked: the release's own, and the newer one of its backports.

use std::fs;
use std::path::{Path, PathBuf};

use qplug_testbed::qemu::PROGRAM;
use qplug_testbed::{Error, Qemu, Result, cache, image};

use super::apt::{Packages, PrivateApt};

/// Where a QEMU comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Suite {
    /// The release itself: 7.2 on Debian 12.
    Main,
    /// Its backports: 10.0 on Debian 12.
    Backports,
}

/// All that are set up, oldest first.
pub(super) const SUITES: &[Suite] = &[Suite::Main, Suite::Backports];

impl Suite {
    /// The file that says which version the suite had when it was set up.
    fn note(self) -> Result<PathBuf> {
        let name = match self {
            Self::Main => "qemu.main",
            Self::Backports => "qemu.backports",
        };
        Ok(cache::folder()?.join(name))
    }
}

/// The QEMU of a suite, fetched when it is not there yet.
pub(super) fn set_up(suite: Suite, packages: &mut Packages) -> Result<Qemu> {
    let note = suite.note()?;
    if let Ok(name) = fs::read_to_string(&note) {
        let root = note.with_file_name(name.trim());
        if root.join(PROGRAM).is_file() {
            return Qemu::unpacked(&root);
        }
    }
    let apt = packages.fetched()?;
    let fetched = fetch(suite, apt).map_err(|error| {
        Error::not_set_up(format!(
            "the QEMU of {suite:?} cannot be fetched, so no test runs on it: {error}\n  \
             Try again with: cargo xtask setup; or bring your own with QPLUG_QEMU"
        ))
    })?;
    let name = fetched.file_name().unwrap_or_default().to_owned();
    cache::install(&note, |file| {
        fs::write(file, name.as_encoded_bytes()).map_err(Error::file("write", file))
    })?;
    Qemu::unpacked(&fetched)
}

/// Unpacks into a folder named after what the program says its version is.
fn fetch(suite: Suite, apt: &PrivateApt) -> Result<PathBuf> {
    println!("fetching QEMU ({suite:?})");
    let workshop = cache::folder()?.join("qemu.unpacking");
    // Left behind by a set-up that was killed; the lock says that none is running.
    if workshop.exists() {
        fs::remove_dir_all(&workshop).map_err(Error::file("remove", &workshop))?;
    }
    fs::create_dir_all(&workshop).map_err(Error::file("make the folder", &workshop))?;
    let backports = apt.backports();
    let from = match suite {
        Suite::Main => None,
        Suite::Backports => Some(backports.as_str()),
    };
    apt.unpack_with_needs(&packages(), from, &workshop)?;
    drop_ballast(&workshop);
    let version = Qemu::unpacked(&workshop)?.version;
    let place = workshop.with_file_name(format!("qemu-{version}"));
    if place.exists() {
        fs::remove_dir_all(&workshop).map_err(Error::file("remove", &workshop))?;
    } else {
        fs::rename(&workshop, &place).map_err(Error::file("move into place", &place))?;
    }
    Ok(place)
}

/// qemu-img and qemu-io only when the system has none.
fn packages() -> Vec<&'static str> {
    let mut packages = vec!["qemu-system-x86"];
    if !image::tools_are_installed() {
        packages.push("qemu-utils");
    }
    packages
}

/// Documentation is of no use in a cache; a failure to drop it is of no consequence.
fn drop_ballast(root: &Path) {
    for folder in ["usr/share/doc", "usr/share/man", "usr/share/locale"] {
        let _ = fs::remove_dir_all(root.join(folder));
    }
}
