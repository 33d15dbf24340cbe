//! Where the machine is, and how it is reached.

use std::time::Duration;

use qplug_hotplug::{Dialect, Machine};
use qplug_qmp::{Address, Agent, Client, Options, TlsFolder, Trace};

use crate::commands::schema::source::Reach;
use crate::failure::Failure;

/// How long a guest's agent may take to look at its disks.
const AGENT_WITHIN: Duration = Duration::from_secs(10);

/// Where the machine is. Commands check their own arguments before they connect.
#[derive(Debug, Clone)]
pub(crate) struct Monitor {
    pub(crate) address: Address,
    pub(crate) connect_timeout: Duration,
    pub(crate) tls: Option<TlsFolder>,
    pub(crate) trace: Option<Trace>,
    pub(crate) dialect: Option<Dialect>,
    /// A connection that is there already, which the commands of a shell share.
    pub(crate) kept: Option<Client>,
}

impl Monitor {
    /// How other monitors are reached.
    pub(crate) fn reach(&self) -> Reach {
        Reach { connect_timeout: self.connect_timeout, tls: self.tls.clone() }
    }

    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        self.connect_with(Options::default()).await
    }

    /// Connects with other waits for replies than the usual ones.
    pub(crate) async fn connect_with(&self, options: Options) -> Result<Client, Failure> {
        if let Some(client) = &self.kept {
            let client = client.clone().with_command_timeout(options.command_timeout);
            return Ok(client.counting_alone());
        }
        let (connect_timeout, tls) = (self.connect_timeout, self.tls.clone());
        let trace = self.trace.clone();
        let options = Options { connect_timeout, tls, trace, ..options };
        Ok(Client::connect_with(&self.address, options).await?)
    }

    /// Connects to the agent in the guest.
    pub(crate) async fn agent(&self, address: &Address) -> Result<Agent, Failure> {
        let connect_timeout = self.connect_timeout;
        let command_timeout = AGENT_WITHIN;
        let options = Options { connect_timeout, command_timeout, ..Options::default() };
        Ok(Agent::connect(address, options).await?)
    }

    pub(crate) async fn machine(&self) -> Result<Machine, Failure> {
        Ok(Machine::new(self.connect().await?).dialect(self.dialect))
    }

    /// Whether QEMU runs on another machine, so that its files are not here.
    pub(crate) fn is_elsewhere(&self) -> bool {
        let (Address::Tcp { host, .. } | Address::Tls { host, .. }) = &self.address else {
            return matches!(self.address, Address::Vsock { .. });
        };
        let ip = host.parse::<std::net::IpAddr>();
        host != "localhost" && !ip.is_ok_and(|ip| ip.is_loopback())
    }
}
