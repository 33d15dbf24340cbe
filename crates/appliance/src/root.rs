//! A root disk of the user's, for an appliance whose programs are to come from there.

use qplug_agent::wire::{OWN_PREFIX, ROOT_LABEL, UseRoot};
use qplug_hotplug::{Bus, Disk, DiskName, Storage};

use crate::appliance::Appliance;
use crate::error::Result;

/// An image that an appliance's programs come from. It is opened to be read only, so that any number of
/// appliances may have it; what programs change is kept in the machine's memory, and forgotten with it.
///
/// It is no disk of the user's: it is in no list, and no name leads to it.
#[derive(Debug, Clone)]
#[must_use = "an appliance gets it with Launch::root"]
pub struct Root {
    storage: Storage,
    partition: Option<u32>,
}

impl Root {
    /// This image, looked at as one that is only read.
    pub fn new(storage: Storage) -> Self {
        Self { storage, partition: None }
    }

    /// The partition that the file system is on, from 1. Without it the file system is that of the whole
    /// disk, or of its only partition.
    pub fn partition(mut self, partition: Option<u32>) -> Self {
        self.partition = partition;
        self
    }
}

impl Appliance {
    /// Plugs the root disk in, after a restore as after a boot: so a saved machine fits every root.
    pub(crate) async fn use_root(&self, root: &Root) -> Result<()> {
        let name = DiskName::reserved(ROOT_LABEL.trim_start_matches(OWN_PREFIX))
            .map_err(qplug_hotplug::DiskError::from)?;
        let disk = Disk::of(name).bus(Some(Bus::VirtioScsi)).storage(root.storage.clone())?;
        self.machine().await?.attach(disk.read_only(true)).await?;
        self.ask(&UseRoot { partition: root.partition }).await?;
        Ok(())
    }
}
