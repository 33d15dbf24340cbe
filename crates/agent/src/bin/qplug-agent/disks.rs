//! Which disks there are: kept up with what the kernel announces.
//!
//! One thread looks and tells, so that the conversation never waits for a disk: a serial is asked of the
//! disk itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qplug_agent::wire::{DISK_APPEARED, DISK_CHANGED, DISK_GONE, Device, DiskGone, OWN_PREFIX};

use crate::links::Links;
use crate::serve::Bells;
use crate::sysfs::{self, Disk};
use crate::uevent::{self, BlockEvent, Uevent, Uevents};
use crate::unread::Unread;

/// How long what the kernel has announced may take to be known; it takes a millisecond.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);

/// The disks, for whoever asks.
#[derive(Debug, Default, Clone)]
pub(crate) struct Disks {
    asked: Arc<AtomicU64>,
    present: Arc<Mutex<Present>>,
    changed: Arc<Condvar>,
}

#[derive(Debug, Default)]
struct Present {
    /// The user's, in the order in which they came.
    users: Vec<Device>,
    /// The labels of the appliance's own by the kernel's names.
    own: BTreeMap<String, String>,
    /// The last question of [`Disks::settle`] that the kernel has passed on.
    settled: u64,
}

/// What happened to a disk.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Appeared(Device),
    Changed(Device),
    Gone(DiskGone),
}

impl Disks {
    /// All of them.
    pub(crate) fn all(&self) -> Vec<Device> {
        self.lock().users.clone()
    }

    /// The kernel's name of one of the appliance's own disks, as soon as it is there.
    pub(crate) fn wait_own(&self, label: &str, within: Duration) -> Option<String> {
        let find = |present: &mut Present| {
            let found = present.own.iter().find(|(_, it)| *it == label);
            found.map(|(kernel_name, _)| kernel_name.clone())
        };
        let mut present = self.lock();
        let waited = self.changed.wait_timeout_while(present, within, |it| find(it).is_none());
        present = waited.unwrap_or_else(PoisonError::into_inner).0;
        find(&mut present)
    }

    /// Waits until all is known that the kernel has announced so far: what a program did to a disk, the
    /// next command finds done. The kernel is asked for an announcement of no meaning, which comes last.
    pub(crate) fn settle(&self) {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        // A kernel before 4.13 does not know the question.
        if uevent::ask(number).is_ok() {
            let known = |present: &mut Present| present.settled < number;
            let _ = self.changed.wait_timeout_while(self.lock(), SETTLES_WITHIN, known);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what there is, then listens for ever.
    pub(crate) fn follow(&self, uevents: &Uevents, bells: &Bells, ready: impl FnOnce()) {
        let mut links = Links::default();
        let mut unread = Unread::default();
        let mut ready = Some(ready);
        self.rescan(&mut links, &mut unread, bells);
        loop {
            if let Some(ready) = ready.take() {
                ready();
            }
            match uevents.next(None) {
                Some(Uevent::Block(event)) => {
                    let found = found_after(&event, || self.look_up(&event.disk, &mut unread));
                    self.update(&event.disk, found, &mut links, bells);
                }
                Some(Uevent::Lost) => self.rescan(&mut links, &mut unread, bells),
                Some(Uevent::Answer(number)) => {
                    let mut present = self.lock();
                    present.settled = present.settled.max(number);
                    drop(present);
                    self.changed.notify_all();
                }
                Some(Uevent::Other) | None => {}
            }
        }
    }

    fn rescan(&self, links: &mut Links, unread: &mut Unread, bells: &Bells) {
        let mut names = sysfs::block_devices();
        let present = self.lock();
        let known = present.users.iter().map(|disk| &disk.kernel_name).chain(present.own.keys());
        let gone: Vec<_> = known.filter(|name| !names.contains(name)).cloned().collect();
        drop(present);
        names.splice(0..0, gone);
        for name in names {
            self.update(&name, self.look_up(&name, unread), links, bells);
        }
    }

    /// What a disk is. One that is sent back is not there yet, and one that was told of already is not
    /// sent back: somebody may use it.
    fn look_up(&self, name: &str, unread: &mut Unread) -> Option<Disk> {
        let found = sysfs::look_up(name)?;
        let present = self.lock();
        let is_known = present.own.contains_key(name)
            || present.users.iter().any(|disk| disk.kernel_name == name);
        drop(present);
        let is_sent_back = !is_known && unread.send_back(name, sysfs::bytes(name));
        (!is_sent_back).then_some(found)
    }

    fn update(&self, name: &str, found: Option<Disk>, links: &mut Links, bells: &Bells) {
        let mut present = self.lock();
        present.own.remove(name);
        let found = match found {
            Some(Disk::Users(device)) => Some(device),
            Some(Disk::Own(label)) => {
                present.own.insert(name.to_owned(), label);
                self.changed.notify_all();
                None
            }
            None => None,
        };
        let changes = apply(&mut present.users, name, found);
        if changes.is_empty() {
            return;
        }
        let now = present.users.clone();
        drop(present);
        // Who hears of a disk may use its link at once.
        for complaint in links.follow(&now) {
            println!("agent: {complaint}");
        }
        for change in changes {
            match change {
                Change::Appeared(device) => bells.tell(DISK_APPEARED, &device),
                Change::Changed(device) => bells.tell(DISK_CHANGED, &device),
                Change::Gone(gone) => bells.tell(DISK_GONE, &gone),
            }
        }
    }
}

/// What a disk is now. What is leaving is still in sysfs when its removal is announced.
fn found_after(event: &BlockEvent, look_up: impl FnOnce() -> Option<Disk>) -> Option<Disk> {
    if event.is_removal && event.partition.is_none() {
        return None;
    }
    let mut found = look_up();
    if let (true, Some(Disk::Users(device)), Some(leaving)) =
        (event.is_removal, &mut found, &event.partition)
    {
        device.partitions.retain(|partition| partition.kernel_name != *leaving);
    }
    found
}

/// Takes in what a disk of this name is now.
fn apply(present: &mut Vec<Device>, name: &str, found: Option<Device>) -> Vec<Change> {
    let at = present.iter().position(|disk| disk.kernel_name == name);
    let is_same = |disk: &Device, found: &Device| {
        disk.sequence == found.sequence && disk.label == found.label
    };
    let gone = |disk: Device| {
        let Device { label, kernel_name, sequence, .. } = disk;
        Change::Gone(DiskGone { label, kernel_name, sequence })
    };
    match (at, found) {
        (None, None) => Vec::new(),
        (Some(at), None) => vec![gone(present.remove(at))],
        (Some(at), Some(found)) if present[at] == found => Vec::new(),
        (Some(at), Some(found)) if is_same(&present[at], &found) => {
            present[at] = found.clone();
            vec![Change::Changed(found)]
        }
        (at, Some(found)) => {
            let left = at.map(|at| gone(present.remove(at)));
            let place = present.partition_point(|disk| disk.sequence <= found.sequence);
            present.insert(place, found.clone());
            left.into_iter().chain([Change::Appeared(found)]).collect()
        }
    }
}

/// Whether a name is of the appliance's own disks.
pub(crate) fn is_own(label: &str) -> bool {
    label.starts_with(OWN_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(name: &str, label: &str, sequence: u64) -> Device {
        Device {
            label: Some(label.to_owned()),
            kernel_name: name.to_owned(),
            sequence,
            bytes: 512,
            sector_bytes: 512,
            read_only: false,
            partitions: Vec::new(),
        }
    }

    fn labels(present: &[Device]) -> Vec<&str> {
        present.iter().filter_map(|disk| disk.label.as_deref()).collect()
    }

    #[test]
    fn disks_stay_in_the_order_in_which_they_came_whatever_the_kernel_calls_them() {
        let mut present = Vec::new();
        for (name, label, sequence) in [("vda", "a", 1), ("vdb", "b", 2), ("vdc", "c", 3)] {
            let device = disk(name, label, sequence);
            assert_eq!(apply(&mut present, name, Some(device.clone())), [Change::Appeared(device)]);
        }
        assert!(matches!(&apply(&mut present, "vdb", None)[..], [Change::Gone(_)]));
        apply(&mut present, "vdb", Some(disk("vdb", "d", 4)));
        assert_eq!(labels(&present), ["a", "c", "d"]);
    }

    #[test]
    fn another_disk_of_the_same_name_is_not_a_change_of_the_old_one() {
        let mut present = vec![disk("vda", "a", 1)];
        let changes = apply(&mut present, "vda", Some(disk("vda", "a", 2)));
        assert!(matches!(&changes[..], [Change::Gone(_), Change::Appeared(_)]), "{changes:?}");
        let larger = Device { bytes: 1024, ..disk("vda", "a", 2) };
        let changes = apply(&mut present, "vda", Some(larger.clone()));
        assert_eq!(changes, [Change::Changed(larger.clone())]);
        assert!(apply(&mut present, "vda", Some(larger)).is_empty());
        assert!(apply(&mut present, "vdz", None).is_empty());
    }
}
