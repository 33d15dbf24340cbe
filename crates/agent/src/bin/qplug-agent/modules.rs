//! Drivers, as the initramfs has them: `/modules/NAME.ko`, the list `/modules/boot` of those that the
//! machine starts with, a file name a line, and `/modules/later`, lines such as `ext4: jbd2.ko ext4.ko`
//! of what to load, in this order, when something is wanted by its name.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::system::finit_module;

const FOLDER: &str = "/modules";

/// Loads what the machine starts with, and returns what went wrong.
pub(crate) fn load_first() -> Vec<String> {
    complaints(&in_folder(list("boot").lines()))
}

/// Loads what a file system, or something else, needs, and returns what went wrong. A driver that is
/// built into the kernel, or that nobody has, is no complaint: who needs it will say so.
pub(crate) fn load_for(name: &str) -> Vec<String> {
    complaints(&in_folder(needed(&list("later"), name).into_iter()))
}

fn list(name: &str) -> String {
    // A kernel with everything built in needs no lists.
    fs::read_to_string(Path::new(FOLDER).join(name)).unwrap_or_default()
}

fn needed<'a>(needs: &'a str, name: &str) -> Vec<&'a str> {
    let mut lines = needs.lines().filter_map(|line| line.split_once(':'));
    let line = lines.find(|(key, _)| *key == name).map(|(_, modules)| modules);
    line.unwrap_or_default().split_whitespace().collect()
}

fn in_folder<'a>(names: impl Iterator<Item = &'a str>) -> Vec<PathBuf> {
    names.map(|name| Path::new(FOLDER).join(name)).collect()
}

fn complaints(paths: &[PathBuf]) -> Vec<String> {
    let complaint = |path: &PathBuf| {
        let reason = load(path).err()?;
        Some(format!("cannot load {}: {reason}", path.display()))
    };
    paths.iter().filter_map(complaint).collect()
}

fn load(path: &Path) -> std::io::Result<()> {
    match finit_module(&File::open(path)?, c"", 0) {
        // EXIST: loaded before, or built in.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_line() {
        let needs = "ext4: crc32c_generic.ko jbd2.ko ext4.ko\nxfs: xfs.ko\n";
        assert_eq!(needed(needs, "ext4"), ["crc32c_generic.ko", "jbd2.ko", "ext4.ko"]);
        assert_eq!(needed(needs, "xfs"), ["xfs.ko"]);
        assert!(needed(needs, "vfat").is_empty());
    }
}
