//! A simulated machine of qplug's own, run as a user runs it.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Error, Result};

/// How long the simulated machine may take to make its socket.
const UP_WITHIN: Duration = Duration::from_secs(20);

/// Time between two looks whether it is there.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The size of its images, in bytes.
pub const IMAGE_BYTES: u64 = 16 << 20;

/// A simulated machine, and a folder for its socket and images. Dropping it ends it.
#[derive(Debug)]
pub struct Sim {
    program: PathBuf,
    child: Child,
    folder: TempDir,
}

impl Sim {
    /// Has this `qplug` be a machine, with these arguments.
    ///
    /// # Errors
    ///
    /// When no socket comes.
    pub fn start(program: impl AsRef<Path>, arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()
            .map_err(|error| Error::failed(format!("no folder for a machine: {error}")))?;
        Self::start_in(program, folder, arguments)
    }

    /// The same in a folder that has files already. The socket is called `qmp`.
    ///
    /// # Errors
    ///
    /// As [`Sim::start`].
    pub fn start_in(
        program: impl AsRef<Path>,
        folder: TempDir,
        arguments: &[&str],
    ) -> Result<Self> {
        let program = program.as_ref().to_owned();
        let child = spawn(&program, folder.path(), arguments)?;
        let sim = Self { program, child, folder };
        sim.wait()?;
        Ok(sim)
    }

    /// Ends the machine, as a crash does: the socket stays, and nobody answers.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn crash(&mut self) -> Result<()> {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        ended.map(drop).map_err(|error| Error::failed(format!("cannot end a machine: {error}")))
    }

    /// Has another machine be where this one crashed.
    ///
    /// # Errors
    ///
    /// As [`Sim::start`].
    pub fn start_again(&mut self, arguments: &[&str]) -> Result<()> {
        self.child = spawn(&self.program, self.folder.path(), arguments)?;
        self.wait()
    }

    fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + UP_WITHIN;
        while UnixStream::connect(self.socket()).is_err() {
            if Instant::now() > deadline {
                return Err(Error::failed("no socket of a simulated machine came"));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Its monitor.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("qmp")
    }

    /// Where its socket and images are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Makes an empty image of [`IMAGE_BYTES`].
    ///
    /// # Errors
    ///
    /// When the file cannot be made.
    pub fn image(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        let made = fs::File::create(&path).and_then(|file| file.set_len(IMAGE_BYTES));
        made.map_err(Error::file("make", &path))?;
        Ok(path)
    }

    /// A qplug that talks to this machine, in its folder; to be given its command. What it caches is
    /// cached in that folder.
    pub fn qplug(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--socket").arg(self.socket()).current_dir(self.folder.path());
        command.env("XDG_CACHE_HOME", self.folder.path().join("cache"));
        command
    }

    /// Runs a command on it, to its end.
    ///
    /// # Errors
    ///
    /// When it does not start, or ends with another exit code.
    pub fn exits(&self, arguments: &[&str], code: i32) -> Result<Output> {
        let output = self.qplug().args(arguments).output();
        let output = output.map_err(|error| Error::failed(format!("{arguments:?}: {error}")))?;
        if output.status.code() == Some(code) {
            return Ok(output);
        }
        Err(Error::failed(format!("{arguments:?} should end with {code}: {output:?}")))
    }

    /// Runs a command that prints JSON.
    ///
    /// # Errors
    ///
    /// As [`Sim::exits`]; when it is no JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.exits(arguments, 0)?;
        let value = serde_json::from_slice(&output.stdout);
        value.map_err(|error| Error::failed(format!("{arguments:?}: {error}: {output:?}")))
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &Path, folder: &Path, arguments: &[&str]) -> Result<Child> {
    let mut command = Command::new(program);
    command.arg("--socket").arg(folder.join("qmp")).arg("sim").args(arguments);
    let child = command.current_dir(folder).stderr(Stdio::null()).spawn();
    child.map_err(|error| Error::failed(format!("cannot run {}: {error}", program.display())))
}
