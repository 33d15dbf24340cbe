//! Other clients of the machine: what they make, which qplug must not touch.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use qplug_sim::Machine;
use serde_json::{Value, json};

use crate::seen::{Seen, has_drives};
use crate::story::{Foreign, GROUP, IMAGES, THEIR_IMAGE};

/// What others made, and what was there from the start.
#[derive(Debug)]
pub(crate) struct Others {
    /// Devices, nodes and objects that are to be there.
    pub(crate) names: BTreeSet<String>,
    /// Those of them that are devices that others plugged in, with their nodes.
    pub(crate) devices: BTreeMap<String, String>,
    /// Whether what a device has is a drive, which goes with it.
    has_drives: bool,
    /// Whether the guest may let go of them by itself.
    pub(crate) may_go: bool,
    jobs: BTreeSet<String>,
    exports: BTreeSet<String>,
    pub(crate) made: u32,
}

impl Others {
    pub(crate) fn new(seen: &Seen, has_drives: bool) -> Self {
        let names = seen.names().cloned().collect();
        let (devices, jobs, exports) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { names, devices, has_drives, may_go: false, jobs, exports, made: 0 }
    }

    /// Whether something of this name is theirs.
    pub(crate) fn made(&self, name: &str) -> bool {
        self.names.contains(name) || name.starts_with('#')
    }

    /// Whether something of theirs has a name that a disk's would have.
    pub(crate) fn uses_name(&self, disk: &str) -> bool {
        self.made(disk) || self.made(&format!("{disk}.format"))
    }

    pub(crate) fn has_jobs(&self) -> bool {
        !self.jobs.is_empty() || !self.exports.is_empty()
    }

    /// What of the machine is theirs.
    pub(crate) fn part(&self, seen: &Seen) -> Seen {
        let part = seen.part(|name| self.made(name) && !self.is_loose(name));
        // Whoever limits a device by its id may mean theirs.
        Seen { slowed: BTreeSet::new(), ..part }
    }

    fn is_loose(&self, name: &str) -> bool {
        let is_drive = || self.has_drives && self.devices.values().any(|drive| drive == name);
        self.may_go && (self.devices.contains_key(name) || is_drive())
    }

    /// What is not.
    pub(crate) fn rest(&self, seen: &Seen) -> Seen {
        seen.part(|name| !self.made(name))
    }

    /// Block jobs and exports end with what they work on, and a guest may let go of a device.
    pub(crate) fn forget_gone(&mut self, seen: &Seen) {
        self.jobs.retain(|job| seen.jobs.contains(job));
        self.exports.retain(|export| seen.exports.contains(export));
        let gone = |name: &String| self.is_loose(name) && !seen.devices.contains_key(name);
        let gone: Vec<_> = self.devices.keys().filter(|name| gone(name)).cloned().collect();
        for name in gone {
            self.names.remove(&name);
            let node = self.devices.remove(&name).expect("it was found there");
            if self.has_drives {
                self.names.remove(&node);
            }
        }
    }

    pub(crate) fn check_there(&self, seen: &Seen) {
        let there: BTreeSet<_> = seen.names().collect();
        for name in self.names.iter().filter(|name| !self.is_loose(name)) {
            assert!(there.contains(name), "{name} of others is gone");
        }
    }

    /// Does what another client does.
    pub(crate) fn act(&mut self, foreign: &Foreign, machine: &mut Machine, now: Instant) {
        if has_drives(machine.version()) {
            return self.act_on_drives(foreign, machine, now);
        }
        let mut execute = |command: &str, arguments: Value| {
            machine.execute(command, Some(&arguments), &mut Vec::new(), now).ok()
        };
        self.made += 1;
        let node = format!("theirs.{}", self.made);
        let over = |name: &str, path: &str, read_only: bool| {
            let file = json!({"driver": "file", "filename": path, "read-only": read_only});
            json!({"driver": "raw", "node-name": name, "read-only": read_only, "file": file})
        };
        let mut names = Vec::new();
        match foreign {
            Foreign::Open => {
                let opened = execute("blockdev-add", over(&node, THEIR_IMAGE, true));
                names.extend(opened.map(|_| node));
            }
            Foreign::OpenOurs(image) => {
                let opened = execute("blockdev-add", over(&node, IMAGES[*image].0, false));
                names.extend(opened.map(|_| node));
            }
            Foreign::Lookalike(disk) => {
                let name = format!("{disk}.format");
                let opened = execute("blockdev-add", over(&name, THEIR_IMAGE, true));
                names.extend(opened.map(|_| name));
            }
            Foreign::Device(disk) => {
                // One over what qplug left half done cannot be told from a filter's work.
                let nodes = execute("query-named-block-nodes", json!({})).unwrap_or_default();
                let format = format!("{disk}.format");
                if nodes.as_array().into_iter().flatten().any(|it| it["node-name"] == *format) {
                    return;
                }
                if execute("blockdev-add", over(&node, THEIR_IMAGE, true)).is_none() {
                    return;
                }
                let buses = ["rp0", "rp1", "rp2", "rp3", "rp4", "pci.0"];
                let device = |bus: &&str| {
                    let driver = "virtio-blk-pci";
                    let mut device =
                        json!({"driver": driver, "id": disk, "drive": node, "bus": bus});
                    // Two in one port leave together.
                    if *bus != "pci.0" {
                        device["addr"] = json!("0");
                    }
                    device
                };
                let is_in = buses.iter().any(|bus| execute("device_add", device(bus)).is_some());
                match is_in {
                    true => {
                        self.devices.insert((*disk).to_owned(), node.clone());
                        names.extend([node, (*disk).to_owned()]);
                    }
                    false => drop(execute("blockdev-del", json!({"node-name": node}))),
                }
            }
            Foreign::Secret(disk) => {
                let id = format!("{disk}.secret");
                let secret = json!({"qom-type": "secret", "id": id, "data": "x"});
                names.extend(execute("object-add", secret).map(|_| id));
            }
            Foreign::Group => {
                let group = json!({"qom-type": "throttle-group", "id": GROUP});
                names.extend(execute("object-add", group).map(|_| GROUP.to_owned()));
            }
            Foreign::TidyUp => {
                let made: Vec<_> = self.names.iter().cloned().collect();
                for name in made {
                    let node = execute("blockdev-del", json!({"node-name": name}));
                    if node.or_else(|| execute("object-del", json!({"id": name}))).is_some() {
                        self.names.remove(&name);
                    }
                }
            }
            Foreign::Unplug(disk) => {
                if !self.made(disk) {
                    let _ = execute("device_del", json!({"id": disk}));
                }
            }
            Foreign::Job(disk) => {
                let target = json!({"driver": "null-co", "node-name": node, "size": 1 << 20});
                if execute("blockdev-add", target).is_none() {
                    return;
                }
                let job = format!("job.{}", self.made);
                let begun = execute(
                    "blockdev-mirror",
                    json!({
                        "job-id": job, "device": format!("{disk}.format"), "target": node,
                        "sync": "full", "speed": 1,
                    }),
                );
                self.jobs.extend(begun.map(|_| job));
                names.push(node);
            }
            Foreign::Export(disk) => {
                let at = json!({"addr": {"type": "unix", "data": {"path": "/nbd"}}});
                let _ = execute("nbd-server-start", at);
                let export = format!("export.{}", self.made);
                let mut begin = |node: &str| {
                    let node = format!("{disk}.{node}");
                    let what = json!({"type": "nbd", "id": export, "node-name": node});
                    execute("block-export-add", what)
                };
                let begun = begin("limits").or_else(|| begin("format"));
                self.exports.extend(begun.map(|_| export));
            }
            Foreign::Drop(_) => {}
            Foreign::EndJobs => {
                for job in std::mem::take(&mut self.jobs) {
                    let _ = execute("block-job-cancel", json!({"device": job, "force": true}));
                }
                for export in std::mem::take(&mut self.exports) {
                    let _ = execute("block-export-del", json!({"id": export, "mode": "hard"}));
                }
            }
        }
        self.names.extend(names);
    }
}
