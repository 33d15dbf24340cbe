//! A machine to plug disks into.

use std::time::Duration;

use qplug_qmp::Client;

use crate::attach::{Attach, Attached};
use crate::detach::{Departures, Detach, Detached, Which};
use crate::disk::Disk;
use crate::drive::drive;
use crate::error::Error;
use crate::list::{List, ListedDisk};
use crate::name::DiskName;
use crate::ports::{ListPorts, Ports};
use crate::recover::{Recover, Recovered};
use crate::status::{AskStatus, Status};

/// A running machine, through a QMP client.
///
/// qplug keeps no state of its own: what it must remember is in the names of nodes and devices in
/// the machine. So every operation may be repeated, and one that was cut short, by a crash or by
/// dropping its future, is finished by the next.
#[derive(Debug, Clone)]
pub struct Machine {
    client: Client,
}

impl Machine {
    /// How long a guest is given to let go of a disk, where the caller does not say.
    pub const DETACH_TIMEOUT: Duration = Duration::from_secs(30);

    /// The machine at the other end of this connection.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Plugs a disk in. Returns when QEMU has it; the guest finds it a moment later.
    ///
    /// # Errors
    /// See [`Error`]. After every error but [`Error::Unknown`] and [`After::Left`](crate::After)
    /// the machine is as it was.
    pub async fn attach(&self, disk: Disk) -> Result<Attached, Error> {
        let mut outcomes = self.attach_all(vec![disk]).await;
        // One for each disk, and there is one.
        outcomes.pop().unwrap_or(Err(Error::NotTried))
    }

    /// Plugs disks in, all at once: nothing is changed when one of them cannot be attached to this
    /// machine. After that each stands for itself. Outcomes come in the order of the disks.
    pub async fn attach_all(&self, disks: Vec<Disk>) -> Vec<Result<Attached, Error>> {
        drive(&self.client, Attach::new(disks)).await
    }

    /// Pulls a disk out: asks the guest to let go, waits for it at most `timeout`, and closes the
    /// image, which another process may open as soon as this returns [`Detached::Removed`].
    ///
    /// # Errors
    /// See [`Error`]. A guest that does not answer in time is no error, but [`Detached::Pending`].
    pub async fn detach(&self, name: &DiskName, timeout: Duration) -> Result<Detached, Error> {
        let outcomes = self.detach_all(Which::Named(vec![name.clone()]), timeout).await?;
        // One for each disk, and there is one.
        outcomes.into_iter().next().map_or(Err(Error::NotTried), |(_, outcome)| outcome)
    }

    /// Pulls disks out, all at once: the guest is asked for all of them together, and each ends for
    /// itself.
    ///
    /// # Errors
    /// When the machine could not be looked at; nothing was changed then.
    pub async fn detach_all(&self, which: Which, timeout: Duration) -> Result<Departures, Error> {
        drive(&self.client, Detach::new(which, timeout)).await
    }

    /// Finishes what is half done, and waits at most `timeout` for guests that were asked to let go
    /// of disks before. Empty when nothing was left.
    ///
    /// # Errors
    /// When the machine could not be looked at; nothing was changed then.
    pub async fn recover(&self, timeout: Duration) -> Result<Recovered, Error> {
        drive(&self.client, Recover::new(timeout)).await
    }

    /// All disks of the machine, also those that qplug did not make.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self) -> Result<Vec<ListedDisk>, Error> {
        drive(&self.client, List::new()).await
    }

    /// What can be plugged where.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ports(&self) -> Result<Ports, Error> {
        drive(&self.client, ListPorts::new()).await
    }

    /// What machine it is, and how it is.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn status(&self) -> Result<Status, Error> {
        drive(&self.client, AskStatus::default()).await
    }

    /// The connection, for everything else that QEMU can do.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }
}
