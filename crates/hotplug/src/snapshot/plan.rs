//! Which disks a snapshot is of, whether they can have one, and which snapshots there are.

use std::time::Instant;

use super::{ListedSnapshot, QCOW2, Snapped, SnapshotPlan, Tag};
use crate::command::Command;
use crate::dialect::{Ability, Features};
use crate::error::Error;
use crate::inventory::DeviceDisk;
use crate::name::DiskName;
use crate::observe::{Look, Observed, Observer};
use crate::operation::{Answer, Operation};

/// Planning a snapshot.
#[derive(Debug)]
pub struct PlanSnapshot {
    tag: Tag,
    which: Snapped,
    observer: Observer,
    outcome: Option<Result<SnapshotPlan, Error>>,
}

impl PlanSnapshot {
    /// A snapshot of this name, of these disks.
    #[must_use]
    pub fn new(tag: Tag, which: Snapped) -> Self {
        let mut observer = Observer::default();
        observer.look([Look::Nodes, Look::Blocks]);
        Self { tag, which, observer, outcome: None }
    }

    fn plan(&self) -> Result<SnapshotPlan, Error> {
        let observed = &self.observer.observed;
        able(&observed.features)?;
        let disks = chosen(observed, &self.which)?;
        let unfit: Vec<_> = disks
            .iter()
            .filter_map(|disk| Some(format!("{} {}", disk.id, unfit(observed, disk, &self.tag)?)))
            .collect();
        if disks.is_empty() {
            return Err(Error::SnapshotUnfit {
                why: "there is no disk of qplug's to write to".into(),
            });
        }
        if !unfit.is_empty() {
            return Err(Error::SnapshotUnfit { why: unfit.join(", ") });
        }
        let disks = disks.iter().map(|disk| (disk.id.to_owned(), handle(disk).to_owned()));
        Ok(SnapshotPlan { tag: self.tag.clone(), disks: disks.collect() })
    }
}

/// What QEMU calls the disk in its commands for snapshots: a node without a name has a drive.
pub(super) fn handle<'a>(disk: &DeviceDisk<'a>) -> &'a str {
    match disk.node {
        Some(node) if disk.old_name.is_empty() => &node.name,
        _ => disk.old_name,
    }
}

/// Whether this QEMU knows such snapshots.
pub(super) fn able(features: &Features) -> Result<(), Error> {
    match features.can(Ability::InnerSnapshots) {
        true => Ok(()),
        false => Err(features.lacks(Ability::InnerSnapshots)),
    }
}

/// The disks that are meant, each once.
fn chosen<'a>(observed: &'a Observed, which: &'a Snapped) -> Result<Vec<DeviceDisk<'a>>, Error> {
    match which {
        Snapped::Named(names) => named(observed, names),
        Snapped::All => {
            let all = observed.blocks.iter().flat_map(|blocks| blocks.devices());
            let is_written = |disk: &DeviceDisk<'_>| disk.node.is_some_and(|node| !node.read_only);
            Ok(all.filter(|disk| format_of(observed, disk).is_some() && is_written(disk)).collect())
        }
    }
}

/// The disks of these names, each once.
pub(super) fn named<'a>(
    observed: &'a Observed,
    names: &[String],
) -> Result<Vec<DeviceDisk<'a>>, Error> {
    let blocks = observed.blocks.as_ref();
    let mut disks: Vec<DeviceDisk<'a>> = Vec::new();
    for name in names {
        let Some(disk) = blocks.and_then(|blocks| blocks.device(name)) else {
            let known = blocks.iter().flat_map(|blocks| blocks.devices());
            let known = known.filter(|it| it.node.is_some()).map(|it| it.id.to_owned()).collect();
            return Err(Error::NoSuchDevice { name: name.clone(), known });
        };
        if !disks.iter().any(|other| other.id == disk.id) {
            disks.push(disk);
        }
    }
    Ok(disks)
}

/// The format of a disk of qplug's: what its device holds may be a filter over it.
fn format_of<'a>(observed: &'a Observed, disk: &DeviceDisk<'_>) -> Option<&'a str> {
    let (name, nodes) = (DiskName::new(disk.id).ok()?, observed.nodes.as_ref()?);
    nodes.node(&name.file_node())?;
    Some(&nodes.format_node(&name)?.driver)
}

/// Why a disk cannot have a snapshot of this name inside.
fn unfit(observed: &Observed, disk: &DeviceDisk<'_>, tag: &Tag) -> Option<String> {
    let Some(node) = disk.node else { return Some("has no medium".to_owned()) };
    let format = format_of(observed, disk).unwrap_or(&node.driver);
    if format != QCOW2 {
        return Some(format!("is {format}"));
    }
    if node.read_only {
        return Some("is read-only".to_owned());
    }
    let has_it = node.snapshots().iter().any(|it| it.name == tag.0);
    has_it.then(|| format!("has a snapshot {tag} already"))
}

impl Operation for PlanSnapshot {
    type Outcome = Result<SnapshotPlan, Error>;

    fn speak(&mut self, features: &Features) {
        self.observer.speak(features);
    }

    fn poll_transmit(&mut self) -> Option<Command> {
        self.observer.poll_transmit()
    }

    fn handle_answer(&mut self, answer: Answer, _now: Instant) {
        match self.observer.handle_answer(answer) {
            Err(error) => self.outcome = Some(Err(error)),
            Ok(()) if self.observer.is_done() => self.outcome = Some(self.plan()),
            Ok(()) => {}
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}

/// Listing the snapshots of all disks.
#[derive(Debug)]
pub struct ListSnapshots {
    which: Snapped,
    observer: Observer,
    outcome: Option<Result<Vec<ListedSnapshot>, Error>>,
}

impl ListSnapshots {
    /// A listing of the snapshots in these disks.
    #[must_use]
    pub fn new(which: Snapped) -> Self {
        let mut observer = Observer::default();
        observer.look([Look::Blocks]);
        Self { which, observer, outcome: None }
    }

    fn list(&self) -> Result<Vec<ListedSnapshot>, Error> {
        let observed = &self.observer.observed;
        let disks = match &self.which {
            Snapped::Named(names) => named(observed, names)?,
            Snapped::All => observed.blocks.iter().flat_map(|blocks| blocks.devices()).collect(),
        };
        let of_disk = |disk: &DeviceDisk<'_>| {
            let snapshots = disk.node.map(|node| node.snapshots()).unwrap_or_default();
            let listed = snapshots.iter().map(|it| ListedSnapshot {
                disk: disk.id.to_owned(),
                tag: it.name.clone(),
                id: it.id.clone(),
                seconds: it.seconds,
                vm_state_bytes: it.vm_state_bytes,
            });
            listed.collect::<Vec<_>>()
        };
        Ok(disks.iter().flat_map(of_disk).collect())
    }
}

impl Operation for ListSnapshots {
    type Outcome = Result<Vec<ListedSnapshot>, Error>;

    fn speak(&mut self, features: &Features) {
        self.observer.speak(features);
    }

    fn poll_transmit(&mut self) -> Option<Command> {
        self.observer.poll_transmit()
    }

    fn handle_answer(&mut self, answer: Answer, _now: Instant) {
        match self.observer.handle_answer(answer) {
            Err(error) => self.outcome = Some(Err(error)),
            Ok(()) if self.observer.is_done() => self.outcome = Some(self.list()),
            Ok(()) => {}
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}
