//! The guest's program, built static, and the initramfs around it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use qplug_testbed::boot_files::{Kernel, agent_initramfs_place, guest_source, initramfs_place};
use qplug_testbed::{Error, Result, cache, initramfs};

use super::tool;

/// The guest is a PC, whatever the host is. This is also the usual host, whose C library has a
/// static form; no other target needs to be installed.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Initramfs archives of other versions of the source that are kept, each of some 4 to 12 MB.
const MAX_OLD: usize = 12;

/// The initramfs with the agent in it, built when it is not there yet.
pub(super) fn set_up_with_agent(kernel: &Kernel, agent: &Path) -> Result<PathBuf> {
    let place = agent_initramfs_place(kernel)?;
    if place.is_file() {
        return Ok(place);
    }
    let base = set_up(kernel)?;
    let base = fs::read(&base).map_err(Error::file("read", &base))?;
    let archive = initramfs::with_agent(base, agent)?;
    cache::install(&place, |file| fs::write(file, archive).map_err(Error::file("write", file)))?;
    Ok(place)
}

/// The initramfs for the guest's present source, built when it is not there yet.
pub(super) fn set_up(kernel: &Kernel) -> Result<PathBuf> {
    let place = initramfs_place(kernel)?;
    if place.is_file() {
        return Ok(place);
    }
    println!("building the guest");
    let program = build()?;
    let archive = initramfs::build(&program, &kernel.modules)?;
    forget_old()?;
    cache::install(&place, |file| fs::write(file, archive).map_err(Error::file("write", file)))?;
    Ok(place)
}

fn build() -> Result<Vec<u8>> {
    // A build folder of its own: other flags, and no waiting for whoever builds the workspace.
    let folder = cache::folder()?.join("guest-build");
    let manifest = guest_source().join("Cargo.toml");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--release", "--package", "qplug-guest"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(&folder)
        .arg("--manifest-path")
        .arg(&manifest)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s");
    tool::run(&mut command)
        .map_err(|error| error.while_doing("the guest's program cannot be built"))?;
    let program = folder.join(TARGET).join("release/qplug-guest");
    fs::read(&program).map_err(Error::file("read", &program))
}

fn forget_old() -> Result<()> {
    let folder = cache::folder()?;
    let mut old: Vec<_> = fs::read_dir(&folder)
        .map_err(Error::file("list", &folder))?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("initramfs-"))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    old.sort();
    let surplus = old.len().saturating_sub(MAX_OLD);
    for (_, path) in &old[..surplus] {
        fs::remove_file(path).map_err(Error::file("remove", path))?;
    }
    Ok(())
}
