//! What is printed of each disk.

use std::io::{self, Write};
use std::time::Duration;

use qplug_hotplug::{Detached, DiskName};
use qplug_qmp::Traffic;
use serde_json::{Value, json};

use crate::commands::{WithTraffic, took};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// A disk and what became of it.
pub(super) struct Disk {
    pub(super) name: DiskName,
    pub(super) ended: Result<Ended, Failure>,
    /// How long the guest was waited for.
    pub(super) timeout: Duration,
}

/// How the command ends for a disk, unless it is an error.
pub(super) enum Ended {
    Detached(Detached),
    /// There is no such disk, and the user said that this is well.
    Missing,
}

/// Prints what became of the disks.
pub(super) async fn print(
    disks: Vec<Disk>,
    is_single: bool,
    traffic: Traffic,
    output: &Output,
) -> Result<Exit, Failure> {
    let exit = disks.iter().map(Disk::exit).fold(Exit::Done, Exit::worse);
    let took = took(traffic);
    if let (true, [disk]) = (is_single, &*disks) {
        if disk.ended.is_err() {
            return disks.into_iter().next().map_or(Ok(exit), |disk| disk.ended.map(|_| exit));
        }
        let result = WithTraffic { result: disk.to_json(), traffic };
        output.result(&result, |out| disk.tell(out, &format!(" {took}"))).await?;
        return Ok(exit);
    }
    let values: Vec<_> = disks.iter().map(Disk::to_json).collect();
    output
        .result(&json!({"disks": values, "traffic": traffic}), |out| {
            disks.iter().try_for_each(|disk| disk.tell(out, ""))?;
            let gone = disks.iter().filter(|disk| disk.exit() == Exit::Done).count();
            writeln!(out, "{gone} of {} disks detached {took}", disks.len())
        })
        .await?;
    for disk in &disks {
        if let Err(failure) = &disk.ended {
            output.complain(disk.name.as_str(), failure);
        }
    }
    Ok(exit)
}

impl Disk {
    fn exit(&self) -> Exit {
        match &self.ended {
            Ok(Ended::Detached(Detached::Removed { .. }) | Ended::Missing) => Exit::Done,
            Ok(Ended::Detached(Detached::Refused)) => Exit::Refused,
            Ok(Ended::Detached(Detached::Pending)) => Exit::Pending,
            Err(failure) => failure.exit,
        }
    }

    fn to_json(&self) -> Value {
        let (result, was_gone) = match &self.ended {
            Ok(Ended::Detached(Detached::Removed { was_gone })) => ("removed", *was_gone),
            Ok(Ended::Detached(Detached::Refused)) => ("refused", false),
            Ok(Ended::Detached(Detached::Pending)) => ("pending", false),
            Ok(Ended::Missing) => ("missing", true),
            Err(failure) => {
                return json!({"name": self.name.as_str(), "error": failure.to_json()});
            }
        };
        json!({"name": self.name.as_str(), "result": result, "was_gone": was_gone})
    }

    /// One line; nothing for a disk that failed, which is complained of.
    fn tell(&self, out: &mut dyn Write, took: &str) -> io::Result<()> {
        let name = &self.name;
        match &self.ended {
            Ok(Ended::Detached(Detached::Removed { was_gone: false })) => {
                writeln!(out, "{name} detached; its image is free{took}")
            }
            Ok(Ended::Detached(Detached::Removed { was_gone: true })) => {
                writeln!(out, "{name} had left the machine; its image is free now{took}")
            }
            Ok(Ended::Detached(Detached::Refused)) => {
                writeln!(out, "the guest refused to let go of {name}; it is still attached")
            }
            Ok(Ended::Detached(Detached::Pending)) => writeln!(
                out,
                "{name} is pending: the guest was asked to let go, and has not answered within {} \
                 s. It may be busy, paused, or without a system that listens; a reset of the guest \
                 lets go too. The same command goes on with the wait",
                self.timeout.as_secs_f32()
            ),
            Ok(Ended::Missing) => {
                writeln!(out, "there is no disk called {name}; nothing to do")
            }
            Err(_) => Ok(()),
        }
    }
}
