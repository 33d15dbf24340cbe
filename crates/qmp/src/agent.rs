//! A client of the guest agent (`qemu-ga`), which speaks a dialect of its own over its socket: no
//! greeting, no negotiation, no ids, no events, one command at a time.

use std::hash::{BuildHasher, Hasher, RandomState};

use qplug_proto::Dialect;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::address::Address;
use crate::client::Client;
use crate::error::{ConnectError, Error};
use crate::options::Options;

/// A connection to a guest's agent. It does not come back when it is lost.
#[derive(Debug, Clone)]
pub struct Agent(Client);

impl Agent {
    /// Connects, and waits until the agent is in step: it may be owed an answer that an earlier
    /// client had asked for.
    ///
    /// # Errors
    /// See [`ConnectError`]; [`ConnectError::NoAgent`] where nothing answers.
    pub async fn connect(address: &Address, options: Options) -> Result<Self, ConnectError> {
        let limit = options.connect_timeout;
        let options = Options { reconnect: None, trace: None, ..options };
        let met = Client::meet(address, options, Dialect::Agent { token: token() }).await;
        met.map(Self).map_err(|error| match error {
            ConnectError::Busy { address, .. } => ConnectError::NoAgent { address, limit },
            error => error,
        })
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
        self.0.execute(command, arguments).await
    }

    /// Gives a command with no arguments and decodes what it returns.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn query<T: DeserializeOwned>(&self, command: &str) -> Result<T, Error> {
        self.0.query(command).await
    }
}

/// A number that no earlier client is likely to have used.
fn token() -> u32 {
    let random = RandomState::new().build_hasher().finish();
    // The agent's numbers are JSON's, which every client can take.
    u32::try_from(random % u64::from(u32::MAX)).unwrap_or_default()
}
