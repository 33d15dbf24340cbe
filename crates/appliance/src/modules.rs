//! The drivers and file systems that an appliance takes along from a kernel's modules.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSection as _};

use crate::error::{Error, Result};
use crate::unpack;

/// Drivers that are loaded as the appliance boots, in this order: the agent's port is to be there
/// first. A kernel that has one built in has no module of that name.
const DRIVERS: [&str; 4] = ["virtio_pci", "virtio_console", "virtio_scsi", "sd_mod"];

/// What is loaded when it is wanted, by the names that mounts and programs use. A kernel without one
/// mounts fewer kinds of file system.
const LATER: [&str; 24] = [
    "ext4",
    "xfs",
    "btrfs",
    "vfat",
    "exfat",
    "ntfs3",
    "iso9660",
    "squashfs",
    "udf",
    "f2fs",
    "overlay",
    "fuse",
    "dm_mod",
    "dm_crypt",
    "dm_thin_pool",
    "dm_snapshot",
    "md_mod",
    "raid0",
    "raid1",
    "raid10",
    "raid456",
    "loop",
    "nbd",
    "sr_mod",
];

/// Those whose modules are called otherwise.
const CALLED_OTHERWISE: [(&str, &str); 1] = [("iso9660", "isofs")];

/// Modules that others ask for by name and not by symbol, which no dependency tells: `crc32c` is
/// looked up as an algorithm, and code pages by what a mount says.
const ASKED_BY_NAME: [(&str, &[&str]); 6] = [
    ("ext4", &["crc32c_generic"]),
    ("xfs", &["crc32c_generic"]),
    ("btrfs", &["crc32c_generic", "xxhash_generic", "sha256_generic", "blake2b_generic"]),
    ("f2fs", &["crc32_generic"]),
    ("vfat", &["nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"]),
    ("dm_crypt", &["xts", "cbc", "essiv", "aesni_intel", "sha256_generic"]),
];

/// No folder of modules is deeper.
const MAX_DEPTH: usize = 12;

/// No chain of modules, each of which needs the next, is longer.
const MAX_CHAIN: usize = 32;

/// The modules that an appliance takes along, unpacked.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    /// By name; a name has underscores where its file may have hyphens.
    pub(crate) content: Vec<(String, Vec<u8>)>,
    /// Those to load at boot, each behind what it needs.
    pub(crate) boot: Vec<String>,
    /// Those to load on demand: what is asked for, and what is to be loaded for it, in this order.
    pub(crate) later: Vec<(String, Vec<String>)>,
}

impl Modules {
    /// Reads what is wanted, and all it needs, from a kernel's folder of modules.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut reader = Reader::new(folder)?;
        let mut boot = Vec::new();
        for name in DRIVERS {
            reader.add(name, &mut boot)?;
        }
        let mut later = Vec::new();
        for name in LATER {
            let other = CALLED_OTHERWISE.iter().find(|(called, _)| *called == name);
            let module = other.map_or(name, |(_, module)| module);
            if !reader.files.contains_key(module) {
                continue;
            }
            let mut needs = Vec::new();
            let asked = ASKED_BY_NAME.iter().filter(|(who, _)| *who == name);
            for other in asked.flat_map(|(_, others)| *others) {
                reader.add(other, &mut needs)?;
            }
            reader.add(module, &mut needs)?;
            needs.retain(|module| !boot.contains(module));
            later.push((name.to_owned(), needs));
        }
        Ok(Self { content: reader.into_content(), boot, later })
    }

    /// Adds to a key what is wanted here.
    pub(crate) fn key(key: crate::cache::Key) -> crate::cache::Key {
        let asked = ASKED_BY_NAME.iter().flat_map(|(_, others)| others.iter());
        DRIVERS.iter().chain(&LATER).chain(asked).fold(key, |key, name| key.with(name))
    }
}

/// A folder of modules as it is read.
struct Reader {
    files: HashMap<String, PathBuf>,
    read: HashMap<String, Module>,
}

struct Module {
    content: Vec<u8>,
    needs: Vec<String>,
}

impl Reader {
    fn new(folder: &Path) -> Result<Self> {
        let mut files = HashMap::new();
        find(folder, MAX_DEPTH, &mut files)?;
        if files.is_empty() {
            let what = "holds no kernel module (*.ko, *.ko.xz, *.ko.zst or *.ko.gz)";
            return Err(Error::content(folder, what));
        }
        Ok(Self { files, read: HashMap::new() })
    }

    /// Appends a module to a list, behind those it needs. One that is not there may be built in.
    fn add(&mut self, name: &str, list: &mut Vec<String>) -> Result<()> {
        self.add_within(name, list, MAX_CHAIN)
    }

    fn add_within(&mut self, name: &str, list: &mut Vec<String>, depth: usize) -> Result<()> {
        if list.iter().any(|done| done == name) || !self.files.contains_key(name) {
            return Ok(());
        }
        let Some(depth) = depth.checked_sub(1) else {
            let file = &self.files[name];
            return Err(Error::content(file, "needs modules that need it"));
        };
        for needed in self.needs(name)? {
            self.add_within(&needed, list, depth)?;
        }
        list.push(name.to_owned());
        Ok(())
    }

    fn needs(&mut self, name: &str) -> Result<Vec<String>> {
        if let Some(module) = self.read.get(name) {
            return Ok(module.needs.clone());
        }
        let path = &self.files[name];
        let packed = fs::read(path).map_err(Error::file("read", path))?;
        let content = unpack::unpacked(packed).map_err(Error::file("unpack", path))?;
        let Some(needs) = needs_in(&content) else {
            return Err(Error::content(path, "is no kernel module for x86-64"));
        };
        self.read.insert(name.to_owned(), Module { content, needs: needs.clone() });
        Ok(needs)
    }

    fn into_content(self) -> Vec<(String, Vec<u8>)> {
        self.read.into_iter().map(|(name, module)| (name, module.content)).collect()
    }
}

fn find(folder: &Path, depth: usize, found: &mut HashMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::file("list", folder))? {
        let entry = entry.map_err(Error::file("list", folder))?;
        let path = entry.path();
        // Links lead to the kernel's source.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && depth > 0 {
            find(&path, depth - 1, found)?;
        } else if let Some((stem, "" | ".xz" | ".zst" | ".gz")) =
            entry.file_name().to_str().and_then(|name| name.split_once(".ko"))
        {
            found.insert(stem.replace('-', "_"), path);
        }
    }
    Ok(())
}

/// A module says itself what it needs, in its section `.modinfo`: `depends=virtio,virtio_ring`, and
/// `softdep=pre: crc32c` for what is good to have before it.
fn needs_in(module: &[u8]) -> Option<Vec<String>> {
    let file: ElfFile64<'_> = ElfFile64::parse(module).ok()?;
    let section = file.section_by_name(".modinfo")?.data().ok()?;
    let lines = section.split(|&byte| byte == 0);
    let lines = lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_once('='));
    let mut needs = Vec::new();
    for (key, value) in lines {
        match key {
            "depends" => needs.extend(value.split(',')),
            "softdep" => {
                let before = value.split("pre:").nth(1).and_then(|it| it.split("post:").next());
                needs.extend(before.unwrap_or_default().split_whitespace());
            }
            _ => {}
        }
    }
    let needs = needs.into_iter().filter(|name| !name.is_empty());
    Some(needs.map(|name| name.replace('-', "_")).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

    use super::*;

    /// An object file with nothing in it but a `.modinfo`.
    fn module(info: &str) -> Vec<u8> {
        use object::write::Object;
        use object::{Architecture, BinaryFormat, Endianness, SectionKind};
        let mut file = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let section = file.add_section(Vec::new(), b".modinfo".to_vec(), SectionKind::ReadOnlyData);
        file.append_section_data(section, info.as_bytes(), 1);
        file.write().unwrap()
    }

    fn folder(modules: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("kernel/drivers");
        fs::create_dir_all(&deep).unwrap();
        for (name, info) in modules {
            fs::write(deep.join(name), module(info)).unwrap();
        }
        folder
    }

    #[test]
    fn modules_come_behind_what_they_need() {
        let folder = folder(&[
            ("virtio_pci.ko", "license=GPL\0depends=virtio,virtio-ring\0name=x\0"),
            ("virtio.ko", "depends=virtio_ring\0"),
            ("virtio-ring.ko", "depends=\0"),
            ("unwanted.ko", ""),
            ("ext4.ko", "softdep=pre: crc16 post: other\0depends=jbd2,virtio\0"),
            ("jbd2.ko", ""),
            ("crc16.ko", ""),
            ("crc32c_generic.ko", ""),
            ("isofs.ko", ""),
        ]);
        let modules = Modules::read(folder.path()).unwrap();
        assert_eq!(modules.boot, ["virtio_ring", "virtio", "virtio_pci"]);
        let [(ext4, needs), (iso, needs_of_iso)] = &modules.later[..] else {
            panic!("{:?}", modules.later)
        };
        assert_eq!((ext4.as_str(), iso.as_str()), ("ext4", "iso9660"));
        assert_eq!(needs[..], ["crc32c_generic", "crc16", "jbd2", "ext4"]);
        assert_eq!(needs_of_iso[..], ["isofs"]);
        assert_eq!(modules.content.len(), 8);
    }

    #[test]
    fn a_folder_that_holds_none_or_a_circle_is_refused() {
        let empty = tempfile::tempdir().unwrap();
        assert!(Modules::read(empty.path()).unwrap_err().to_string().contains("no kernel module"));
        let circle = folder(&[("virtio_pci.ko", "depends=b\0"), ("b.ko", "depends=virtio_pci\0")]);
        assert!(Modules::read(circle.path()).unwrap_err().to_string().contains("need it"));
        let broken = folder(&[]);
        fs::write(broken.path().join("virtio_pci.ko"), "not ELF").unwrap();
        assert!(Modules::read(broken.path()).unwrap_err().to_string().contains("x86-64"));
    }
}
