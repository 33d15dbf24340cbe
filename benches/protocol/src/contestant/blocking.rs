//! qplug's blocking client.

use std::path::Path;
use std::time::{Duration, Instant};

use qplug_qmp::blocking::Client;
use qplug_qmp::{Address, EventsError};

use super::Contestant;
use crate::Failure;
use crate::schema::Entry;
use crate::work::{BURST, IN_FLIGHT, Work};

/// How long a burst of events may take.
const BURST_WITHIN: Duration = Duration::from_secs(60);

const NO_ARGUMENTS: Option<&()> = None;

pub(super) struct Blocking(Client);

impl Blocking {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        Ok(Self(Client::connect(&Address::Unix(path.to_owned()))?))
    }

    fn burst(&mut self) -> Result<u64, Failure> {
        let deadline = Instant::now() + BURST_WITHIN;
        self.0.execute("stop", NO_ARGUMENTS)?;
        let (mut seen, mut missed) = (0, 0);
        while seen + missed < u64::from(BURST) {
            match self.0.wait_event(deadline) {
                Ok(Some(_)) => seen += 1,
                Ok(None) => return Err("the events did not come in time".into()),
                Err(EventsError::Missed(count)) => missed += count,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(missed)
    }
}

impl Contestant for Blocking {
    fn run(&mut self, work: Work, count: u32) -> Result<u64, Failure> {
        let mut missed = 0;
        let mut replies = Vec::with_capacity(IN_FLIGHT as usize);
        for _ in 0..count {
            match work {
                Work::Single => drop(self.0.execute("query-status", NO_ARGUMENTS)?),
                Work::InFlight => {
                    for _ in 0..IN_FLIGHT {
                        replies.push(self.0.submit("query-status", NO_ARGUMENTS)?);
                    }
                    for reply in replies.drain(..) {
                        self.0.wait(reply)?;
                    }
                }
                Work::Events => missed += self.burst()?,
                Work::Unparsed => drop(self.0.execute("query-qmp-schema", NO_ARGUMENTS)?),
                Work::Decoded => drop(self.0.query::<Vec<Entry>>("query-qmp-schema")?),
            }
        }
        Ok(missed)
    }
}
