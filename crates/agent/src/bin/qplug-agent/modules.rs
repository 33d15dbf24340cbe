//! Drivers, as the initramfs has them: `/modules/NAME.ko`, or `NAME.ko.lz4` with their length and an LZ4 block; the
//! list `/modules/boot` of those that the machine starts with, a file name a line, and `/modules/later`, lines
//! such as `ext4: jbd2.ko.lz4 ext4.ko.lz4` of what to load, in this order, when something is wanted by its
//! name.

use std::ffi::CStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::io::Errno;
use rustix::system::init_module;

const FOLDER: &str = "/modules";

/// The module of SCSI disks, and how it looks for them while the machine starts: not at all. No disk is
/// plugged in before the agent is there, and to ask each of the 256 targets that there could be takes
/// 0.15 s under TCG.
const SCSI: &str = "scsi_mod";
const NO_SCAN: &CStr = c"scan=manual";

/// How it looks for them afterwards (`scsi_scan_type` in Linux's `drivers/scsi/scsi_scan.c`): where more are
/// plugged in at once than virtio-scsi's queue of events holds, the kernel looks for all of them.
const SCAN: (&str, &str) = ("/sys/module/scsi_mod/parameters/scan", "sync");

/// Loads what the machine starts with, and returns what went wrong.
pub(crate) fn load_first() -> Vec<String> {
    let mut complaints = complaints(&in_folder(list("boot").lines()));
    let (path, kind) = SCAN;
    if Path::new(path).exists() {
        let set = fs::write(path, kind);
        complaints.extend(set.err().map(|error| format!("cannot write {path}: {error}")));
    }
    complaints
}

/// Loads what a file system, or something else, needs, and returns what went wrong. A driver that is
/// built into the kernel, or that nobody has, is no complaint: who needs it will say so.
pub(crate) fn load_for(name: &str) -> Vec<String> {
    complaints(&in_folder(needed(&list("later"), driver_of(name)).into_iter()))
}

/// What the kernel asks for when a program opens one of these, which are there before their drivers: the
/// path, and the minor number of the kernel's miscellaneous devices (major 10).
const NODES: [(&str, u32, &str); 4] = [
    ("/dev/mapper/control", 236, "dm_mod"),
    ("/dev/loop-control", 237, "loop"),
    ("/dev/btrfs-control", 234, "btrfs"),
    ("/dev/fuse", 229, "fuse"),
];

/// Which program the kernel runs when it wants a driver.
const HELPER: &str = "/proc/sys/kernel/modprobe";

/// What other programs run, and the kernel where it is not told otherwise. It is not there until the machine is
/// up: what the kernel asks for before, algorithms by all their names, nobody has, and each question costs
/// 40 ms under TCG.
const PROGRAM: &str = "/usr/sbin/modprobe";

/// Has the kernel ask this program for drivers, and returns what went wrong.
pub(crate) fn offer() -> Vec<String> {
    let complain = |error| format!("no driver on demand: {error}");
    let offered = fs::write(HELPER, "/init").map_err(complain);
    let linked = match symlink("/init", PROGRAM) {
        // The user's own.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked.map_err(complain),
    };
    let node = |(path, minor, _): &(&str, u32, &str)| {
        let made = Path::new(path).parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
            let mode = Mode::RUSR | Mode::WUSR;
            match mknodat(CWD, *path, FileType::CharacterDevice, mode, makedev(10, *minor)) {
                Ok(()) | Err(Errno::EXIST) => Ok(()),
                Err(errno) => Err(errno.into()),
            }
        });
        made.map_err(|error| format!("cannot make {path}: {error}"))
    };
    [offered, linked].into_iter().chain(NODES.iter().map(node)).filter_map(Result::err).collect()
}

/// Loads what the kernel asks for, by one of its aliases; false where nobody has it.
pub(crate) fn load_alias(alias: &str) -> bool {
    let name = module_of(alias);
    let paths = in_folder(needed(&list("later"), &name).into_iter());
    !paths.is_empty() && complaints(&paths).is_empty()
}

/// `fs-ext4`, `dm-crypt`, `md-level-1`, `char-major-10-236`, or a module's name.
fn module_of(alias: &str) -> String {
    let minor = alias.strip_prefix("char-major-10-").and_then(|minor| minor.parse::<u32>().ok());
    if let Some((_, _, module)) = NODES.iter().find(|(_, number, _)| Some(*number) == minor) {
        return (*module).to_owned();
    }
    // A level of RAID is asked for by its number, or by its name where it has none.
    let raid = alias.strip_prefix("md-level-").map(|level| format!("raid{level}"));
    let plain = ["fs-", "md-"].iter().find_map(|prefix| alias.strip_prefix(prefix));
    match raid.as_deref().unwrap_or(plain.unwrap_or(alias)).replace('-', "_").as_str() {
        "raid4" | "raid5" | "raid6" => "raid456".to_owned(),
        other => driver_of(other).to_owned(),
    }
}

/// The driver for ext4 mounts its ancestors, too.
fn driver_of(kind: &str) -> &str {
    if matches!(kind, "ext2" | "ext3") { "ext4" } else { kind }
}

fn list(name: &str) -> String {
    // A kernel with everything built in needs no lists.
    fs::read_to_string(Path::new(FOLDER).join(name)).unwrap_or_default()
}

fn needed<'a>(needs: &'a str, name: &str) -> Vec<&'a str> {
    let mut lines = needs.lines().filter_map(|line| line.split_once(':'));
    let line = lines.find(|(key, _)| *key == name).map(|(_, modules)| modules);
    line.unwrap_or_default().split_whitespace().collect()
}

fn in_folder<'a>(names: impl Iterator<Item = &'a str>) -> Vec<PathBuf> {
    names.map(|name| Path::new(FOLDER).join(name)).collect()
}

fn complaints(paths: &[PathBuf]) -> Vec<String> {
    let complaint = |path: &PathBuf| {
        let reason = load(path).err()?;
        Some(format!("cannot load {}: {reason}", path.display()))
    };
    paths.iter().filter_map(complaint).collect()
}

fn load(path: &Path) -> io::Result<()> {
    let mut module = fs::read(path)?;
    if path.extension().is_some_and(|end| end == "lz4") {
        let unpacked = lz4_flex::block::decompress_size_prepended(&module);
        module = unpacked.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    }
    let parameters =
        if path.file_prefix().is_some_and(|name| name == SCSI) { NO_SCAN } else { c"" };
    let loaded = match unsigned(&module) {
        // Some kernels take no module without one.
        Some(plain) => init_module(plain, parameters).or_else(|errno| match errno {
            Errno::KEYREJECTED | Errno::PERM => init_module(&module, parameters),
            errno => Err(errno),
        }),
        None => init_module(&module, parameters),
    };
    match loaded {
        // EXIST: loaded before, or built in.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// A module without the signature behind it, if there is one: a kernel that needs none checks it all the same,
/// and sums up every byte for it, some 30 ms of a boot under TCG.
///
/// The end of a signed module (Linux, `include/linux/module_signature.h`): the signature, 12 bytes of
/// which the last four are its length, big-endian, and the mark.
fn unsigned(module: &[u8]) -> Option<&[u8]> {
    const MARK: &[u8] = b"~Module signature appended~\n";
    const ABOUT: usize = 12;
    let (rest, about) = module.strip_suffix(MARK)?.split_last_chunk::<ABOUT>()?;
    let (_, length) = about.split_last_chunk()?;
    rest.get(..rest.len().checked_sub(u32::from_be_bytes(*length) as usize)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_asks_by_aliases() {
        for (alias, module) in [
            ("fs-ext4", "ext4"),
            ("fs-ext2", "ext4"),
            ("dm-crypt", "dm_crypt"),
            ("md-level-1", "raid1"),
            ("md-level-6", "raid456"),
            ("md-raid10", "raid10"),
            ("char-major-10-236", "dm_mod"),
            ("nls_cp437", "nls_cp437"),
        ] {
            assert_eq!(module_of(alias), module, "{alias}");
        }
    }

    #[test]
    fn a_module_is_what_stands_before_its_signature() {
        let signed = |length: u32, signature: &[u8]| {
            let about = [&[0; 8], &length.to_be_bytes()[..]].concat();
            [b"module", signature, &about, b"~Module signature appended~\n"].concat()
        };
        assert_eq!(unsigned(&signed(4, b"sign")), Some(&b"module"[..]));
        assert_eq!(unsigned(&signed(11, b"sign")), None, "longer than all there is");
        assert_eq!(unsigned(b"module"), None);
    }

    #[test]
    fn each_name_has_its_line() {
        let needs = "ext4: crc32c_generic.ko jbd2.ko ext4.ko\nxfs: xfs.ko\n";
        assert_eq!(needed(needs, "ext4"), ["crc32c_generic.ko", "jbd2.ko", "ext4.ko"]);
        assert_eq!(needed(needs, "xfs"), ["xfs.ko"]);
        assert!(needed(needs, "vfat").is_empty());
    }
}
