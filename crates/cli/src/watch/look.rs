//! Looking at the machine.

use std::time::Instant;

use qplug_hotplug::{Activity, Error, ListedDisk, Machine, Ports, Status};

use super::agenda::Parts;
use super::jobs::{self, Job, Source};

/// What a look found of the parts that were asked for.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: Option<Result<Status, Error>>,
    pub(crate) disks: Option<Result<Vec<ListedDisk>, Error>>,
    pub(crate) ports: Option<Result<Ports, Error>>,
    pub(crate) jobs: Option<Result<(Source, Vec<Job>), qplug_qmp::Error>>,
    /// With the time that it was so.
    pub(crate) activity: Option<Result<(Vec<Activity>, Instant), Error>>,
}

/// Looks, one query behind the other: others may have something to ask too.
pub(crate) async fn look(
    machine: &Machine,
    parts: Parts,
    source: Source,
    clock: fn() -> Instant,
) -> Seen {
    let mut seen = Seen { status: None, disks: None, ports: None, jobs: None, activity: None };
    if parts.has(Parts::ACTIVITY) {
        seen.activity = Some(machine.activity().await.map(|told| (told, clock())));
    }
    if parts.has(Parts::STATE) {
        seen.status = Some(machine.status().await);
    }
    if parts.has(Parts::TOPOLOGY) {
        seen.disks = Some(machine.list().await);
        seen.ports = Some(machine.ports().await);
    }
    if parts.has(Parts::JOBS) {
        seen.jobs = Some(jobs::ask(machine.client(), source).await);
    }
    seen
}
