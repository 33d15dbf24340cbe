//! What a simulated machine is made of.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::files::{Files, Image, Images, OpenError};
use crate::guest::Guest;

/// The QEMU that is imitated, where they differ. The later is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.14.1: `drive_add` is in the human monitor only, and nothing tells that a device has left.
    V0_14,
    /// QEMU 0.12 as RHEL 6 has it: with what later versions brought, and `__com.redhat_drive_add`.
    Rhel6,
    /// 1.2.2.
    V1_2,
    /// 2.5.1: `blockdev-add` and `x-blockdev-del` are experiments.
    V2_5,
    /// 2.9.1: the first that has `blockdev-add` and `blockdev-del` as they are today.
    V2_9,
    /// 7.2.22.
    V7_2,
    /// 10.0.2.
    V10_0,
}

impl Version {
    /// Every QEMU that is imitated, the oldest first.
    pub const ALL: [Self; 7] =
        [Self::V0_14, Self::Rhel6, Self::V1_2, Self::V2_5, Self::V2_9, Self::V7_2, Self::V10_0];

    /// Its name, as [`FromStr`] reads it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V0_14 => "0.14",
            Self::Rhel6 => "rhel6",
            Self::V1_2 => "1.2",
            Self::V2_5 => "2.5",
            Self::V2_9 => "2.9",
            Self::V7_2 => "7.2",
            Self::V10_0 => "10.0",
        }
    }

    /// Major, minor, micro.
    #[must_use]
    pub fn numbers(self) -> (u32, u32, u32) {
        match self {
            Self::V0_14 => (0, 14, 1),
            Self::Rhel6 => (0, 12, 1),
            Self::V1_2 => (1, 2, 2),
            Self::V2_5 => (2, 5, 1),
            Self::V2_9 => (2, 9, 1),
            Self::V7_2 => (7, 2, 22),
            Self::V10_0 => (10, 0, 2),
        }
    }
}

/// A QEMU that is not imitated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("QEMU {0:?} is not imitated (0.14, rhel6, 1.2, 2.5, 2.9, 7.2 and 10.0 are)")]
pub struct ParseVersionError(String);

impl FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|version| version.name() == text);
        known.ok_or_else(|| ParseVersionError(text.to_owned()))
    }
}

/// What the machine's buses hang on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    /// PCI Express: a disk needs a root port of its own.
    Q35,
    /// One PCI bus of 32 slots.
    Pc,
}

/// How the machine is when the simulation begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The guest is up: firmware has numbered the buses.
    Running,
    /// The guest is up and the machine was stopped.
    Paused,
    /// It never ran (`-S`): `query-pci` shows nothing behind bridges.
    Prelaunch,
}

/// A device that is there from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// `pcie-root-port`, with or without an id, and whether it takes devices.
    RootPort { id: Option<String>, hotplug: bool },
    /// `pcie-pci-bridge` in this root port, or `pci-bridge` on `pci.0`.
    Bridge { id: String, bus: Option<String> },
    /// `virtio-scsi-pci`.
    Scsi { id: String, bus: Option<String> },
    /// `qemu-xhci`.
    Xhci { id: String },
    /// `-drive`, with these options.
    Drive(String),
    /// A display adapter in slot 2 (`-vga std` on a pc).
    Vga,
    /// `ide-cd` on this IDE bus: empty, or with the drive that is called so.
    IdeCd { id: String, bus: String, drive: Option<String> },
    /// `scsi-cd`, empty.
    ScsiCd { id: String },
}

/// How long QEMU takes to let go of a device after the guest did: its threads agree that nobody
/// looks at it any more (`call_rcu`: five naps of 10 ms). Devices that go meanwhile share it.
pub const GRACE: Duration = Duration::from_millis(50);

/// A machine to be.
#[must_use = "a description does nothing until a machine is made of it"]
pub struct Config {
    pub(crate) version: Version,
    pub(crate) board: Board,
    pub(crate) start: Start,
    pub(crate) guest: Guest,
    pub(crate) name: Option<String>,
    pub(crate) native_hotplug: bool,
    pub(crate) is_migrating: bool,
    pub(crate) no_reboot: bool,
    pub(crate) no_shutdown: bool,
    pub(crate) parts: Vec<Part>,
    images: Images,
    files: Option<Box<dyn Files>>,
    pub(crate) grace: Duration,
    pub(crate) epoch: Duration,
}

impl Config {
    /// A running machine of this board with nothing but its built-in devices, as QEMU 10.0.
    pub fn new(board: Board) -> Self {
        Self {
            version: Version::V10_0,
            board,
            start: Start::Running,
            guest: Guest::Quick,
            name: None,
            native_hotplug: false,
            is_migrating: false,
            no_reboot: false,
            no_shutdown: false,
            parts: Vec::new(),
            images: Images::default(),
            files: None,
            grace: GRACE,
            epoch: Duration::ZERO,
        }
    }

    /// A q35 with this many root ports, `rp0`, `rp1` and so on.
    pub fn q35(ports: u8) -> Self {
        (0..ports).fold(Self::new(Board::Q35), |config, at| config.port(&format!("rp{at}")))
    }

    /// A pc.
    pub fn pc() -> Self {
        Self::new(Board::Pc)
    }

    /// Imitates this version.
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Begins like this. [`Guest::Paused`] does [`Start::Paused`] by itself.
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// With this guest.
    pub fn guest(mut self, guest: Guest) -> Self {
        if guest == Guest::Paused {
            self.start = Start::Paused;
        }
        self.guest = guest;
        self
    }

    /// With a name, as of `-name`.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Root ports ask the guest themselves, and not ACPI: 6.2 s to unplug.
    pub fn native_hotplug(mut self) -> Self {
        self.native_hotplug = true;
        self
    }

    /// A migration runs.
    pub fn migrating(mut self) -> Self {
        self.is_migrating = true;
        self
    }

    /// Ends in the place of a reset (`-no-reboot`).
    pub fn no_reboot(mut self) -> Self {
        self.no_reboot = true;
        self
    }

    /// Stops when the guest switches off, and does not end (`-no-shutdown`).
    pub fn no_shutdown(mut self) -> Self {
        self.no_shutdown = true;
        self
    }

    fn part(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// One more root port.
    pub fn port(self, id: &str) -> Self {
        self.part(Part::RootPort { id: Some(id.to_owned()), hotplug: true })
    }

    /// A root port with `hotplug=off`.
    pub fn fixed_port(self, id: &str) -> Self {
        self.part(Part::RootPort { id: Some(id.to_owned()), hotplug: false })
    }

    /// A root port without an id.
    pub fn unnamed_port(self) -> Self {
        self.part(Part::RootPort { id: None, hotplug: true })
    }

    /// A `pcie-pci-bridge` in this root port, with 32 slots.
    pub fn bridge_in(self, id: &str, port: &str) -> Self {
        self.part(Part::Bridge { id: id.to_owned(), bus: Some(port.to_owned()) })
    }

    /// A `pci-bridge` on a pc's root bus.
    pub fn bridge(self, id: &str) -> Self {
        self.part(Part::Bridge { id: id.to_owned(), bus: None })
    }

    /// A virtio-scsi controller, in this root port where one is given.
    pub fn scsi(self, id: &str, port: Option<&str>) -> Self {
        self.part(Part::Scsi { id: id.to_owned(), bus: port.map(ToOwned::to_owned) })
    }

    /// A USB controller.
    pub fn xhci(self, id: &str) -> Self {
        self.part(Part::Xhci { id: id.to_owned() })
    }

    /// An empty CD drive on an IDE bus, such as `ide.0`.
    pub fn ide_cd(self, id: &str, bus: &str) -> Self {
        self.part(Part::IdeCd { id: id.to_owned(), bus: bus.to_owned(), drive: None })
    }

    /// A CD drive on an IDE bus with a drive that was added before (`-device ide-cd,drive=`; until
    /// QEMU 2.9 an `ide-drive`, which is one where the drive is a CD).
    pub fn ide_cd_with(self, id: &str, bus: &str, drive: &str) -> Self {
        let drive = Some(drive.to_owned());
        self.part(Part::IdeCd { id: id.to_owned(), bus: bus.to_owned(), drive })
    }

    /// A drive, as `-drive` describes it: `if=none,id=cd0,media=cdrom`.
    pub fn drive(self, options: &str) -> Self {
        self.part(Part::Drive(options.to_owned()))
    }

    /// A display adapter in slot 2, as `-vga std` puts it on a pc.
    pub fn vga(self) -> Self {
        self.part(Part::Vga)
    }

    /// An empty CD drive on the first SCSI controller.
    pub fn scsi_cd(self, id: &str) -> Self {
        self.part(Part::ScsiCd { id: id.to_owned() })
    }

    /// An image at this path.
    pub fn image(mut self, path: &str, image: Image) -> Self {
        self.images.put(path, Ok(image));
        self
    }

    /// A path that cannot be opened.
    pub fn unopenable(mut self, path: &str, why: OpenError) -> Self {
        self.images.put(path, Err(why));
        self
    }

    /// Looks images up here, and not among those given with [`Config::image`].
    pub fn files(mut self, files: Box<dyn Files>) -> Self {
        self.files = Some(files);
        self
    }

    /// Another grace period than [`GRACE`].
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Begins this long after 1970, as events tell it. Left out, they tell the time since the start,
    /// and are the same in every run.
    pub fn epoch(mut self, since_1970: Duration) -> Self {
        self.epoch = since_1970;
        self
    }

    pub(crate) fn take_files(&mut self) -> Box<dyn Files> {
        let images = std::mem::take(&mut self.images);
        self.files.take().unwrap_or_else(|| Box::new(images))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("version", &self.version)
            .field("board", &self.board)
            .field("guest", &self.guest)
            .finish_non_exhaustive()
    }
}
