//! What machine is this, and how is it?

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::command::{self, Command};
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
}

/// A look at the state under way.
#[derive(Debug, Default)]
pub struct AskStatus {
    asked: usize,
    answered: usize,
    status: Option<RunState>,
    name: Option<String>,
    machine: Option<String>,
    outcome: Option<Result<Status, Error>>,
}

#[derive(Debug, Deserialize)]
struct RunState {
    status: String,
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
                self.outcome = self.status.take().map(|RunState { status, running }| {
                    let (name, machine) = (self.name.take(), self.machine.take());
                    Ok(Status { name, state: status, running, machine })
                });
            }
        }
        Ok(())
    }
}

impl Operation for AskStatus {
    type Outcome = Result<Status, Error>;

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
