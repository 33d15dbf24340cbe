//! Snapshots within images: taken one by one or in a transaction, shown, and deleted.
//!
//! They are the node's, not the image's: they are gone when it is closed.

use std::time::{Duration, Instant};

use qplug_proto::ErrorReply;
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::config::Version;
use crate::graph::{Graph, NodeId};
use crate::machine::Machine;
use crate::refusal::{Reply, generic, no_device, no_device_nor_node};

/// The one change that a transaction is imitated for.
const TAKE: &str = "blockdev-snapshot-internal-sync";

/// A snapshot within an image.
#[derive(Debug, Clone)]
pub(crate) struct InnerSnapshot {
    id: u64,
    name: String,
    /// When, since 1970.
    taken: Duration,
    /// When, by the guest's clock.
    clock: Duration,
}

impl InnerSnapshot {
    /// As `query-block` shows it.
    pub(crate) fn show(&self) -> Value {
        json!({
            "vm-clock-nsec": self.clock.subsec_nanos(), "name": self.name,
            "date-sec": self.taken.as_secs(), "date-nsec": self.taken.subsec_nanos(),
            "vm-clock-sec": self.clock.as_secs(), "id": self.id.to_string(), "vm-state-size": 0,
        })
    }
}

impl Graph {
    /// The node whose image has the snapshots: filters pass them on.
    pub(crate) fn snapshots_of(&self, id: NodeId) -> Option<NodeId> {
        let node = self.node(id)?;
        match node.driver {
            "qcow2" => Some(id),
            "throttle" | "copy-on-read" => self.snapshots_of(self.file_of(id)?),
            _ => None,
        }
    }
}

impl Machine {
    /// `transaction`: all of its snapshots, or none.
    pub(crate) fn transaction(&mut self, mut arguments: Arguments, now: Instant) -> Reply {
        let actions = match arguments.any("actions") {
            Some(Value::Array(actions)) => actions,
            _ => return Err(generic("Parameter 'actions' is missing")),
        };
        arguments.finish()?;
        let mut taken = Vec::new();
        for action in actions {
            let outcome = match (action["type"].as_str(), &action["data"]) {
                (Some(TAKE), Value::Object(data)) => {
                    self.take(Arguments::new(data.clone(), self.version), now)
                }
                (kind, _) => {
                    let kind = kind.unwrap_or_default();
                    Err(generic(format!("The simulated machine does not imitate '{kind}'")))
                }
            };
            match outcome {
                Ok(one) => taken.push(one),
                Err(error) => {
                    for (node, id) in taken {
                        self.forget(node, id);
                    }
                    return Err(error);
                }
            }
        }
        Ok(json!({}))
    }

    /// `blockdev-snapshot-internal-sync`
    pub(crate) fn take_inner_snapshot(&mut self, arguments: Arguments, now: Instant) -> Reply {
        self.take(arguments, now).map(|_| json!({}))
    }

    /// `blockdev-snapshot-delete-internal-sync`
    pub(crate) fn delete_inner_snapshot(&mut self, mut arguments: Arguments) -> Reply {
        let device = arguments.required_text("device")?;
        let (id, name) = (arguments.text("id")?, arguments.text("name")?);
        arguments.finish()?;
        let (top, node) = self.snapshot_place(&device)?;
        if id.is_none() && name.is_none() {
            return Err(generic("Name or id must be provided"));
        }
        let is_it = |it: &InnerSnapshot| {
            id.as_ref().is_none_or(|id| *id == it.id.to_string())
                && name.as_ref().is_none_or(|name| *name == it.name)
        };
        let all = node.and_then(|node| self.graph.node(node)).map(|node| &node.snapshots);
        let found = all.into_iter().flatten().find(|it| is_it(it)).cloned();
        let Some(found) = found else {
            let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "null".to_owned());
            return Err(generic(format!(
                "Snapshot with id '{}' and name '{}' does not exist on device '{device}'",
                word(&id),
                word(&name)
            )));
        };
        self.forget(node.unwrap_or(top), found.id);
        Ok(found.show())
    }

    /// The root node that is meant, and the one whose image has its snapshots.
    fn snapshot_place(&self, device: &str) -> Result<(NodeId, Option<NodeId>), ErrorReply> {
        let of_drive = self.drives.find(device).and_then(|drive| {
            let device = drive.device.and_then(|key| self.devices.at(key));
            self.graph.used_by(drive.user.or(device?.user)?)
        });
        let top = of_drive.or_else(|| self.graph.find(device)).ok_or_else(|| {
            match self.version < Version::V7_2 {
                true => no_device(device),
                false => no_device_nor_node(device, device),
            }
        })?;
        if self.graph.is_below(top) {
            return Err(generic("Need a root block node"));
        }
        Ok((top, self.graph.snapshots_of(top)))
    }

    fn take(
        &mut self,
        mut arguments: Arguments,
        now: Instant,
    ) -> Result<(NodeId, u64), ErrorReply> {
        let device = arguments.required_text("device")?;
        let name = arguments.required_text("name")?;
        arguments.finish()?;
        let (top, node) = self.snapshot_place(&device)?;
        let shown = self.graph.node(top);
        if shown.is_some_and(|node| node.read_only) {
            return Err(generic(format!("Device '{device}' is read only")));
        }
        let Some(place) = node else {
            let format = shown.map_or("", |node| node.driver);
            return Err(generic(format!(
                "Block format '{format}' used by device '{device}' does not support internal \
                 snapshots"
            )));
        };
        if name.is_empty() {
            return Err(generic("Name is empty"));
        }
        let (clock, taken) = (self.clock.at(now), self.since_1970(now));
        let Some(node) = self.graph.node_mut(place) else { return Err(no_device(&device)) };
        if node.snapshots.iter().any(|it| it.name == name) {
            return Err(generic(format!(
                "Snapshot with name '{name}' already exists on device '{device}'"
            )));
        }
        let id = node.snapshots.iter().map(|it| it.id).max().unwrap_or_default() + 1;
        node.snapshots.push(InnerSnapshot { id, name, taken, clock });
        Ok((place, id))
    }

    fn forget(&mut self, node: NodeId, id: u64) {
        if let Some(node) = self.graph.node_mut(node) {
            node.snapshots.retain(|it| it.id != id);
        }
    }
}
