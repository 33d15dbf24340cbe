//! A simulated machine, and qplug's operations on it.

use std::time::{Duration, Instant};

use qplug_hotplug::{
    Attach, Attached, Change, ChangeMedium, Changed, Detach, Detached, Disk, DiskBuilder, DiskName,
    DiskState, Error, Features, Format, List, ListedDisk, Operation, Recover, Storage, Which,
};
use qplug_sim::{Config, Faults, Guest, Image, OpenError, Sim, Version};
use serde_json::{Value, json};

use crate::seen::{Seen, has_drives};
use crate::wire::{Meanwhile, Report, Trouble, Wire};

/// Longer than any guest here takes that answers.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// How big all images are.
pub(crate) const BYTES: u64 = 1 << 20;

/// One that is called so that every parser on the way to QEMU stumbles over it.
pub(crate) const ODD: [&str; 9] = [
    "/img/a b.img",
    "/img/a,b.img",
    "/img/a,,b=c.img",
    "/img/say \"x\".img",
    "/img/back\\slash.img",
    "/img/line\nend\r.img",
    "/img/'q' #%s$(x);.img",
    "/img/über.img",
    "/img/ ,\"\\ .img",
];

/// A machine, with a pc's 32 slots and two CD drives.
pub(crate) struct Bench {
    pub(crate) version: Version,
    pub(crate) wire: Wire,
    features: Features,
    /// The commands of the last operation that may have changed something.
    pub(crate) changing: Vec<String>,
    pub(crate) took: Duration,
}

/// An image whose path is longer than what a human monitor reads of a word.
pub(crate) fn long_path() -> String {
    format!("/img/{}", "x/".repeat(520))
}

impl Bench {
    pub(crate) fn new(version: Version) -> Self {
        let mut config = Config::pc()
            .version(version)
            .drive("if=none,id=cd0,media=cdrom")
            .ide_cd_with("empty", "ide.0", "cd0")
            .drive("if=none,id=cd1,media=cdrom,file=/img/old.iso")
            .ide_cd_with("full", "ide.1", "cd1")
            .image("/img/old.iso", Image::raw(BYTES))
            .image("/img/new.iso", Image::raw(BYTES))
            .image("/img/theirs", Image::raw(BYTES))
            .image(&long_path(), Image::raw(BYTES))
            .unopenable("/img/denied", OpenError::Denied);
        for name in ["a", "b", "c", "d"] {
            config = config.image(&format!("/img/{name}"), Image::raw(BYTES));
        }
        for number in 0..40 {
            config = config.image(&format!("/img/{number}"), Image::qcow2(BYTES));
        }
        config = ODD.iter().fold(config, |config, path| config.image(path, Image::raw(BYTES)));
        let now = Instant::now();
        let mut wire = Wire { sim: Sim::new(config, Faults::default(), now), now };
        let features = wire.probe();
        Self { version, wire, features, changing: Vec::new(), took: Duration::ZERO }
    }

    /// Whether disks are drives here.
    pub(crate) fn has_drives(&self) -> bool {
        has_drives(self.version)
    }

    /// Whether a detach that is pending leaves a mark (QEMU 2.11).
    pub(crate) fn has_marks(&self) -> bool {
        self.version >= Version::V7_2
    }

    /// Whether it says how big disks are (QEMU 1.6).
    pub(crate) fn tells_sizes(&self) -> bool {
        self.version >= Version::V2_5
    }

    pub(crate) fn features(&self) -> &Features {
        &self.features
    }

    /// Runs an operation to its outcome.
    pub(crate) fn run<O: Operation>(&mut self, operation: O) -> O::Outcome {
        self.run_in(operation, &Trouble::none(), None).expect("nothing stops it")
    }

    /// Runs one on which something goes wrong; without an outcome when the connection was lost.
    pub(crate) fn run_with<O: Operation>(&mut self, operation: O, fault: &str) -> O::Outcome {
        let trouble = Trouble { faults: vec![fault.to_owned()], ..Trouble::none() };
        self.run_in(operation, &trouble, None).expect("nothing kills it")
    }

    /// Runs one while another client does something, behind so many commands.
    pub(crate) fn run_while<O: Operation>(
        &mut self,
        operation: O,
        after: u64,
        act: &mut dyn FnMut(&mut qplug_sim::Machine, Instant),
    ) -> O::Outcome {
        let meanwhile = Some(Meanwhile { after, act });
        self.run_in(operation, &Trouble::none(), meanwhile).expect("nothing stops it")
    }

    fn run_in<O: Operation>(
        &mut self,
        mut operation: O,
        trouble: &Trouble,
        meanwhile: Option<Meanwhile<'_>>,
    ) -> Option<O::Outcome> {
        operation.speak(&self.features);
        let Report { outcome, changing, took, .. } = self.wire.run(operation, trouble, meanwhile);
        self.changing = changing;
        self.took = took;
        outcome
    }

    /// The last operation sent nothing that changes anything.
    pub(crate) fn assert_nothing_sent(&self) {
        assert_eq!(self.changing, [""; 0], "it was to be refused before anything is sent");
    }

    pub(crate) fn attach(&mut self, disk: Disk) -> Result<Attached, Error> {
        self.run(Attach::new(vec![disk])).remove(0)
    }

    /// Attaches a disk that must come.
    pub(crate) fn attached(&mut self, name: &str) -> Attached {
        self.attach(disk(name)).unwrap()
    }

    pub(crate) fn detach(&mut self, name: &str, timeout: Duration) -> Result<Detached, Error> {
        self.run(detach(name, timeout)).unwrap().remove(0).1
    }

    /// Runs a recovery: the names of what it removed.
    pub(crate) fn recover(&mut self) -> Vec<String> {
        let recovered = self.run(Recover::new(LONG)).unwrap();
        let removed = |outcome: &Result<Detached, Error>| {
            assert!(matches!(outcome, Ok(Detached::Removed { .. })), "{outcome:?}");
        };
        recovered
            .into_iter()
            .inspect(|(_, outcome)| removed(outcome))
            .map(|(name, _)| name)
            .collect()
    }

    pub(crate) fn change(&mut self, drive: &str, change: Change) -> Result<Changed, Error> {
        self.run(ChangeMedium::new(drive, change, LONG))
    }

    pub(crate) fn list(&mut self) -> Vec<ListedDisk> {
        let listed = self.run(List::new()).unwrap();
        self.assert_nothing_sent();
        listed
    }

    /// How the list shows this disk.
    pub(crate) fn listed(&mut self, name: &str) -> Option<ListedDisk> {
        self.list().into_iter().find(|disk| disk.name == name)
    }

    pub(crate) fn state(&mut self, name: &str) -> Option<DiskState> {
        self.listed(name).map(|disk| disk.state)
    }

    pub(crate) fn seen(&mut self) -> Seen {
        Seen::of(&mut self.wire)
    }

    pub(crate) fn change_guest(&mut self, guest: Guest) {
        self.wire.sim.machine().change_guest(guest);
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        self.wire.wait(Duration::from_secs(seconds));
    }

    /// What a QEMU of 2.9 and later shows of a device that has lost its medium, and so on: as another
    /// client sees it.
    pub(crate) fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        self.wire.execute(command, arguments)
    }

    /// Another client opens an image under this name, as drive or node.
    pub(crate) fn open_for_others(&mut self, name: &str, path: &str) {
        match self.version {
            Version::Rhel6 => {
                let drive = json!({"id": name, "file": path, "format": "raw"});
                self.execute("__com.redhat_drive_add", drive).unwrap();
            }
            _ if self.has_drives() => {
                let line = format!("drive_add 0 if=none,id={name},file={path},format=raw");
                assert_eq!(self.wire.human(&line), "OK\r\n");
            }
            _ => {
                let file = json!({"driver": "file", "filename": path});
                let node = json!({"driver": "raw", "node-name": name, "file": file});
                self.execute("blockdev-add", node).unwrap();
            }
        }
    }

    /// Another client takes a drive, plugged or not.
    pub(crate) fn drop_drive(&mut self, name: &str) {
        drop_drive(self.wire.sim.machine(), name, self.wire.now);
    }

    /// Nothing of qplug's is left half done, and the machine is alive.
    pub(crate) fn end(&mut self) {
        self.change_guest(Guest::Quick);
        assert!(!self.wire.sim.machine().is_hung(), "the machine hangs");
        let outcomes = self.run(Detach::new(Which::All, LONG)).unwrap();
        for (name, outcome) in outcomes {
            assert!(matches!(outcome, Ok(Detached::Removed { .. })), "{name}: {outcome:?}");
        }
        assert_eq!(self.recover(), [""; 0], "something is left");
        for disk in self.list() {
            assert_eq!(disk.state, DiskState::Foreign, "{disk:?} is left");
        }
    }
}

/// Takes a drive, plugged or not.
pub(crate) fn drop_drive(machine: &mut qplug_sim::Machine, name: &str, now: Instant) {
    let (command, arguments) = match machine.version() {
        Version::Rhel6 => ("__com.redhat_drive_del", json!({"id": name})),
        _ => ("human-monitor-command", json!({"command-line": format!("drive_del {name}")})),
    };
    let told = machine.execute(command, Some(&arguments), &mut Vec::new(), now).unwrap();
    assert!(matches!(told.as_str(), None | Some("")), "{told}");
}

/// A disk over the image of its name.
pub(crate) fn disk(name: &str) -> Disk {
    over(name, &format!("/img/{name}"))
}

pub(crate) fn over(name: &str, path: &str) -> Disk {
    named(name).remote_image(path).unwrap()
}

pub(crate) fn named(name: &str) -> DiskBuilder {
    Disk::named(name).unwrap().format(Some(Format::raw()))
}

pub(crate) fn medium(path: &str) -> Storage {
    let storage = Storage::path(path).remote(true).read_only(true).format(Some(Format::raw()));
    storage.look().unwrap()
}

pub(crate) fn detach(name: &str, timeout: Duration) -> Detach {
    Detach::new(Which::Named(vec![DiskName::new(name).unwrap()]), timeout)
}
