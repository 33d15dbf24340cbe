//! Taking a snapshot that is planned.

use std::time::Instant;

use super::{Snapshot, SnapshotPlan, TAKE};
use crate::command::Command;
use crate::dialect::Features;
use crate::error::{After, Error};
use crate::operation::{Answer, Operation};
use crate::texts::Meaning;

/// Taking a snapshot: all of its disks in one transaction.
#[derive(Debug)]
pub struct TakeSnapshot {
    plan: SnapshotPlan,
    is_sent: bool,
    outcome: Option<Result<Snapshot, Error>>,
}

impl TakeSnapshot {
    /// Takes this one.
    #[must_use]
    pub fn new(plan: SnapshotPlan) -> Self {
        Self { plan, is_sent: false, outcome: None }
    }
}

impl Operation for TakeSnapshot {
    type Outcome = Result<Snapshot, Error>;

    /// Whether it can is a question of the plan.
    fn speak(&mut self, _features: &Features) {}

    fn poll_transmit(&mut self) -> Option<Command> {
        let is_first = !std::mem::replace(&mut self.is_sent, true);
        is_first.then(|| self.plan.command())
    }

    fn handle_answer(&mut self, answer: Answer, _now: Instant) {
        let tag = &self.plan.tag;
        self.outcome = Some(match answer {
            Answer::Returned(_) => Ok(Snapshot {
                tag: tag.clone(),
                disks: self.plan.disks().map(ToOwned::to_owned).collect(),
            }),
            Answer::Refused(reply) => {
                let meaning = Meaning::of(&reply);
                Err(Error::Refused { doing: TAKE, reply, meaning, after: After::Unchanged })
            }
            Answer::Lost(why) => Err(Error::SnapshotUnknown { tag: tag.to_string(), why }),
            Answer::NotSent(why) => {
                Err(Error::NotSent { doing: TAKE, why, after: After::Unchanged })
            }
        });
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}
