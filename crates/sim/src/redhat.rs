//! What RHEL 6 has in place of the human monitor's `drive_add` and `drive_del`: commands of QMP.
//! This rests on the source of its `qemu-kvm` (`simple_drive_add` of `hw/device-hotplug.c`), and on
//! no recording.

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::human::Options;
use crate::machine::Machine;
use crate::objects::is_identifier;
use crate::refusal::{self, Reply};

/// All that a drive may be told besides its id.
const OPTIONS: &[&str] = &[
    "aio",
    "bps",
    "bps_rd",
    "bps_wr",
    "cache",
    "copy-on-read",
    "cyls",
    "file",
    "format",
    "heads",
    "iops",
    "iops_rd",
    "iops_wr",
    "media",
    "readonly",
    "rerror",
    "secs",
    "serial",
    "snapshot",
    "trans",
    "werror",
];

impl Machine {
    /// `__com.redhat_drive_add` of QMP: members of any type are made texts of.
    pub(crate) fn redhat_drive_add_members(&mut self, arguments: Arguments) -> Reply {
        let mut options = Options::default();
        for (name, value) in arguments.rest() {
            let text = match value {
                Value::String(text) => text,
                Value::Bool(true) => "on".to_owned(),
                Value::Bool(false) => "off".to_owned(),
                other => other.to_string(),
            };
            match name.as_str() {
                "id" => options.id = Some(text),
                _ => options.given.push((name, text)),
            }
        }
        self.redhat_drive_add(options)
    }

    /// Adds a drive for a device to come. Why an image does not open is on QEMU's stderr.
    pub(crate) fn redhat_drive_add(&mut self, mut options: Options) -> Reply {
        let Some(id) = options.id.clone() else { return Err(refusal::missing("id")) };
        let strange = options.given.iter().find(|(name, _)| !OPTIONS.contains(&name.as_str()));
        if let Some((name, _)) = strange {
            return Err(refusal::unknown_parameter(name));
        }
        options.given.push(("if".to_owned(), "none".to_owned()));
        let is_taken = self.drives.is_taken(&id);
        self.add_drive(options).map_err(|why| match is_identifier(&id) && !is_taken {
            true => refusal::init_failed(&id),
            false => why,
        })?;
        Ok(json!({}))
    }

    /// `__com.redhat_drive_del`.
    pub(crate) fn redhat_drive_del(&mut self, mut arguments: Arguments) -> Reply {
        let id = arguments.text("id")?.ok_or_else(|| refusal::missing("id"))?;
        arguments.finish()?;
        if !self.drop_drive(&id) {
            return Err(refusal::no_device(&id));
        }
        Ok(json!({}))
    }
}
