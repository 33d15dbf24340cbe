//! Changing the limits of a disk that is in use.
//!
//! A disk that was attached with limits has them in a throttle group. Any other gets them at its
//! device: they go when it goes.

use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use crate::command::{self, Command};
use crate::dialect::{Ability, Features};
use crate::error::{After, Error};
use crate::inventory::DeviceDisk;
use crate::name::{DiskName, SHARED_GROUP};
use crate::observe::{Look, Observer};
use crate::operation::{Answer, Operation};
use crate::texts::Meaning;
use crate::throttle::{self, Limits};

/// What a step does.
const LIMIT: &str = "limit the disk's speed";

/// What is limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Throttled {
    /// A disk, by its name, or a device, by its id.
    Disk(String),
    /// A group of disks.
    Group(String),
}

/// Limits that hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limited {
    /// What they hold for.
    pub name: String,
    /// The throttle group that they were set in, which other disks may be in too.
    pub group: Option<String>,
    /// The limits; what is not named is not limited.
    pub limits: Limits,
}

/// A change of limits under way.
#[derive(Debug)]
pub struct SetLimits {
    what: Throttled,
    limits: Limits,
    observer: Observer,
    outbox: Option<Command>,
    group: Option<String>,
    outcome: Option<Result<Limited, Error>>,
}

impl SetLimits {
    /// Sets these limits in place of those that hold now; none at all takes the limits off.
    #[must_use]
    pub fn new(what: Throttled, limits: Limits) -> Self {
        let mut observer = Observer::default();
        observer.look([Look::Blocks, Look::Objects]);
        Self { what, limits, observer, outbox: None, group: None, outcome: None }
    }

    fn name(&self) -> &str {
        match &self.what {
            Throttled::Disk(name) | Throttled::Group(name) => name,
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        throttle::check(&self.limits).map_err(crate::DiskError::from)?;
        let features = &self.observer.observed.features;
        if !features.has("block_set_io_throttle") {
            return Err(features.lacks(Ability::Throttling));
        }
        let group = match &self.what {
            Throttled::Group(name) => Some(self.group_of_name(name)?),
            Throttled::Disk(name) => {
                let blocks = self.observer.observed.blocks.as_ref();
                let device = blocks.and_then(|blocks| blocks.device(name));
                let Some(device) = device else {
                    let known = blocks.iter().flat_map(|blocks| blocks.devices());
                    let known = known.map(|it| it.id.to_owned()).collect();
                    return Err(Error::NoSuchDevice { name: name.clone(), known });
                };
                let group = self.group_of_disk(name, &device);
                if group.is_none() {
                    let limits = throttle::of_device(&self.limits);
                    let features = &self.observer.observed.features;
                    self.outbox = Some(match device.old_name {
                        drive if !drive.is_empty() && !features.names_devices => {
                            command::throttle_drive(drive, limits)
                        }
                        _ => command::throttle_device(device.qdev.unwrap_or(device.id), limits),
                    });
                }
                group
            }
        };
        if let Some(group) = &group {
            let path = format!("/objects/{group}");
            let limits = Value::Object(throttle::all(&self.limits));
            self.outbox = Some(command::set_property(&path, "limits", limits));
        }
        self.group = group;
        Ok(())
    }

    /// The group of this name: somebody else's, or else ours.
    fn group_of_name(&self, name: &str) -> Result<String, Error> {
        let objects = self.observer.observed.objects.as_ref();
        let is_group =
            |id: &String| objects.and_then(|objects| objects.kind(id)) == Some("throttle-group");
        let found = [name.to_owned(), format!("{SHARED_GROUP}{name}")].into_iter().find(is_group);
        found.ok_or_else(|| Error::NoSuchGroup { group: name.to_owned() })
    }

    /// The group that the disk's own throttle node is in, as QEMU shows it.
    fn group_of_disk(&self, name: &str, device: &DeviceDisk<'_>) -> Option<String> {
        let name = DiskName::new(name).ok()?;
        device.node.filter(|node| node.name == name.limits_node())?.throttle_group()
    }

    fn handle_set(&self, answer: Answer) -> Result<Limited, Error> {
        match answer {
            Answer::Returned(_) => Ok(Limited {
                name: self.name().to_owned(),
                group: self.group.clone(),
                limits: self.limits.clone(),
            }),
            Answer::Refused(reply) => {
                let meaning = Meaning::of(&reply);
                Err(Error::Refused { doing: LIMIT, reply, meaning, after: After::Unchanged })
            }
            Answer::Lost(why) => {
                Err(Error::Unknown { name: self.name().to_owned(), doing: LIMIT, why })
            }
            Answer::NotSent(why) => {
                Err(Error::NotSent { doing: LIMIT, why, after: After::Unchanged })
            }
        }
    }
}

impl Operation for SetLimits {
    type Outcome = Result<Limited, Error>;

    fn speak(&mut self, features: &Features) {
        self.observer.speak(features);
    }

    fn poll_transmit(&mut self) -> Option<Command> {
        self.observer.poll_transmit().or_else(|| self.outbox.take())
    }

    fn handle_answer(&mut self, answer: Answer, _now: Instant) {
        if self.observer.is_done() {
            self.outcome = Some(self.handle_set(answer));
            return;
        }
        let looked = self.observer.handle_answer(answer);
        let begun = match looked {
            Ok(()) if self.observer.is_done() => self.begin(),
            looked => looked,
        };
        if let Err(error) = begun {
            self.outcome = Some(Err(error));
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operation::script::Happens::{self, Answer};
    use crate::operation::script::play;

    const BARE: &str = r#"[{"device": "", "qdev": "/machine/peripheral/data/virtio-backend", "inserted":
        {"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}}]"#;
    const LIMITED: &str = r#"[{"device": "", "qdev": "/machine/peripheral/data/virtio-backend", "inserted":
        {"node-name": "data.limits", "drv": "throttle", "ro": false, "image": {"virtual-size": 1},
         "file": "json:{\"throttle-group\": \"qplug.group.gold\", \"driver\": \"throttle\", \"file\": {}}"}}]"#;
    const OBJECTS: &str = r#"[{"name": "qplug.group.gold", "type": "child<throttle-group>"}]"#;

    fn set(what: Throttled, blocks: &'static str, steps: Vec<Happens>) -> Result<Limited, Error> {
        let limits = json!({"iops-total": 100, "iops-total-max": 200});
        let look =
            [Answer("query-block", "", Ok(blocks)), Answer("qom-list", "/objects", Ok(OBJECTS))];
        let operation = SetLimits::new(what, limits.as_object().unwrap().clone());
        play(operation, look.into_iter().chain(steps).collect())
    }

    #[test]
    fn limits_go_to_the_device_or_to_the_group_that_the_disk_is_in() {
        let data = || Throttled::Disk("data".to_owned());
        let part =
            r#""iops":100,"iops_rd":0,"iops_wr":0,"bps":0,"bps_rd":0,"bps_wr":0,"iops_max":200"#;
        let limited = set(data(), BARE, vec![Answer("block_set_io_throttle", part, Ok("{}"))]);
        assert_eq!(limited.unwrap().group, None);
        let in_group = || vec![Answer("qom-set", r#"/objects/qplug.group.gold""#, Ok("{}"))];
        let limited = set(data(), LIMITED, in_group()).unwrap();
        assert_eq!(limited.group.as_deref(), Some("qplug.group.gold"));
        set(Throttled::Group("gold".to_owned()), "[]", in_group()).unwrap();
        let error = set(Throttled::Group("tin".to_owned()), "[]", vec![]).unwrap_err();
        assert!(matches!(error, Error::NoSuchGroup { .. }), "{error}");
        let error = set(data(), "[]", vec![]).unwrap_err();
        assert!(matches!(error, Error::NoSuchDevice { .. }), "{error}");
    }
}
