//! QEMUs of other releases than the system's: one older, one newer than any of its own.
//!
//! Their libraries are of another release too, the C library among them. Each stands in a folder of
//! its own with all that it needs, and runs by that release's dynamic loader.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Qemu, Version};
use crate::{Result, cache};

/// Debian's releases of which one is set up where the system's archive still has it: 5.2 is that of
/// `bullseye`, 11.1 that of `forky`.
pub const RELEASES: [&str; 2] = ["bullseye", "forky"];

/// The file name of the loader. The test machines' programs are a PC's.
pub const LOADER: &str = "ld-linux-x86-64.so.2";

/// Where packages of a release have libraries, below the folder in which they are unpacked.
const LIBRARIES: [&str; 2] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];

/// The folder of all of them.
pub fn folder() -> Result<PathBuf> {
    Ok(cache::folder()?.join("releases"))
}

/// The file that says which folder beside it has the QEMU of a release.
pub fn note(release: &str) -> Result<PathBuf> {
    Ok(folder()?.join(release))
}

/// The one of a release; `None` when it is not set up.
pub fn of(release: &str) -> Result<Option<Qemu>> {
    let note = note(release)?;
    let Ok(name) = fs::read_to_string(&note) else {
        return Ok(None);
    };
    let name = name.trim();
    let root = note.with_file_name(name);
    let version = name.strip_prefix("qemu-").and_then(Version::parse);
    Ok(version.map(|version| Qemu::placed(version, root)).filter(|qemu| qemu.path.is_file()))
}

/// The dynamic loader that came with unpacked packages, if one did. What is below `lib64` does not
/// count: that is a link to the system's own.
#[must_use]
pub fn loader(root: &Path) -> Option<PathBuf> {
    LIBRARIES.iter().map(|folder| root.join(folder).join(LOADER)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_is_found_with_and_without_a_merged_usr() {
        for folder in LIBRARIES {
            let root = tempfile::tempdir().unwrap();
            assert_eq!(loader(root.path()), None);
            let place = root.path().join(folder);
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join(LOADER), "").unwrap();
            assert_eq!(loader(root.path()), Some(place.join(LOADER)));
        }
    }
}
