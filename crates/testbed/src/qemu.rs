//! The QEMUs there are, and which of them a test runs on.

use std::env;
use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Board, Error, Result, cache};

/// The program, in a folder of unpacked packages.
pub const PROGRAM: &str = "usr/bin/qemu-system-x86_64";

/// The folder of its modules there.
pub const MODULES: &str = "usr/lib/x86_64-linux-gnu/qemu";

/// A released version; compares as versions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 7 in 7.2.22.
    pub major: u32,
    /// 2 in 7.2.22.
    pub minor: u32,
    /// 22 in 7.2.22.
    pub micro: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

impl Version {
    /// Reads `7.2.22`, or the first such word of `QEMU emulator version 7.2.22 (Debian …)`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(|word| {
            let mut numbers = word.split('.').map(str::parse);
            let mut next = || numbers.next()?.ok();
            Some(Self { major: next()?, minor: next()?, micro: next()? })
        })
    }

    /// `7.2`, as people say it.
    #[must_use]
    pub fn series(&self) -> String {
        format!("{}.{}", self.major, self.minor)
    }
}

/// One QEMU, ready to run.
#[derive(Debug, Clone)]
pub struct Qemu {
    /// What `--version` said.
    pub version: Version,
    /// The program.
    pub path: PathBuf,
    /// The folder of unpacked packages around it; `None` for a QEMU installed in the usual way.
    pub root: Option<PathBuf>,
}

impl Qemu {
    /// Looks at a folder of unpacked packages and runs the program in it once.
    pub fn unpacked(root: &Path) -> Result<Self> {
        Self::asked(root.join(PROGRAM), Some(root.to_owned()))
    }

    /// Looks at an installed program and runs it once.
    pub fn at(path: &Path) -> Result<Self> {
        Self::asked(path.to_owned(), None)
    }

    fn asked(path: PathBuf, root: Option<PathBuf>) -> Result<Self> {
        let mut qemu = Self { version: Version { major: 0, minor: 0, micro: 0 }, path, root };
        let shown = qemu.path.display().to_string();
        let output = qemu
            .command()
            .arg("--version")
            .output()
            .map_err(|error| Error::not_set_up(format!("cannot run {shown}: {error}")))?;
        let text = String::from_utf8_lossy(&output.stdout);
        match Version::parse(&text) {
            Some(version) if output.status.success() => {
                qemu.version = version;
                Ok(qemu)
            }
            _ => Err(Error::not_set_up(format!(
                "{shown} --version does not work: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ))),
        }
    }

    /// All that are set up, oldest first: those of `QPLUG_QEMU` (paths, colon-separated) when it is
    /// set, else those in the cache.
    pub fn installed() -> Result<Vec<Self>> {
        let mut found = match env::var_os("QPLUG_QEMU").filter(|value| !value.is_empty()) {
            Some(paths) => {
                env::split_paths(&paths).map(|path| Self::at(&path)).collect::<Result<Vec<_>>>()?
            }
            None => in_cache(&cache::folder()?),
        };
        found.sort_by_key(|qemu| qemu.version);
        Ok(found)
    }

    /// Those a test runs on: all installed ones, or those whose version starts with one of the
    /// words in `QPLUG_TEST_QEMU` (`7.2`, `7.2,10.0`, `all`).
    ///
    /// When there is none, a loud line on standard error says that `test` was skipped and what to
    /// do; with `QPLUG_REQUIRE_QEMU` set that is a panic.
    #[must_use]
    pub fn under_test(test: &str) -> Vec<Self> {
        let installed = Self::installed().unwrap_or_else(|error| {
            panic!("{test}: the QEMUs of this machine cannot be used: {error}")
        });
        let chosen = env::var("QPLUG_TEST_QEMU").unwrap_or_default();
        let chosen: Vec<_> =
            installed.into_iter().filter(|qemu| is_chosen(&qemu.version, &chosen)).collect();
        if chosen.is_empty() {
            skip(test, "no QEMU is set up for it; run: cargo xtask setup");
        }
        chosen
    }

    /// A command that runs this QEMU; arguments are still to be added.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.envs(self.environment());
        command
    }

    /// What the program needs in its environment.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let Some(root) = &self.root else {
            return Vec::new();
        };
        let triplet = "x86_64-linux-gnu";
        let shared = root.join("usr/lib").join(triplet);
        // The rbd module finds its own there only where it was installed to.
        let libraries = [shared.clone(), root.join("lib").join(triplet), shared.join("ceph")];
        let list = libraries.map(|path| path.display().to_string()).join(":");
        let modules = root.join(MODULES);
        vec![("LD_LIBRARY_PATH", list), ("QEMU_MODULE_DIR", modules.display().to_string())]
    }

    /// The same QEMU for this board's kind of processor; an error when that program is not beside the
    /// usual one.
    pub fn for_board(&self, board: Board) -> Result<Self> {
        let path = self.path.with_file_name(board.program());
        if matches!(board, Board::Q35 | Board::Pc | Board::Microvm) {
            return Ok(self.clone());
        }
        if path.is_file() {
            return Ok(Self { path, ..self.clone() });
        }
        Err(Error::not_set_up(format!(
            "QEMU {} has no {} beside it; run: cargo xtask setup",
            self.version,
            board.program()
        )))
    }

    /// Whether [`Qemu::for_board`] finds a program: not every version is set up for every board.
    #[must_use]
    pub fn has_board(&self, board: Board) -> bool {
        self.for_board(board).is_ok()
    }

    /// Where an unpacked QEMU finds its firmware.
    #[must_use]
    pub fn firmware_arguments(&self) -> Vec<String> {
        let Some(root) = &self.root else {
            return Vec::new();
        };
        ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"]
            .iter()
            .flat_map(|folder| ["-L".to_owned(), root.join(folder).display().to_string()])
            .collect()
    }
}

/// Says, where even a passing test's output shows, that a test did not run; see
/// [`Qemu::under_test`].
pub fn skip(test: &str, reason: &str) {
    if env::var_os("QPLUG_REQUIRE_QEMU").is_some() {
        panic!("{test}: {reason}");
    }
    // `eprintln!` would be captured. If standard error is gone there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
}

fn in_cache(folder: &Path) -> Vec<Qemu> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let root = entry.path();
            let name = entry.file_name();
            let version = Version::parse(name.to_str()?.strip_prefix("qemu-")?)?;
            let path = root.join(PROGRAM);
            path.is_file().then_some(Qemu { version, path, root: Some(root) })
        })
        .collect()
}

fn is_chosen(version: &Version, words: &str) -> bool {
    let version = format!("{version}.");
    words.is_empty()
        || words.split(',').any(|word| word == "all" || version.starts_with(&format!("{word}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared_as_numbers() {
        let old = Version::parse("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)").unwrap();
        let new = Version::parse("10.0.2").unwrap();
        assert!(old < new);
        assert_eq!(old.to_string(), "7.2.22");
        assert_eq!(new.series(), "10.0");
        assert_eq!(Version::parse("QEMU emulator version unknown"), None);
    }

    #[test]
    fn a_choice_is_a_prefix_of_whole_numbers() {
        let version = Version::parse("10.0.2").unwrap();
        assert!(is_chosen(&version, ""));
        assert!(is_chosen(&version, "all"));
        assert!(is_chosen(&version, "7.2,10.0"));
        assert!(is_chosen(&version, "10.0.2"));
        assert!(!is_chosen(&version, "1"));
        assert!(!is_chosen(&version, "10.0.20"));
    }
}
