//! Lanes: so many processes can use an appliance at once.
//!
//! A QEMU socket has one client at a time, and so has a port of the agent's. So there are several of each: a
//! lane is a monitor, an agent's control port and its files port. Who uses one holds a lock on a file of the
//! machine's folder, which goes with the process, however it ends.

use std::fs::{File, TryLockError};
use std::ops::Range;
use std::time::{Duration, Instant};

use qplug_agent::wire::LANES;

use crate::error::{Error, Result};
use crate::registry::Place;

/// How long a lane is waited for while others have them all.
const TURN_WITHIN: Duration = Duration::from_secs(30);

/// Time between two looks at whether a lane has become free: nothing announces it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How many processes can use an appliance at once. One lane more is kept for who takes it down.
pub const MAX_CLIENTS: usize = LANES - 1;

/// A lane that nobody else has.
#[derive(Debug)]
pub(crate) struct Lane {
    number: usize,
    _lock: File,
}

impl Lane {
    /// The first one that is free, as soon as one is.
    pub(crate) async fn take(place: &Place) -> Result<Self> {
        Self::take_of(place, 0..MAX_CLIENTS).await
    }

    /// The one that is kept for who takes the appliance down.
    pub(crate) async fn take_last(place: &Place) -> Result<Self> {
        Self::take_of(place, MAX_CLIENTS..LANES).await
    }

    /// The first one, of a machine that nobody else knows yet.
    pub(crate) fn first(place: &Place) -> Result<Self> {
        Self::try_take(place, 0)?.ok_or_else(busy)
    }

    async fn take_of(place: &Place, numbers: Range<usize>) -> Result<Self> {
        let free = || {
            let mut lanes = numbers.clone().map(|number| Self::try_take(place, number));
            lanes.find_map(Result::transpose).transpose()
        };
        turn(free).await?.ok_or_else(busy)
    }

    fn try_take(place: &Place, number: usize) -> Result<Option<Self>> {
        let lock = try_lock(place, &format!("lane.{number}"))?;
        Ok(lock.map(|lock| Self { number, _lock: lock }))
    }

    /// Which one it is, from 0.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The name of this lane's socket of a kind, in the machine's folder.
    pub(crate) fn socket(&self, kind: &str) -> String {
        socket(kind, self.number)
    }
}

/// The right to choose labels, which one process has at a time until this is dropped: two of them would choose
/// the same.
pub(crate) async fn choose_labels(place: &Place) -> Result<File> {
    let late = || Error::Late {
        what: "another process that plugs disks in",
        within: TURN_WITHIN,
        words: String::new(),
    };
    turn(|| try_lock(place, "labels")).await?.ok_or_else(late)
}

/// Tries until there is something, for as long as a turn is waited for.
async fn turn<T>(free: impl Fn() -> Result<Option<T>>) -> Result<Option<T>> {
    let deadline = Instant::now() + TURN_WITHIN;
    loop {
        let taken = free()?;
        if taken.is_some() || Instant::now() >= deadline {
            return Ok(taken);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn try_lock(place: &Place, name: &str) -> Result<Option<File>> {
    let path = place.file(name);
    let lock = File::create(&path).map_err(Error::file("make", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(Error::file("lock", &path)(error)),
    }
}

/// The name of a lane's socket of a kind.
pub(crate) fn socket(kind: &str, lane: usize) -> String {
    format!("{kind}.{lane}")
}

fn busy() -> Error {
    Error::Busy { clients: MAX_CLIENTS, within: TURN_WITHIN }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

    use super::*;
    use crate::registry::{ApplianceName, Registry};

    #[tokio::test]
    async fn everybody_has_another_lane_until_there_are_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::at(folder.path()).unwrap();
        let place = registry.place(&ApplianceName::new("work").unwrap());
        std::fs::create_dir(place.folder()).unwrap();
        let mut lanes = Vec::new();
        for number in 0..MAX_CLIENTS {
            let lane = Lane::take(&place).await.unwrap();
            assert_eq!(lane.socket("agent"), format!("agent.{number}"));
            lanes.push(lane);
        }
        let waiting = tokio::time::timeout(LOOK_EVERY, Lane::take(&place)).await;
        assert!(waiting.is_err(), "a lane was given twice");
        assert_eq!(Lane::take_last(&place).await.unwrap().number, MAX_CLIENTS);
        lanes.remove(1);
        assert_eq!(Lane::take(&place).await.unwrap().number, 1);
    }
}
