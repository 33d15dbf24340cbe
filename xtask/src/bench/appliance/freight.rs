//! What is carried up and down: a file that nothing can make smaller.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use qplug_testbed::{Error, Result};

use crate::bench::bounded;

/// One gibibyte.
const BYTES: u64 = 1 << 30;

/// A file, and where it comes back to.
#[derive(Debug)]
pub(super) struct Freight {
    there: PathBuf,
    back: PathBuf,
}

impl Freight {
    /// Makes the file.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let (there, back) = (folder.join("there"), folder.join("back"));
        let source = Path::new("/dev/urandom");
        let random = File::open(source).map_err(Error::file("read", source))?;
        let mut file = File::create(&there).map_err(Error::file("create", &there))?;
        io::copy(&mut random.take(BYTES), &mut file).map_err(Error::file("write", &there))?;
        Ok(Self { there, back })
    }

    /// What goes up.
    pub(super) fn there(&self) -> String {
        self.there.display().to_string()
    }

    /// Where it comes down to.
    pub(super) fn back(&self) -> String {
        self.back.display().to_string()
    }

    /// Fails unless what came down is what went up, and removes it.
    pub(super) fn compare(&self) -> Result<()> {
        bounded::run(Command::new("cmp").arg("--silent").arg(&self.there).arg(&self.back))?;
        fs::remove_file(&self.back).map_err(Error::file("remove", &self.back))
    }
}
