//! Freezing a guest's file systems through its agent (QEMU 1.1), and thawing them whatever happened.
//!
//! A guest that stays frozen hangs by and by, so all is arranged for the thaw: whoever began a freeze
//! can always thaw, over a new connection where the agent owes the answer to the freeze. A frozen agent
//! refuses most commands, also another freeze (CommandNotFound, QEMU 7.2 and 10.0).

use std::time::Duration;

use qplug_qmp::{Agent, ConnectError};

use crate::drive::{Deadline, agent_words};
use crate::error::Error;

const STATUS: &str = "guest-fsfreeze-status";
const FREEZE: &str = "guest-fsfreeze-freeze";
const THAW: &str = "guest-fsfreeze-thaw";

/// How long one try to thaw may take before the next begins, with a new connection.
const TRY_WITHIN: Duration = Duration::from_secs(5);

/// What the agent answers while the guest's file systems are frozen.
const FROZEN: &str = "frozen";

/// Who freezes a guest's file systems, and thaws them.
#[derive(Debug)]
pub struct Freezer {
    agent: Agent,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not frozen by this one.
    Thawed,
    /// A freeze was asked for, and nobody knows what became of it: the agent may owe the answer.
    Asked,
    Frozen,
}

impl Freezer {
    /// How long a thaw is tried, where the caller does not say.
    pub const THAW_WITHIN: Duration = Duration::from_secs(30);

    /// Through this agent. No clone of it may be kept.
    #[must_use]
    pub fn new(agent: Agent) -> Self {
        Self { agent, state: State::Thawed }
    }

    /// Whether the guest's file systems are frozen, as far as the agent knows: by whomever, if through
    /// the agent.
    ///
    /// # Errors
    /// [`Error::AgentSilent`].
    pub async fn is_frozen(&self) -> Result<bool, Error> {
        let status = self.agent.query::<String>(STATUS).await;
        let silent = |error| Error::AgentSilent { command: STATUS, why: agent_words(&error) };
        Ok(status.map_err(silent)? == FROZEN)
    }

    /// Freezes the guest's file systems: what is written to them is on the disks then, and who writes
    /// waits. Returns how many there are.
    ///
    /// After an error, and when the future is dropped, [`Freezer::may_be_frozen`] says whether a thaw is
    /// due.
    ///
    /// # Errors
    /// [`Error::NotFrozen`]; where the freeze is only late, a thaw is due for that to be true.
    pub async fn freeze(&mut self, within: Duration) -> Result<u64, Error> {
        self.state = State::Asked;
        let agent = self.agent.clone().with_command_timeout(within);
        let error = match agent.query::<u64>(FREEZE).await {
            // Nothing was there to be frozen: the agent says thawed then.
            Ok(count) => {
                self.state = if count == 0 { State::Thawed } else { State::Frozen };
                return Ok(count);
            }
            Err(error) => error,
        };
        drop(agent);
        let is_refused = error.refusal().is_some();
        // An agent that cannot freeze one of them thaws those that it had frozen; some did not.
        if is_refused && let Ok(is_frozen) = self.is_frozen().await {
            self.state = if is_frozen { State::Frozen } else { State::Thawed };
        }
        Err(Error::NotFrozen { why: agent_words(&error), is_refused })
    }

    /// Whether this one has frozen the guest's file systems and not thawed them again, or may have.
    #[must_use]
    pub fn may_be_frozen(&self) -> bool {
        self.state != State::Thawed
    }

    /// Thaws the guest's file systems, whoever froze them; tries again, over new connections, for this
    /// long. Returns how many were thawed.
    ///
    /// # Errors
    /// [`Error::MayBeFrozen`].
    pub async fn thaw(self, within: Duration) -> Result<u64, Error> {
        let deadline = Deadline::within(within);
        let reach = self.agent.reach();
        // What is asked behind a freeze that hangs is not sent.
        let mut agent = Some(self.agent).filter(|_| self.state != State::Asked);
        loop {
            let patience = deadline.left().min(TRY_WITHIN);
            let met = match agent.take() {
                Some(agent) => Ok(agent),
                None => reach.connect(patience).await,
            };
            let why = match met {
                // Whoever made the socket is gone, and with it the machine.
                Err(
                    error @ (ConnectError::NoAgentSocket { .. } | ConnectError::NoListener { .. }),
                ) => {
                    return Err(Error::MayBeFrozen { why: error.to_string() });
                }
                Err(error) => error.to_string(),
                Ok(agent) => {
                    let thawed = agent.with_command_timeout(patience).query::<u64>(THAW).await;
                    match thawed {
                        Ok(count) => return Ok(count),
                        Err(error) if error.refusal().is_some() => {
                            return Err(Error::MayBeFrozen { why: agent_words(&error) });
                        }
                        Err(error) => agent_words(&error),
                    }
                }
            };
            if deadline.left().is_zero() {
                return Err(Error::MayBeFrozen { why });
            }
            deadline.pause().await;
        }
    }
}
