//! Drivers.
//!
//! The initramfs has those of `/modules` for the start; their names begin with a number, so that sorting
//! puts each behind those it needs. Those of `/modules-later` are loaded when something asks for them
//! by name: the file `needs` there has a line for each name, `ext4: crc32c_generic jbd2 ext4`, of the
//! modules to load in their order. Without that file all of them are loaded.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::system::finit_module;

const FIRST: &str = "/modules";
const LATER: &str = "/modules-later";
const NEEDS: &str = "/modules-later/needs";

/// Loads what the machine starts with, and returns what went wrong.
pub(crate) fn load_first() -> Vec<String> {
    complaints(&sorted(FIRST))
}

/// Loads what a file system, or something else, needs, and returns what went wrong. A driver that is
/// built into the kernel, or that nobody has, is no complaint: who needs it will say so.
pub(crate) fn load_for(name: &str) -> Vec<String> {
    let paths = match fs::read_to_string(NEEDS) {
        Ok(needs) => needed(&needs, name)
            .iter()
            .map(|module| Path::new(LATER).join(format!("{module}.ko")))
            .collect(),
        Err(_) => sorted(LATER),
    };
    complaints(&paths)
}

fn needed<'a>(needs: &'a str, name: &str) -> Vec<&'a str> {
    let mut lines = needs.lines().filter_map(|line| line.split_once(':'));
    let line = lines.find(|(key, _)| *key == name).map(|(_, modules)| modules);
    line.unwrap_or_default().split_whitespace().collect()
}

fn sorted(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "ko"));
    paths.sort();
    paths
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
        let needs = "ext4: crc32c_generic jbd2 ext4\nxfs: xfs\n";
        assert_eq!(needed(needs, "ext4"), ["crc32c_generic", "jbd2", "ext4"]);
        assert_eq!(needed(needs, "xfs"), ["xfs"]);
        assert!(needed(needs, "vfat").is_empty());
    }
}
