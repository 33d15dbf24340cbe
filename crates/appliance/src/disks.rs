//! The disks of an appliance: plugged in until the agent sees them, unplugged until it sees them no more.
//!
//! A disk's label is its name in QEMU and its serial in the guest. So nothing has to remember which is
//! which: not this process, and not the kernel, which calls them as it likes.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use qplug_agent::wire::{
    DISK_APPEARED, DISK_GONE, Device, DiskGone, FileSystem, ListDevices, ListFileSystems, Release,
    Use, UseKind,
};
use qplug_hotplug::{Bus, Detached, Disk, DiskName, Machine, Storage};
use qplug_qmp::Events;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::appliance::Appliance;
use crate::error::{Error, Result};
use crate::lane::choose_labels;

/// How long the guest may take to find a disk, or to miss one; it takes a tenth of a second.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// So many disks are plugged in side by side: few enough that all their commands are on their way at
/// once, and QEMU gets them in the order of the list.
const ADDED_TOGETHER: usize = 16;

/// What a disk is called that was given no label, before its number.
const UNNAMED: &str = "disk";

/// What uses a disk, where each is told.
const MAX_TOLD_USES: usize = 8;

/// A disk that is wanted.
#[derive(Debug, Clone)]
pub struct NewDisk {
    /// Its label; the next free one of `disk1`, `disk2` and so on where it is absent.
    pub label: Option<DiskName>,
    /// Its image, looked at.
    pub storage: Storage,
    /// Whether it may only be read.
    pub read_only: bool,
}

impl Appliance {
    /// Plugs disks in, side by side, and returns when the agent has seen them. Each stands for itself.
    /// They come in the order of the list, as [`Appliance::list_devices`] has them too.
    ///
    /// # Errors
    /// When the monitor or the agent could not be reached; nothing was plugged in then.
    pub async fn add_disks(&self, disks: Vec<NewDisk>) -> Result<Vec<Result<Device>>> {
        let machine = self.machine().await?;
        let agent = self.agent().await?;
        let mut events = agent.events();
        let is_to_choose = disks.iter().any(|disk| disk.label.is_none());
        let choosing = match is_to_choose {
            true => Some(choose_labels(self.place()).await?),
            false => None,
        };
        let disks = match labelled(disks, &machine).await {
            Ok(disks) => disks,
            Err(error) => return Err(self.explained(error).await),
        };
        let labels: Vec<_> = disks.iter().map(|disk| disk.name().as_str().to_owned()).collect();
        let mut devices = Vec::new();
        let mut attached = Vec::new();
        let mut disks = disks.into_iter().peekable();
        while disks.peek().is_some() {
            let together = disks.by_ref().take(ADDED_TOGETHER).collect();
            attached.extend(machine.attach_all(together).await);
        }
        drop(choosing);
        for (label, attached) in labels.iter().zip(attached) {
            devices.push(match attached {
                Ok(attached) if attached.already => self.find(label).await,
                Ok(_) => Ok(None),
                Err(error) => Err(self.explained(error.into()).await),
            });
        }
        let mut awaited: HashSet<&str> = labels.iter().map(String::as_str).collect();
        awaited.retain(|label| {
            let at = labels.iter().position(|it| it == label);
            at.is_some_and(|at| matches!(devices[at], Ok(None)))
        });
        let seen = async {
            while !awaited.is_empty() {
                let device: Device = next(&mut events, DISK_APPEARED).await?;
                let label = device.label.clone().unwrap_or_default();
                if awaited.remove(label.as_str())
                    && let Some(at) = labels.iter().position(|it| *it == label)
                {
                    devices[at] = Ok(Some(device));
                }
            }
            Ok::<(), Error>(())
        };
        match tokio::time::timeout(SEEN_WITHIN, self.while_it_runs(seen)).await {
            Ok(seen) => seen?,
            Err(_) => tracing::warn!("the appliance did not see every disk in time"),
        }
        Ok(devices.into_iter().map(|device| device?.ok_or_else(|| self.unseen())).collect())
    }

    /// Plugs a disk in, and returns when the agent has seen it.
    ///
    /// # Errors
    /// See [`Appliance::add_disks`].
    pub async fn add_disk(&self, disk: NewDisk) -> Result<Device> {
        let mut devices = self.add_disks(vec![disk]).await?;
        // One for each disk, and there is one.
        devices.pop().unwrap_or_else(|| Err(self.unseen()))
    }

    /// The disks, in the order in which they were plugged in, whatever the kernel calls them. The kernel
    /// finds those that came together in any order, so that QEMU is asked for it.
    ///
    /// # Errors
    /// When the agent or QEMU does not answer.
    pub async fn list_devices(&self) -> Result<Vec<Device>> {
        let (order, devices) = tokio::join!(self.order(), self.ask(&ListDevices {}));
        let (order, mut devices) = (order?, devices?);
        devices.sort_by_key(|device| {
            let label = device.label.as_deref().unwrap_or_default();
            (order.of(label), device.sequence)
        });
        Ok(devices)
    }

    /// What is on the disks, in the order of [`Appliance::list_devices`], and their partitions; then what
    /// lies on those.
    ///
    /// # Errors
    /// When the agent or QEMU does not answer.
    pub async fn list_filesystems(&self) -> Result<Vec<FileSystem>> {
        let found = ListFileSystems::default();
        let (order, found) = tokio::join!(self.order(), self.ask(&found));
        let (order, mut found) = (order?, found?);
        // The agent has a disk's partitions by number, and what lies on disks last.
        found.sort_by_key(|found| order.of(found.device.split(':').next().unwrap_or_default()));
        Ok(found)
    }

    async fn order(&self) -> Result<Order> {
        let machine = self.machine().await?;
        let blocks: Vec<Block> = machine.client().query("query-block").await?;
        Ok(Order(labels(&blocks).zip(0..).collect()))
    }

    /// Unplugs a disk, whose label and image are free when this returns. One that is in use is left
    /// alone unless `force` is set: then it is unmounted first, and goes whatever still uses it.
    ///
    /// # Errors
    /// [`Error::InUse`]; or there is no such disk, or the guest does not let go of it.
    pub async fn remove_disk(&self, label: &DiskName, force: bool) -> Result<()> {
        let device = label.as_str().to_owned();
        let uses = self.ask(&Release { device, force }).await?;
        if !uses.is_empty() && !force {
            return Err(Error::InUse { label: label.as_str().to_owned(), uses: told(&uses) });
        }
        let mut events = self.agent().await?.events();
        match self.machine().await?.detach(label, Machine::DETACH_TIMEOUT).await? {
            Detached::Removed { was_gone: true } => return Ok(()),
            Detached::Removed { was_gone: false } => {}
            Detached::Refused | Detached::Pending => {
                return Err(Error::Kept { label: label.as_str().to_owned() });
            }
        }
        let gone = async {
            loop {
                let gone: DiskGone = next(&mut events, DISK_GONE).await?;
                if gone.label.as_deref() == Some(label.as_str()) {
                    return Ok(());
                }
            }
        };
        let late = |_| Error::Late {
            what: "the appliance to miss the disk",
            within: SEEN_WITHIN,
            words: String::new(),
        };
        tokio::time::timeout(SEEN_WITHIN, self.while_it_runs(gone)).await.map_err(late)?
    }

    async fn find(&self, label: &str) -> Result<Option<Device>> {
        let devices = self.list_devices().await?;
        Ok(devices.into_iter().find(|device| device.label.as_deref() == Some(label)))
    }

    fn unseen(&self) -> Error {
        Error::Late {
            what: "the appliance to see a disk that QEMU has",
            within: SEEN_WITHIN,
            words: self.last_words(),
        }
    }
}

/// A disk, as QEMU tells of it: those that were plugged in first come first (`block_backends` in QEMU's
/// `block/block-backend.c`).
#[derive(Debug, Deserialize)]
struct Block {
    inserted: Option<Inserted>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Inserted {
    node_name: Option<String>,
}

/// The places of the disks by their labels, in QEMU's order.
struct Order(HashMap<String, usize>);

impl Order {
    /// What QEMU does not tell of comes last.
    fn of(&self, label: &str) -> usize {
        self.0.get(label).copied().unwrap_or(self.0.len())
    }
}

/// The disks' labels, in QEMU's order.
fn labels(blocks: &[Block]) -> impl Iterator<Item = String> {
    let nodes = blocks.iter().filter_map(|block| block.inserted.as_ref()?.node_name.as_deref());
    nodes.filter_map(DiskName::of_format_node).map(|name| name.as_str().to_owned())
}

/// Gives each disk a label, and all of them the controller that is there from the start.
async fn labelled(disks: Vec<NewDisk>, machine: &Machine) -> Result<Vec<Disk>> {
    let mut taken: HashSet<String> =
        disks.iter().filter_map(|disk| Some(disk.label.as_ref()?.as_str().to_owned())).collect();
    if disks.iter().any(|disk| disk.label.is_none()) {
        taken.extend(machine.list().await?.into_iter().map(|disk| disk.name));
    }
    let mut labelled = Vec::new();
    for disk in disks {
        let label = match disk.label {
            Some(label) => label.as_str().to_owned(),
            None => next_free(&mut taken),
        };
        let builder = Disk::named(&label)?.bus(Some(Bus::VirtioScsi));
        labelled.push(builder.storage(disk.storage)?.read_only(disk.read_only));
    }
    Ok(labelled)
}

/// The first label that nobody has, which is taken then.
fn next_free(taken: &mut HashSet<String>) -> String {
    let mut number = 1;
    loop {
        let label = format!("{UNNAMED}{number}");
        if taken.insert(label.clone()) {
            return label;
        }
        number += 1;
    }
}

/// The data of the next event of this name. What came too fast to be told is an error.
async fn next<T: DeserializeOwned>(events: &mut Events, name: &str) -> Result<T> {
    let failed = |reason: String| {
        Error::Command(qplug_qmp::Error::Decode { command: name.to_owned(), reason })
    };
    let event = events.first(|event| event.name == name).await;
    let event = event.map_err(|error| failed(error.to_string()))?;
    let data = event.data.as_ref().map_or("null", |data| data.get());
    serde_json::from_str(data).map_err(|error| failed(error.to_string()))
}

/// What uses a disk, for people.
fn told(uses: &[Use]) -> String {
    let one = |it: &Use| {
        let (device, by) = (&it.device, it.by.display());
        match it.kind {
            UseKind::Mount => format!("{device} is mounted on {by}"),
            UseKind::Swap => format!("the kernel swaps to {by}"),
            UseKind::Dm | UseKind::Md | UseKind::Holder => format!("{by} lies on {device}"),
            UseKind::Open => format!("{by} has {device} open"),
        }
    };
    let mut told: Vec<_> = uses.iter().take(MAX_TOLD_USES).map(one).collect();
    if uses.len() > MAX_TOLD_USES {
        told.push(format!("and {} more", uses.len() - MAX_TOLD_USES));
    }
    told.join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

    use super::*;

    #[test]
    fn the_next_free_label_is_the_lowest() {
        let mut taken = ["disk1", "disk3"].map(String::from).into();
        assert_eq!(next_free(&mut taken), "disk2");
        assert_eq!(next_free(&mut taken), "disk4");
    }

    #[test]
    fn every_use_is_named() {
        let used = |kind: UseKind, by: &str| Use {
            kind,
            device: "data:1".to_owned(),
            by: by.as_bytes().to_vec().into(),
        };
        let uses = [used(UseKind::Mount, "/"), used(UseKind::Open, "cat (12)")];
        assert_eq!(told(&uses), "data:1 is mounted on /, cat (12) has data:1 open");
        let many: Vec<_> = (0..20).map(|_| used(UseKind::Swap, "")).collect();
        assert!(told(&many).ends_with("and 12 more"));
    }
}
