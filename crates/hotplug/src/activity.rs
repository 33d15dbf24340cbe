//! What guests did with their disks so far.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::command::{self, Command};
use crate::dialect::Features;
use crate::error::Error;
use crate::inventory::device_of_qom_path;
use crate::name::DiskName;
use crate::operation::{Answer, Operation, decode};

/// What a guest did with a disk since the disk was plugged in, as QEMU counts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// The disk, by its name in [`List`](crate::List). Before QEMU 3.0 a device is not told, and a
    /// disk that qplug did not make has the name of its drive; 2.9 tells of drives only.
    pub disk: String,
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Reads that were done.
    pub reads: u64,
    /// Writes that were done.
    pub writes: u64,
}

/// A question under way: one command, `query-blockstats`.
#[derive(Debug)]
pub struct AskActivity {
    outbox: Option<Command>,
    outcome: Option<Result<Vec<Activity>, Error>>,
}

/// An entry of `query-blockstats` (QEMU 0.14; `node-name` since 2.3, `qdev` since 3.0).
#[derive(Debug, Deserialize)]
struct BlockStats {
    #[serde(default)]
    device: String,
    #[serde(rename = "node-name")]
    node: Option<String>,
    qdev: Option<String>,
    stats: Stats,
}

#[derive(Debug, Deserialize)]
struct Stats {
    rd_bytes: u64,
    wr_bytes: u64,
    rd_operations: u64,
    wr_operations: u64,
}

impl AskActivity {
    /// A question about all disks.
    #[must_use]
    pub fn new() -> Self {
        Self { outbox: Some(command::query_stats()), outcome: None }
    }
}

impl Default for AskActivity {
    fn default() -> Self {
        Self::new()
    }
}

impl BlockStats {
    /// A device that has just left has neither id nor path any more.
    fn disk(&self) -> Option<String> {
        let of_node = |node: &str| DiskName::of_format_node(node).map(|name| name.to_string());
        let name = match (self.qdev.as_deref(), self.node.as_deref()) {
            (Some(path), _) => device_of_qom_path(path).unwrap_or(path).to_owned(),
            (None, _) if !self.device.is_empty() => {
                of_node(&self.device).unwrap_or_else(|| self.device.clone())
            }
            (None, Some(node)) => of_node(node)?,
            (None, None) => return None,
        };
        (!name.is_empty()).then_some(name)
    }

    fn into_activity(self) -> Option<Activity> {
        let Stats { rd_bytes, wr_bytes, rd_operations, wr_operations } = self.stats;
        Some(Activity {
            disk: self.disk()?,
            read_bytes: rd_bytes,
            written_bytes: wr_bytes,
            reads: rd_operations,
            writes: wr_operations,
        })
    }
}

impl Operation for AskActivity {
    type Outcome = Result<Vec<Activity>, Error>;

    /// Every machine can.
    fn speak(&mut self, _features: &Features) {}

    fn poll_transmit(&mut self) -> Option<Command> {
        self.outbox.take()
    }

    fn handle_answer(&mut self, answer: Answer, _now: Instant) {
        let stats = decode::<Vec<BlockStats>>(&command::query_stats(), answer);
        let activities = |stats: Vec<BlockStats>| {
            stats.into_iter().filter_map(BlockStats::into_activity).collect()
        };
        self.outcome = Some(stats.map(activities));
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::script::Happens::Answer;
    use crate::operation::script::play;

    #[test]
    fn disks_have_the_names_of_the_list_in_every_dialect() {
        let stats = r#"{"rd_bytes": 1, "wr_bytes": 2, "rd_operations": 3, "wr_operations": 4}"#;
        let answer = r#"[
            {"device": "", "qdev": "/machine/peripheral/a/virtio-backend", "node-name": "x", "stats": S},
            {"device": "ide1-cd0", "qdev": "/machine/unattached/device[23]", "stats": S},
            {"device": "", "qdev": "cd0", "stats": S},
            {"device": "b.format", "parent": {"stats": S}, "stats": S},
            {"device": "ide0-hd0", "stats": S},
            {"device": "", "node-name": "c.format", "stats": S},
            {"device": "", "qdev": "", "stats": S},
            {"device": "", "node-name": "theirs", "stats": S},
            {"device": "", "stats": S}]"#;
        let answer: &'static str = answer.replace('S', stats).leak();
        let script = vec![Answer("query-blockstats", "", Ok(answer))];
        let told = play(AskActivity::new(), script).unwrap();
        let names: Vec<_> = told.iter().map(|it| it.disk.as_str()).collect();
        assert_eq!(names, ["a", "/machine/unattached/device[23]", "cd0", "b", "ide0-hd0", "c"]);
        let Activity { read_bytes, written_bytes, reads, writes, .. } = told[0];
        assert_eq!([read_bytes, written_bytes, reads, writes], [1, 2, 3, 4]);
    }
}
