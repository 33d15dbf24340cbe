//! Machines that booted once, were saved, and are restored at each later launch.
//!
//! A machine is saved by migrating it, stopped, to a file: its memory and its devices, with no disk
//! among them. So the disks are plugged in once it was restored.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use qplug_qmp::{Client, Events};
use serde_json::{Value, json};

use crate::arguments::Shape;
use crate::cache::{Cache, Key, Shelf};
use crate::error::{Error, Result};

/// Saved machines, each about as large as the memory that its guest has touched.
const MACHINES: Shelf = Shelf { name: "machines", most: 4 };

/// Changes when what is done before a machine is saved does.
const LAYOUT: &str = "1";

/// How long a save or a load may take; it takes a fraction of a second.
const MIGRATE_WITHIN: Duration = Duration::from_secs(60);

/// Time between two looks at whether a migration is over.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Bytes a second that a save may write. QEMU's own limit, 128 MiB, is meant for networks.
const UNLIMITED: u64 = 1 << 40;

/// The descriptor's name in QEMU.
const DESCRIPTOR: &str = "saved";

/// The number of a set of descriptors, of which nobody else has any when a machine starts.
const FDSET: u32 = 7;

/// The name of a machine of this shape.
pub(crate) fn key(shape: &Shape, initramfs: &Key) -> Result<Key> {
    shape.key(Key::default().with("machine").with(LAYOUT).with(initramfs.to_string()))
}

/// A machine of this name, if one was saved.
pub(crate) fn find(cache: &Cache, key: &Key) -> Option<std::path::PathBuf> {
    cache.kept(MACHINES, key)
}

/// Throws a machine away that did not load.
pub(crate) fn forget(cache: &Cache, key: &Key) -> Result<()> {
    cache.forget(MACHINES, key)
}

/// Saves a machine that runs, and lets it run on.
pub(crate) async fn save(monitor: &Client, cache: &Cache, key: &Key) -> Result<()> {
    let draft = cache.draft(MACHINES)?;
    command(monitor, "stop", json!({})).await?;
    let saved = migrate(monitor, Direction::Out, draft.path()).await;
    finished(monitor).await?;
    command(monitor, "cont", json!({})).await?;
    saved?;
    cache.keep(MACHINES, key, draft)?;
    Ok(())
}

/// Loads a machine into a QEMU that waits for one, and lets it run.
pub(crate) async fn load(monitor: &Client, saved: &Path) -> Result<()> {
    migrate(monitor, Direction::In, saved).await?;
    command(monitor, "cont", json!({})).await
}

/// Which way a machine goes.
#[derive(Debug, Clone, Copy)]
enum Direction {
    In,
    Out,
}

impl Direction {
    fn command(self) -> &'static str {
        match self {
            Self::In => "migrate-incoming",
            Self::Out => "migrate",
        }
    }

    /// A descriptor that can do no more than is needed: QEMU takes one from a set only where that is
    /// so.
    fn open(self, path: &Path) -> Result<OwnedFd> {
        let mut options = File::options();
        let options = match self {
            Self::In => options.read(true),
            Self::Out => options.write(true),
        };
        Ok(options.open(path).map_err(Error::file("open", path))?.into())
    }
}

/// Has QEMU write or read a machine.
async fn migrate(monitor: &Client, direction: Direction, path: &Path) -> Result<()> {
    let events = json!({"capabilities": [{"capability": "events", "state": true}]});
    command(monitor, "migrate-set-capabilities", events).await?;
    command(monitor, "migrate-set-parameters", json!({"max-bandwidth": UNLIMITED})).await?;
    let events = match begin_with_file(monitor, direction, path).await {
        Ok(events) => Ok(events),
        Err(Error::Command(refused)) if refused.refusal().is_some() => {
            begin_with_descriptor(monitor, direction, path).await
        }
        Err(error) => Err(error),
    };
    let ended = tokio::time::timeout(MIGRATE_WITHIN, migrated(&mut events?)).await;
    ended.map_err(|_| late())?
}

/// QEMU goes to files by their names since 8.2; through a set of descriptors, so that it needs no right
/// of its own to them.
async fn begin_with_file(monitor: &Client, direction: Direction, path: &Path) -> Result<Events> {
    let set = json!({"fdset-id": FDSET});
    let fds = vec![direction.open(path)?];
    monitor.execute_with_fds("add-fd", Some(&set), fds).await?;
    let begun = begin(monitor, direction, format!("file:/dev/fdset/{FDSET}")).await;
    command(monitor, "remove-fd", set).await?;
    begun
}

/// Older ones take any descriptor; since 9.1 that of a file is out of favour, and 11 refuses it.
async fn begin_with_descriptor(
    monitor: &Client,
    direction: Direction,
    path: &Path,
) -> Result<Events> {
    let name = json!({"fdname": DESCRIPTOR});
    monitor.execute_with_fds("getfd", Some(&name), vec![direction.open(path)?]).await?;
    begin(monitor, direction, format!("fd:{DESCRIPTOR}")).await
}

async fn begin(monitor: &Client, direction: Direction, uri: String) -> Result<Events> {
    let events = monitor.events();
    command(monitor, direction.command(), json!({ "uri": uri })).await?;
    Ok(events)
}

async fn migrated(events: &mut Events) -> Result<()> {
    loop {
        let event = events.next().await.map_err(|error| Error::Saved(error.to_string()))?;
        if event.name != "MIGRATION" {
            continue;
        }
        let data = event.data.as_ref().and_then(|data| serde_json::from_str(data.get()).ok());
        let data: Value = data.unwrap_or_default();
        match data["status"].as_str() {
            Some("completed") => return Ok(()),
            Some("failed" | "cancelled") => {
                return Err(Error::Saved("QEMU says that it failed".to_owned()));
            }
            _ => {}
        }
    }
}

/// Waits until a migration is over for QEMU itself: the event comes before, and a `cont` in between is
/// refused (QEMU 7.2, 10.0). Nothing announces it.
async fn finished(monitor: &Client) -> Result<()> {
    let over = async {
        loop {
            let status: Value = monitor.query("query-status").await?;
            if status["status"] != "finish-migrate" {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(MIGRATE_WITHIN, over).await {
        Ok(over) => over,
        Err(_) => Err(late()),
    }
}

fn late() -> Error {
    let what = "the machine to be saved or loaded";
    Error::Late { what, within: MIGRATE_WITHIN, words: String::new() }
}

async fn command(monitor: &Client, name: &str, arguments: Value) -> Result<()> {
    monitor.execute(name, Some(&arguments)).await?;
    Ok(())
}
