//! The QEMU that runs an appliance.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cache::{Cache, Key};
use crate::error::{Error, Result};

/// What it is called, in a folder of programs.
const PROGRAM: &str = "qemu-system-x86_64";

/// Where some distributions keep it.
const ELSEWHERE: &str = "/usr/libexec/qemu-kvm";

/// How set-up calls a folder of unpacked packages, before the version.
const UNPACKED: &str = "qemu-";

/// A QEMU for PCs, and what it needs to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qemu {
    /// The program.
    pub program: PathBuf,
    /// What it needs in its environment beside what there is.
    pub environment: Vec<(String, String)>,
    /// Its first arguments, such as where its firmware is.
    pub arguments: Vec<String>,
}

impl Qemu {
    /// An installed program.
    #[must_use]
    pub fn at(program: &Path) -> Self {
        Self { program: program.to_owned(), environment: Vec::new(), arguments: Vec::new() }
    }

    /// The wanted program; without a wish the one that the system has, else the newest one that
    /// `cargo xtask setup` unpacked.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(wanted: Option<&Path>, cache: &Cache) -> Result<Self> {
        if let Some(program) = wanted {
            if program.is_file() {
                return Ok(Self::at(program));
            }
            let what = format!("there is no QEMU {}", program.display());
            return Err(Error::missing(what, "name the program by its path"));
        }
        let folders = env::var_os("PATH").unwrap_or_default();
        let named = env::split_paths(&folders).map(|folder| folder.join(PROGRAM));
        let mut installed = named.chain([PathBuf::from(ELSEWHERE)]);
        if let Some(program) = installed.find(|path| path.is_file()) {
            return Ok(Self::at(&program));
        }
        newest_unpacked(cache).ok_or_else(|| {
            let what = format!("there is no {PROGRAM} on this host");
            Error::missing(what, "install QEMU, name it with --qemu, or run: cargo xtask setup")
        })
    }

    /// One in a folder of unpacked packages, with its libraries and modules.
    fn unpacked(root: &Path) -> Self {
        let at = |name: &str| root.join(name).display().to_string();
        let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(at).join(":");
        let firmware = ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"];
        Self {
            program: root.join("usr/bin").join(PROGRAM),
            environment: vec![
                ("QEMU_MODULE_DIR".to_owned(), at("usr/lib/x86_64-linux-gnu/qemu")),
                ("LD_LIBRARY_PATH".to_owned(), libraries),
            ],
            arguments: firmware.iter().flat_map(|it| ["-L".to_owned(), at(it)]).collect(),
        }
    }

    /// Adds to a key what tells this QEMU from others and from an older self.
    pub(crate) fn key(&self, key: Key) -> Result<Key> {
        let key = key.with_file(&self.program)?;
        Ok(self.arguments.iter().fold(key, |key, argument| key.with(argument)))
    }
}

fn newest_unpacked(cache: &Cache) -> Option<Qemu> {
    let mut found: Vec<(Vec<u32>, Qemu)> = fs::read_dir(cache.join("."))
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(UNPACKED)?;
            let version = version.split('.').map(|it| it.parse().ok()).collect::<Option<_>>()?;
            Some((version, Qemu::unpacked(&entry.path())))
        })
        .filter(|(_, qemu)| qemu.program.is_file())
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found.pop().map(|(_, qemu)| qemu)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

    use super::*;

    #[test]
    fn the_newest_unpacked_one_is_taken_with_its_libraries() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        assert_eq!(newest_unpacked(&cache), None);
        for version in ["7.2.22", "10.0.2", "other"] {
            let bin = folder.path().join(format!("qemu-{version}/usr/bin"));
            fs::create_dir_all(&bin).unwrap();
            fs::write(bin.join(PROGRAM), "").unwrap();
        }
        fs::create_dir_all(folder.path().join("qemu-11.0.0")).unwrap();
        let qemu = newest_unpacked(&cache).unwrap();
        assert!(qemu.program.to_string_lossy().contains("qemu-10.0.2"), "{qemu:?}");
        assert!(
            qemu.arguments[1].ends_with("qemu-10.0.2/./usr/share/qemu")
                || qemu.arguments[1].ends_with("qemu-10.0.2/usr/share/qemu")
        );
        let missing = Qemu::find(Some(&folder.path().join("none")), &cache).unwrap_err();
        assert!(missing.to_string().contains("none"));
    }
}
