//! A running QEMU with a guest, an oracle and a folder of its own.

mod builder;
mod devices;
mod process;
mod saved;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use tempfile::TempDir;

use crate::guest::Guest;
use crate::lines::Lines;
use crate::monitor::Monitor;
use crate::{Error, Evidence, Qemu, Result};

pub use builder::Builder;
use process::Process;

/// How long QEMU may take to make its sockets and greet.
const GREET_WITHIN: Duration = Duration::from_secs(20);
/// How long a guest may take to boot; it takes 1.5 s when nothing else runs.
const BOOT_WITHIN: Duration = Duration::from_secs(60);

/// Linux's `sun_path` has 108 bytes, the last of them zero.
const MAX_SOCKET_PATH: usize = 107;

/// What the machine's buses hang on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    /// PCI Express: a disk needs a root port of its own.
    Q35,
    /// One PCI bus of 32 slots.
    Pc,
    /// PCI Express on ARM. Halted only: there is no guest for it.
    Virt,
    /// Channel devices on an IBM mainframe. Halted only.
    S390x,
    /// A PC without PCI, where nothing can be plugged. Halted only.
    Microvm,
}

impl Board {
    /// Those with a guest, for tests that run on each.
    pub const ALL: [Self; 2] = [Self::Q35, Self::Pc];

    /// QEMU's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
            Self::Pc => "pc",
            Self::Virt => "virt",
            Self::S390x => "s390-ccw-virtio",
            Self::Microvm => "microvm",
        }
    }

    /// Whether a disk needs a root port, which the builder makes.
    #[must_use]
    pub fn has_root_ports(self) -> bool {
        matches!(self, Self::Q35 | Self::Virt)
    }

    /// The name of the program that has it.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Q35 | Self::Pc | Self::Microvm => "qemu-system-x86_64",
            Self::Virt => "qemu-system-aarch64",
            Self::S390x => "qemu-system-s390x",
        }
    }
}

/// A machine under test. Dropping it ends its QEMU and removes its folder, also when a test panics;
/// its QEMU also ends when the test process is killed.
#[derive(Debug)]
pub struct Machine {
    /// A monitor of the testbed's own, beside the one the product uses.
    pub oracle: Monitor,
    /// The talk with the guest. A machine that never ran has one that never answers.
    pub guest: Guest,
    /// Which QEMU this is.
    pub qemu: Qemu,
    // Fields drop in this order: QEMU has to end before its folder goes.
    process: Process,
    evidence: Evidence,
    folder: TempDir,
}

impl Machine {
    /// Describes a machine; [`Builder::boot`], [`Builder::restored`] or [`Builder::halted`] starts
    /// it.
    pub fn builder(qemu: &Qemu, board: Board) -> Builder {
        Builder::new(qemu, board)
    }

    /// Launches QEMU and meets its monitor and its guest's port, before any guest code runs when
    /// the arguments say so.
    fn launch(qemu: &Qemu, arguments: &[String]) -> Result<Self> {
        let folder = private_folder()?;
        let evidence = Evidence::new(folder.path());
        let mut process = Process::spawn(qemu, arguments, folder.path())?;
        let mut meet = || -> Result<_> {
            let mut connect = |name: &str| {
                Lines::connect(&folder.path().join(name), GREET_WITHIN, || process.is_running())
            };
            // The guest's port first: what a guest says before anybody listens is lost.
            let guest = Guest::new(connect("guest.sock")?, evidence.clone());
            let oracle = connect("oracle.sock")?;
            let oracle = Monitor::meet(oracle, GREET_WITHIN, Some(evidence.clone()))?;
            Ok((guest, oracle))
        };
        let (guest, oracle) = meet().map_err(|error| {
            evidence.failure(&format!(
                "QEMU {} did not start: {error}\narguments: {}",
                qemu.version,
                arguments.join(" ")
            ))
        })?;
        Ok(Self { oracle, guest, qemu: qemu.clone(), process, evidence, folder })
    }

    /// The monitor for the product: nobody else is connected to it.
    #[must_use]
    pub fn qmp_path(&self) -> PathBuf {
        self.folder.path().join("qmp.sock")
    }

    /// The guest agent's socket, of a machine made with [`Builder::agent`]; nobody is connected to it.
    #[must_use]
    pub fn agent_path(&self) -> PathBuf {
        self.folder.path().join(devices::AGENT_SOCKET)
    }

    /// The machine's own folder, which is also QEMU's working folder; a good place for images.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// QEMU's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Whether QEMU still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Waits for QEMU to end by itself.
    pub fn wait_exit(&mut self, within: Duration) -> Result<ExitStatus> {
        self.process.wait(within).map_err(|error| self.evidence.failure(&error.to_string()))
    }

    /// Kills QEMU as a crash would: no goodbye on any socket.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// The logs, which stay readable from other threads.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.evidence.clone()
    }

    /// What there is to see when something went wrong.
    #[must_use]
    pub fn report(&self) -> String {
        self.evidence.report()
    }
}

/// A folder for one machine, with a path short enough for sockets.
fn private_folder() -> Result<TempDir> {
    let make = |parent: &Path| {
        tempfile::Builder::new()
            .prefix("qplug-")
            .tempdir_in(parent)
            .map_err(Error::file("make a folder in", parent))
    };
    let folder = make(&std::env::temp_dir())?;
    let longest = folder.path().join("oracle.sock.proxy");
    if longest.as_os_str().len() <= MAX_SOCKET_PATH {
        return Ok(folder);
    }
    make(Path::new("/tmp"))
}
