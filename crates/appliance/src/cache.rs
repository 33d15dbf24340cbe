//! What is made once and used by many appliances: unpacked kernels, initramfs archives, saved
//! machines.
//!
//! Everything is named after all that it was made of, made beside its place and renamed into it: a
//! reader sees a whole file or none. Deleting any of it is always safe.

use std::env;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::folder;

/// Bytes of a hash that make a name: enough that no two things ever share it.
const NAME_BYTES: usize = 16;

/// The user's folder of kept files.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// A kind of file in the cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shelf {
    /// The folder's name.
    pub(crate) name: &'static str,
    /// How many are kept; the ones not used for longest go.
    pub(crate) most: usize,
}

impl Cache {
    /// `$QPLUG_CACHE`, else `$XDG_CACHE_HOME/qplug`, else `~/.cache/qplug`.
    ///
    /// # Errors
    /// When none of these is set.
    pub fn of_user() -> Result<Self> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let caches = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
        match set("QPLUG_CACHE").or_else(|| Some(caches()?.join("qplug"))) {
            Some(folder) => Self::at(&folder),
            None => Err(Error::missing(
                "there is no folder to keep the appliance's files in: HOME is not set",
                "set QPLUG_CACHE to a folder",
            )),
        }
    }

    /// This folder, which need not be there yet.
    ///
    /// # Errors
    /// When the current folder is gone.
    pub fn at(folder: &Path) -> Result<Self> {
        let folder = std::path::absolute(folder).map_err(Error::file("find", folder))?;
        Ok(Self { folder })
    }

    /// A file or folder that somebody else put there, such as the kernel of `cargo xtask setup`.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where a thing is, or belongs.
    pub(crate) fn place(&self, shelf: Shelf, key: &Key) -> PathBuf {
        self.shelf(shelf).join(key.to_string())
    }

    fn shelf(&self, shelf: Shelf) -> PathBuf {
        self.folder.join("appliance").join(shelf.name)
    }

    /// The thing of this key if it was made before. It counts as used now.
    pub(crate) fn kept(&self, shelf: Shelf, key: &Key) -> Option<PathBuf> {
        let place = self.place(shelf, key);
        let file = File::open(&place).ok()?;
        // Only for which is thrown away first.
        let _ = file.set_modified(SystemTime::now());
        Some(place)
    }

    /// The thing of this key, made now if it was not before. `make` fills an empty file that its
    /// owner alone can read.
    pub(crate) fn made(
        &self,
        shelf: Shelf,
        key: &Key,
        make: impl FnOnce(&mut File) -> Result<()>,
    ) -> Result<PathBuf> {
        if let Some(place) = self.kept(shelf, key) {
            return Ok(place);
        }
        let mut draft = self.draft(shelf)?;
        make(draft.as_file_mut())?;
        self.keep(shelf, key, draft)
    }

    /// An empty file that is to become a thing of this kind, and is deleted if it does not.
    pub(crate) fn draft(&self, shelf: Shelf) -> Result<tempfile::NamedTempFile> {
        let folder = self.shelf(shelf);
        folder::make_private(&folder)?;
        tempfile::Builder::new()
            .prefix(".draft-")
            .tempfile_in(&folder)
            .map_err(Error::file("make a file in", &folder))
    }

    /// Puts a finished draft in its place, whatever is there.
    pub(crate) fn keep(
        &self,
        shelf: Shelf,
        key: &Key,
        draft: tempfile::NamedTempFile,
    ) -> Result<PathBuf> {
        let place = self.place(shelf, key);
        let kept = draft.persist(&place).map_err(|error| error.error);
        kept.map_err(Error::file("make", &place))?;
        self.forget_oldest(shelf);
        Ok(place)
    }

    /// Throws a thing away.
    pub(crate) fn forget(&self, shelf: Shelf, key: &Key) -> Result<()> {
        let place = self.place(shelf, key);
        match fs::remove_file(&place) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file("remove", &place)(error))
            }
            _ => Ok(()),
        }
    }

    /// Keeps a shelf bounded, drafts of the dead included. Another process may be doing the same, so
    /// that nothing here is an error.
    fn forget_oldest(&self, shelf: Shelf) {
        let entries = fs::read_dir(self.shelf(shelf)).into_iter().flatten().flatten();
        let mut files: Vec<(SystemTime, PathBuf)> = entries
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort();
        let surplus = files.len().saturating_sub(shelf.most);
        for (_, path) in &files[..surplus] {
            let _ = fs::remove_file(path);
        }
    }
}

/// The name of a thing: a hash of all that it is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Key(Sha256);

impl Key {
    /// Adds a part. Parts do not run into each other.
    pub(crate) fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// Adds a file by what tells it from every other and from an earlier self: reading fifty
    /// megabytes of kernel at each launch would take longer than the launch.
    pub(crate) fn with_file(self, path: &Path) -> Result<Self> {
        let file = fs::metadata(path).map_err(Error::file("look at", path))?;
        let stamp = [file.dev(), file.ino(), file.size()];
        let times = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()];
        let mut key = self.with(path.as_os_str().as_encoded_bytes());
        for number in stamp {
            key = key.with(number.to_le_bytes());
        }
        for number in times {
            key = key.with(number.to_le_bytes());
        }
        Ok(key)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = self.0.clone().finalize();
        hash.iter().take(NAME_BYTES).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const SHELF: Shelf = Shelf { name: "things", most: 2 };

    #[test]
    fn a_thing_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let key = Key::default().with("a");
        let made = cache.made(SHELF, &key, |file| {
            file.write_all(b"content").unwrap();
            Ok(())
        });
        let place = made.unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"content");
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
        let again = cache.made(SHELF, &key, |_| panic!("it is there"));
        assert_eq!(again.unwrap(), place);
        cache.forget(SHELF, &key).unwrap();
        assert!(cache.kept(SHELF, &key).is_none());
        cache.forget(SHELF, &key).unwrap();
    }

    #[test]
    fn what_fails_leaves_nothing_and_a_shelf_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let failed = cache.made(SHELF, &Key::default(), |_| Err(Error::Wish("no".to_owned())));
        assert!(failed.is_err());
        let shelf = folder.path().join("appliance/things");
        assert_eq!(fs::read_dir(&shelf).unwrap().count(), 0);
        for name in ["a", "b", "c", "d"] {
            cache.made(SHELF, &Key::default().with(name), |_| Ok(())).unwrap();
        }
        assert_eq!(fs::read_dir(&shelf).unwrap().count(), 2);
    }

    #[test]
    fn parts_do_not_run_into_each_other_and_files_are_told_apart() {
        let name = |key: Key| key.to_string();
        let (one, two) = (Key::default().with("ab").with("c"), Key::default().with("a").with("bc"));
        assert_ne!(name(one.clone()), name(two));
        assert_eq!(name(one).len(), 2 * NAME_BYTES);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "1").unwrap();
        let before = name(Key::default().with_file(&path).unwrap());
        fs::write(&path, "22").unwrap();
        assert_ne!(name(Key::default().with_file(&path).unwrap()), before);
        assert!(Key::default().with_file(&folder.path().join("absent")).is_err());
    }
}
