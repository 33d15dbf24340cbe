//! A root for programs, where the user has one: a distribution on a disk of the appliance's own.
//!
//! ```text
//! /own/disk     its file system, only read
//! /own/changes  memory, for what programs change
//! /own/root     both, with the appliance's /dev, /proc, /sys and tree in it
//! ```
//!
//! This program itself stays where it is: a root that hangs or lacks something costs a program, and never
//! the machine.

use std::ffi::{CString, OsString};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;
use std::time::Duration;

use qplug_agent::Name;
use qplug_agent::wire::{ROOT_LABEL, UseRoot};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change};

use crate::device::Named;
use crate::disks::Disks;
use crate::refusal::{Result, cannot, refuse};
use crate::tree::{self, SYSROOT};
use crate::{content, modules, sysfs};

/// How long the disk may take to appear; it takes a tenth of a second.
const APPEARS_WITHIN: Duration = Duration::from_secs(30);

const DISK: &str = "/own/disk";
const CHANGES: &str = "/own/changes";
const ROOT: &str = "/own/root";

/// What this program is called with to become one of the root's.
pub(crate) const ROLE: &str = "in-root";

/// What kinds want to be told when a disk that was not left cleanly cannot be mended, as nothing may be
/// written to it.
const UNMENDED: [(&str, &str); 4] = [
    ("ext3", "noload"),
    ("ext4", "noload"),
    ("xfs", "norecovery"),
    ("btrfs", "rescue=nologreplay"),
];

/// Set once the root can be used.
static READY: OnceLock<()> = OnceLock::new();

/// Whether there is one.
pub(crate) fn is_there() -> bool {
    READY.get().is_some()
}

/// Makes a disk the root.
pub(crate) fn use_disk(wish: &UseRoot, disks: &Disks) -> Result<()> {
    if is_there() {
        return Err(refuse("there is a root already"));
    }
    let disk = disks.wait_own(ROOT_LABEL, APPEARS_WITHIN);
    let disk = disk.ok_or_else(|| refuse("the root's disk did not appear"))?;
    let device = device(&disk, wish.partition)?;
    mount_disk(&device)?;
    let name = device.name;
    let usual = format!("{name} has no program in /bin or /usr/bin: it is no root");
    if !["bin", "usr/bin"].iter().any(|folder| Path::new(DISK).join(folder).is_dir()) {
        return Err(refuse(usual));
    }
    lay_changes_over()?;
    lend()?;
    // Only a second thread that was let in above would have set it.
    let _ = READY.set(());
    Ok(())
}

/// Which device of the disk it is.
fn device(disk: &str, partition: Option<u32>) -> Result<Named> {
    let partitions = sysfs::partitions_of(disk);
    let named = |kernel_name: &str, number: Option<u32>| Named {
        name: match number {
            Some(number) => format!("the root's partition {number}"),
            None => "the root's disk".to_owned(),
        },
        kernel_name: kernel_name.to_owned(),
        is_read_only: true,
    };
    let numbers =
        || partitions.iter().map(|it| it.number.to_string()).collect::<Vec<_>>().join(", ");
    match (partition, &partitions[..]) {
        (None, []) => Ok(named(disk, None)),
        (None, [only]) => Ok(named(&only.kernel_name, Some(only.number))),
        (None, _) => Err(refuse(format!(
            "the root's disk has the partitions {}: say which one it is",
            numbers()
        ))),
        (Some(number), _) => {
            let found = partitions.iter().find(|it| it.number == number);
            let found = found.map(|it| named(&it.kernel_name, Some(number)));
            found.ok_or_else(|| match partitions.is_empty() {
                true => refuse(format!("the root's disk has no partition {number}, and no other")),
                false => {
                    refuse(format!("the root's disk has no partition {number}, but {}", numbers()))
                }
            })
        }
    }
}

fn mount_disk(device: &Named) -> Result<()> {
    let kind = content::mountable(device)?;
    make(DISK)?;
    // Whether the kind is known now is what the mount tells.
    let _ = modules::load_for(&kind);
    let unmended = UNMENDED.iter().find(|(name, _)| *name == kind).map(|(_, option)| *option);
    let try_with = |option: &str| {
        let option = CString::new(option).unwrap_or_default();
        mount(device.node(), DISK, &kind, MountFlags::RDONLY, Some(option.as_c_str()))
    };
    let outcome = match (try_with(""), unmended) {
        (Err(Errno::ROFS), Some(option)) => try_with(option),
        (other, _) => other,
    };
    outcome.map_err(cannot(format!("mount {} as {kind}", device.name)))
}

fn lay_changes_over() -> Result<()> {
    make(CHANGES)?;
    mount("tmpfs", CHANGES, "tmpfs", MountFlags::empty(), Some(c"mode=0755"))
        .map_err(cannot("make room for the root's changes"))?;
    let [upper, work] = ["upper", "work"].map(|name| Path::new(CHANGES).join(name));
    for folder in [&upper, &work, Path::new(ROOT)] {
        make(folder)?;
    }
    let _ = modules::load_for("overlay");
    let option = format!("lowerdir={DISK},upperdir={},workdir={}", upper.display(), work.display());
    let option = CString::new(option).map_err(cannot("pass the options on"))?;
    mount("overlay", ROOT, "overlay", MountFlags::empty(), Some(option.as_c_str())).map_err(cannot(
        "lay what programs change over the root, with the kernel's file system overlay",
    ))
}

/// Shows the root what is the appliance's. What is mounted in the tree later is seen there too, and what
/// is taken out of it goes there too: else a program that runs would keep every disk in use.
fn lend() -> Result<()> {
    mount_change(SYSROOT, MountPropagationFlags::SHARED).map_err(cannot("share the tree"))?;
    for folder in ["/dev", "/proc", "/sys", SYSROOT] {
        let place = Path::new(ROOT).join(folder.trim_start_matches('/'));
        make(&place)?;
        mount_bind_recursive(folder, &place).map_err(cannot(format!("show the root {folder}")))?;
    }
    for folder in ["tmp", "run", "root"] {
        make(Path::new(ROOT).join(folder))?;
    }
    Ok(())
}

fn make(folder: impl AsRef<Path>) -> Result<()> {
    let folder = folder.as_ref();
    fs::create_dir_all(folder).map_err(cannot(format!("make {}", folder.display())))
}

/// Whether the root has a program of this path. Its links lead where they lead from inside.
pub(crate) fn has_program(path: &Path) -> bool {
    let found = tree::open_in(ROOT, &Name::from(path.to_owned()), OFlags::PATH, Mode::empty());
    let kind = found.and_then(|file| rustix::fs::fstat(&file));
    kind.is_ok_and(|found| rustix::fs::FileType::from_raw_mode(found.st_mode).is_file())
}

/// A program of the root's, to be begun: this one, which becomes it.
pub(crate) fn command(path: &Path, name: &Name) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(ROLE).arg(path).arg(name.as_path());
    command
}

/// Becomes a program of the root's: its path, its name, its arguments. Returns when it cannot.
pub(crate) fn enter(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    let (path, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let entered = rustix::process::chroot(ROOT).map_err(std::io::Error::from);
    let error = match entered.and_then(|()| std::env::set_current_dir("/")) {
        Ok(()) => Command::new(&path).arg0(name).args(words).exec(),
        Err(error) => error,
    };
    eprintln!("cannot run {}: {error}", PathBuf::from(path).display());
    // As shells have it.
    ExitCode::from(126)
}
