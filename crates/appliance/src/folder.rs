//! Folders that are the user's alone.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use crate::error::{Error, Result};

/// What others may do with a private folder: nothing.
const PRIVATE: u32 = 0o700;

/// The bits that let others in.
const OTHERS: u32 = 0o077;

/// Makes a folder that its owner alone may enter, and those above it; one that is there may stay as it
/// is.
pub(crate) fn make_private(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(PRIVATE).create(path);
    made.map_err(Error::file("make the folder", path))
}

/// Makes a private folder where others may make folders too, such as `/tmp`: one that is there must be
/// ours, and nobody else's to enter.
pub(crate) fn make_private_among_others(path: &Path) -> Result<()> {
    match DirBuilder::new().mode(PRIVATE).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        made => return made.map_err(Error::file("make the folder", path)),
    }
    // A link would let its owner choose where our sockets go.
    let found = fs::symlink_metadata(path).map_err(Error::file("look at", path))?;
    let is_ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    if is_ours && found.mode() & OTHERS == 0 {
        return Ok(());
    }
    Err(Error::content(
        path,
        "is not a folder that only you may enter, so no appliance is safe in it; remove it, or set \
         XDG_RUNTIME_DIR to a folder of yours",
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_folder_that_others_enter_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("ours");
        make_private_among_others(&place).unwrap();
        assert_eq!(fs::metadata(&place).unwrap().mode() & 0o777, 0o700);
        make_private_among_others(&place).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        let error = make_private_among_others(&place).unwrap_err().to_string();
        assert!(error.contains("XDG_RUNTIME_DIR"), "{error}");
        let link = folder.path().join("link");
        symlink(folder.path(), &link).unwrap();
        assert!(make_private_among_others(&link).is_err());
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(make_private_among_others(&folder.path().join("file")).is_err());
    }
}
