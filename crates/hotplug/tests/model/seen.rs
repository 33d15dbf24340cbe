//! What a machine holds, as it is asked by somebody who knows nothing of qplug's own code.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::wire::Wire;

/// Everything in a machine that comes and goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Devices with ids, and their types.
    pub(crate) devices: BTreeMap<String, String>,
    /// Nodes by name: driver, file, whether read-only.
    pub(crate) nodes: BTreeMap<String, (String, String, bool)>,
    pub(crate) objects: BTreeMap<String, String>,
    /// Which node the drive of each device holds.
    pub(crate) holds: BTreeMap<String, String>,
    pub(crate) jobs: BTreeSet<String>,
    pub(crate) exports: BTreeSet<String>,
    pub(crate) fdsets: usize,
}

/// Whose something is, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Disk(String),
    /// Disks share it.
    Shared(String),
    Others,
}

impl Seen {
    pub(crate) fn of(wire: &mut Wire) -> Self {
        let mut ask = |command: &str, arguments: Value| {
            let answer = wire.execute(command, arguments).expect("a query is answered");
            answer.as_array().expect("a list").clone()
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let children = |list: Vec<Value>| {
            let child = |it: &Value| {
                let kind = it["type"].as_str()?.strip_prefix("child<")?.strip_suffix('>')?;
                Some((text(&it["name"]), kind.to_owned()))
            };
            list.iter().filter_map(child).collect()
        };
        let node = |it: &Value| {
            let what = (text(&it["drv"]), text(&it["file"]), it["ro"] == true);
            (text(&it["node-name"]), what)
        };
        let drive = |it: &Value| {
            let holder = text(&it["qdev"]).replace("/machine/peripheral/", "");
            let holder = holder.split('/').next().unwrap_or_default().to_owned();
            let held = it["inserted"]["node-name"].as_str()?;
            Some((holder, held.to_owned()))
        };
        Self {
            devices: children(ask("qom-list", json!({"path": "/machine/peripheral"}))),
            nodes: ask("query-named-block-nodes", json!({})).iter().map(node).collect(),
            objects: children(ask("qom-list", json!({"path": "/objects"}))),
            holds: ask("query-block", json!({})).iter().filter_map(drive).collect(),
            jobs: ask("query-block-jobs", json!({})).iter().map(|it| text(&it["device"])).collect(),
            exports: ask("query-block-exports", json!({}))
                .iter()
                .map(|it| text(&it["id"]))
                .collect(),
            fdsets: ask("query-fdsets", json!({})).len(),
        }
    }

    /// Only what is in the list of names, in `kept`, or only what is not.
    pub(crate) fn part(&self, is_in: impl Fn(&str) -> bool) -> Self {
        let mut part = self.clone();
        part.devices.retain(|id, _| is_in(id));
        part.nodes.retain(|name, _| is_in(name));
        part.objects.retain(|id, _| is_in(id));
        part.holds.retain(|id, _| is_in(id));
        part
    }

    /// All names of devices, nodes and objects.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.devices.keys().chain(self.nodes.keys()).chain(self.objects.keys())
    }

    /// What is called as the disk's things are.
    pub(crate) fn of_disk(&self, name: &str) -> Self {
        self.part(|it| owner(it) == Owner::Disk(name.to_owned()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names().next().is_none()
    }
}

/// Whose something of this name is, if qplug made it: `data`, `data.format`,
/// `qplug.disk.data.throttle`, `qplug.group.gold` and so on.
pub(crate) fn owner(name: &str) -> Owner {
    let strip = |name: &str, suffixes: &[&str]| {
        suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).map(ToOwned::to_owned)
    };
    if let Some(object) = name.strip_prefix("qplug.disk.") {
        let disk = strip(object, &[".secret", ".auth", ".tls", ".throttle", ".pending"]);
        return disk.map_or(Owner::Others, Owner::Disk);
    }
    if name.starts_with("qplug.group.") || name.starts_with("qplug.scsi.") {
        return Owner::Shared(name.to_owned());
    }
    match strip(name, &[".format", ".file", ".limits", ".uas"]) {
        Some(disk) => Owner::Disk(disk),
        None if name.starts_with('#') => Owner::Others,
        None => Owner::Disk(name.to_owned()),
    }
}
