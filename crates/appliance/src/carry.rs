//! Large files, carried on disks: a file of the host is plugged in as a disk that is in no list, and the
//! agent copies from it or to it. QEMU hands a port 4 KiB at a time; a disk takes a megabyte.

use std::fs::File;
use std::pin::pin;
use std::time::{Duration, Instant};

use qplug_agent::Name;
use qplug_agent::wire::{Command as _, Copy, ListDevices, Moved, OWN_PREFIX, Place as Target};
use qplug_hotplug::{
    Access, Bus, Cache, Detached, DetectZeroes, DeviceOptions, Disk, DiskError, DiskName, Format,
    Machine, OnError, Storage,
};

use crate::appliance::Appliance;
use crate::count::Watch;
use crate::error::{Error, Result};
use crate::link::{Agent, random_token};
use crate::transfer::{MOVED_WITHIN, SILENT_FOR};

/// What is smaller goes through the port: plugging and unplugging takes longer than it gains.
pub(crate) const CARRIED_FROM: u64 = 16 << 20;

/// A disk has whole sectors.
pub(crate) const SECTOR: u64 = 512;

/// How long what a copy has plugged in may take to go when the copy is given up.
const GIVE_UP_WITHIN: Duration = Duration::from_secs(5);

/// Time between two looks at how far the copy is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What a carrier is called in QEMU, before the number of its lane: so whoever has the lane next finds what
/// one that was killed left behind.
const CARRIER: &str = "carry-";

/// Which way a file is carried.
#[derive(Debug, Clone)]
pub(crate) enum Load {
    /// Into the appliance, to this path, with this mode where none is there.
    In(Name, Option<u32>),
    /// Out of it, from this path.
    Out(Name),
}

impl Appliance {
    /// Carries so many bytes of a file, or into one that has room for them; how many there were. `None` where no
    /// disk can be plugged in for it, and nothing was done.
    pub(crate) async fn carry(
        &self,
        file: File,
        bytes: u64,
        load: Load,
        watch: Watch<'_>,
    ) -> Result<Option<u64>> {
        let (machine, agent) = (self.machine().await?, self.agent().await?);
        let name = format!("{CARRIER}{}", self.lane().await?.number());
        if !clear(&machine, agent, &name).await? {
            return Ok(None);
        }
        let number = random_token().map_err(Error::file("make", self.place().folder()))?;
        let serial = format!("{OWN_PREFIX}{}", &number.to_string()[..8]);
        let is_source = matches!(load, Load::In(..));
        let Ok(disk) = disk(&name, &serial, file, is_source) else { return Ok(None) };
        let name = disk.name().clone();
        if let Err(error) = machine.attach(disk).await {
            tracing::debug!("no disk can carry the file: {error}");
            return Ok(None);
        }
        let own = Target::Own(serial);
        let (from, to, mode) = match load {
            Load::In(path, mode) => (own, Target::Path(path), mode),
            Load::Out(path) => (Target::Path(path), own, None),
        };
        let copy = Copy { from, to, bytes: Some(bytes), mode };
        let moved = self.while_it_runs(copied(&machine, agent, &copy, name.as_str(), watch)).await;
        let left = machine.detach(&name, Machine::DETACH_TIMEOUT).await;
        let moved = moved?;
        match left? {
            Detached::Removed { .. } => Ok(Some(moved.bytes)),
            Detached::Refused | Detached::Pending => {
                Err(Error::Kept { label: name.as_str().to_owned() })
            }
        }
    }

    /// Unplugs the disk that carries a file, if there is one: for whoever gives a copy up.
    ///
    /// # Errors
    /// When QEMU or the agent does not answer in time.
    pub async fn give_up_copy(&self) -> Result<()> {
        let cleared = async {
            let name = format!("{CARRIER}{}", self.lane().await?.number());
            clear(&self.machine().await?, self.agent().await?, &name).await
        };
        let what = "the disk to leave that carried a file";
        let late = |_| Error::Late { what, within: GIVE_UP_WITHIN, words: String::new() };
        tokio::time::timeout(GIVE_UP_WITHIN, cleared).await.map_err(late)?.map(drop)
    }
}

/// Unplugs what an earlier copy left; whether the name is free now. A user's disk of that name is left alone.
async fn clear(machine: &Machine, agent: &Agent, name: &str) -> Result<bool> {
    if !machine.list().await?.iter().any(|disk| disk.name == name) {
        return Ok(true);
    }
    let devices = agent.run(&ListDevices {}).await?;
    if devices.iter().any(|device| device.label.as_deref() == Some(name)) {
        return Ok(false);
    }
    let name = DiskName::new(name).map_err(DiskError::from)?;
    let left = machine.detach(&name, Machine::DETACH_TIMEOUT).await?;
    Ok(matches!(left, Detached::Removed { .. }))
}

fn disk(name: &str, serial: &str, file: File, is_source: bool) -> Result<Disk> {
    let storage = Storage::descriptor(file.into()).format(Some(Format::raw())).read_only(is_source);
    let storage = storage.look().map_err(DiskError::from)?;
    let disk = Disk::named(name)?.bus(Some(Bus::VirtioScsi)).serial(Some(serial));
    // What is written is the host's to write out, as with any other copy; zeroes are holes.
    let access = Access {
        cache: Some(Cache::Unsafe),
        discard: (!is_source).then_some(true),
        detect_zeroes: (!is_source).then_some(DetectZeroes::Unmap),
        ..Access::default()
    };
    // A host without room must not stop the machine, as it would by QEMU's own choice.
    let device = DeviceOptions {
        read_error: Some(OnError::Report),
        write_error: Some(OnError::Report),
        ..DeviceOptions::default()
    };
    Ok(disk.storage(storage)?.read_only(is_source).access(access).device(device))
}

/// Waits for the agent to copy, as long as it does.
async fn copied(
    machine: &Machine,
    agent: &Agent,
    copy: &Copy,
    name: &str,
    watch: Watch<'_>,
) -> Result<Moved> {
    let client = agent.client().clone().with_command_timeout(MOVED_WITHIN);
    let mut reply = pin!(client.execute_oob(Copy::NAME, Some(copy)));
    let (mut far, mut since) = (0, Instant::now());
    let reply = loop {
        tokio::select! {
            reply = &mut reply => break reply?,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let all = machine.activity().await?;
        let moved = all.iter().find(|it| it.disk == name);
        let moved = moved.map_or(0, |it| it.read_bytes + it.written_bytes);
        if moved > far {
            (far, since) = (moved, Instant::now());
            watch(moved.min(copy.bytes.unwrap_or(moved)), copy.bytes);
        } else if since.elapsed() >= SILENT_FOR {
            agent.check().await?;
            since = Instant::now();
        }
    };
    serde_json::from_str(reply.get()).map_err(|error| Error::Transfer(error.to_string()))
}
