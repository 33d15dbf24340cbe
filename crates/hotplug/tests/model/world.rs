//! A machine with all that happens to it, and the reference: which disks are to be there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use qplug_hotplug::{
    Attach, Bus, Detach, Detached, Disk, DiskName, Features, Format, List, Operation, Recover,
    Resize, SetLimits, Size, Throttle, Throttled, Which,
};
use qplug_sim::{Faults, Guest, Sim, Version};
use serde_json::json;

use crate::foreign::Others;
use crate::seen::{Owner, Seen, has_drives, owner};
use crate::story::{Deed, Foreign, GROUP, IMAGES, Limited, NAMES, Op, Parts, Wish};
use crate::wire::{Meanwhile, Report, Trouble, Wire};

/// Longer than any guest here takes.
const LONG: Duration = Duration::from_secs(60);

/// What is known of a disk that may be there; one that cannot be there has no entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expect {
    /// It is there, as it was asked for.
    Whole(Wish),
    /// It is on its way out, and is gone once it was recovered.
    Leaving,
    /// It is there, or half there, or not: somebody was interrupted. Recovered, it is whole or gone.
    Loose,
    /// Another client took the drive out from under it: the device is there until the guest lets go,
    /// and has its name.
    Bare,
}

pub(crate) struct World {
    pub(crate) wire: Wire,
    features: Features,
    pub(crate) others: Others,
    pub(crate) parts: Parts,
    pub(crate) disks: BTreeMap<&'static str, Expect>,
    guest: Guest,
    is_stopped: bool,
    is_migrating: bool,
    /// Whether the guest may be booting, so that what it is asked is lost.
    may_boot: bool,
    /// Whether the guest may let go of anything by itself.
    pulls_out: bool,
    /// How many bytes the last operation sent and heard.
    traffic: (usize, usize),
}

impl World {
    pub(crate) fn new(parts: Parts) -> Self {
        let now = Instant::now();
        let mut wire = Wire { sim: Sim::new(parts.config(), Faults::default(), now), now };
        let features = wire.probe();
        let seen = Seen::of(&mut wire);
        Self {
            wire,
            features,
            others: Others::new(&seen, has_drives(parts.version)),
            is_stopped: parts.prelaunch,
            is_migrating: false,
            may_boot: false,
            parts,
            disks: BTreeMap::new(),
            guest: Guest::Quick,
            pulls_out: false,
            traffic: (0, 0),
        }
    }

    pub(crate) fn play(&mut self, op: &Op) {
        match op {
            Op::Qplug(deed, trouble) => self.deed(deed, trouble, None),
            Op::Together(deed, after, foreign) => {
                self.deed(deed, &Trouble::none(), Some((*after, foreign)));
            }
            Op::Migrating(deed) => {
                let _ = self.wire.execute("migrate", json!({"uri": "tcp:nowhere:1"}));
                self.is_migrating = true;
                self.deed(deed, &Trouble::none(), None);
                self.is_migrating = false;
                let _ = self.wire.execute("migrate_cancel", json!({}));
                // One that came to its end has stopped the machine.
                let status = self.wire.execute("query-status", json!({})).unwrap();
                self.is_stopped |= status["running"] != true;
            }
            Op::Foreign(foreign) => {
                self.others.act(foreign, self.wire.sim.machine(), self.wire.now);
                self.wire.wait(Duration::from_millis(200));
                self.unplugged(foreign);
                self.dropped(foreign);
            }
            Op::Guest(guest) => {
                self.guest = *guest;
                self.pulls_out |= matches!(guest, Guest::PullsOut(_));
                self.may_boot |= matches!(guest, Guest::Booting(_));
                self.others.may_go |= self.pulls_out;
                self.wire.sim.machine().change_guest(*guest);
            }
            Op::PullOut(name) => self.pull_out(name),
            Op::Stop => {
                self.is_stopped = true;
                let _ = self.wire.execute("stop", json!({}));
            }
            Op::Cont => self.is_stopped &= self.wire.execute("cont", json!({})).is_err(),
            Op::Reset => {
                let _ = self.wire.execute("system_reset", json!({}));
            }
            Op::Wait(time) => self.wire.wait(*time),
            Op::Settle => self.settle(),
        }
        let seen = Seen::of(&mut self.wire);
        self.check(&seen);
    }

    fn pull_out(&mut self, name: &'static str) {
        let seen = Seen::of(&mut self.wire);
        if self.others.made(name) || !seen.devices.contains_key(name) {
            return;
        }
        self.wire.sim.machine().pull_out(name, self.wire.now);
        self.wire.wait(Duration::from_millis(200));
        if let Some(expect @ Expect::Whole(_)) = self.disks.get_mut(name) {
            *expect = Expect::Leaving;
        }
    }

    /// Another client asked the guest to let go of a disk: qplug cannot know.
    fn unplugged(&mut self, foreign: &Foreign) {
        if let Foreign::Unplug(name) = foreign
            && let Some(expect) = self.disks.get_mut(name)
        {
            *expect = Expect::Loose;
        }
    }

    /// Another client took the drive of a disk: its device is left, if it had one.
    fn dropped(&mut self, foreign: &Foreign) {
        let Foreign::Drop(name) = foreign else { return };
        if !has_drives(self.parts.version) {
            return;
        }
        let there = Seen::of(&mut self.wire).of_disk(name);
        if let Some(expect) = self.disks.get_mut(name) {
            let is_known = matches!(expect, Expect::Whole(_) | Expect::Bare);
            *expect = if is_known && !there.is_empty() { Expect::Bare } else { Expect::Loose };
        }
    }

    fn deed(&mut self, deed: &Deed, trouble: &Trouble, with: Option<(u64, &Foreign)>) {
        let before = Seen::of(&mut self.wire);
        let is_calm = with.is_none() && self.is_calm(trouble);
        match deed {
            Deed::Attach(wishes) => {
                let must = is_calm.then(|| self.must_attach(wishes, &before)).flatten();
                let disks = wishes.iter().map(Wish::disk).collect();
                let report = self.run(Attach::new(disks), trouble, with);
                // A controller that no disk came to use is waited for, each time that others are faster.
                self.bound(&report, trouble, 20_000, wishes.len());
                match wishes.iter().all(|wish| wish.is_able(self.parts.version)) {
                    true => self.judge_attach(wishes, report.outcome, must),
                    false => Self::judge_refusal(wishes, &report, is_calm, self.parts.version),
                }
            }
            Deed::Detach(names, timeout) => {
                let which = match names.as_slice() {
                    [] => Which::All,
                    names => Which::Named(names.iter().map(|it| disk_name(it)).collect()),
                };
                let report = self.run(Detach::new(which, *timeout), trouble, with);
                self.bound(&report, trouble, timeout.as_millis(), NAMES.len());
                let is_whole = |expect: &Expect| matches!(expect, Expect::Whole(_));
                let is_simple = !self.parts.native && !self.may_boot;
                if is_calm && is_simple && self.disks.values().all(is_whole) {
                    let is_old = self.parts.version < Version::V7_2;
                    let most = if is_old { QUICK_OF_OLD } else { QUICK };
                    assert!(report.took < most, "{:?}: the guest was quicker", report.took);
                }
                self.judge_detach(names, report.outcome, is_calm && *timeout >= CALM);
            }
            Deed::Recover(timeout) => {
                let report = self.run(Recover::new(*timeout), trouble, with);
                self.bound(&report, trouble, timeout.as_millis(), NAMES.len());
                self.judge_recover(report.outcome);
            }
            Deed::List => {
                let report = self.run(List::new(), trouble, with);
                assert_eq!(report.changing, [""; 0], "a list changes something");
                if let Some(Ok(disks)) = &report.outcome
                    && with.is_none()
                {
                    self.judge_list(disks, trouble.is_none());
                }
            }
            Deed::Resize(name, more) => {
                let operation = Resize::new(name, Size::Plus(*more), false);
                let report = self.run(operation, trouble, with);
                self.bound(&report, trouble, 0, 1);
            }
            Deed::Limit(name) => {
                let what = match name {
                    Some(name) => Throttled::Disk((*name).to_owned()),
                    None => Throttled::Group(GROUP.to_owned()),
                };
                let report = self.run(SetLimits::new(what, limits()), trouble, with);
                self.bound(&report, trouble, 0, 1);
            }
        }
        if let Some((_, foreign)) = with {
            self.unplugged(foreign);
            self.dropped_meanwhile(foreign);
        }
        if !trouble.faults.is_empty() {
            self.note_untold();
        }
    }

    /// A query that is refused is taken for one that the machine is too old for. What a disk leaves
    /// that goes meanwhile is found by the next recovery, which must.
    fn note_untold(&mut self) {
        let ours = self.others.rest(&Seen::of(&mut self.wire));
        for name in NAMES {
            let there = ours.of_disk(name);
            let has_objects = !there.objects.is_empty();
            if has_objects && there.nodes.is_empty() && there.devices.is_empty() {
                self.disks.entry(name).or_insert(Expect::Loose);
            }
        }
    }

    /// A drive was taken while qplug was at work on it, or after.
    fn dropped_meanwhile(&mut self, foreign: &Foreign) {
        if let Foreign::Drop(name) = foreign
            && has_drives(self.parts.version)
            && let Some(expect) = self.disks.get_mut(name)
        {
            *expect = Expect::Loose;
        }
    }

    /// How many bytes an attach, a detach or a recovery sends and hears.
    pub(crate) fn count(&mut self, deed: &Deed) -> (usize, usize) {
        self.deed(deed, &Trouble::none(), None);
        self.traffic
    }

    /// Runs an operation, and sees that nothing of others is touched.
    pub(crate) fn run<O: Operation>(
        &mut self,
        mut operation: O,
        trouble: &Trouble,
        with: Option<(u64, &Foreign)>,
    ) -> Report<O::Outcome> {
        operation.speak(&self.features);
        let before = self.others.part(&Seen::of(&mut self.wire));
        let others = &mut self.others;
        let mut has_acted = false;
        let report = match with {
            None => self.wire.run(operation, trouble, None),
            Some((after, foreign)) => {
                let mut act = |machine: &mut qplug_sim::Machine, now| {
                    has_acted = true;
                    others.act(foreign, machine, now);
                };
                let meanwhile = Meanwhile { after, act: &mut act };
                self.wire.run(operation, trouble, Some(meanwhile))
            }
        };
        self.traffic = (report.sent, report.heard);
        let seen = Seen::of(&mut self.wire);
        let after = self.others.part(&seen);
        match has_acted {
            false => assert_eq!(after, before, "something of others was changed"),
            true => self.others.check_there(&seen),
        }
        report
    }

    /// Nothing takes longer than it may, nor more commands.
    fn bound<T>(&self, report: &Report<T>, trouble: &Trouble, timeout_ms: u128, disks: usize) {
        // A reply may wait a second for an event, and the last one for the guest's last answer;
        // what disks shared leaves after them; closing is tried for a second.
        let late = if trouble.faults.is_empty() { 0 } else { 1000 * u128::from(report.commands) };
        let ms = 2 * timeout_ms + late + 5000 + 2000 * disks as u128;
        assert!(report.took.as_millis() <= ms, "{:?} is longer than {ms} ms", report.took);
        // Asked again every quarter of a second while the guest is busy.
        let commands = 60 + disks as u128 * (150 + timeout_ms / 100);
        assert!(u128::from(report.commands) <= commands, "{} commands", report.commands);
    }

    /// Whether nothing stands in the way of anything.
    fn is_calm(&self, trouble: &Trouble) -> bool {
        let loose = |expect: &Expect| *expect == Expect::Loose;
        trouble.is_none()
            && self.guest == Guest::Quick
            && !self.is_stopped
            && !self.is_migrating
            && !self.pulls_out
            && !self.others.has_jobs()
            && !self.disks.values().any(loose)
            && !self.disks.values().any(|expect| *expect == Expect::Bare)
    }

    /// Whether this attach must succeed (or must not); nothing where it depends.
    fn must_attach(&self, wishes: &[Wish], seen: &Seen) -> Option<bool> {
        let mut names = BTreeSet::new();
        if !wishes.iter().all(|wish| names.insert(wish.name)) {
            return Some(false);
        }
        let is_bad = |wish: &Wish| wish.image >= 4;
        let is_taken = |wish: &Wish| self.disks.contains_key(wish.name);
        let is_theirs = |wish: &Wish| self.others.uses_name(wish.name);
        if wishes.iter().any(|wish| is_bad(wish) || is_taken(wish) || is_theirs(wish)) {
            return None;
        }
        let users = |image: usize| {
            let (path, _) = IMAGES[image];
            let nodes = seen.nodes.values().filter(|(_, file, _)| file == path);
            nodes.map(|(_, _, read_only)| *read_only).collect::<Vec<_>>()
        };
        for (at, wish) in wishes.iter().enumerate() {
            let listed = wishes[..at].iter().filter(|it| it.image == wish.image);
            let others = listed.map(|it| it.read_only).chain(users(wish.image));
            if others.map(|other| other && wish.read_only).any(|both_read| !both_read) {
                return Some(false);
            }
        }
        let group = seen.objects.contains_key(GROUP)
            || seen.objects.contains_key(&format!("qplug.group.{GROUP}"));
        let mut makes_group = false;
        for wish in wishes {
            match wish.limits {
                Limited::InGroup if group => return Some(false),
                Limited::InGroup => makes_group = true,
                Limited::Joining if !group && !makes_group => return Some(false),
                _ => {}
            }
        }
        self.has_room(wishes, seen).then_some(true)
    }

    /// Whether there is room for all of them, wherever those go that may go anywhere.
    fn has_room(&self, wishes: &[Wish], seen: &Seen) -> bool {
        let on = |buses: &[Option<Bus>]| wishes.iter().filter(|it| buses.contains(&it.bus)).count();
        if on(&[Some(Bus::UsbStorage)]) > 0 && !self.parts.usb {
            return false;
        }
        let controllers = seen.devices.values().filter(|kind| *kind == "virtio-scsi-pci").count();
        let pci = ["virtio-blk-pci", "nvme", "virtio-scsi-pci"];
        let used = seen.devices.values().filter(|kind| pci.contains(&kind.as_str())).count();
        let ports = self.parts.ports.map_or(20, usize::from);
        let needs_controller = on(&[Some(Bus::VirtioScsi)]) > 0 && controllers == 0;
        let wanted = on(&[None, Some(Bus::VirtioBlk), Some(Bus::Nvme)]);
        used + wanted + usize::from(needs_controller) <= ports
    }

    /// What holds at any time.
    pub(crate) fn check(&mut self, seen: &Seen) {
        self.others.forget_gone(seen);
        self.others.check_there(seen);
        let ours = self.others.rest(seen);
        for name in ours.names() {
            let is_known = match owner(name) {
                Owner::Disk(disk) => NAMES.contains(&disk.as_str()),
                Owner::Shared(_) => true,
                Owner::Others => false,
            };
            assert!(is_known, "{name} is nobody's");
        }
        assert_eq!(seen.fdsets, 0, "descriptors are left");
        for name in NAMES {
            let there = ours.of_disk(name);
            match self.disks.get(name) {
                None => assert!(there.is_empty(), "{name} is not to be there: {there:#?}"),
                Some(Expect::Whole(wish)) => wish.check(&there, self.parts.version),
                Some(Expect::Leaving | Expect::Loose) => {}
                Some(Expect::Bare) if there.is_empty() => {
                    self.disks.remove(name);
                }
                Some(Expect::Bare) => {
                    assert!(there.holds.is_empty(), "{name} has got a drive: {there:#?}");
                }
            }
        }
    }

    /// Makes the guest answer, ends what others do, and runs `recover`: after it the machine holds
    /// exactly the disks that are to be there, and all of them can be detached.
    pub(crate) fn settle(&mut self) {
        self.others.act(&Foreign::EndJobs, self.wire.sim.machine(), self.wire.now);
        self.guest = Guest::Quick;
        self.wire.sim.machine().change_guest(Guest::Quick);
        let _ = self.wire.execute("migrate_cancel", json!({}));
        if self.is_stopped || self.parts.prelaunch {
            // A machine that never ran, or was migrated, needs one to let go of what it was asked
            // for.
            self.wire.execute("system_reset", json!({})).unwrap();
            self.wire.execute("cont", json!({})).unwrap();
            self.is_stopped = false;
        }
        self.wire.wait(LONG);
        let report = self.run(Recover::new(LONG), &Trouble::none(), None);
        for (name, outcome) in report.outcome.unwrap().unwrap() {
            let is_removed = matches!(outcome, Ok(Detached::Removed { .. }));
            assert!(is_removed, "recover: {name} is {outcome:?}");
        }
        (self.pulls_out, self.may_boot) = (false, false);
        self.wire.wait(LONG);
        self.remove_bare();
        let seen = Seen::of(&mut self.wire);
        let ours = self.others.rest(&seen);
        for name in NAMES {
            let there = ours.of_disk(name);
            match self.disks.get(name) {
                Some(Expect::Leaving) => {
                    self.disks.remove(name);
                }
                Some(Expect::Loose) if there.is_empty() => {
                    self.disks.remove(name);
                }
                Some(Expect::Loose) => {
                    self.disks.insert(name, Expect::Whole(Wish::seen(name, &there)));
                }
                _ => {}
            }
        }
        self.check(&seen);
        if !has_drives(self.parts.version) {
            self.check_shared(&ours);
        }
        let listed = self.run(List::new(), &Trouble::none(), None).outcome.unwrap().unwrap();
        self.judge_list(&listed, true);
        let again = self.run(Recover::new(LONG), &Trouble::none(), None);
        assert_eq!(again.outcome.unwrap().unwrap().len(), 0, "recover finds something again");
    }

    /// What has lost its drive is not qplug's any more: whoever took that takes the device, too.
    fn remove_bare(&mut self) {
        if !has_drives(self.parts.version) {
            return;
        }
        let ours = self.others.rest(&Seen::of(&mut self.wire));
        for name in ours.devices.keys().filter(|name| !ours.holds.contains_key(*name)) {
            self.wire.execute("device_del", json!({"id": name})).unwrap();
            self.wire.wait(LONG);
            self.disks.remove(name.as_str());
        }
    }

    /// What disks share is there only for disks.
    fn check_shared(&mut self, ours: &Seen) {
        let group = format!("qplug.group.{GROUP}");
        if ours.objects.contains_key(&group) {
            let in_group = |expect: &Expect| {
                let grouped = [Limited::InGroup, Limited::Joining];
                matches!(expect, Expect::Whole(wish) if grouped.contains(&wish.limits))
            };
            assert!(self.disks.values().any(in_group), "{group} is left");
        }
        for id in ours.devices.keys().chain(ours.objects.keys()) {
            if !id.starts_with("qplug.scsi.") {
                continue;
            }
            assert!(ours.devices.contains_key(id), "the mark {id} is left");
            let path = format!("/machine/peripheral/{id}/virtio-backend/{id}.0");
            let children = self.wire.execute("qom-list", json!({"path": path})).unwrap();
            let is_child =
                |it: &serde_json::Value| it["name"].as_str().unwrap().starts_with("child[");
            assert!(children.as_array().unwrap().iter().any(is_child), "{id} is left, and empty");
        }
    }

    /// At the end: what is to be there may be attached again with no change, and can all be
    /// detached, and then nothing of qplug's is left.
    pub(crate) fn end(&mut self) {
        self.settle();
        for expect in self.disks.clone().into_values() {
            let Expect::Whole(wish) = expect else { continue };
            let wish = Wish { bus: None, ..wish };
            let before = Seen::of(&mut self.wire);
            if matches!(wish.limits, Limited::InGroup | Limited::Joining) {
                continue;
            }
            let report = self.run(Attach::new(vec![wish.disk()]), &Trouble::none(), None);
            let outcome = report.outcome.unwrap().remove(0);
            let already = outcome.unwrap_or_else(|error| panic!("attached again: {error}")).already;
            assert!(already, "{} was attached again", wish.name);
            assert_eq!(Seen::of(&mut self.wire), before);
        }
        let report = self.run(Detach::new(Which::All, LONG), &Trouble::none(), None);
        for (name, outcome) in report.outcome.unwrap().unwrap() {
            let is_removed = matches!(outcome, Ok(Detached::Removed { was_gone: false }));
            assert!(is_removed, "{name} cannot be detached: {outcome:?}");
            self.disks.retain(|disk, _| *disk != name.as_str());
        }
        assert!(self.disks.is_empty(), "not all were detached: {:?}", self.disks);
        let seen = Seen::of(&mut self.wire);
        self.check(&seen);
        let ours = self.others.rest(&seen);
        assert!(ours.is_empty(), "left: {ours:#?}");
    }

    pub(crate) fn has_object(&mut self, id: &str) -> bool {
        Seen::of(&mut self.wire).objects.contains_key(id)
    }

    /// Takes note of what a disk is known to be now.
    pub(crate) fn note(&mut self, name: &'static str, expect: Option<Expect>) {
        let expect = match expect {
            Some(Expect::Whole(_)) if self.pulls_out => Some(Expect::Loose),
            expect => expect,
        };
        match expect {
            Some(expect) => self.disks.insert(name, expect),
            None => self.disks.remove(name),
        };
    }
}

/// How long a guest needs at most that nothing keeps from answering: a native port takes 6 s, and a
/// second one may be asked again.
const CALM: Duration = Duration::from_secs(25);

/// How long a detach takes at most whose guest answers at once: twice 90 ms with a controller.
/// Without events, asking again would take 700 ms.
const QUICK: Duration = Duration::from_millis(500);

/// The same for old machines, whose guests take 450 ms. Where nothing tells that they have answered,
/// that is seen by 750 ms.
const QUICK_OF_OLD: Duration = Duration::from_secs(1);

pub(crate) fn disk_name(name: &str) -> DiskName {
    DiskName::new(name).unwrap()
}

fn limits() -> qplug_hotplug::Limits {
    json!({"iops-total": 100}).as_object().unwrap().clone()
}

impl Wish {
    /// The wish as qplug takes it.
    pub(crate) fn disk(&self) -> Disk {
        let (path, format) = IMAGES[self.image];
        let format = if format == "raw" { Format::raw() } else { Format::qcow2() };
        let group = || Some(GROUP.to_owned());
        let throttle = match self.limits {
            Limited::Not => None,
            Limited::Alone => Some(Throttle::new(None, limits())),
            Limited::InGroup => Some(Throttle::new(group(), limits())),
            Limited::Joining => Some(Throttle::new(group(), qplug_hotplug::Limits::new())),
        };
        let disk = Disk::named(self.name).unwrap().bus(self.bus).format(Some(format));
        let disk = disk.remote_image(path).unwrap();
        disk.read_only(self.read_only).throttle(throttle)
    }

    /// The wish that has led to this.
    pub(crate) fn seen(name: &'static str, there: &Seen) -> Self {
        let node = there.nodes.get(&format!("{name}.format"));
        let (_, file, read_only) = node.unwrap_or_else(|| panic!("{name} is half: {there:#?}"));
        let image = IMAGES.iter().position(|(path, _)| path == file).unwrap();
        let is_limited = there.nodes.contains_key(&format!("{name}.limits"));
        let limits = match is_limited {
            false if !there.slowed.is_empty() => Limited::Alone,
            false => Limited::Not,
            true if there.objects.is_empty() => Limited::Joining,
            true => Limited::Alone,
        };
        Self { name, image, bus: None, read_only: *read_only, limits }
    }

    /// The disk is there, whole, as a drive in its device.
    fn check_drive(&self, there: &Seen) {
        let (name, (path, format)) = (self.name, IMAGES[self.image]);
        let drive = format!("{name}.format");
        let what = (format.to_owned(), path.to_owned(), self.read_only);
        assert_eq!(there.nodes.get(&drive), Some(&what), "{name}: {there:#?}");
        assert_eq!(there.nodes.len(), 1, "{name} has other drives: {there:#?}");
        assert_eq!(there.holds.get(name), Some(&drive), "{name} holds another: {there:#?}");
        let kind = there.devices.get(name).map(String::as_str);
        assert_eq!(kind, Some("virtio-blk-pci"), "{name}");
        // One that came without limits may have been given some since.
        let is_slow = there.slowed.contains(&drive);
        assert!(is_slow || self.limits == Limited::Not, "{name}: {there:#?}");
    }

    /// The disk is there, whole, with nothing that is not its own.
    pub(crate) fn check(&self, there: &Seen, version: Version) {
        if has_drives(version) {
            return self.check_drive(there);
        }
        let (name, (path, format)) = (self.name, IMAGES[self.image]);
        let what = |driver: &str| (driver.to_owned(), path.to_owned(), self.read_only);
        let limits = format!("{name}.limits");
        let top = if self.limits == Limited::Not { format!("{name}.format") } else { limits };
        assert_eq!(there.holds.get(name), Some(&top), "{name} holds another node: {there:#?}");
        for (node, driver) in [(format!("{name}.format"), format), (format!("{name}.file"), "file")]
        {
            assert_eq!(there.nodes.get(&node), Some(&what(driver)), "{name}: {there:#?}");
        }
        let nodes = 2 + usize::from(self.limits != Limited::Not);
        assert_eq!(there.nodes.len(), nodes, "{name} has other nodes: {there:#?}");
        let objects: Vec<_> = there.objects.keys().collect();
        let group = format!("qplug.disk.{name}.throttle");
        // One that a crash left goes with the next disk of the name.
        let may_have = |id: &&String| **id == group;
        assert!(objects.iter().all(may_have), "{name} has other objects: {objects:?}");
        let is_limited = objects.contains(&&group);
        assert!(is_limited || self.limits != Limited::Alone, "{name} has no {group}");
        let kind = there.devices.get(name).map(String::as_str);
        let is_right = match self.bus {
            None => kind.is_some(),
            Some(bus) => kind == Some(device(bus)),
        };
        assert!(is_right, "{name} is {kind:?} on {:?}", self.bus);
    }
}

/// What a disk on this bus is.
fn device(bus: Bus) -> &'static str {
    match bus {
        Bus::VirtioBlk => "virtio-blk-pci",
        Bus::VirtioScsi => "scsi-hd",
        Bus::Nvme => "nvme",
        Bus::UsbStorage => "usb-storage",
        Bus::UsbUas => "usb-uas",
    }
}
