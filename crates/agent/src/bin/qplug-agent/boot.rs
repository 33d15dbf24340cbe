//! What an init does first: file systems and a console.

use std::fs::{self, OpenOptions};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::tree::{self, SYSROOT};

/// Mounts what the kernel offers to look at, and makes the folders that programs expect. What fails
/// besides is returned.
pub(crate) fn file_systems() -> Result<Vec<String>, String> {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        mount_on(kind, place, MountFlags::NOSUID, None)?;
    }
    let mut complaints = Vec::new();
    for folder in ["/tmp", "/run", "/etc", "/root"] {
        if let Err(error) = fs::create_dir_all(folder) {
            complaints.push(format!("cannot make {folder}: {error}"));
        }
    }
    if !fs::exists("/etc/mtab").unwrap_or(true)
        && let Err(error) = std::os::unix::fs::symlink("/proc/self/mounts", "/etc/mtab")
    {
        complaints.push(format!("cannot make /etc/mtab: {error}"));
    }
    // What is written where nothing is mounted must not fill the memory.
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if let Err(error) = mount_on("tmpfs", SYSROOT, flags, Some(c"size=1m,mode=0755")) {
        complaints.push(error);
    }
    tree::note_memory()?;
    Ok(complaints)
}

fn mount_on(
    kind: &str,
    place: &str,
    flags: MountFlags,
    data: Option<&std::ffi::CStr>,
) -> Result<(), String> {
    fs::create_dir_all(place).map_err(|error| format!("cannot make {place}: {error}"))?;
    match mount(kind, place, kind, flags, data) {
        // BUSY: the kernel was configured to mount it before us.
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(errno) => Err(format!("cannot mount {kind} on {place}: {errno}")),
    }
}

/// Makes the console our standard streams: the kernel opened none, as there was no /dev yet. A machine
/// without a console has /dev/null.
pub(crate) fn console() -> Result<(), String> {
    let open = |path| OpenOptions::new().read(true).write(true).open(path);
    let console = open("/dev/console")
        .or_else(|_| open("/dev/null"))
        .map_err(|error| format!("cannot open the console: {error}"))?;
    dup2_stdin(&console)
        .and_then(|()| dup2_stdout(&console))
        .and_then(|()| dup2_stderr(&console))
        .map_err(|errno| format!("cannot use the console: {errno}"))
}

/// The kernel's random numbers, for stirring into.
pub(crate) fn stir(bytes: &[u8]) -> rustix::io::Result<()> {
    let pool = rustix::fs::open("/dev/urandom", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut rest = bytes;
    while !rest.is_empty() {
        rest = &rest[rustix::io::write(&pool, rest)?..];
    }
    Ok(())
}
