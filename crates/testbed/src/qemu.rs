//! The QEMUs there are, and which of them a test runs on.

pub mod releases;

use std::env;
use std::ffi::OsString;
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

/// Of a program that has not been asked yet.
const UNKNOWN: Version = Version { major: 0, minor: 0, micro: 0 };

/// One QEMU, ready to run.
#[derive(Debug, Clone)]
pub struct Qemu {
    /// What `--version` said.
    pub version: Version,
    /// The program.
    pub path: PathBuf,
    /// The folder of unpacked packages around it; `None` for a QEMU installed in the usual way.
    pub root: Option<PathBuf>,
    /// The dynamic loader that runs it, where its libraries are of another release than the
    /// system's.
    loader: Option<PathBuf>,
}

impl Qemu {
    /// Looks at a folder of unpacked packages and runs the program in it once.
    pub fn unpacked(root: &Path) -> Result<Self> {
        Self::asked(Self::placed(UNKNOWN, root.to_owned()))
    }

    /// The one of this version in a folder of unpacked packages; nothing is run.
    fn placed(version: Version, root: PathBuf) -> Self {
        let (path, loader) = (root.join(PROGRAM), releases::loader(&root));
        Self { version, path, root: Some(root), loader }
    }

    /// Looks at an installed program and runs it once.
    pub fn at(path: &Path) -> Result<Self> {
        Self::asked(Self { version: UNKNOWN, path: path.to_owned(), root: None, loader: None })
    }

    fn asked(mut qemu: Self) -> Result<Self> {
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

    /// The system's that are set up, oldest first: those of `QPLUG_QEMU` (paths, colon-separated)
    /// when it is set, else those in the cache. None is of [`releases`].
    pub fn installed() -> Result<Vec<Self>> {
        let mut found = match brought() {
            Some(paths) => {
                env::split_paths(&paths).map(|path| Self::at(&path)).collect::<Result<Vec<_>>>()?
            }
            None => in_cache(&cache::folder()?),
        };
        found.sort_by_key(|qemu| qemu.version);
        Ok(found)
    }

    /// Those a test runs on: all installed ones, or those whose version starts with one of the
    /// words in `QPLUG_TEST_QEMU` (`7.2`, `7.2,10.0`, `all`). Those of other [`releases`] are among
    /// them only where a word names their version.
    ///
    /// When there is none, a loud line on standard error says that `test` was skipped and what to
    /// do; with `QPLUG_REQUIRE_QEMU` set that is a panic.
    #[must_use]
    pub fn under_test(test: &str) -> Vec<Self> {
        let words = env::var("QPLUG_TEST_QEMU").unwrap_or_default();
        let installed = usable(test, Self::installed());
        let chosen = installed.into_iter().filter(|qemu| is_chosen(&qemu.version, &words));
        let named = of_releases(test).into_iter().flatten();
        let named = named.filter(|qemu| is_named(&qemu.version, &words));
        let chosen = in_order(chosen.chain(named).collect());
        if chosen.is_empty() {
            skip(test, "no QEMU is set up for it; run: cargo xtask setup");
        }
        chosen
    }

    /// [`Qemu::under_test`] and those of other [`releases`], for tests of what differs from one
    /// QEMU to the next. One that is not set up is passed over with a loud line: an archive does not
    /// keep a release for ever.
    #[must_use]
    pub fn of_all_ages(test: &str) -> Vec<Self> {
        let words = env::var("QPLUG_TEST_QEMU").unwrap_or_default();
        let mut chosen = Self::under_test(test);
        let everything = is_chosen(&UNKNOWN, &words);
        for (release, qemu) in releases::RELEASES.iter().zip(of_releases(test)) {
            match qemu {
                Some(qemu) if everything && !is_named(&qemu.version, &words) => chosen.push(qemu),
                None if everything && brought().is_none() => {
                    pass_over(
                        test,
                        &format!("the QEMU of {release} is not set up; cargo xtask setup says why"),
                    );
                }
                _ => {}
            }
        }
        in_order(chosen)
    }

    /// Whether it is one of [`releases`].
    #[must_use]
    pub fn is_of_another_release(&self) -> bool {
        self.loader.is_some()
    }

    /// Whether a q35's ports are plugged by ACPI unless told otherwise. Before 6.1 there is PCI
    /// Express's own way alone.
    #[must_use]
    pub fn has_acpi_ports(&self) -> bool {
        (self.version.major, self.version.minor) >= (6, 1)
    }

    /// A command that runs this QEMU; arguments are still to be added.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = match &self.loader {
            Some(loader) => {
                let mut command = Command::new(loader);
                command.args(["--inhibit-cache", "--library-path", &self.libraries()]);
                command.arg(&self.path);
                command
            }
            None => Command::new(&self.path),
        };
        command.envs(self.environment());
        command
    }

    /// What the program needs in its environment. A loader of its own is told on the command line
    /// where libraries are: what QEMU runs, a shell for one, must not load them.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let Some(root) = &self.root else {
            return Vec::new();
        };
        let mut variables = vec![("QEMU_MODULE_DIR", root.join(MODULES).display().to_string())];
        if self.loader.is_none() {
            variables.push(("LD_LIBRARY_PATH", self.libraries()));
        }
        variables
    }

    /// Where the program finds libraries, as its loader reads it.
    fn libraries(&self) -> String {
        let root = self.root.as_deref().unwrap_or(Path::new("/"));
        let triplet = "x86_64-linux-gnu";
        let shared = root.join("usr/lib").join(triplet);
        // The rbd module finds its own there only where it was installed to.
        let folders = [shared.clone(), root.join("lib").join(triplet), shared.join("ceph")];
        folders.map(|path| path.display().to_string()).join(":")
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
    pass_over(test, reason);
}

/// [`skip`] of what not every system can have. The line also goes into the file that
/// `QPLUG_SKIPPED` names: whoever runs many tests shows all such lines together at the end.
pub fn pass_over(test: &str, reason: &str) {
    let line = format!("SKIPPED {test}: {reason}\n");
    // `eprintln!` would be captured. If standard error is gone there is nobody to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(path) = env::var_os("QPLUG_SKIPPED") {
        let file = fs::OpenOptions::new().append(true).create(true).open(path);
        // One write a line: other tests write to it at the same time.
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = written {
            panic!("{test}: cannot note that it is skipped: {error}");
        }
    }
}

/// The paths of `QPLUG_QEMU`, which take the place of all that is in the cache.
fn brought() -> Option<OsString> {
    env::var_os("QPLUG_QEMU").filter(|value| !value.is_empty())
}

/// One for each of [`releases::RELEASES`], where it is set up and nothing takes its place.
fn of_releases(test: &str) -> [Option<Qemu>; 2] {
    releases::RELEASES
        .map(|release| if brought().is_none() { usable(test, releases::of(release)) } else { None })
}

fn usable<T>(test: &str, found: Result<T>) -> T {
    found
        .unwrap_or_else(|error| panic!("{test}: the QEMUs of this machine cannot be used: {error}"))
}

fn in_order(mut qemus: Vec<Qemu>) -> Vec<Qemu> {
    qemus.sort_by_key(|qemu| qemu.version);
    qemus
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
            Some(Qemu::placed(version, root)).filter(|qemu| qemu.path.is_file())
        })
        .collect()
}

fn is_chosen(version: &Version, words: &str) -> bool {
    words.is_empty() || words.split(',').any(|word| word == "all") || is_named(version, words)
}

fn is_named(version: &Version, words: &str) -> bool {
    let version = format!("{version}.");
    words.split(',').any(|word| version.starts_with(&format!("{word}.")))
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
        assert!(is_named(&version, "7.2,10.0"));
        assert!(!is_named(&version, "all"));
        assert!(!is_named(&version, ""));
    }

    #[test]
    fn libraries_of_another_release_are_its_own_loaders_business() {
        let root = tempfile::tempdir().unwrap();
        let ours = Qemu::placed(UNKNOWN, root.path().to_owned());
        assert_eq!(ours.command().get_program(), ours.path);
        let folder = root.path().join("lib/x86_64-linux-gnu");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(releases::LOADER), "").unwrap();
        let theirs = Qemu::placed(UNKNOWN, root.path().to_owned());
        let command = theirs.command();
        assert_eq!(command.get_program(), folder.join(releases::LOADER));
        assert_eq!(command.get_args().last(), Some(theirs.path.as_os_str()));
        assert!(command.get_envs().all(|(name, _)| name != "LD_LIBRARY_PATH"));
    }
}
