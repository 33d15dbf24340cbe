//! Scenarios on one kind of machine, and that machine on either side.

use std::path::Path;

use qplug_sim::{Config, Image as SimImage, Start, Version};
use qplug_testbed::image::{Format, Holder, Image};
use qplug_testbed::machine::Builder;
use qplug_testbed::{Board, Machine, Qemu};

use super::real::Real;
use super::script::{Record, Scenario, play};
use super::simulated::Simulated;

/// The size of all images.
const BYTES: u64 = 16 << 20;

/// An image that scenarios find.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Picture {
    file: &'static str,
    format: Format,
    backing: Option<&'static str>,
    is_locked: bool,
}

impl Picture {
    pub(crate) const fn raw(file: &'static str) -> Self {
        Self { file, format: Format::Raw, backing: None, is_locked: false }
    }

    pub(crate) const fn qcow2(file: &'static str) -> Self {
        Self { file, format: Format::Qcow2, backing: None, is_locked: false }
    }

    /// Another process writes to it.
    pub(crate) const fn locked(mut self) -> Self {
        self.is_locked = true;
        self
    }

    /// Over a raw image.
    pub(crate) const fn over(mut self, backing: &'static str) -> Self {
        self.backing = Some(backing);
        self
    }

    /// Makes the image, and the one that it lies on, and what holds it if it is locked.
    fn make(self, folder: &Path) -> Option<Holder> {
        let create = |file, format| Image::create(folder, file, format, BYTES).unwrap();
        let image = match self.backing {
            None => create(self.file, self.format),
            Some(backing) => create(backing, Format::Raw).overlay(folder, self.file).unwrap(),
        };
        self.is_locked.then(|| image.lock().unwrap())
    }
}

/// Scenarios on one kind of machine, each on a fresh one.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    board: Board,
    pictures: &'static [Picture],
    is_native: bool,
    arguments: Vec<&'static str>,
    describe: fn(Config) -> Config,
    is_booted: bool,
    pub(crate) scenarios: Vec<Scenario>,
}

impl Group {
    fn new(name: &'static str, board: Board) -> Self {
        let (pictures, scenarios): (&[Picture], _) = (&[], Vec::new());
        Self {
            name,
            board,
            pictures,
            is_native: false,
            arguments: Vec::new(),
            describe: |config| config,
            is_booted: false,
            scenarios,
        }
    }

    /// A machine with the ports `rp0` to `rp3`, `fixed0` and one without a name.
    pub(crate) fn q35(name: &'static str) -> Self {
        Self::new(name, Board::Q35)
    }

    pub(crate) fn pc(name: &'static str) -> Self {
        Self::new(name, Board::Pc)
    }

    pub(crate) fn pictures(mut self, pictures: &'static [Picture]) -> Self {
        self.pictures = pictures;
        self
    }

    /// Ports ask the guest themselves.
    pub(crate) fn native(mut self) -> Self {
        self.is_native = true;
        self
    }

    fn part(mut self, arguments: &[&'static str], describe: fn(Config) -> Config) -> Self {
        self.arguments.extend(arguments);
        self.describe = describe;
        self
    }

    pub(crate) fn with_scsi(self) -> Self {
        let arguments = ["-device", "virtio-scsi-pci,id=scsi0,bus=rp3"];
        self.part(&arguments, |config| config.scsi("scsi0", Some("rp3")))
    }

    pub(crate) fn with_usb(self) -> Self {
        self.part(&["-device", "qemu-xhci,id=xhci"], |config| config.xhci("xhci"))
    }

    pub(crate) fn with_bridge(self) -> Self {
        let arguments = ["-device", "pcie-pci-bridge,id=br0,bus=rp3"];
        self.part(&arguments, |config| config.bridge_in("br0", "rp3"))
    }

    /// An empty IDE drive and an empty SCSI drive.
    pub(crate) fn with_drives(self) -> Self {
        let arguments = [
            "-device",
            "ide-cd,id=cd0,bus=ide.0",
            "-device",
            "virtio-scsi-pci,id=scsi0,bus=rp3",
            "-device",
            "scsi-cd,id=cd1,bus=scsi0.0",
        ];
        self.part(&arguments, |config| {
            config.ide_cd("cd0", "ide.0").scsi("scsi0", Some("rp3")).scsi_cd("cd1")
        })
    }

    /// With a guest that answers.
    pub(crate) fn booted(mut self) -> Self {
        self.is_booted = true;
        self
    }

    pub(crate) fn play(mut self, scenarios: Vec<Scenario>) -> Self {
        self.scenarios = scenarios;
        self
    }

    fn builder(&self, qemu: &Qemu) -> Builder {
        let mut builder = Machine::builder(qemu, self.board).arguments(self.arguments.clone());
        if self.board == Board::Q35 {
            builder = builder.ports(4).fixed_ports(1).unnamed_ports(1);
        }
        if self.is_native { builder.native_hotplug() } else { builder }
    }

    /// What a real QEMU makes of a scenario.
    pub(crate) fn on_qemu(&self, qemu: &Qemu, scenario: &Scenario) -> Record {
        let builder = self.builder(qemu);
        let started = if self.is_booted { builder.restored() } else { builder.halted() };
        let mut machine = started.unwrap();
        // Whoever holds an image does so until the end.
        let _holders: Vec<_> = self
            .pictures
            .iter()
            .filter(|picture| scenario.mentions(picture.file))
            .filter_map(|picture| picture.make(machine.folder()))
            .collect();
        play(scenario, &mut Real(&mut machine))
    }

    /// What the simulated machine makes of it.
    pub(crate) fn on_sim(&self, version: Version, scenario: &Scenario) -> Record {
        let mut config = match self.board {
            Board::Q35 => Config::q35(4).fixed_port("fixed0").unnamed_port(),
            Board::Pc => Config::pc(),
            other => panic!("{} is not simulated", other.name()),
        };
        config = (self.describe)(config).version(version);
        if !self.is_booted {
            config = config.start(Start::Prelaunch);
        }
        if self.is_native {
            config = config.native_hotplug();
        }
        for picture in self.pictures {
            let mut image = SimImage::new(picture.format.name(), BYTES);
            image.is_locked = picture.is_locked;
            if let Some(backing) = picture.backing {
                image = image.over(backing, "raw");
            }
            config = config.image(picture.file, image);
        }
        config = config.unopenable("/", qplug_sim::OpenError::Folder);
        play(scenario, &mut Simulated::new(config))
    }
}
