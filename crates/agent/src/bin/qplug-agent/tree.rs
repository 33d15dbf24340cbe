//! The tree of mounted file systems, and paths in it.
//!
//! Whoever made a disk chose its links: they are followed within the tree alone (`RESOLVE_IN_ROOT`), so
//! that none leads to the appliance's own files.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use qplug_agent::Name;
use qplug_proto::ErrorReply;
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

/// The device number of the tree where nothing is mounted yet; set before the first host is heard.
static MEMORY: OnceLock<u64> = OnceLock::new();

/// Takes note of the tree as it is before anything is mounted in it.
pub(crate) fn note_memory() -> Result<(), String> {
    let found =
        rustix::fs::stat(SYSROOT).map_err(|errno| format!("cannot look at {SYSROOT}: {errno}"))?;
    let _ = MEMORY.set(found.st_dev);
    Ok(())
}

/// Refuses what would be written into the appliance's own memory, where nothing is mounted, and be lost.
/// Of what is not there yet, the folder above tells.
pub(crate) fn require_mounted(path: &Name) -> Result<()> {
    match is_in_memory(path) {
        true => Err(refuse(format!(
            "nothing is mounted where {} is to be, and it would be lost with the appliance: mount a disk first",
            path.display()
        ))),
        false => Ok(()),
    }
}

/// Whether a path is in no file system that was mounted, or would be, were it there.
pub(crate) fn is_in_memory(path: &Name) -> bool {
    let mut bytes = path.as_bytes();
    let found = loop {
        match try_open(&Name::from(bytes), OFlags::PATH, Mode::empty()) {
            Err(Errno::NOENT) if !bytes.is_empty() => bytes = above(bytes),
            other => break other,
        }
    };
    // What cannot be looked at cannot be written to, which says why.
    found
        .and_then(|found| rustix::fs::fstat(&found))
        .is_ok_and(|found| Some(&found.st_dev) == MEMORY.get())
}

/// A path without its last name.
fn above(path: &[u8]) -> &[u8] {
    let trimmed = trim(path);
    let end = trimmed.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    &trimmed[..end]
}

/// Names a file that is there.
pub(crate) fn find(path: &Name) -> Result<OwnedFd> {
    open(path, OFlags::PATH, Mode::empty())
}

/// The folder that a path's last name is in, and that name.
pub(crate) fn split(path: &Name) -> Result<(OwnedFd, &OsStr)> {
    split_or(path, |folder, errno| cannot(format!("open {}", folder.display()))(errno))
}

/// The same of a file that is to be made.
pub(crate) fn split_new(path: &Name) -> Result<(OwnedFd, &OsStr)> {
    split_or(path, |folder, errno| match errno {
        Errno::NOENT => no_folder(folder),
        errno => cannot(format!("open {}", folder.display()))(errno),
    })
}

/// A folder is missing that nobody makes unasked.
pub(crate) fn no_folder(path: &Name) -> ErrorReply {
    refuse(format!("there is no folder {}; mkdir makes one", path.display()))
}

fn split_or(
    path: &Name,
    failed: impl FnOnce(&Name, Errno) -> ErrorReply,
) -> Result<(OwnedFd, &OsStr)> {
    let trimmed = trim(path.as_bytes());
    let at = trimmed.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let (folder, last) = trimmed.split_at(at);
    if matches!(last, b"" | b"." | b"..") {
        return Err(refuse(format!("{} does not end in a name", path.display())));
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let name = Name::from(folder);
    let folder = try_open(&name, flags, Mode::empty()).map_err(|errno| failed(&name, errno))?;
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

    #[test]
    fn the_way_up_ends_at_the_top() {
        assert_eq!(above(b"/a/b//"), b"/a");
        assert_eq!(above(b"/a"), b"");
        assert_eq!(above(b"a"), b"");
        assert_eq!(above(b"//"), b"");
    }
}
