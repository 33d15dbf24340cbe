//! Who is timed, in turns.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use qplug_testbed::image::{Format, Image};
use qplug_testbed::{Board, Machine, Qemu, Result};

use super::libvirt::Libvirt;
use super::sample::Sample;
use super::script::Script;

const DISK_BYTES: u64 = 64 << 20;
/// The disk's name and serial everywhere.
pub(super) const DISK: &str = "data";
/// The guest finds a disk within 0.4 s; a busy host may take longer.
const GUEST_WITHIN: Duration = Duration::from_secs(30);
/// Rounds before the first that counts: they bring files and code into memory.
const WARM_UP: u32 = 3;

/// The times of one way to attach and detach.
#[derive(Debug, Default)]
pub(super) struct Times {
    pub(super) attach: Sample,
    pub(super) detach: Sample,
}

/// A machine, everybody who plugs a disk into it, and how long they took.
pub(super) struct Rounds<'a> {
    machine: Machine,
    image: Image,
    programs: (&'a Path, &'a Path),
    pub(super) attach_script: Script,
    pub(super) detach_script: Script,
    pub(super) qplug: Times,
    pub(super) bare: Times,
    pub(super) virsh: Times,
    pub(super) version: Sample,
    pub(super) nothing: Sample,
    libvirt: Option<Libvirt>,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy)]
enum Who {
    Qplug,
    Bare,
}

impl<'a> Rounds<'a> {
    /// Starts a machine, and takes the bare scripts down.
    pub(super) fn new(
        qemu: &Qemu,
        qplug: &'a Path,
        bare: &'a Path,
        libvirt: Option<Libvirt>,
    ) -> Result<Self> {
        let mut machine = Machine::builder(qemu, Board::Q35).restored()?;
        let name = format!("{DISK}.qcow2");
        let image = Image::create(machine.folder(), &name, Format::Qcow2, DISK_BYTES)?;
        let path = image.path.to_string_lossy().into_owned();
        let attach_script = Script::recorded(&machine, qplug, &["attach", &path])?;
        machine.guest.wait_added(DISK, GUEST_WITHIN)?;
        let detach_script = Script::recorded(&machine, qplug, &["detach", DISK])?;
        machine.guest.wait_removed(DISK, GUEST_WITHIN)?;
        Ok(Self {
            machine,
            image,
            programs: (qplug, bare),
            attach_script,
            detach_script,
            qplug: Times::default(),
            bare: Times::default(),
            virsh: Times::default(),
            version: Sample::default(),
            nothing: Sample::default(),
            libvirt,
        })
    }

    /// Whether there is a virsh to compare with.
    pub(super) fn has_virsh(&self) -> bool {
        self.libvirt.is_some()
    }

    /// Everybody takes `count` turns, and some before that do not count.
    pub(super) fn run(&mut self, count: u32) -> Result<()> {
        for number in 0..WARM_UP + count {
            if number == WARM_UP {
                self.forget();
            }
            // Who comes second finds some of QEMU's memory as the first has left it.
            let order =
                if number % 2 == 0 { [Who::Qplug, Who::Bare] } else { [Who::Bare, Who::Qplug] };
            for who in order {
                self.turn(who)?;
            }
            self.turn_of_virsh()?;
        }
        Ok(())
    }

    fn forget(&mut self) {
        for times in [&mut self.qplug, &mut self.bare, &mut self.virsh] {
            times.attach.clear();
            times.detach.clear();
        }
        self.version.clear();
        self.nothing.clear();
    }

    fn turn(&mut self, who: Who) -> Result<()> {
        let socket = self.machine.qmp_path();
        let (qplug, bare) = self.programs;
        let said = |arguments: &[&std::ffi::OsStr]| {
            let mut command = Command::new(qplug);
            command.args(arguments).env("QPLUG_SOCKET", &socket);
            command
        };
        let scripted = |script: &Script| {
            let mut command = Command::new(bare);
            command.arg(&socket).args(&script.steps);
            command
        };
        let guest = &mut self.machine.guest;
        let (mut attach, mut detach, times) = match who {
            Who::Qplug => (
                said(&["attach".as_ref(), self.image.path.as_ref()]),
                said(&["detach".as_ref(), DISK.as_ref()]),
                &mut self.qplug,
            ),
            Who::Bare => {
                (scripted(&self.attach_script), scripted(&self.detach_script), &mut self.bare)
            }
        };
        times.attach.time(&mut attach)?;
        guest.wait_added(DISK, GUEST_WITHIN)?;
        times.detach.time(&mut detach)?;
        guest.wait_removed(DISK, GUEST_WITHIN)?;
        match who {
            Who::Qplug => self.version.time(Command::new(qplug).arg("--version")),
            Who::Bare => self.nothing.time(&mut Command::new(bare)),
        }
    }

    fn turn_of_virsh(&mut self) -> Result<()> {
        let Some(libvirt) = &mut self.libvirt else { return Ok(()) };
        self.virsh.attach.time(&mut libvirt.attach(&self.image.path))?;
        libvirt.guest.wait_added(DISK, GUEST_WITHIN)?;
        self.virsh.detach.time(&mut libvirt.detach())?;
        libvirt.guest.wait_removed(DISK, GUEST_WITHIN)
    }
}
