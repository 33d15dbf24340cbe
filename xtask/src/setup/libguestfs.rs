//! libguestfs' shell, guestfish, and its appliance: only a benchmark asks for it, to be measured
//! against.
//!
//! libguestfs makes its appliance of the files of packages that are installed. None is here: so it is
//! made once, in a root of unpacked packages that goes afterwards, with the kernel that all test
//! machines boot. Such a fixed appliance spares guestfish the look at whether packages have changed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use qplug_testbed::boot_files::Kernel;
use qplug_testbed::cache::Lock;
use qplug_testbed::{Error, Result, cache};

use super::apt::{Packages, PrivateApt};
use super::{program, tool};

/// The shell, and what every system has installed.
const PACKAGES: [&str; 2] = ["guestfish", "?essential"];

/// Makes a root of packages.
const ROOT: &str = include_str!("libguestfs/root.sh");

/// Builds the appliance in it.
const BUILD: &str = include_str!("libguestfs/build.sh");

/// The shell's name in the folder, and where packages have it.
pub(crate) const SHELL: &str = "guestfish";

/// The appliance's folder in the folder: a kernel, an initrd, and its root, of some 500 MB.
pub(crate) const APPLIANCE: &str = "appliance";

/// What a folder has by which libguestfs knows a fixed appliance.
const MARK: &str = "README.fixed";

/// What a kernel says before its version.
const BANNER: &[u8] = b"Linux version ";

/// Fetches guestfish when it is not there yet, builds its appliance, and gives the folder of both.
pub(crate) fn set_up() -> Result<PathBuf> {
    let place = cache::folder()?.join("libguestfs");
    if place.exists() {
        return Ok(place);
    }
    let kernel = Kernel::current()?;
    let _lock = Lock::acquire("setup")?;
    println!("fetching libguestfs, and building its appliance");
    let mut packages = Packages::default();
    let apt = packages.fetched()?;
    cache::install(&place, |made| fetch(apt, &kernel, made))?;
    Ok(place)
}

fn fetch(apt: &PrivateApt, kernel: &Kernel, made: &Path) -> Result<()> {
    let version = version(kernel)?;
    let (archives, root) = (made.with_extension("packages"), made.with_extension("root"));
    apt.download_with_all_needs(&PACKAGES, &archives)?;
    tool::run(Command::new("sh").args(["-c", ROOT, "root.sh"]).arg(&archives).arg(&root))?;
    put_kernel(kernel, &version, &root)?;
    let mut build = Command::new("unshare");
    build.args(["--map-root-user", "--mount", "sh", "-c", BUILD, "build.sh"]);
    tool::run(build.arg(&root).arg(&version))?;
    fs::create_dir(made).map_err(Error::file("make the folder", made))?;
    program::take(&root, &root.join("usr/bin").join(SHELL), made, SHELL)?;
    let appliance = made.join(APPLIANCE);
    fs::rename(root.join(APPLIANCE), &appliance)
        .map_err(Error::file("move into place", &appliance))?;
    let mark = appliance.join(MARK);
    File::create(&mark).map_err(Error::file("make", &mark))?;
    Ok(())
}

/// Puts the kernel and its modules where packages would have them.
fn put_kernel(kernel: &Kernel, version: &str, root: &Path) -> Result<()> {
    let modules = root.join("usr/lib/modules");
    for folder in [&modules, &root.join("boot")] {
        fs::create_dir_all(folder).map_err(Error::file("make the folder", folder))?;
    }
    let mut copy = Command::new("cp");
    copy.arg("--recursive").arg(&kernel.modules).arg(modules.join(version));
    tool::run(&mut copy)?;
    let image = root.join("boot").join(format!("vmlinuz-{version}"));
    fs::copy(&kernel.image, &image).map_err(Error::file("write", &image))?;
    Ok(())
}

/// What an unpacked kernel calls itself.
fn version(kernel: &Kernel) -> Result<String> {
    let image = fs::read(&kernel.image).map_err(Error::file("read", &kernel.image))?;
    banner(&image).ok_or_else(|| {
        Error::not_set_up(format!(
            "{} does not tell its version as an unpacked kernel does, so libguestfs gets no \
             appliance",
            kernel.image.display()
        ))
    })
}

fn banner(image: &[u8]) -> Option<String> {
    let at = image.windows(BANNER.len()).position(|bytes| bytes == BANNER)?;
    let rest = &image[at + BANNER.len()..];
    let end = rest.iter().position(|byte| byte.is_ascii_whitespace())?;
    let version = std::str::from_utf8(&rest[..end]).ok()?;
    // It becomes a file's name.
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-._+".contains(char);
    (!version.is_empty() && version.chars().all(is_plain)).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_tells_its_version() {
        let image = b"\x7fELF..Linux version 6.1.0-56-amd64 (gcc)..";
        assert_eq!(banner(image), Some("6.1.0-56-amd64".to_owned()));
        assert_eq!(banner(b"Linux version ../../x y"), None);
        assert_eq!(banner(b"Linux version"), None);
    }
}
