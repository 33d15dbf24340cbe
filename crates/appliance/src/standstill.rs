//! Machines that stand still: nothing in them answers, and nobody says so but QEMU.

use std::time::Duration;

use qplug_agent::wire::Command;
use qplug_hotplug::DiskName;
use qplug_qmp::{Address, Client, Options};
use serde_json::Value;

use crate::appliance::Appliance;
use crate::error::{Error, Result};
use crate::registry::Place;

/// How long an answer is waited for before QEMU is asked whether the machine runs, and then again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long QEMU may take to tell; it takes a millisecond, where no other client has its monitor.
const TELL_WITHIN: Duration = Duration::from_secs(1);

/// States that a machine is in for a moment, such as while it is saved.
const PASSING: [&str; 6] =
    ["running", "prelaunch", "inmigrate", "finish-migrate", "save-vm", "restore-vm"];

impl Appliance {
    /// Gives the agent a command and waits for what it returns, as long as the machine runs.
    ///
    /// # Errors
    /// When the agent refused it, or gave no answer; [`Error::Stands`] when the machine does not run.
    pub async fn ask<C: Command>(&self, command: &C) -> Result<C::Return> {
        self.while_it_runs(async { self.agent().await?.run(command).await }).await
    }

    /// Waits for what a machine does, and no longer when it stands still, which would be for ever. A
    /// machine that ends meanwhile is told as such.
    pub(crate) async fn while_it_runs<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        // On the heap: what waits for a machine is large, and is waited for within other such.
        let (work, stands) = (Box::pin(work), Box::pin(self.stands()));
        tokio::select! {
            biased;
            done = work => match done {
                Ok(done) => Ok(done),
                Err(error) => Err(self.explained(error).await),
            },
            stands = stands => Err(stands),
        }
    }

    async fn stands(&self) -> Error {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Ok(Some(why)) = tokio::time::timeout(TELL_WITHIN, self.why_it_stands()).await {
                return Error::Stands {
                    name: self.name().as_str().to_owned(),
                    why,
                    monitor: self.place().file(Place::MONITOR),
                };
            }
        }
    }

    /// Asks QEMU. Nothing, too, when it does not tell: that is for others to find out.
    async fn why_it_stands(&self) -> Option<String> {
        let monitor = match self.connected() {
            Some(monitor) => monitor.clone(),
            // For this one question: others want it too.
            None => {
                let options = Options { connect_timeout: TELL_WITHIN, ..Options::default() };
                let address = Address::Unix(self.socket(Place::CONTROL).await.ok()?);
                Client::connect_with(&address, options).await.ok()?
            }
        };
        let status: Value = monitor.query("query-status").await.ok()?;
        match status["status"].as_str()? {
            state if PASSING.contains(&state) => None,
            "paused" => Some("somebody has paused it".to_owned()),
            "io-error" => Some(failed(&monitor.query("query-block").await.ok()?)),
            state => Some(format!("QEMU calls its state {state:?}")),
        }
    }
}

/// Which image keeps the machine from going on. QEMU stops a machine that would lose what it writes
/// (`werror=enospc`), so that it may be written when there is room again.
fn failed(blocks: &Value) -> String {
    let name = |block: &Value| {
        let node = block["inserted"]["node-name"].as_str()?;
        let ours = DiskName::of_format_node(node).map(|name| name.as_str().to_owned());
        Some(ours.unwrap_or_else(|| node.to_owned()))
    };
    let with = |status: &str| -> Vec<String> {
        let blocks = blocks.as_array().into_iter().flatten();
        blocks.filter(|block| block["io-status"] == status).filter_map(name).collect()
    };
    match &with("nospace")[..] {
        [] => {
            let failed = with("failed").join(", ");
            format!("this host cannot read or write the image of {failed}; mend that first")
        }
        full => {
            let full = full.join(", ");
            format!("this host has no room for what is written to {full}; make room first")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_disk_that_has_no_room_is_named() {
        let block = |node: &str, status: &str| json!({"inserted": {"node-name": node}, "io-status": status});
        let blocks = json!([block("a.format", "ok"), block("data.format", "nospace")]);
        assert!(failed(&blocks).contains("written to data;"), "{}", failed(&blocks));
        let blocks = json!([block("a.format", "failed"), {"io-status": "ok"}]);
        assert!(failed(&blocks).contains("image of a;"), "{}", failed(&blocks));
    }
}
