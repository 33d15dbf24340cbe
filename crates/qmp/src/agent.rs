//! A client of the guest agent (`qemu-ga`), which speaks a dialect of its own over its socket: no
//! greeting, no negotiation, no ids, no events, one command at a time.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use qplug_proto::Dialect;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::address::Address;
use crate::client::Client;
use crate::error::{ConnectError, Error};
use crate::options::Options;

/// A connection to a guest's agent. It does not come back by itself when it is lost: see
/// [`AgentReach`].
#[derive(Debug, Clone)]
pub struct Agent {
    client: Client,
    address: Address,
    options: Options,
}

/// How an agent is reached, to connect anew. An agent gives one answer after the other, so what is
/// asked behind a command that hangs is not even sent: a new connection brings it in step again.
#[derive(Debug, Clone)]
pub struct AgentReach {
    address: Address,
    options: Options,
}

impl AgentReach {
    /// Connects; the agent may take this long to come into step. QEMU serves one client at a time: the
    /// old connection, with all its clones, must be gone.
    ///
    /// # Errors
    /// See [`Agent::connect`].
    pub async fn connect(&self, within: Duration) -> Result<Agent, ConnectError> {
        let options = Options { connect_timeout: within, ..self.options.clone() };
        Agent::connect(&self.address, options).await
    }
}

impl Agent {
    /// Connects, and waits until the agent is in step: it may be owed an answer that an earlier
    /// client had asked for.
    ///
    /// # Errors
    /// See [`ConnectError`]; [`ConnectError::NoAgent`] where nothing answers.
    pub async fn connect(address: &Address, options: Options) -> Result<Self, ConnectError> {
        let limit = options.connect_timeout;
        let options = Options { reconnect: None, trace: None, ..options };
        let dialect = Dialect::Agent { token: token() };
        match Client::meet(address, options.clone(), dialect).await {
            Ok(client) => Ok(Self { client, address: address.clone(), options }),
            Err(ConnectError::Busy { address, .. }) => {
                Err(ConnectError::NoAgent { address, limit })
            }
            Err(ConnectError::NoSocket { path }) => Err(ConnectError::NoAgentSocket { path }),
            Err(error) => Err(error),
        }
    }

    /// How this agent is reached.
    #[must_use]
    pub fn reach(&self) -> AgentReach {
        AgentReach { address: self.address.clone(), options: self.options.clone() }
    }

    /// The same connection with another wait for answers. Other clones keep theirs.
    #[must_use]
    pub fn with_command_timeout(self, within: Duration) -> Self {
        Self { client: self.client.with_command_timeout(within), ..self }
    }

    /// Gives a command and waits for what it returns, unparsed.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn execute(
        &self,
        command: &str,
        arguments: Option<&impl Serialize>,
    ) -> Result<Box<RawValue>, Error> {
        self.client.execute(command, arguments).await
    }

    /// Gives a command with no arguments and decodes what it returns.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn query<T: DeserializeOwned>(&self, command: &str) -> Result<T, Error> {
        self.client.query(command).await
    }
}

/// A number that no earlier client is likely to have used.
fn token() -> u32 {
    let random = RandomState::new().build_hasher().finish();
    // The agent's numbers are JSON's, which every client can take.
    u32::try_from(random % u64::from(u32::MAX)).unwrap_or_default()
}
