//! The guest's kernel, unpacked and never installed.

use std::fs;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use qplug_testbed::boot_files::Kernel;
use qplug_testbed::{Error, Result, cache};

use super::apt::{Packages, PrivateApt};
use super::{lz4, tool};

/// Debian's kernel for any machine, which boots as fast as the smaller one for virtual machines, and
/// which also has USB, SATA and the hotplug controller of a PCI bridge.
const PACKAGE: &str = "linux-image-amd64";

/// Drivers that no test guest has a use for, and which are most of the package.
const BALLAST: [&str; 8] = [
    "kernel/sound",
    "kernel/net",
    "kernel/drivers/net",
    "kernel/drivers/gpu",
    "kernel/drivers/media",
    "kernel/drivers/infiniband",
    "kernel/drivers/iio",
    "kernel/drivers/staging",
];

/// The kernel, fetched when it is not there yet.
pub(super) fn set_up(packages: &mut Packages) -> Result<Kernel> {
    let kernel = Kernel::unpacked()?;
    if kernel.is_there() {
        return Ok(kernel);
    }
    let apt = packages.fetched()?;
    let folder =
        kernel.image.parent().ok_or_else(|| Error::failed("the kernel's place has no folder"))?;
    cache::install(folder, |made| fetch(apt, made)).map_err(|error| {
        Error::not_set_up(format!(
            "a kernel for the guest cannot be fetched, so no test that boots one runs: {error}\n  \
             Try again with: cargo xtask setup; or bring your own with QPLUG_KERNEL and \
             QPLUG_MODULES"
        ))
    })?;
    Ok(kernel)
}

fn fetch(apt: &PrivateApt, made: &Path) -> Result<()> {
    println!("fetching a kernel for the guest");
    let package = apt
        .depends(PACKAGE)?
        .into_iter()
        .find(|name| name.starts_with("linux-image-"))
        .ok_or_else(|| Error::failed(format!("{PACKAGE} names no kernel")))?;
    let unpacked = made.join("unpacked");
    fs::create_dir_all(&unpacked).map_err(Error::file("make the folder", &unpacked))?;
    apt.unpack_alone(&package, &unpacked)?;

    let packed = only_entry(&unpacked.join("boot"), "vmlinuz-")?;
    // Newer releases keep all of it below usr/.
    let modules = only_entry(&unpacked.join("lib/modules"), "")
        .or_else(|_| only_entry(&unpacked.join("usr/lib/modules"), ""))?;
    let image = fs::read(&packed).map_err(Error::file("read", &packed))?;
    // QEMU starts an unpacked kernel directly, which saves its unpacking itself: 0.7 s under TCG.
    let image = vmlinux(&image)?.unwrap_or(image);
    let place = made.join("image");
    fs::write(&place, image).map_err(Error::file("write", &place))?;
    let place = made.join("modules");
    fs::rename(&modules, &place).map_err(Error::file("move into place", &place))?;
    for folder in BALLAST {
        // Another release may not have it; what stays costs nothing but room.
        let _ = fs::remove_dir_all(place.join(folder));
    }
    let name = made.join("package");
    fs::write(&name, package).map_err(Error::file("write", &name))?;
    fs::remove_dir_all(&unpacked).map_err(Error::file("remove", &unpacked))
}

fn only_entry(folder: &Path, prefix: &str) -> Result<PathBuf> {
    fs::read_dir(folder)
        .map_err(Error::file("list", folder))?
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .ok_or_else(|| Error::failed(format!("{} has no {prefix}*", folder.display())))
}

/// Takes the kernel out of a `bzImage`; `None` when there is none in it that can be unpacked here,
/// which is then left to the kernel itself.
fn vmlinux(image: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(packed) = payload(image) else {
        return Ok(None);
    };
    let unpacked = match lz4::unpack(packed) {
        Some(kernel) => kernel,
        None if packed.starts_with(XZ_MAGIC) => unxz(packed)?,
        None => return Ok(None),
    };
    Ok(Some(unpacked).filter(|kernel| kernel.starts_with(b"\x7fELF")))
}

/// How a stream of xz starts.
const XZ_MAGIC: &[u8] = b"\xfd7zXZ\0";

/// The packed kernel within its image. Offsets are those of the x86 boot protocol, 2.08 and later.
fn payload(image: &[u8]) -> Option<&[u8]> {
    const SECTOR: usize = 512;
    let word = |at: usize| -> Option<usize> {
        let bytes = image.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    const SIGNATURE: &[u8] = b"HdrS";
    if image.get(0x202..0x206)? != SIGNATURE {
        return None;
    }
    let setup_sectors = usize::from(*image.get(0x1f1)?);
    let start = (setup_sectors + 1) * SECTOR + word(0x248)?;
    image.get(start..start.checked_add(word(0x24c)?)?)
}

/// A kernel's build appends the unpacked size to the stream, which `--single-stream` passes over.
fn unxz(packed: &[u8]) -> Result<Vec<u8>> {
    let mut file = tempfile::tempfile()
        .map_err(|error| Error::failed(format!("no temporary file: {error}")))?;
    let written = file.write_all(packed).and_then(|()| file.rewind());
    written.map_err(|error| Error::failed(format!("cannot write a temporary file: {error}")))?;
    tool::bytes(
        Command::new("xz").args(["--decompress", "--stdout", "--single-stream"]).stdin(file),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_kernel_is_left_alone() {
        assert_eq!(vmlinux(b"").unwrap(), None);
        assert_eq!(vmlinux(&[0xff; 4096]).unwrap(), None);
        let mut header_only = vec![0xff; 4096];
        header_only[0x202..0x206].copy_from_slice(b"HdrS");
        assert_eq!(vmlinux(&header_only).unwrap(), None);
    }
}
