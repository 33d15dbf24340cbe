//! Who is timed, in turns: qplug, the bare script, and libvirt where it is to be had.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use qplug_testbed::{Error, Machine, Result};

use super::stream::Stream;
use crate::bench::images::Images;
use crate::bench::libvirt::{Disk, Libvirt};
use crate::bench::rounds::Times;
use crate::bench::script;

/// A guest looks at a thousand disks for a while.
const GUEST_WITHIN: Duration = Duration::from_secs(120);
/// A guest that reports nothing for so long has looked at everything.
const QUIET: Duration = Duration::from_millis(500);
/// Rounds before the first that counts: they bring files and code into memory.
const WARM_UP: u32 = 1;

/// Disks that are plugged in and pulled out together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) title: &'static str,
    /// As qplug calls it.
    pub(super) bus: &'static str,
    pub(super) count: usize,
    /// What the number of rounds is divided by.
    pub(super) rounds: u32,
    /// The bus as libvirt calls it, where libvirt is timed, too.
    pub(super) libvirt: Option<&'static str>,
}

/// The machines, and all that is needed to plug disks into them.
pub(super) struct Field<'a> {
    pub(super) machine: Machine,
    pub(super) images: &'a Images,
    pub(super) qplug: &'a Path,
    pub(super) bare: &'a Path,
    pub(super) libvirt: Option<Libvirt>,
}

/// The times of one group.
pub(super) struct Contest<'g> {
    pub(super) group: &'g Group,
    pub(super) attach: Stream,
    pub(super) detach: Stream,
    pub(super) qplug: Times,
    pub(super) bare: Times,
    /// virsh, started anew for each disk.
    pub(super) virsh: Times,
    /// One virsh for all the disks: libvirt without the start of a program for each.
    pub(super) api: Times,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Qplug,
    Bare,
}

impl<'g> Contest<'g> {
    /// Takes the bare scripts down.
    pub(super) fn new(group: &'g Group, field: &mut Field<'_>) -> Result<Self> {
        let attach =
            record(field, attach(field.images, group), &format!("{}.attach", group.title))?;
        wait(&mut field.machine, group, true)?;
        let detach = record(field, detach(group), &format!("{}.detach", group.title))?;
        wait(&mut field.machine, group, false)?;
        let [qplug, bare, virsh, api] = std::array::from_fn(|_| Times::default());
        Ok(Self { group, attach, detach, qplug, bare, virsh, api })
    }

    /// Everybody takes `count` turns, and some before that do not count.
    pub(super) fn run(&mut self, field: &mut Field<'_>, count: u32) -> Result<()> {
        for number in 0..WARM_UP + count {
            if number == WARM_UP {
                self.forget();
            }
            // Who comes second finds some of QEMU's memory as the first has left it.
            let order =
                if number % 2 == 0 { [Who::Qplug, Who::Bare] } else { [Who::Bare, Who::Qplug] };
            for who in order {
                self.turn(field, who)?;
            }
            self.turn_of_libvirt(field)?;
        }
        Ok(())
    }

    fn forget(&mut self) {
        for times in [&mut self.qplug, &mut self.bare, &mut self.virsh, &mut self.api] {
            times.attach.clear();
            times.detach.clear();
        }
    }

    fn turn(&mut self, field: &mut Field<'_>, who: Who) -> Result<()> {
        let socket = field.machine.qmp_path();
        let qplug = |arguments: Vec<OsString>| {
            let mut command = Command::new(field.qplug);
            command.args(arguments).env("QPLUG_SOCKET", &socket);
            command
        };
        let bare = |stream: &Stream| {
            let mut command = Command::new(field.bare);
            command.arg(&socket).args(&stream.steps);
            command
        };
        let group = self.group;
        let (mut to_attach, mut to_detach, times) = match who {
            Who::Qplug => {
                (qplug(attach(field.images, group)), qplug(detach(group)), &mut self.qplug)
            }
            Who::Bare => (bare(&self.attach), bare(&self.detach), &mut self.bare),
        };
        times.attach.time(&mut to_attach)?;
        wait(&mut field.machine, group, true)?;
        times.detach.time(&mut to_detach)?;
        wait(&mut field.machine, group, false)
    }

    fn turn_of_libvirt(&mut self, field: &mut Field<'_>) -> Result<()> {
        let (Some(libvirt), Some(bus)) = (&mut field.libvirt, self.group.libvirt) else {
            return Ok(());
        };
        let count = self.group.count;
        let describe = |number| {
            let (image, serial) = (field.images.path(number), Images::name(number));
            libvirt.describe(number, &Disk { image: &image, serial: &serial, bus })
        };
        let all = (0..count).map(describe).collect::<Result<Vec<PathBuf>>>()?;
        let one_by_one = |libvirt: &Libvirt, what| {
            all.iter().map(|it| libvirt.work(what, std::slice::from_ref(it))).collect::<Vec<_>>()
        };
        self.virsh.attach.time_all(&mut one_by_one(libvirt, "attach-device"))?;
        libvirt.guest.wait_quiet(QUIET)?;
        self.virsh.detach.time_all(&mut one_by_one(libvirt, "detach-device"))?;
        libvirt.guest.wait_quiet(QUIET)?;
        if count > 1 {
            self.api.attach.time(&mut libvirt.work("attach-device", &all))?;
            libvirt.guest.wait_quiet(QUIET)?;
            self.api.detach.time(&mut libvirt.work("detach-device", &all))?;
            libvirt.guest.wait_quiet(QUIET)?;
        }
        Ok(())
    }
}

/// The bare script for what qplug does so.
fn record(field: &Field<'_>, arguments: Vec<OsString>, name: &str) -> Result<Stream> {
    let arguments: Vec<_> = arguments.iter().filter_map(|it| it.to_str()).collect();
    let (said, _) = script::conversation(&field.machine, field.qplug, &arguments)?;
    Stream::of(&said, field.images.folder(), name)
}

/// What qplug is told to attach a group.
fn attach(images: &Images, group: &Group) -> Vec<OsString> {
    let options = ["attach", "--format", "raw", "--bus", group.bus].map(OsString::from);
    let paths = (0..group.count).map(|number| images.path(number).into_os_string());
    options.into_iter().chain(paths).collect()
}

/// What qplug is told to detach it.
fn detach(group: &Group) -> Vec<OsString> {
    let names = (0..group.count).map(|number| Images::name(number).into());
    std::iter::once("detach".into()).chain(names).collect()
}

/// Waits until the guest has found the group, or lost it: a single disk for certain. Of many at once
/// Linux may overlook some (a virtio-scsi controller tells it of eight, and of the rest only that
/// there was more), so for these it is waited until the guest has nothing to report any more.
fn wait(machine: &mut Machine, group: &Group, there: bool) -> Result<()> {
    let guest = &mut machine.guest;
    let name = Images::name(0);
    match (group.count, there) {
        (1, true) => return guest.wait_added(&name, GUEST_WITHIN).map(drop),
        (1, false) => return guest.wait_removed(&name, GUEST_WITHIN),
        _ => {}
    }
    let deadline = Instant::now() + GUEST_WITHIN;
    let mut known = None;
    loop {
        guest.ping()?;
        let reports = Some(guest.reports().count());
        if reports == known {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::failed(format!("after {GUEST_WITHIN:?} the guest still reports")));
        }
        known = reports;
        thread::sleep(QUIET);
    }
}
