//! QEMUs, unpacked: the release's own, the newer one of its backports, and those of other releases.

use std::fs;
use std::path::{Path, PathBuf};

use qplug_testbed::qemu::{MODULES, PROGRAM, releases};
use qplug_testbed::{Board, Error, Qemu, Result, cache, image};

use super::apt::{Packages, PrivateApt};
use super::sources::Release;

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
        if is_whole(suite, &root) {
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
    write_note(&note, &fetched)?;
    Qemu::unpacked(&fetched)
}

/// Says which folder has the QEMU of a suite.
fn write_note(note: &Path, place: &Path) -> Result<()> {
    let name = place.file_name().unwrap_or_default().to_owned();
    cache::install(note, |file| {
        fs::write(file, name.as_encoded_bytes()).map_err(Error::file("write", file))
    })
}

/// The QEMU of another release, fetched when it is not there yet; `None` on a system of that very
/// release, which has it as its own. An archive does not keep a release for ever, so this one may be
/// missing where all else is set up.
pub(super) fn set_up_other(release: &str) -> Result<Option<Qemu>> {
    if Release::of_this_machine()?.codename == release {
        return Ok(None);
    }
    if let Some(qemu) = releases::of(release)? {
        return Ok(Some(qemu));
    }
    let apt = PrivateApt::of_release(release)?;
    println!("fetching QEMU ({release})");
    let workshop = workshop(&releases::folder()?)?;
    apt.unpack_with_all_needs(&["qemu-system-x86", "qemu-block-extra"], &workshop)?;
    drop_ballast(&workshop);
    let place = settle(&workshop, |root| root.join(PROGRAM).is_file())?;
    write_note(&releases::note(release)?, &place)?;
    Qemu::unpacked(&place).map(Some)
}

/// An empty folder to unpack into. One left behind by a set-up that was killed goes: the lock says
/// that none is running.
fn workshop(parent: &Path) -> Result<PathBuf> {
    let workshop = parent.join("qemu.unpacking");
    remove_if_there(&workshop)?;
    fs::create_dir_all(&workshop).map_err(Error::file("make the folder", &workshop))?;
    Ok(workshop)
}

/// Unpacks into a folder named after what the program says its version is.
fn fetch(suite: Suite, apt: &PrivateApt) -> Result<PathBuf> {
    println!("fetching QEMU ({suite:?})");
    let workshop = workshop(&cache::folder()?)?;
    let backports = apt.backports();
    let from = match suite {
        Suite::Main => None,
        Suite::Backports => Some(backports.as_str()),
    };
    apt.unpack_with_needs(&packages(suite), from, &workshop)?;
    drop_ballast(&workshop);
    settle(&workshop, |root| is_whole(suite, root))
}

/// Gives the folder the name of its QEMU's version, unless there is such a one and it is whole.
fn settle(workshop: &Path, is_whole: impl Fn(&Path) -> bool) -> Result<PathBuf> {
    let version = Qemu::unpacked(workshop)?.version;
    let place = workshop.with_file_name(format!("qemu-{version}"));
    if is_whole(&place) {
        fs::remove_dir_all(workshop).map_err(Error::file("remove", workshop))?;
        return Ok(place);
    }
    // One of an earlier set-up lacks something. Whoever runs it keeps what is open.
    let old = workshop.with_file_name("qemu.old");
    remove_if_there(&old)?;
    if place.exists() {
        fs::rename(&place, &old).map_err(Error::file("move away", &place))?;
    }
    fs::rename(workshop, &place).map_err(Error::file("move into place", &place))?;
    remove_if_there(&old)?;
    Ok(place)
}

/// The block drivers that are modules of their own, the other boards' programs, and the image tools
/// only when the system has none. 7.2 has its s390x in a package with twenty others, which is left
/// out for its size.
fn packages(suite: Suite) -> Vec<&'static str> {
    let mut packages = vec!["qemu-system-x86", "qemu-block-extra", "qemu-system-arm"];
    if let Suite::Backports = suite {
        packages.push("qemu-system-s390x");
    }
    if !image::tools_are_installed() {
        packages.push("qemu-utils");
    }
    packages
}

/// Whether a folder has all that [`packages`] brings, and not what an earlier set-up made do with.
fn is_whole(suite: Suite, root: &Path) -> bool {
    let mut programs = vec![Board::Q35, Board::Virt];
    if let Suite::Backports = suite {
        programs.push(Board::S390x);
    }
    programs.iter().all(|board| root.join("usr/bin").join(board.program()).is_file())
        && root.join(MODULES).join("block-curl.so").is_file()
}

/// Documentation is of no use in a cache, nor is a program whose 64-bit twin does the same; a
/// failure to drop them is of no consequence.
fn drop_ballast(root: &Path) {
    for folder in ["usr/share/doc", "usr/share/man", "usr/share/locale"] {
        let _ = fs::remove_dir_all(root.join(folder));
    }
    for program in ["qemu-system-i386", "qemu-system-arm"] {
        let _ = fs::remove_file(root.join("usr/bin").join(program));
    }
}

fn remove_if_there(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(Error::file("remove", folder))?;
    }
    Ok(())
}
