//! Putting file systems into the tree, and taking them out.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use qplug_agent::Name;
use qplug_agent::wire::{Device, Mount, MountOption, Mounted, Space};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount as kernel_mount, unmount as kernel_unmount};

use crate::content;
use crate::device::{self, name_of};
use crate::disks::Disks;
use crate::modules;
use crate::refusal::{Result, cannot, refuse};
use crate::sysfs;
use crate::tree::{self, SYSROOT};

/// A file system that the kernel has mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Major and minor number; of some kinds, such as btrfs, they are no device's.
    pub(crate) numbers: (u32, u32),
    /// Where, as the appliance sees it.
    pub(crate) place: PathBuf,
    pub(crate) kind: String,
    /// The device, as whoever mounted it called it.
    pub(crate) source: PathBuf,
    options: String,
}

/// All that is mounted in the tree, in the order in which it was.
pub(crate) fn in_tree() -> Result<Vec<Line>> {
    let table = fs::read("/proc/self/mountinfo").map_err(cannot("read the kernel's mounts"))?;
    let lines = table.split(|byte| *byte == b'\n').filter_map(parse);
    let mut lines: Vec<_> = lines.filter(|line| line.place.starts_with(SYSROOT)).collect();
    // The first one is the appliance's own, and carries the others.
    if lines.first().is_some_and(|line| line.place == Path::new(SYSROOT) && line.kind == "tmpfs") {
        lines.remove(0);
    }
    Ok(lines)
}

impl Line {
    /// The kernel's name of the device, where it has one.
    pub(crate) fn device(&self) -> Option<(u32, u32)> {
        if self.numbers.0 != 0 {
            return Some(self.numbers);
        }
        let numbers = fs::metadata(&self.source).ok()?.rdev();
        (numbers != 0).then(|| (rustix::fs::major(numbers), rustix::fs::minor(numbers)))
    }

    /// Where, as a command says it.
    pub(crate) fn path(&self) -> Name {
        let below = self.place.strip_prefix(SYSROOT).unwrap_or(&self.place);
        Name::from(Path::new("/").join(below))
    }

    fn told(&self, disks: &[Device]) -> Mounted {
        Mounted {
            path: self.path(),
            device: self.device_name(disks),
            kind: self.kind.clone(),
            options: self.options.clone(),
        }
    }

    fn device_name(&self, disks: &[Device]) -> String {
        let kernel_name = self.device().and_then(kernel_name_of);
        let ours = kernel_name.as_deref().and_then(|name| name_of(name, disks));
        ours.or_else(|| kernel_name.as_deref().map(sysfs::friendly_name))
            .unwrap_or_else(|| self.source.display().to_string())
    }
}

fn kernel_name_of((major, minor): (u32, u32)) -> Option<String> {
    let link = fs::read_link(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    Some(link.file_name()?.to_string_lossy().into_owned())
}

/// `36 35 98:0 /root /place rw,noatime shared:1 - ext4 /dev/root rw,errors=continue`
fn parse(line: &[u8]) -> Option<Line> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let rest = fields.iter().position(|field| *field == b"-")?;
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    let path = |field: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(&unescaped(field)));
    let (major, minor) = std::str::from_utf8(fields.get(2)?).ok()?.split_once(':')?;
    Some(Line {
        numbers: (major.parse().ok()?, minor.parse().ok()?),
        place: path(fields.get(4)?),
        kind: text(fields.get(rest + 1)?),
        source: path(fields.get(rest + 2)?),
        options: text(fields.get(5)?),
    })
}

/// The kernel writes white space and backslashes as three octal digits behind a backslash.
pub(crate) fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (first, escaped) {
            (b'\\', Some(byte)) => {
                plain.push(byte);
                rest = &tail[3..];
            }
            _ => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain
}

/// What is mounted.
pub(crate) fn list(disks: &Disks) -> Result<Vec<Mounted>> {
    let disks = disks.all();
    Ok(in_tree()?.iter().map(|line| line.told(&disks)).collect())
}

/// The room in what is mounted.
pub(crate) fn space(disks: &Disks) -> Result<Vec<Space>> {
    let disks = disks.all();
    let space = |line: &Line| {
        let found = rustix::fs::statvfs(&line.place)
            .map_err(cannot(format!("look at {}", line.path().display())))?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Space {
            path: line.path(),
            device: line.device_name(&disks),
            bytes: bytes(found.f_blocks),
            free_bytes: bytes(found.f_bfree),
            available_bytes: bytes(found.f_bavail),
            files: found.f_files,
            free_files: found.f_ffree,
        })
    };
    in_tree()?.iter().map(space).collect()
}

/// Mounts a device.
pub(crate) fn mount(wish: &Mount, disks: &Disks) -> Result<Mounted> {
    let device = device::find(&wish.device, disks)?;
    let kind = match &wish.kind {
        Some(kind) => kind.clone(),
        None => content::mountable(&device)?,
    };
    let data = wish.data.as_deref().map(CString::new).transpose();
    let data = data.map_err(cannot("pass the options on"))?;
    let folder = target(&wish.path)?;
    // Moves with the descriptor, whatever happens to the path meanwhile.
    let place = tree::by_descriptor(&folder);
    let flags = flags(wish, device.is_read_only);
    let try_it = || kernel_mount(device.node(), &place, &kind, flags, data.as_deref());
    let mut complaints = Vec::new();
    let outcome = match try_it() {
        Err(Errno::NODEV) => {
            complaints = modules::load_for(&kind);
            try_it()
        }
        other => other,
    };
    outcome.map_err(|errno| refuse(explain(wish, &kind, errno, &complaints)))?;
    let place = tree::real_path_of(&folder).map_err(cannot("tell where it was mounted"))?;
    let all = disks.all();
    let lines = in_tree()?;
    let line = lines.iter().rev().find(|line| line.place == place);
    line.map(|line| line.told(&all)).ok_or_else(|| refuse("it was mounted, and is gone again"))
}

fn flags(wish: &Mount, is_read_only: bool) -> MountFlags {
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::RDONLY, wish.read_only || is_read_only);
    for (option, flag) in [
        (MountOption::Dev, MountFlags::NODEV),
        (MountOption::Suid, MountFlags::NOSUID),
        (MountOption::Exec, MountFlags::NOEXEC),
    ] {
        flags.set(flag, !wish.allow.contains(&option));
    }
    flags
}

fn explain(wish: &Mount, kind: &str, errno: Errno, complaints: &[String]) -> String {
    let (device, path) = (&wish.device, wish.path.display());
    let why = match errno {
        Errno::NODEV => format!(": the appliance has no driver for {kind}"),
        Errno::INVAL => format!(": there is no sound {kind} on it, or an option is unknown"),
        _ => String::new(),
    };
    let complaints: String = complaints.iter().map(|complaint| format!("; {complaint}")).collect();
    format!("cannot mount {device} at {path} as {kind}: {errno}{why}{complaints}")
}

/// The folder to mount at; made where it lies in the appliance's own, empty, tree.
fn target(path: &Name) -> Result<std::os::fd::OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    match tree::try_open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) if tree::is_in_memory(path) => {
            crate::files::make_folders(path, Mode::from_raw_mode(0o755))?;
            tree::open(path, flags, Mode::empty())
        }
        Err(Errno::NOENT) => Err(tree::no_folder(path)),
        other => other.map_err(cannot(format!("mount at {}", path.display()))),
    }
}

/// Unmounts what was mounted last at a path.
pub(crate) fn unmount(path: &Name, force: bool) -> Result<()> {
    let place = tree::real_path(path)?;
    let lines = in_tree()?;
    let line = lines.iter().rev().find(|line| line.place == place);
    let line = line.ok_or_else(|| refuse(format!("nothing is mounted at {}", path.display())))?;
    take_out(line, force)
}

/// Unmounts all, the last one first. The first failure is told when the others were tried.
pub(crate) fn unmount_all(force: bool) -> Result<()> {
    let outcomes: Vec<_> = in_tree()?.iter().rev().map(|line| take_out(line, force)).collect();
    outcomes.into_iter().collect()
}

/// Takes a file system out of the tree.
pub(crate) fn take_out(line: &Line, force: bool) -> Result<()> {
    let how = if force { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    kernel_unmount(&line.place, how | UnmountFlags::NOFOLLOW)
        .map_err(cannot(format!("unmount {}", line.path().display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernels_table() {
        let line = parse(
            b"36 35 253:1 / /sysroot/a\\040b rw,nosuid,nodev shared:1 master:2 - ext4 /dev/vda1 rw",
        )
        .unwrap();
        assert_eq!(line.numbers, (253, 1));
        assert_eq!(line.path(), Name::from("/a b"));
        assert_eq!((line.kind.as_str(), line.options.as_str()), ("ext4", "rw,nosuid,nodev"));
        assert_eq!(line.source, Path::new("/dev/vda1"));
        assert_eq!(parse(b""), None);
        assert_eq!(unescaped(b"\\134\\\\x\\9"), b"\\\\\\x\\9");
    }

    #[test]
    fn nothing_is_allowed_that_was_not_asked_for() {
        let wish = Mount {
            device: "data".to_owned(),
            path: "/".into(),
            kind: None,
            read_only: false,
            allow: vec![MountOption::Exec],
            data: None,
        };
        assert_eq!(flags(&wish, true), MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID);
    }
}
