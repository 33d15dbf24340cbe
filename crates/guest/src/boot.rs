//! What an init does first: file systems, a console, drivers.

use std::fs::{self, File, OpenOptions};
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::system::finit_module;

/// Where the initramfs keeps drivers. Names start with a number, so that sorting them puts each
/// driver behind those it needs.
pub(crate) const MODULES: &str = "/modules";

/// Where it keeps those of file systems, which take their time to load.
pub(crate) const MODULES_LATER: &str = "/modules-later";

/// Mounts what the kernel offers to look at.
pub(crate) fn mount_kernel_filesystems() -> Result<(), String> {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        fs::create_dir_all(place).map_err(|error| format!("cannot make {place}: {error}"))?;
        match mount(kind, place, kind, MountFlags::empty(), None) {
            // BUSY: the kernel was configured to mount it before us.
            Ok(()) | Err(Errno::BUSY) => {}
            Err(errno) => return Err(format!("cannot mount {kind} on {place}: {errno}")),
        }
    }
    Ok(())
}

/// Makes the console our standard streams: the kernel opened none, as there was no /dev yet.
pub(crate) fn console() -> Result<(), String> {
    let console = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/console")
        .map_err(|error| format!("cannot open the console: {error}"))?;
    dup2_stdin(&console)
        .and_then(|()| dup2_stdout(&console))
        .and_then(|()| dup2_stderr(&console))
        .map_err(|errno| format!("cannot use the console: {errno}"))
}

/// Loads every driver of a folder and returns what went wrong: a driver that does not load is worth
/// a line, not the end of the machine.
pub(crate) fn load_modules(folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| load(path).err()).collect()
}

fn load(path: &Path) -> Result<(), String> {
    let complain =
        |reason: &dyn std::fmt::Display| format!("cannot load {}: {reason}", path.display());
    let file = File::open(path).map_err(|error| complain(&error))?;
    match finit_module(&file, c"", 0) {
        // EXIST: the driver is built into this kernel.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(complain(&errno)),
    }
}
