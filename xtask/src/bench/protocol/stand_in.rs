//! The programs that measure, and the stand-in server.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use qplug_testbed::{Error, Result, python};
use tempfile::TempDir;

use crate::bench::bounded;
use crate::cargo::{cargo, root, succeed};

/// How long the server may take to listen; it takes a few milliseconds.
const LISTEN_WITHIN: Duration = Duration::from_secs(10);
/// Time between two looks whether it listens.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Tells the programs which Python has the package `qemu.qmp`.
const PYTHON: &str = "QPLUG_BENCH_PYTHON";

/// The stand-in server while it runs, and the programs that speak to it.
#[derive(Debug)]
pub(super) struct StandIn {
    server: Child,
    folder: TempDir,
    socket: PathBuf,
    programs: PathBuf,
    cpu: usize,
    python: Option<PathBuf>,
}

impl StandIn {
    /// Builds the programs, and starts the server on the last processor: the first has the
    /// interrupts.
    pub(super) fn start() -> Result<Self> {
        let programs = build()?;
        let folder = tempfile::tempdir()
            .map_err(|error| Error::failed(format!("cannot make a folder: {error}")))?;
        let socket = folder.path().join("qmp");
        let cpu = thread::available_parallelism().map_or(0, |count| count.get() - 1);
        let server = Command::new(programs.join("timed"))
            .args([Path::new("serve"), &socket])
            .env("QPLUG_BENCH_CPU", cpu.to_string())
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| Error::failed(format!("cannot start the server: {error}")))?;
        let python = python::program().ok().flatten();
        let stand_in = Self { server, folder, socket, programs, cpu, python };
        let deadline = Instant::now() + LISTEN_WITHIN;
        while !stand_in.socket.exists() {
            if Instant::now() > deadline {
                return Err(Error::failed("the stand-in server does not listen"));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(stand_in)
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(super) fn cpu(&self) -> usize {
        self.cpu
    }

    /// A path for a file that is needed for a moment.
    pub(super) fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Whether somebody can take part; says so if not.
    pub(super) fn has(&self, who: &str) -> bool {
        let has = who != "python" || self.python.is_some();
        if !has {
            println!("not measured: Python's qemu.qmp is not installed (cargo xtask setup)");
        }
        has
    }

    /// The program with the allocator that programs have, or with the one that counts.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Adds what all programs are to find in their environment.
    pub(super) fn run(&self, command: &mut Command) -> Result<Output> {
        command.env("QPLUG_BENCH_CPU", self.cpu.to_string()).stdout(Stdio::piped());
        if let Some(python) = &self.python {
            command.env(PYTHON, python);
        }
        bounded::run(command)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn build() -> Result<PathBuf> {
    let manifest = root().join("benches/protocol/Cargo.toml");
    let mut command = cargo(["build", "--quiet", "--release", "--locked", "--manifest-path"]);
    succeed(command.arg(&manifest))?;
    let target = env::var_os("CARGO_TARGET_DIR").map(|path| root().join(path));
    let target = target.unwrap_or_else(|| root().join("benches/protocol/target"));
    Ok(target.join("release"))
}
