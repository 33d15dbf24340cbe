//! The cache folder: what is unpacked, built or saved once and used by every test run.
//!
//! Everything in it is named after its content or its version, made beside its place and renamed
//! into it, so a reader sees a whole thing or nothing. Deleting the folder is always safe.

use std::env;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// `$QPLUG_CACHE`, else `$XDG_CACHE_HOME/qplug`, else `~/.cache/qplug`.
pub fn folder() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(chosen) = set("QPLUG_CACHE") {
        return std::path::absolute(&chosen)
            .map_err(Error::file("find the cache folder", Path::new(&chosen)));
    }
    if let Some(caches) = set("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(caches).join("qplug"));
    }
    match set("HOME") {
        Some(home) => Ok(PathBuf::from(home).join(".cache/qplug")),
        None => Err(Error::not_set_up(
            "no cache folder for test machines: HOME is not set; set QPLUG_CACHE to a folder",
        )),
    }
}

/// An exclusive lock between processes, released when dropped or when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock called `name`. There is no deadline here: whoever holds one is bounded by
    /// its own deadlines, and the kernel releases it when the holder dies.
    pub fn acquire(name: &str) -> Result<Self> {
        let path = folder()?.join("locks").join(name);
        make_parent(&path)?;
        let file = File::create(&path).map_err(Error::file("create the lock file", &path))?;
        file.lock().map_err(Error::file("lock", &path))?;
        Ok(Self { _file: file })
    }
}

/// Makes the folder that `path` is to be in.
pub fn make_parent(path: &Path) -> Result<()> {
    let parent = path
        .parent()
        .ok_or_else(|| Error::failed(format!("{} has no parent folder", path.display())))?;
    fs::create_dir_all(parent).map_err(Error::file("make the folder", parent))
}

/// Makes a file or a folder at `place`: `make` fills a temporary path beside it, which is then
/// renamed. When another process was faster, its work is kept and ours dropped.
pub fn install(place: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    make_parent(place)?;
    let parent = place.parent().unwrap_or(place);
    let workshop = tempfile::Builder::new()
        .prefix(".making-")
        .tempdir_in(parent)
        .map_err(Error::file("make a temporary folder in", parent))?;
    let made = workshop.path().join("made");
    make(&made)?;
    match fs::rename(&made, place) {
        Ok(()) => Ok(()),
        Err(_) if place.exists() => Ok(()),
        Err(error) => Err(Error::file("move into place", place)(error)),
    }
}

/// A name for content: 64-bit FNV-1a, which tells versions apart and is no defence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(u64);

impl Default for Key {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Key {
    /// The key of what came before, and then `part`.
    #[must_use]
    pub fn with(self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        let fold = |state: u64, &byte: &u8| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        let length = (part.len() as u64).to_le_bytes();
        Self(part.iter().fold(length.iter().fold(self.0, fold), fold))
    }

    /// The key with a file's bytes added.
    pub fn with_file(self, path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::file("read", path))?;
        Ok(self.with(bytes))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_parts_apart() {
        let key = |parts: &[&str]| parts.iter().fold(Key::default(), |key, part| key.with(part));
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&[]), key(&[""]));
        assert_eq!(key(&["x"]).to_string().len(), 16);
    }

    #[test]
    fn a_failed_install_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("thing");
        let failed = install(&place, |made| {
            fs::write(made, "half").unwrap();
            Err(Error::failed("stopped"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        install(&place, |made| fs::write(made, "whole").map_err(Error::file("write", made)))
            .unwrap();
        assert_eq!(fs::read_to_string(&place).unwrap(), "whole");
    }
}
