//! An appliance of qplug's, by its command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use qplug_testbed::boot_files::Kernel;
use qplug_testbed::{Error, Result};
use tempfile::TempDir;

use super::MEMORY_MIB;
use crate::bench::bounded;

/// The appliance's name.
const NAME: &str = "bench";
/// How long any command may take; a gibibyte takes half a minute.
const DONE_WITHIN: Duration = Duration::from_secs(600);

/// The command, with appliances and a cache of its own. Dropping it takes the appliance down.
#[derive(Debug)]
pub(super) struct Ours {
    program: PathBuf,
    emulator: PathBuf,
    kernel: Kernel,
    folder: TempDir,
}

impl Ours {
    /// On this QEMU, with the kernel of all test machines.
    pub(super) fn new(program: &Path, emulator: &Path) -> Result<Self> {
        let folder = TempDir::with_prefix("qplug-").map_err(no_folder)?;
        let (program, emulator) = (program.to_owned(), emulator.to_owned());
        Ok(Self { program, emulator, kernel: Kernel::current()?, folder })
    }

    /// Starts the appliance, with these words beside what both machines have. Tells how long it took,
    /// and what was said.
    pub(super) fn up(&self, words: &[&str]) -> Result<(Duration, String)> {
        let mut command = self.command(&["up", "--name", NAME, "--accel", "tcg", "--memory"]);
        command.arg(MEMORY_MIB.to_string()).arg("--qemu").arg(&self.emulator);
        command.arg("--kernel").arg(&self.kernel.image);
        command.arg("--modules").arg(&self.kernel.modules).args(words);
        timed(&mut command)
    }

    /// Runs a verb on the appliance, and returns how long it took and what it printed.
    pub(super) fn tell(&self, verb: &str, words: &[&str]) -> Result<(Duration, String)> {
        timed(self.command(&[verb, NAME]).args(words))
    }

    /// Copies a file in or out.
    pub(super) fn copy(&self, from: &str, to: &str) -> Result<Duration> {
        timed(&mut self.command(&["cp", from, to])).map(|(took, _)| took)
    }

    /// A path in the appliance, as `cp` takes it.
    pub(super) fn inside(path: &str) -> String {
        format!("{NAME}:{path}")
    }

    /// Ends the appliance.
    pub(super) fn down(&self) -> Result<()> {
        self.tell("down", &[]).map(drop)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("appliance").args(words);
        command.env("XDG_RUNTIME_DIR", self.folder.path());
        command.env("QPLUG_CACHE", self.folder.path().join("cache"));
        command
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // Where it is down already, that is no failure.
        let _ = self.down();
    }
}

fn timed(command: &mut Command) -> Result<(Duration, String)> {
    let began = Instant::now();
    let output = bounded::run_within(command.stdout(Stdio::piped()), DONE_WITHIN)?;
    Ok((began.elapsed(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// No temporary folder.
pub(super) fn no_folder(error: std::io::Error) -> Error {
    Error::failed(format!("cannot make a temporary folder: {error}"))
}
