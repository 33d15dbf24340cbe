//! The guest's first and only file system: `/init`, the drivers it loads, and perhaps the guest agent.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cpio::Archive;
use crate::{Error, Result};

/// Drivers a guest may need for the disks it is given. A kernel that has one built in, or not at
/// all, is fine: the guest then has one kind of disk fewer.
pub const WANTED: &[&str] = &[
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "sd_mod",
    "nvme",
    "xhci_pci",
    "usb_storage",
    "uas",
    // CD drives, and the controllers that the boards have for them.
    "sr_mod",
    "ahci",
    "ata_piix",
    // The guest agent's port.
    "virtio_console",
];

/// Drivers that the guest loads when it mounts something, as they are large and few guests do. ext4
/// asks for its checksums by name, which no module's dependencies tell.
pub const WANTED_LATER: &[&str] = &["crc32c_generic", "ext4"];

/// The guest agent's program.
pub const AGENT: &str = "qemu-ga";

/// No folder of kernel modules is deeper.
const MAX_DEPTH: usize = 12;

/// Makes an initramfs from the guest's program and a kernel's folder of modules.
pub fn build(init: &[u8], modules: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "sys", "modules", "modules-later"] {
        archive.folder(folder);
    }
    archive.program("init", init);
    let ordered = in_load_order(modules)?;
    for (folder, drivers) in [("modules", &ordered.first), ("modules-later", &ordered.later)] {
        for (position, (name, content)) in drivers.iter().enumerate() {
            archive.file(&format!("{folder}/{position:02}-{name}.ko"), content);
        }
    }
    Ok(archive.finish())
}

/// The guest agent as a second archive: the kernel unpacks those it finds one behind the other.
/// `folder` is [`crate::boot_files::agent_folder`].
pub fn with_agent(mut base: Vec<u8>, folder: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    // The kernel looks for the program's interpreter in lib64, and that for libraries in lib.
    for parent in ["usr", "usr/sbin", "lib", "lib64", "run", "mnt"] {
        archive.folder(parent);
    }
    let mut names: Vec<_> = fs::read_dir(folder)
        .map_err(Error::file("list", folder))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    for name in names {
        let path = folder.join(&name);
        let content = fs::read(&path).map_err(Error::file("read", &path))?;
        let place = match name.as_str() {
            AGENT => "usr/sbin",
            name if name.starts_with("ld-linux") => "lib64",
            _ => "lib",
        };
        archive.program(&format!("{place}/{name}"), &content);
    }
    base.extend(archive.finish());
    Ok(base)
}

/// Modules by name and content, each behind those it needs.
struct Ordered {
    first: Vec<(String, Vec<u8>)>,
    later: Vec<(String, Vec<u8>)>,
}

/// The wanted modules and all they depend on.
fn in_load_order(folder: &Path) -> Result<Ordered> {
    let mut files = HashMap::new();
    find_modules(folder, MAX_DEPTH, &mut files)?;
    let mut ordered = Vec::new();
    for name in WANTED {
        add(name, &files, &mut ordered)?;
    }
    let first = ordered.len();
    for name in WANTED_LATER {
        add(name, &files, &mut ordered)?;
    }
    if ordered.is_empty() && files.is_empty() {
        return Err(Error::not_set_up(format!(
            "{} holds no kernel module (*.ko); QPLUG_MODULES must name the modules folder of the \
             kernel in QPLUG_KERNEL, such as /lib/modules/VERSION",
            folder.display()
        )));
    }
    let later = ordered.split_off(first);
    Ok(Ordered { first: ordered, later })
}

fn find_modules(folder: &Path, depth: usize, found: &mut HashMap<String, PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(Error::file("list", folder))?;
    for entry in entries {
        let entry = entry.map_err(Error::file("list", folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(Error::file("look at", &path))?;
        if kind.is_dir() && depth > 0 {
            find_modules(&path, depth - 1, found)?;
        } else if let Some((stem, "" | ".xz" | ".zst" | ".gz")) =
            entry.file_name().to_string_lossy().split_once(".ko")
        {
            found.insert(stem.replace('-', "_"), path);
        }
    }
    Ok(())
}

fn add(
    name: &str,
    files: &HashMap<String, PathBuf>,
    ordered: &mut Vec<(String, Vec<u8>)>,
) -> Result<()> {
    if ordered.iter().any(|(done, _)| done == name) {
        return Ok(());
    }
    let Some(path) = files.get(name) else {
        return Ok(());
    };
    let content = read_module(path)?;
    for dependency in dependencies(&content) {
        add(&dependency, files, ordered)?;
    }
    ordered.push((name.to_owned(), content));
    Ok(())
}

/// Reads a module as the kernel wants it: not compressed.
fn read_module(path: &Path) -> Result<Vec<u8>> {
    let unpacker = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(path).map_err(Error::file("read", path)),
    };
    let output = Command::new(unpacker).arg("-dc").arg(path).output();
    match output {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => Err(Error::failed(format!(
            "{unpacker} cannot unpack {}: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
        Err(error) => Err(Error::not_set_up(format!(
            "the kernel's modules are compressed and {unpacker} cannot be run ({error}); install it"
        ))),
    }
}

/// The module says itself what it needs, in its `.modinfo`: `depends=virtio,virtio_ring`.
fn dependencies(module: &[u8]) -> Vec<String> {
    let tag: &[u8] = b"\0depends=";
    let Some(start) = module.windows(tag.len()).position(|window| window == tag) else {
        return Vec::new();
    };
    let list = module[start + tag.len()..].split(|&byte| byte == 0).next();
    String::from_utf8_lossy(list.unwrap_or_default())
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_behind_what_they_need() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("kernel/drivers");
        fs::create_dir_all(&deep).unwrap();
        let module = |needs: &str| format!("ELF\0license=GPL\0depends={needs}\0name=x\0");
        fs::write(deep.join("virtio_blk.ko"), module("virtio,virtio-ring")).unwrap();
        fs::write(deep.join("virtio.ko"), module("virtio_ring")).unwrap();
        fs::write(deep.join("virtio-ring.ko"), module("")).unwrap();
        fs::write(deep.join("unwanted.ko"), module("")).unwrap();
        fs::write(deep.join("ext4.ko"), module("virtio,jbd2")).unwrap();
        fs::write(deep.join("jbd2.ko"), module("")).unwrap();
        let ordered = in_load_order(folder.path()).unwrap();
        let names = |modules: Vec<(String, Vec<u8>)>| -> Vec<String> {
            modules.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(ordered.first), ["virtio_ring", "virtio", "virtio_blk"]);
        assert_eq!(names(ordered.later), ["jbd2", "ext4"]);
    }

    #[test]
    fn an_empty_folder_is_the_callers_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let error = build(b"init", folder.path()).unwrap_err();
        assert!(error.to_string().contains("QPLUG_MODULES"), "{error}");
    }
}
