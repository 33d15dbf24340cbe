//! Waiting until the guest uses a disk. There is no event for it; but a guest's driver reads the
//! partition table of a disk that it has found, and QEMU counts what devices read.

use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::command::{self, Command};
use crate::dialect::{Ability, Features};
use crate::error::Error;
use crate::inventory::device_of_qom_path;
use crate::name::DiskName;
use crate::operation::{Answer, Operation, decode};

/// The pause before the second asking. Each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// A wait under way. It ends when every disk was read from, or in time.
#[derive(Debug)]
pub struct AwaitGuest {
    disks: Vec<(DiskName, bool)>,
    timeout: Duration,
    /// From the first answer on.
    deadline: Option<Instant>,
    pause: Duration,
    ask_at: Option<Instant>,
    outbox: Option<Command>,
    outcome: Option<Result<Vec<(DiskName, bool)>, Error>>,
}

/// What a device did so far, from `query-blockstats` (QEMU 2.10 for `qdev`: the id of the device, or
/// the path of a part of it that has none).
#[derive(Debug, Deserialize)]
struct BlockStats {
    qdev: Option<String>,
    stats: Stats,
}

#[derive(Debug, Deserialize)]
struct Stats {
    rd_operations: u64,
}

impl AwaitGuest {
    /// A wait of `timeout` at the most for the guest to read from each of these disks.
    #[must_use]
    pub fn new(disks: impl IntoIterator<Item = DiskName>, timeout: Duration) -> Self {
        Self {
            disks: disks.into_iter().map(|name| (name, false)).collect(),
            timeout,
            deadline: None,
            pause: FIRST_PAUSE,
            ask_at: None,
            outbox: Some(command::query_stats()),
            outcome: None,
        }
    }

    fn look(&mut self, stats: &[BlockStats], now: Instant) {
        let device = |stats: &BlockStats| {
            let read = stats.stats.rd_operations > 0;
            let device = stats.qdev.as_deref()?;
            read.then(|| device_of_qom_path(device).unwrap_or(device).to_owned())
        };
        let used: std::collections::HashSet<_> = stats.iter().filter_map(device).collect();
        for (name, is_used) in &mut self.disks {
            *is_used |= used.contains(name.as_str());
        }
        // A time that no clock can name is never reached.
        let deadline = self.deadline.or_else(|| now.checked_add(self.timeout));
        self.deadline = deadline;
        if self.disks.iter().all(|(_, is_used)| *is_used)
            || deadline.is_some_and(|deadline| deadline <= now)
        {
            self.outcome = Some(Ok(std::mem::take(&mut self.disks)));
            return;
        }
        let next = now + self.pause;
        self.ask_at = Some(deadline.map_or(next, |deadline| deadline.min(next)));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

impl Operation for AwaitGuest {
    /// Each disk, with whether the guest read from it.
    type Outcome = Result<Vec<(DiskName, bool)>, Error>;

    fn speak(&mut self, features: &Features) {
        if !features.can(Ability::WaitGuest) {
            self.outbox = None;
            self.outcome = Some(Err(features.lacks(Ability::WaitGuest)));
        }
    }

    fn poll_transmit(&mut self) -> Option<Command> {
        self.outbox.take()
    }

    fn handle_answer(&mut self, answer: Answer, now: Instant) {
        match decode::<Vec<BlockStats>>(&command::query_stats(), answer) {
            Ok(stats) => self.look(&stats, now),
            Err(error) => self.outcome = Some(Err(error)),
        }
    }

    fn handle_lost(&mut self, why: String) {
        let command = command::query_stats().name;
        self.outcome.get_or_insert(Err(Error::QueryLost { command, why }));
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.ask_at
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.ask_at.is_some_and(|at| at <= now) {
            self.ask_at = None;
            self.outbox = Some(command::query_stats());
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::script::Happens::{Answer, At, Closed};
    use crate::operation::script::play;

    const IDLE: &str = r#"[
        {"device": "", "qdev": "/machine/peripheral/data/virtio-backend", "stats": {"rd_operations": 0}},
        {"device": "", "qdev": "other", "stats": {"rd_operations": 7}},
        {"device": "ide0", "stats": {"rd_operations": 9}}]"#;
    const READ: &str = r#"[
        {"device": "", "qdev": "/machine/peripheral/data/virtio-backend", "stats": {"rd_operations": 1}}]"#;

    fn wait(
        names: &[&str],
        script: Vec<crate::operation::script::Happens>,
    ) -> Result<Vec<bool>, Error> {
        let names = names.iter().map(|name| DiskName::new(name).unwrap());
        let waited = play(AwaitGuest::new(names, Duration::from_millis(25)), script)?;
        Ok(waited.into_iter().map(|(_, read)| read).collect())
    }

    fn asked(answer: &'static str) -> crate::operation::script::Happens {
        Answer("query-blockstats", "", Ok(answer))
    }

    #[test]
    fn it_asks_again_until_every_disk_was_read() {
        let script = vec![asked(IDLE), At(10), asked(READ)];
        assert_eq!(wait(&["data", "other"], script).unwrap(), [true, true]);
        assert_eq!(wait(&["other"], vec![asked(IDLE)]).unwrap(), [true]);
    }

    #[test]
    fn at_the_deadline_it_asks_a_last_time_and_says_which_were_not() {
        let script = vec![asked(IDLE), At(10), asked(IDLE), At(25), asked(IDLE)];
        assert_eq!(wait(&["data", "other"], script).unwrap(), [false, true]);
    }

    #[test]
    fn a_lost_connection_ends_it() {
        let lost = wait(&["data"], vec![asked(IDLE), Closed]).unwrap_err();
        assert!(matches!(lost, Error::QueryLost { .. }), "{lost}");
    }
}
