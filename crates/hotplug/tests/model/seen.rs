//! What a machine holds, as it is asked by somebody who knows nothing of qplug's own code.

use std::collections::{BTreeMap, BTreeSet};

use qplug_sim::Version;
use serde_json::{Value, json};

use crate::wire::Wire;

/// Everything in a machine that comes and goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Devices with ids, and their types.
    pub(crate) devices: BTreeMap<String, String>,
    /// Nodes by name: driver, file, whether read-only. Where there are none, the drives that have a
    /// medium.
    pub(crate) nodes: BTreeMap<String, (String, String, bool)>,
    pub(crate) objects: BTreeMap<String, String>,
    /// Which node the drive of each device holds.
    pub(crate) holds: BTreeMap<String, String>,
    pub(crate) jobs: BTreeSet<String>,
    pub(crate) exports: BTreeSet<String>,
    pub(crate) fdsets: usize,
    /// The drives whose speed is limited.
    pub(crate) slowed: BTreeSet<String>,
}

/// Whether disks are drives there, and not nodes.
pub(crate) fn has_drives(version: Version) -> bool {
    version < Version::V2_9
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
        let version = wire.sim.machine().version();
        let children = |list: Vec<Value>| {
            let child = |it: &Value| {
                let kind = it["type"].as_str()?.strip_prefix("child<")?.strip_suffix('>')?;
                Some((text(&it["name"]), kind.to_owned()))
            };
            list.iter().filter_map(child).collect()
        };
        if has_drives(version) {
            return Self::of_drives(wire);
        }
        let held = |it: &Value| {
            let holder = text(&it["qdev"]).replace("/machine/peripheral/", "");
            let holder = holder.split('/').next().unwrap_or_default().to_owned();
            Some((holder, it["inserted"]["node-name"].as_str()?.to_owned()))
        };
        let holds = match version < Version::V7_2 {
            true => Tree::of(wire).holds,
            false => ask(wire, "query-block", json!({})).iter().filter_map(held).collect(),
        };
        let mut ask = |command: &str, arguments: Value| ask(wire, command, arguments);
        let exports = match version < Version::V7_2 {
            true => Vec::new(),
            false => ask("query-block-exports", json!({})),
        };
        let node = |it: &Value| (text(&it["node-name"]), medium(it));
        Self {
            devices: children(ask("qom-list", json!({"path": "/machine/peripheral"}))),
            nodes: ask("query-named-block-nodes", json!({})).iter().map(node).collect(),
            objects: children(ask("qom-list", json!({"path": "/objects"}))),
            holds,
            jobs: ask("query-block-jobs", json!({})).iter().map(|it| text(&it["device"])).collect(),
            exports: exports.iter().map(|it| text(&it["id"])).collect(),
            fdsets: ask("query-fdsets", json!({})).len(),
            slowed: BTreeSet::new(),
        }
    }

    /// What a machine holds that has drives.
    fn of_drives(wire: &mut Wire) -> Self {
        let Tree { devices, holds } = Tree::of(wire);
        let drives = ask(wire, "query-block", json!({}));
        let full = |it: &&Value| it["inserted"].is_object() && it["device"] != "";
        let full: Vec<_> = drives.iter().filter(full).collect();
        let is_slow = |it: &&&Value| it["inserted"]["iops"].as_u64().is_some_and(|iops| iops > 0);
        let named = |it: &&Value| (text(&it["device"]), medium(&it["inserted"]));
        Self {
            devices,
            nodes: full.iter().map(named).collect(),
            objects: BTreeMap::new(),
            holds,
            jobs: BTreeSet::new(),
            exports: BTreeSet::new(),
            fdsets: 0,
            slowed: full.iter().filter(is_slow).map(|it| text(&it["device"])).collect(),
        }
    }

    /// Only what is in the list of names, in `kept`, or only what is not.
    pub(crate) fn part(&self, is_in: impl Fn(&str) -> bool) -> Self {
        let mut part = self.clone();
        part.devices.retain(|id, _| is_in(id));
        part.nodes.retain(|name, _| is_in(name));
        part.objects.retain(|id, _| is_in(id));
        part.holds.retain(|id, _| is_in(id));
        part.slowed.retain(|name| is_in(name));
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

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn ask(wire: &mut Wire, command: &str, arguments: Value) -> Vec<Value> {
    let answer = wire.execute(command, arguments).expect("a query is answered");
    answer.as_array().expect("a list").clone()
}

fn medium(it: &Value) -> (String, String, bool) {
    (text(&it["drv"]), text(&it["file"]), it["ro"] == true)
}

/// What `info qtree` tells.
#[derive(Default)]
struct Tree {
    devices: BTreeMap<String, String>,
    holds: BTreeMap<String, String>,
}

impl Tree {
    fn of(wire: &mut Wire) -> Self {
        let printed = wire.human("info qtree");
        let mut tree = Self::default();
        // The last device that has an id, and how far in it stands: what stands further in is a part.
        let mut whole = (String::new(), 0);
        for line in printed.lines() {
            let depth = line.len() - line.trim_start().len();
            let line = line.trim().trim_start_matches("dev-prop: ");
            if let Some((kind, id)) =
                line.strip_prefix("dev: ").and_then(|it| it.split_once(", id "))
            {
                let id = id.trim_matches('"').to_owned();
                if !id.is_empty() {
                    tree.devices.insert(id.clone(), kind.to_owned());
                }
                if !id.is_empty() || depth <= whole.1 {
                    whole = (id, depth);
                }
            } else if let Some(drive) = line.strip_prefix("drive = ") {
                let drive = drive.trim_matches('"');
                if !matches!(drive, "" | "<null>") {
                    tree.holds.insert(whole.0.clone(), drive.to_owned());
                }
            }
        }
        tree
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
