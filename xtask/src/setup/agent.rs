//! QEMU's guest agent and its libraries, for the test guest: it has no other file than these.

use std::fs;
use std::path::{Path, PathBuf};

use qplug_testbed::boot_files::agent_folder;
use qplug_testbed::initramfs::AGENT;
use qplug_testbed::{Error, Result, cache};

use super::apt::{Packages, PrivateApt};
use super::program;

/// The package.
const PACKAGE: &str = "qemu-guest-agent";

/// Where it has the program.
const PROGRAM: &str = "usr/sbin/qemu-ga";

/// The folder with the agent, its libraries and its interpreter, fetched when it is not there yet.
pub(super) fn set_up(packages: &mut Packages) -> Result<PathBuf> {
    let folder = agent_folder()?;
    if folder.join(AGENT).is_file() {
        return Ok(folder);
    }
    let apt = packages.fetched()?;
    println!("fetching the guest agent");
    cache::install(&folder, |made| fetch(apt, made)).map_err(|error| {
        Error::not_set_up(format!(
            "the guest agent cannot be fetched, so no test runs it: {error}\n  \
             Try again with: cargo xtask setup"
        ))
    })?;
    Ok(folder)
}

fn fetch(apt: &PrivateApt, made: &Path) -> Result<()> {
    let root = made.with_extension("unpacked");
    for folder in [made, &root] {
        fs::create_dir_all(folder).map_err(Error::file("make the folder", folder))?;
    }
    // The host's own libraries may be of another release than the agent.
    apt.unpack_with_all_needs(&[PACKAGE], &root)?;
    program::take(&root, &root.join(PROGRAM), made, AGENT)?;
    fs::remove_dir_all(&root).map_err(Error::file("remove", &root))
}
