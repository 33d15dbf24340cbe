//! A file that is written beside the one that it is to be, and takes its place once it is whole: so what has
//! a name is whole, whoever dies meanwhile, and an old file stays until there is a new one.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use qplug_agent::Name;
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Stat, Uid, XattrFlags, fchmod, fchown, fgetxattr, flistxattr,
    fsetxattr, fstat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use crate::refusal::{Result, cannot, refuse};
use crate::tree::{self, SYSROOT};

/// What drafts are called, before their number. A machine that dies leaves its drafts behind.
const PREFIX: &str = ".qplug-draft-";

/// How many drafts of machines that died a folder may have before no other is begun there.
const MAX_LEFT_BEHIND: usize = 1000;

/// The longest list of attributes, and the longest value (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX` of Linux).
const MAX_ATTRIBUTE_BYTES: usize = 64 << 10;

/// A file that has no name of its own yet. Unless it is kept, it goes.
#[derive(Debug)]
pub(crate) struct Draft {
    file: File,
    folder: OwnedFd,
    draft_name: String,
    name: OsString,
    shown: String,
    is_kept: bool,
}

impl Draft {
    /// Begins a file of this path, with this mode where none is there yet. One that is there hands on its
    /// owner, mode and attributes.
    pub(crate) fn begin(path: &Name, mode: Mode) -> Result<Self> {
        tree::require_mounted(path)?;
        let shown = path.display();
        let old = match tree::try_open(path, OFlags::RDONLY, Mode::empty()) {
            Ok(old) => Some(old),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(cannot(format!("open {shown}"))(errno)),
        };
        let (folder, name, old) = match old {
            Some(old) => {
                let status = fstat(&old).map_err(cannot(format!("look at {shown}")))?;
                // A device or a pipe in a guest's file system is not what it was for the guest.
                if !rustix::fs::FileType::from_raw_mode(status.st_mode).is_file() {
                    return Err(refuse(format!("{shown} is no file")));
                }
                let (folder, name) = place_of(&old, &shown)?;
                (folder, name, Some((old, status)))
            }
            None => {
                let (folder, name) = tree::split_new(path)?;
                if statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                    return Err(refuse(format!("{shown} is a link that leads nowhere")));
                }
                (folder, name.to_owned(), None)
            }
        };
        let (file, draft_name) = create(&folder).map_err(cannot(format!("make {shown}")))?;
        let draft = Self { file, folder, draft_name, name, shown, is_kept: false };
        match old {
            Some((old, status)) => draft.take_after(&old, &status),
            None => fchmod(&draft.file, mode),
        }
        .map_err(cannot(format!("make {}", draft.shown)))?;
        Ok(draft)
    }

    /// Where to write.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name: it is whole.
    pub(crate) fn keep(mut self) -> Result<()> {
        renameat(&self.folder, self.draft_name.as_str(), &self.folder, self.name.as_os_str())
            .map_err(cannot(format!("make {}", self.shown)))?;
        self.is_kept = true;
        Ok(())
    }

    fn take_after(&self, old: &OwnedFd, status: &Stat) -> Result<(), Errno> {
        match fchown(
            &self.file,
            Some(Uid::from_raw(status.st_uid)),
            Some(Gid::from_raw(status.st_gid)),
        ) {
            // File systems that know no owners.
            Err(Errno::PERM | Errno::OPNOTSUPP) => {}
            other => other?,
        }
        fchmod(&self.file, Mode::from_raw_mode(status.st_mode & 0o7777))?;
        let mut names = vec![0; MAX_ATTRIBUTE_BYTES];
        // File systems that know no attributes.
        let Ok(length) = flistxattr(old, &mut names[..]) else { return Ok(()) };
        let mut value = vec![0; MAX_ATTRIBUTE_BYTES];
        for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let length = fgetxattr(old, name, &mut value[..])?;
            match fsetxattr(&self.file, name, &value[..length], XattrFlags::empty()) {
                Err(Errno::OPNOTSUPP) => {}
                other => other?,
            }
        }
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept {
            // A file system that refuses this has said so before.
            let _ = unlinkat(&self.folder, self.draft_name.as_str(), AtFlags::empty());
        }
    }
}

/// The folder that a file really is in, links followed, and its name there.
fn place_of(file: &OwnedFd, shown: &str) -> Result<(OwnedFd, OsString)> {
    let path = tree::real_path_of(file).map_err(cannot(format!("tell where {shown} is")))?;
    let path = path.strip_prefix(SYSROOT).map_err(cannot(format!("tell where {shown} is")))?;
    let path = Name::from(Path::new("/").join(path));
    let (folder, name) = tree::split(&path)?;
    Ok((folder, name.to_owned()))
}

fn create(folder: &OwnedFd) -> Result<(File, String), Errno> {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for _ in 0..MAX_LEFT_BEHIND {
        let name = format!("{PREFIX}{}", NUMBERS.fetch_add(1, Ordering::SeqCst));
        match openat(folder, OsStr::new(&name), flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => return Ok((File::from(file), name)),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EXIST)
}
