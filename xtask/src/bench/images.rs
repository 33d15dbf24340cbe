//! Images in memory, so that no disk of the host is measured.

use std::fs::File;
use std::path::{Path, PathBuf};

use qplug_testbed::{Error, Result};
use tempfile::TempDir;

/// Where Linux keeps files in memory; elsewhere the temporary folder has to do.
const IN_MEMORY: &str = "/dev/shm";
/// Enough for a partition table to be looked for; nothing is ever written.
const IMAGE_BYTES: u64 = 1 << 20;

/// Raw images, all of one size. Dropping them removes them.
#[derive(Debug)]
pub(super) struct Images {
    folder: TempDir,
}

impl Images {
    /// Makes so many.
    pub(super) fn make(count: usize) -> Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("qplug-");
        let folder = match Path::new(IN_MEMORY).is_dir() {
            true => builder.tempdir_in(IN_MEMORY),
            false => builder.tempdir(),
        };
        let folder =
            folder.map_err(|error| Error::failed(format!("cannot make a folder: {error}")))?;
        let images = Self { folder };
        for number in 0..count {
            let path = images.path(number);
            let file = File::create(&path).map_err(Error::file("create", &path))?;
            file.set_len(IMAGE_BYTES).map_err(Error::file("extend", &path))?;
        }
        Ok(images)
    }

    /// The name of the disk over the image of this number.
    pub(super) fn name(number: usize) -> String {
        format!("d{number}")
    }

    /// Where it is.
    pub(super) fn path(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("{}.img", Self::name(number)))
    }

    /// Room for other files.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}
