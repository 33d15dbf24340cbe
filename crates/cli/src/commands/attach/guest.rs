//! Waiting until the guest uses what was attached.

use std::fmt;
use std::time::Duration;

use qplug_hotplug::{DiskName, Machine};
use qplug_qmp::Address;
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::Output;

/// How a guest is waited for.
pub(super) struct Patience<'a> {
    pub(super) timeout: Duration,
    pub(super) agent: Option<Address>,
    pub(super) monitor: &'a Monitor,
}

/// What the guest did with a disk.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Guest {
    state: GuestState,
    /// The guest's name of it, where its agent tells.
    device: Option<String>,
    /// How long was waited, in seconds.
    #[serde(skip)]
    timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum GuestState {
    /// Its driver has read from it.
    Ready,
    /// Not yet.
    Pending,
}

impl Guest {
    pub(super) fn exit(&self) -> Exit {
        match self.state {
            GuestState::Ready => Exit::Done,
            GuestState::Pending => Exit::Pending,
        }
    }
}

impl fmt::Display for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.state, &self.device) {
            (GuestState::Ready, None) => f.write_str("the guest's driver has read from it"),
            (GuestState::Ready, Some(device)) => write!(f, "the guest has it at {device}"),
            (GuestState::Pending, _) => write!(
                f,
                "the guest has not read from it within {} s: it may be booting, paused, or without \
                 a driver",
                self.timeout.as_secs_f32()
            ),
        }
    }
}

/// Waits for all of them, which are attached.
pub(super) async fn wait(
    machine: &Machine,
    names: Vec<DiskName>,
    patience: Patience<'_>,
    output: &Output,
) -> Result<Vec<Guest>, Failure> {
    let Patience { timeout, agent, monitor } = patience;
    let list = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let left =
        |why: String, exit| Failure { exit, message: format!("{list}: attached, but {why}") };
    let waited = tokio::select! {
        waited = machine.await_guest(names.clone(), timeout) => waited,
        signal = tokio::signal::ctrl_c() => {
            signal?;
            let why = "the wait for the guest was interrupted".to_owned();
            return Err(left(why, Exit::Interrupted));
        }
    };
    let waited = waited.map_err(|error| {
        left(format!("whether the guest uses it is unknown: {error}"), Exit::Unknown)
    })?;
    let devices = match agent {
        None => vec![None; names.len()],
        Some(address) => match ask_agent(machine, monitor, &address, names).await {
            Ok(devices) => devices,
            // The disk is there all the same.
            Err(failure) => {
                output.remark(&failure.message);
                vec![None; waited.len()]
            }
        },
    };
    let guests = waited.into_iter().zip(devices).map(|((_, is_ready), device)| {
        let state = if is_ready { GuestState::Ready } else { GuestState::Pending };
        Guest { state, device, timeout }
    });
    Ok(guests.collect())
}

async fn ask_agent(
    machine: &Machine,
    monitor: &Monitor,
    address: &Address,
    names: Vec<DiskName>,
) -> Result<Vec<Option<String>>, Failure> {
    let agent = monitor.agent(address).await?;
    Ok(machine.guest_devices(&agent, names).await?)
}
