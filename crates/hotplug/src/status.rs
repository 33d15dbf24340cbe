//! What machine is this, how is it, and what can it do?

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::command::{self, Command};
use crate::dialect::{Ability, Dialect, Features};
use crate::error::Error;
use crate::operation::{Answer, Operation, decode, decode_optional};

/// A machine, in a few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The machine's name, where `-name` gave it one.
    pub name: Option<String>,
    /// QEMU's word for the machine's state: `running`, `paused`, `prelaunch` and so on.
    pub state: String,
    /// Whether the guest's processors run.
    pub running: bool,
    /// The machine's type, such as `pc-q35-7.2`; absent where QEMU does not tell.
    pub machine: Option<String>,
    /// How it is told of disks.
    pub dialect: Dialect,
    /// How the dialect was recognised.
    pub recognised: String,
    /// What qplug can do on this machine, of what it cannot do on all.
    pub can: Vec<Ability>,
    /// What it cannot.
    pub cannot: Vec<Lacking>,
}

/// Something that a machine cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lacking {
    /// What.
    pub ability: Ability,
    /// The version of QEMU since which it can be done.
    pub since: &'static str,
}

/// A look at the state under way.
#[derive(Debug, Default)]
pub struct AskStatus {
    features: Features,
    asked: usize,
    answered: usize,
    status: Option<RunState>,
    name: Option<String>,
    machine: Option<String>,
    outcome: Option<Result<Status, Error>>,
}

#[derive(Debug, Deserialize)]
struct RunState {
    /// Up to 1.0 there is none.
    status: Option<String>,
    running: bool,
}

#[derive(Debug, Deserialize)]
struct NameInfo {
    name: Option<String>,
}

/// In this order.
const QUERIES: [fn() -> Command; 3] =
    [command::query_status, command::query_name, command::query_machine_type];

impl AskStatus {
    fn handle_answer(&mut self, answer: Answer) -> Result<(), Error> {
        let query = QUERIES[self.answered]();
        self.answered += 1;
        match self.answered {
            1 => self.status = Some(decode(&query, answer)?),
            // A machine without a name, or too old to tell its type, has a state all the same.
            2 => {
                let info = decode_optional::<NameInfo>(&query, answer)?;
                self.name = info.and_then(|info| info.name);
            }
            _ => {
                let machine = decode_optional::<String>(&query, answer)?;
                self.machine = machine.map(|name| name.trim_end_matches("-machine").to_owned());
                self.outcome = self.status.take().map(|status| Ok(self.status(status)));
            }
        }
        Ok(())
    }

    fn status(&mut self, RunState { status, running }: RunState) -> Status {
        let word = if running { "running" } else { "paused" };
        let (can, cannot): (_, Vec<_>) =
            Ability::ALL.into_iter().partition(|it| self.features.can(*it));
        let dialect = self.features.dialect();
        let lacking = |ability: Ability| Lacking { ability, since: ability.since(dialect) };
        Status {
            name: self.name.take(),
            state: status.unwrap_or_else(|| word.to_owned()),
            running,
            machine: self.machine.take(),
            dialect,
            recognised: self.features.recognised().to_owned(),
            can,
            cannot: cannot.into_iter().map(lacking).collect(),
        }
    }
}

impl Operation for AskStatus {
    type Outcome = Result<Status, Error>;

    fn speak(&mut self, features: &Features) {
        self.features = features.clone();
    }

    fn poll_transmit(&mut self) -> Option<Command> {
        let query = QUERIES.get(self.asked)?;
        self.asked += 1;
        Some(query())
    }

    fn handle_answer(&mut self, answer: Answer, _now: Instant) {
        if let Err(error) = self.handle_answer(answer) {
            self.outcome = Some(Err(error));
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}
