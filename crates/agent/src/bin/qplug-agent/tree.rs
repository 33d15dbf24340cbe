//! The tree of mounted file systems, and paths in it.
//!
//! Whoever made a disk chose its links: they are followed within the tree alone (`RESOLVE_IN_ROOT`), so
//! that none leads to the appliance's own files.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use qplug_agent::Name;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use crate::refusal::{Result, cannot, refuse};

/// Where the tree is, for programs that run in the appliance.
pub(crate) const SYSROOT: &str = "/sysroot";

/// Opens a path of the tree. A pipe that nobody writes to does not hold it up.
pub(crate) fn open(path: &Name, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    try_open(path, flags, mode).map_err(cannot(format!("open {}", path.display())))
}

/// The same, with the kernel's own error.
pub(crate) fn try_open(path: &Name, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    open_in(SYSROOT, path, flags, mode)
}

/// Opens a path below a folder, which no link leads out of.
pub(crate) fn open_in(
    root: &str,
    path: &Name,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let whole = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, root, whole, Mode::empty())?;
    let mut flags = flags | OFlags::CLOEXEC;
    // The kernel refuses flags that make no sense with a mere path.
    if !flags.contains(OFlags::PATH) {
        flags |= OFlags::NOCTTY | OFlags::NONBLOCK;
    }
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path =
        if path.as_bytes().is_empty() { OsStr::new(".") } else { path.as_path().as_os_str() };
    for _ in 0..MAX_RACES {
        match openat2(&root, path, flags, mode, resolve) {
            // A folder was renamed meanwhile, somewhere in the machine.
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// How often a path is looked up anew when the kernel says that it lost the race against a renaming.
const MAX_RACES: usize = 100;

/// Names a file that is there.
pub(crate) fn find(path: &Name) -> Result<OwnedFd> {
    open(path, OFlags::PATH, Mode::empty())
}

/// The folder that a path's last name is in, and that name.
pub(crate) fn split(path: &Name) -> Result<(OwnedFd, &OsStr)> {
    let trimmed = trim(path.as_bytes());
    let at = trimmed.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let (folder, last) = trimmed.split_at(at);
    if matches!(last, b"" | b"." | b"..") {
        return Err(refuse(format!("{} does not end in a name", path.display())));
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let folder = open(&Name::from(folder), flags, Mode::empty())?;
    Ok((folder, OsStr::from_bytes(last)))
}

fn trim(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    &path[..end]
}

/// Where a path really is, links followed, as the appliance sees it: below [`SYSROOT`].
pub(crate) fn real_path(path: &Name) -> Result<PathBuf> {
    let found = find(path)?;
    real_path_of(&found).map_err(cannot(format!("tell where {} is", path.display())))
}

/// The same of an open file.
pub(crate) fn real_path_of(file: &OwnedFd) -> std::io::Result<PathBuf> {
    std::fs::read_link(by_descriptor(file))
}

/// A path that leads to an open file.
pub(crate) fn by_descriptor(file: &OwnedFd) -> PathBuf {
    Path::new("/proc/self/fd").join(std::os::fd::AsRawFd::as_raw_fd(file).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_at_the_end_do_not_count() {
        assert_eq!(trim(b"/a/b//"), b"/a/b");
        assert_eq!(trim(b"///"), b"");
        assert_eq!(trim(b""), b"");
    }
}
