//! guestfish with its direct backend, told what to do line by line.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use qplug_testbed::qemu::releases::LOADER;
use qplug_testbed::{Error, Result};
use tempfile::TempDir;

use super::{MEMORY_MIB, ours};
use crate::bench::bounded;
use crate::setup::libguestfs::{APPLIANCE, SHELL};

/// How long anything may take; a launch takes 15 s, a gibibyte a minute.
const DONE_WITHIN: Duration = Duration::from_secs(600);
/// What it says when it has come to a certain line.
const MARK: &str = "--done--";
/// Lines of its complaints that are shown.
const MAX_COMPLAINT: usize = 8;

/// The program, and how it is started.
#[derive(Debug)]
pub(super) struct Guestfish {
    program: PathBuf,
    emulator: PathBuf,
    folder: TempDir,
}

impl Guestfish {
    /// The one that set-up made, on this QEMU.
    pub(super) fn new(program: &Path, emulator: &Path) -> Result<Self> {
        let folder = TempDir::with_prefix("qplug-").map_err(ours::no_folder)?;
        Ok(Self { program: program.to_owned(), emulator: emulator.to_owned(), folder })
    }

    /// What it calls itself.
    pub(super) fn version(&self) -> Result<String> {
        let output = bounded::run(self.command().arg("--version").stdout(Stdio::piped()))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Run by its own interpreter with its own libraries, which nobody has whom it starts.
    fn command(&self) -> Command {
        let mut command = Command::new(self.program.join(LOADER));
        command.arg("--library-path").arg(&self.program).arg(self.program.join(SHELL));
        command
            .env("LIBGUESTFS_BACKEND", "direct")
            .env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")
            .env("LIBGUESTFS_HV", &self.emulator)
            .env("LIBGUESTFS_PATH", self.program.join(APPLIANCE))
            .env("LIBGUESTFS_MEMSIZE", MEMORY_MIB.to_string())
            .env("LIBGUESTFS_CACHEDIR", self.folder.path())
            .env("LIBGUESTFS_TMPDIR", self.folder.path())
            .env("XDG_RUNTIME_DIR", self.folder.path());
        command
    }

    /// Starts the shell, and not yet its appliance.
    pub(super) fn start(&self) -> Result<Session> {
        let cannot = |error| Error::failed(format!("cannot run guestfish: {error}"));
        let complaints = self.folder.path().join("complaints");
        let file = File::create(&complaints).map_err(Error::file("create", &complaints))?;
        let mut command = self.command();
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().map_err(cannot)?;
        let (sender, lines) = mpsc::channel();
        let output = child.stdout.take();
        let input = child.stdin.take();
        thread::spawn(move || {
            let lines = output.map(BufReader::new).into_iter().flat_map(BufReader::lines);
            for line in lines.map_while(std::result::Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Session { child, input, lines, complaints })
    }
}

/// A guestfish that waits for lines. Dropping it ends it, and its appliance.
#[derive(Debug)]
pub(super) struct Session {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    complaints: PathBuf,
}

impl Session {
    /// Has it do this, and returns what it printed once it has done so.
    pub(super) fn done(&mut self, lines: &[&str]) -> Result<Vec<String>> {
        let text = format!("{}\necho {MARK}\n", lines.join("\n"));
        let told = self.input.as_mut().map(|input| input.write_all(text.as_bytes()));
        if !matches!(told, Some(Ok(()))) {
            return Err(self.ended());
        }
        let deadline = Instant::now() + DONE_WITHIN;
        let mut printed = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line == MARK => return Ok(printed),
                Ok(line) => printed.push(line),
                Err(_) => return Err(self.ended()),
            }
        }
    }

    fn ended(&self) -> Error {
        let text = std::fs::read_to_string(&self.complaints).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(MAX_COMPLAINT)..].join("\n  ");
        Error::failed(format!("guestfish has ended, or does not answer any more:\n  {last}"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // At the end of its input it takes its appliance down; one that does not is killed, and a process
        // of its own then kills its QEMU.
        self.input = None;
        let deadline = Instant::now() + END_WITHIN;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(LOOK_EVERY);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long its end may take.
const END_WITHIN: Duration = Duration::from_secs(30);
/// Time between two looks whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);
