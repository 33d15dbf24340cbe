//! Where the machine is, and how it is reached.

use std::time::Duration;

use qplug_hotplug::{Dialect, Machine};
use qplug_qmp::{Address, Agent, Client, Options, TlsFolder, Trace};

use crate::commands::schema::source::Reach;
use crate::failure::Failure;

/// How long a guest's agent may take to look at its disks.
const AGENT_WITHIN: Duration = Duration::from_secs(10);

/// The pause before the first try to connect again, and the longest one: each is twice as long as the
/// one before it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The pauses between tries to connect again, which go on without an end.
#[derive(Debug)]
pub(crate) struct Pauses(Duration);

impl Pauses {
    pub(crate) fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    /// How long to wait before the next try.
    pub(crate) fn take(&mut self) -> Duration {
        let longer = (self.0 * 2).min(LONGEST_PAUSE);
        std::mem::replace(&mut self.0, longer)
    }
}

/// Connects to the agent in a guest.
pub(crate) async fn agent(address: &Address, connect_timeout: Duration) -> Result<Agent, Failure> {
    let command_timeout = AGENT_WITHIN;
    let options = Options { connect_timeout, command_timeout, ..Options::default() };
    Ok(Agent::connect(address, options).await?)
}

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
        agent(address, self.connect_timeout).await
    }

    pub(crate) async fn machine(&self) -> Result<Machine, Failure> {
        self.machine_with(Options::default()).await
    }

    /// The machine, with other waits for replies than the usual ones.
    pub(crate) async fn machine_with(&self, options: Options) -> Result<Machine, Failure> {
        Ok(Machine::new(self.connect_with(options).await?).dialect(self.dialect))
    }

    /// Whether a connection that was lost can be made again: a socket that was given to us is gone
    /// with it, and a command may be a QEMU that would be started anew.
    pub(crate) fn can_come_back(&self) -> bool {
        !matches!(self.address, Address::Fd(_) | Address::Exec(_))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut pauses = Pauses::new();
        let taken: Vec<_> = (0..7).map(|_| pauses.take().as_millis()).collect();
        assert_eq!(taken, [100, 200, 400, 800, 1600, 2000, 2000]);
    }
}
