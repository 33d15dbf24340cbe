//! Files and folders of the tree.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use qplug_agent::Name;
use qplug_agent::wire::{
    Chmod, Entry, EntryKind, Listing, Ls, MAX_ENTRIES, Mkdir, Rename, Stat, Status,
};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, StatxFlags, statx};
use rustix::io::Errno;

use crate::refusal::{Result, cannot};
use crate::tree;

/// The folder's next entries.
pub(crate) fn list(wish: &Ls) -> Result<Listing> {
    let shown = wish.path.display();
    let folder = tree::open(&wish.path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let mut dir = Dir::read_from(&folder).map_err(cannot(format!("read {shown}")))?;
    if let Some(from) = wish.from {
        dir.seek(from).map_err(cannot(format!("go on in {shown}")))?;
    }
    let limit = wish.limit.unwrap_or(MAX_ENTRIES).clamp(1, MAX_ENTRIES) as usize;
    let mut listing = Listing { entries: Vec::new(), next: None };
    let mut place = None;
    while let Some(found) = dir.read() {
        let found = found.map_err(cannot(format!("read {shown}")))?;
        if listing.entries.len() == limit {
            listing.next = place;
            break;
        }
        place = Some(found.offset());
        let name = found.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            listing.entries.push(entry(&folder, name, found.file_type(), wish.long));
        }
    }
    Ok(listing)
}

fn entry(folder: &OwnedFd, name: &CStr, kind: FileType, is_long: bool) -> Entry {
    let plain = OsStr::from_bytes(name.to_bytes());
    // Some file systems do not tell the kind in the folder.
    let status = (is_long || kind == FileType::Unknown)
        .then(|| status_at(folder, plain, AtFlags::SYMLINK_NOFOLLOW).ok())
        .flatten();
    let kind = status.as_ref().map_or_else(|| kind_of(kind), |status| status.kind);
    Entry { name: Name::from(name.to_bytes()), kind, status: status.filter(|_| is_long) }
}

/// What is known of a file.
pub(crate) fn status(wish: &Stat) -> Result<Status> {
    let mut flags = OFlags::PATH;
    flags.set(OFlags::NOFOLLOW, wish.link);
    let file = tree::open(&wish.path, flags, Mode::empty())?;
    let at = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
    status_at(&file, OsStr::new(""), at).map_err(cannot(format!("look at {}", wish.path.display())))
}

fn status_at(folder: &OwnedFd, name: &OsStr, flags: AtFlags) -> Result<Status, Errno> {
    let found = statx(folder, name, flags, StatxFlags::BASIC_STATS)?;
    let kind = kind_of(FileType::from_raw_mode(u32::from(found.stx_mode)));
    let target = (kind == EntryKind::Link)
        .then(|| rustix::fs::readlinkat(folder, name, Vec::new()).ok())
        .flatten()
        .map(|target| Name::from(target.into_bytes()));
    let time = found.stx_mtime;
    Ok(Status {
        kind,
        bytes: found.stx_size,
        mode: u32::from(found.stx_mode) & 0o7777,
        uid: found.stx_uid,
        gid: found.stx_gid,
        links: found.stx_nlink,
        inode: found.stx_ino,
        modified_us: time
            .tv_sec
            .saturating_mul(1_000_000)
            .saturating_add(i64::from(time.tv_nsec / 1000)),
        allocated_bytes: found.stx_blocks.saturating_mul(512),
        target,
    })
}

fn kind_of(kind: FileType) -> EntryKind {
    match kind {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Folder,
        FileType::Symlink => EntryKind::Link,
        FileType::BlockDevice => EntryKind::Block,
        FileType::CharacterDevice => EntryKind::Character,
        FileType::Fifo => EntryKind::Fifo,
        FileType::Socket => EntryKind::Socket,
        FileType::Unknown => EntryKind::Other,
    }
}

/// Makes a folder, and those above it.
pub(crate) fn make_folder(wish: &Mkdir) -> Result<()> {
    tree::require_mounted(&wish.path)?;
    let mode = Mode::from_raw_mode(wish.mode.unwrap_or(0o755) & 0o7777);
    make_folders(&wish.path, mode)
}

/// Makes a folder, with this mode, and those above it.
pub(crate) fn make_folders(path: &Name, mode: Mode) -> Result<()> {
    let bytes = path.as_bytes();
    let ends = (1..=bytes.len()).filter(|at| *at == bytes.len() || bytes[*at] == b'/');
    for end in ends {
        let part = Name::from(&bytes[..end]);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        if tree::try_open(&part, flags, Mode::empty()).is_ok() {
            continue;
        }
        let mode = if end == bytes.len() { mode } else { Mode::from_raw_mode(0o755) };
        let (folder, name) = tree::split(&part)?;
        match rustix::fs::mkdirat(&folder, name, mode) {
            Ok(()) => {}
            // Made by somebody else meanwhile; what is no folder fails at the next look.
            Err(Errno::EXIST) => {
                tree::open(&part, flags, Mode::empty())?;
            }
            Err(errno) => return Err(cannot(format!("make {}", part.display()))(errno)),
        }
    }
    Ok(())
}

/// Removes a file, or an empty folder.
pub(crate) fn remove(path: &Name) -> Result<()> {
    let (folder, name) = tree::split(path)?;
    let outcome = match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR),
        other => other,
    };
    outcome.map_err(cannot(format!("remove {}", path.display())))
}

/// Gives a file another name.
pub(crate) fn rename(wish: &Rename) -> Result<()> {
    let (old_folder, old) = tree::split(&wish.from)?;
    let (new_folder, new) = tree::split(&wish.to)?;
    let (from, to) = (wish.from.display(), wish.to.display());
    rustix::fs::renameat(old_folder.as_fd(), old, new_folder.as_fd(), new)
        .map_err(cannot(format!("rename {from} to {to}")))
}

/// Changes a file's mode.
pub(crate) fn change_mode(wish: &Chmod) -> Result<()> {
    let file = tree::find(&wish.path)?;
    // A mere path has no mode to change; what it leads to has.
    rustix::fs::chmod(tree::by_descriptor(&file), Mode::from_raw_mode(wish.mode & 0o7777))
        .map_err(cannot(format!("change the mode of {}", wish.path.display())))
}
