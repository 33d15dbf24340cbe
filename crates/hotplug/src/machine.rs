//! A machine to plug disks into.

use std::sync::Arc;
use std::time::Duration;

use qplug_qmp::{Agent, Client};
use tokio::sync::OnceCell;

use crate::activity::{Activity, AskActivity};
use crate::agent::{GuestView, InUse};
use crate::attach::{Attach, Attached};
use crate::detach::{Departures, Detach, Detached, Which};
use crate::dialect::{Ability, Dialect, Features, Probe};
use crate::disk::{Disk, DiskError};
use crate::drive::drive;
use crate::error::Error;
use crate::identity::{Identify, Identities};
use crate::image::ImageError;
use crate::list::{DiskState, List, ListedDisk};
use crate::media::{ChangeMedium, Changed};
use crate::name::DiskName;
use crate::native::AskNative;
use crate::operation::Operation;
use crate::ports::{ListPorts, Ports};
use crate::preview::{Plans, Preview};
use crate::recover::{Recover, Recovered};
use crate::resize::{Resize, Resized};
use crate::snapshot::{
    DeleteSnapshot, Deletions, ListSnapshots, ListedSnapshot, PlanSnapshot, Snapped, Snapshot,
    SnapshotPlan, Tag, TakeSnapshot,
};
use crate::status::{AskStatus, Status};
use crate::throttle::Limits;
use crate::throttling::{Limited, SetLimits, Throttled};
use crate::wait::AwaitGuest;

/// A running machine, through a QMP client.
///
/// qplug keeps no state of its own: what it must remember is in the names of nodes and devices in
/// the machine. So every operation may be repeated, and one that was cut short, by a crash or by
/// dropping its future, is finished by the next.
#[derive(Debug, Clone)]
pub struct Machine {
    client: Client,
    dialect: Option<Dialect>,
    /// What it can, once it was asked.
    features: Arc<OnceCell<Features>>,
}

impl Machine {
    /// How long a guest is given to let go of a disk, where the caller does not say.
    pub const DETACH_TIMEOUT: Duration = Duration::from_secs(30);

    /// The machine at the other end of this connection.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, dialect: None, features: Arc::default() }
    }

    /// Speaks this dialect, and not the one that the machine seems to know.
    #[must_use]
    pub fn dialect(mut self, dialect: Option<Dialect>) -> Self {
        self.dialect = dialect;
        self.features = Arc::default();
        self
    }

    /// What the machine speaks and can. It is asked once, and newer ones need no question: see
    /// [`Probe`].
    ///
    /// # Errors
    /// When the machine could not be asked, or has no command that plugs disks.
    pub async fn features(&self) -> Result<&Features, Error> {
        let probe = || drive(&self.client, Probe::new(self.client.greeting(), self.dialect));
        self.features.get_or_try_init(probe).await
    }

    /// Checks that the machine can do something, before it is needed.
    ///
    /// # Errors
    /// When it cannot, or could not be asked.
    pub async fn require(&self, ability: Ability) -> Result<(), Error> {
        let features = self.features().await?;
        match features.can(ability) {
            true => Ok(()),
            false => Err(features.lacks(ability)),
        }
    }

    /// Runs an operation in the machine's dialect.
    async fn run<O: Operation>(&self, mut operation: O) -> Result<O::Outcome, Error> {
        operation.speak(self.features().await?);
        Ok(drive(&self.client, operation).await)
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
        if !self.client.carries_fds()
            && let Some(at) = disks.iter().position(|disk| disk.storage.has_descriptors())
        {
            let image = disks[at].storage.label();
            let refusal = Error::from(DiskError::from(ImageError::NoDescriptors { image }));
            let mut outcomes: Vec<_> = disks.iter().map(|_| Err(Error::NotTried)).collect();
            outcomes[at] = Err(refusal);
            return outcomes;
        }
        let count = disks.len();
        match self.run(Attach::new(disks)).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                let others = std::iter::repeat_with(|| Err(Error::NotTried));
                [Err(error)].into_iter().chain(others).take(count).collect()
            }
        }
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
        self.run(Detach::new(which, timeout)).await?
    }

    /// Finishes what is half done, and waits at most `timeout` for guests that were asked to let go
    /// of disks before. Empty when nothing was left.
    ///
    /// # Errors
    /// When the machine could not be looked at; nothing was changed then.
    pub async fn recover(&self, timeout: Duration) -> Result<Recovered, Error> {
        self.run(Recover::new(timeout)).await?
    }

    /// Changes the medium of a CD or floppy drive.
    ///
    /// # Errors
    /// See [`Error`]. A guest that holds the tray is no error, but [`Changed::pending`].
    pub async fn change_medium(&self, change: ChangeMedium) -> Result<Changed, Error> {
        self.run(change).await?
    }

    /// Gives a disk another size; the guest sees it at once, but for some NVMe drivers.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn resize(&self, resize: Resize) -> Result<Resized, Error> {
        self.run(resize).await?
    }

    /// Sets the limits to the speed of a disk, or of a group of disks.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn throttle(&self, what: Throttled, limits: Limits) -> Result<Limited, Error> {
        self.run(SetLimits::new(what, limits)).await?
    }

    /// Sees whether a snapshot can be taken within the images of these disks. Nothing is changed.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn plan_snapshot(&self, tag: Tag, which: Snapped) -> Result<SnapshotPlan, Error> {
        self.run(PlanSnapshot::new(tag, which)).await?
    }

    /// Takes a snapshot: at one moment, of all its disks or of none. The guest's file systems are in it
    /// as after a power failure, unless they are frozen meanwhile: see
    /// [`Freezer`](crate::Freezer).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn take_snapshot(&self, plan: SnapshotPlan) -> Result<Snapshot, Error> {
        self.run(TakeSnapshot::new(plan)).await?
    }

    /// The snapshots within the images of these disks.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn snapshots(&self, which: Snapped) -> Result<Vec<ListedSnapshot>, Error> {
        self.run(ListSnapshots::new(which)).await?
    }

    /// Deletes a snapshot from these disks. Each ends for itself.
    ///
    /// # Errors
    /// See [`Error`]; nothing was changed then.
    pub async fn delete_snapshot(&self, tag: &str, which: Snapped) -> Result<Deletions, Error> {
        self.run(DeleteSnapshot::new(tag, which)).await?
    }

    /// What an attach of these disks would do. Nothing is changed.
    ///
    /// # Errors
    /// When the machine could not be looked at.
    pub async fn preview_attach(&self, disks: Vec<Disk>) -> Result<Plans, Error> {
        self.run(Preview::attach(disks)).await?
    }

    /// What a detach would do. Nothing is changed.
    ///
    /// # Errors
    /// When the machine could not be looked at.
    pub async fn preview_detach(&self, which: Which, timeout: Duration) -> Result<Plans, Error> {
        self.run(Preview::detach(which, timeout)).await?
    }

    /// Waits until the guest's driver has read from each of these disks, at most `timeout`. Each
    /// disk comes back with whether it has.
    ///
    /// # Errors
    /// When the machine could not be asked.
    pub async fn await_guest(
        &self,
        disks: Vec<DiskName>,
        timeout: Duration,
    ) -> Result<Vec<(DiskName, bool)>, Error> {
        self.run(AwaitGuest::new(disks, timeout)).await?
    }

    /// What the guest calls each of these disks, such as `/dev/vdb`, where its agent tells.
    ///
    /// # Errors
    /// When the machine or the agent could not be asked.
    pub async fn guest_devices(
        &self,
        agent: &Agent,
        disks: Vec<DiskName>,
    ) -> Result<Vec<Option<String>>, Error> {
        let disks = self.run(Identify::new(Which::Named(disks))).await??;
        let view = GuestView::ask(agent).await?;
        Ok(disks.iter().map(|disk| view.device(disk).map(ToOwned::to_owned)).collect())
    }

    /// Which of these disks the guest uses, as its agent tells: each with [`Error::InGuest`] where it
    /// does. A guest gives a mounted disk away without a word, so ask before a detach.
    ///
    /// # Errors
    /// When the machine or the agent could not be asked.
    pub async fn in_guest(
        &self,
        agent: &Agent,
        which: Which,
    ) -> Result<Vec<(DiskName, Option<Error>)>, Error> {
        let disks = self.run(Identify::new(which)).await??;
        let view = GuestView::ask(agent).await?;
        let used = disks.into_iter().map(|disk| {
            let used = disk.bus.and_then(|_| view.use_of(&disk));
            let error = used.map(|InUse { by, is_certain }| Error::InGuest {
                name: disk.name.clone(),
                by,
                is_certain,
            });
            (disk.name, error)
        });
        Ok(used.collect())
    }

    /// Whether the disk's port unplugs by PCI Express's own means, where a Linux guest takes 6.3 s
    /// to let go.
    ///
    /// # Errors
    /// When the machine could not be asked.
    pub async fn is_native(&self, disk: &DiskName) -> Result<bool, Error> {
        self.run(AskNative::new(disk.clone())).await?
    }

    /// All disks of the machine, also those that qplug did not make.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self) -> Result<Vec<ListedDisk>, Error> {
        self.run(List::new()).await?
    }

    /// What the guest can tell these disks by, to look for them in a [`GuestView`].
    ///
    /// # Errors
    /// When the machine could not be asked.
    pub async fn identify(&self, disks: &[ListedDisk]) -> Result<Identities, Error> {
        // A disk that is half done is in no guest, and may have another's name.
        let plugged = disks.iter().filter(|disk| disk.state != DiskState::HalfDone);
        let names = plugged.filter_map(|disk| DiskName::new(&disk.name).ok()).collect();
        let identities = self.run(Identify::new(Which::Named(names))).await??;
        Ok(Identities::of(disks, identities))
    }

    /// What can be plugged where.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ports(&self) -> Result<Ports, Error> {
        self.run(ListPorts::new()).await?
    }

    /// What the guest did with each disk so far.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn activity(&self) -> Result<Vec<Activity>, Error> {
        self.run(AskActivity::new()).await?
    }

    /// What machine it is, and how it is.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn status(&self) -> Result<Status, Error> {
        self.run(AskStatus::default()).await?
    }

    /// The connection, for everything else that QEMU can do.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }
}
