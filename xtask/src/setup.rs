//! `cargo xtask setup`: what the tests on real machines need, unpacked into the cache folder.
//!
//! Nothing is installed and nothing outside the cache changes: packages are fetched through the
//! machine's own package sources, with package lists of our own, and unpacked.

mod agent;
mod apt;
mod guest;
mod kernel;
pub(crate) mod libguestfs;
mod libvirt;
mod lz4;
mod program;
mod python;
mod qemu;
mod sources;
mod tool;

use std::env;
use std::time::Instant;

use qplug_testbed::boot_files::Kernel;
use qplug_testbed::cache::{self, Lock};
use qplug_testbed::qemu::releases::RELEASES;
use qplug_testbed::{Error, Qemu, Result};

use apt::Packages;
pub(crate) use libvirt::set_up as libvirt;

/// Prepares everything that is missing and prints a line about each thing. What can be had is kept
/// even when something else cannot.
pub(crate) fn run() -> Result<()> {
    let began = Instant::now();
    println!("cache    {}", cache::folder()?.display());
    let _lock = Lock::acquire("setup")?;
    let mut packages = Packages::default();
    let mut missing = Vec::new();

    for result in qemus(&mut packages) {
        match result {
            Ok(qemu) => println!("qemu     {} {}", qemu.version, qemu.path.display()),
            Err(error) => missing.push(error.to_string()),
        }
    }
    for line in other_releases() {
        println!("{line}");
    }
    match boot_files(&mut packages) {
        Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
        Err(error) => missing.push(error.to_string()),
    }
    match python::set_up() {
        Ok(program) => println!("python   {}", program.display()),
        Err(error) => missing.push(error.to_string()),
    }
    // One network that is down is one thing to say, whatever it was needed for.
    missing.dedup();
    println!("took     {:.2} s", began.elapsed().as_secs_f64());
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::not_set_up(format!(
        "the tests on real machines lack something:\n- {}",
        missing.join("\n- ")
    )))
}

fn qemus(packages: &mut Packages) -> Vec<Result<Qemu>> {
    if env::var_os("QPLUG_QEMU").is_some_and(|paths| !paths.is_empty()) {
        return match Qemu::installed() {
            Ok(chosen) => chosen.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
    }
    qemu::SUITES.iter().map(|suite| qemu::set_up(*suite, packages)).collect()
}

/// A line for each QEMU of another release. One that cannot be had is no failure: the tests on it
/// are passed over, and each says so.
fn other_releases() -> Vec<String> {
    if env::var_os("QPLUG_QEMU").is_some_and(|paths| !paths.is_empty()) {
        return Vec::new();
    }
    let line = |release: &&str| match qemu::set_up_other(release) {
        Ok(Some(qemu)) => Some(format!("qemu     {} {}", qemu.version, qemu.path.display())),
        Ok(None) => None,
        Err(error) => {
            Some(format!("MISSING  the QEMU of {release}, so tests on it will be skipped: {error}"))
        }
    };
    RELEASES.iter().filter_map(line).collect()
}

fn boot_files(packages: &mut Packages) -> Result<Vec<String>> {
    let kernel = match Kernel::chosen()? {
        Some(kernel) if kernel.is_there() => kernel,
        Some(kernel) => {
            return Err(Error::not_set_up(format!(
                "QPLUG_KERNEL ({}) must be a file and QPLUG_MODULES ({}) a folder",
                kernel.image.display(),
                kernel.modules.display()
            )));
        }
        None => kernel::set_up(packages)?,
    };
    let initramfs = guest::set_up(&kernel)?;
    let mut lines = vec![
        format!("kernel   {}", kernel.image.display()),
        format!("guest    {}", initramfs.display()),
    ];
    match agent::set_up(packages).and_then(|agent| guest::set_up_with_agent(&kernel, &agent)) {
        Ok(initramfs) => lines.push(format!("agent    {}", initramfs.display())),
        // Who brings a kernel may be on a system that has no package of the agent.
        Err(error) if Kernel::chosen()?.is_some() => {
            lines.push(format!("agent    none, and no test runs it: {error}"));
        }
        Err(error) => return Err(error),
    }
    Ok(lines)
}
