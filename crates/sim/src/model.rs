//! The device models there are: where each goes, and what it can be told.

mod table;

use qplug_proto::ErrorReply;
use serde_json::{Map, Value};

use crate::config::Version;
use crate::pci::Facts;
use crate::refusal::{self, generic, not_accepted, wrong_type};
use crate::words;
use table::{ALIASES, LATER, MODELS};

/// Where a device goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goes {
    Pci,
    Scsi,
    Usb,
    /// To IDE, which takes nothing while the machine runs.
    Ide,
    /// To `isa.0`, likewise.
    Isa,
    /// To a virtio-serial controller.
    Serial,
    /// To a bus of this type, of which there is none, or none that takes anything.
    Elsewhere(&'static str),
}

/// Whether a device has a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drive {
    None,
    /// It may have one.
    Optional,
    /// It must have one.
    Needed,
}

/// A device model.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) goes: Goes,
    pub(crate) drive: Drive,
    /// The device within it that holds the drive; messages name it.
    pub(crate) inner: &'static str,
    /// What it can be told, besides properties of its bus and of disks.
    properties: &'static [&'static [(&'static str, Type)]],
    pub(crate) facts: Facts,
    /// The buses that it brings along: what comes behind its id.
    pub(crate) buses: &'static [&'static str],
    /// What goes there.
    pub(crate) carries: Option<Goes>,
    /// The first version that has it, of those that are imitated.
    since: Version,
    /// The last one.
    until: Version,
    /// Whether it has a tray.
    pub(crate) is_cd: bool,
    /// The most characters of a serial, where QEMU 10.0 minds.
    pub(crate) serial_limit: Option<usize>,
}

/// The type of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Bool,
    Number,
    Signed,
    /// A size of a block: a power of two from 512 to 2 MiB.
    Block,
    Words(&'static [&'static str]),
    Address,
    Any,
}

use Type::{Address, Block, Bool, Number, Signed, Text, Words};

impl Model {
    pub(crate) fn find(name: &str, version: Version) -> Option<&'static Self> {
        let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, it)| it);
        let is_there = |model: &&Model| (model.since..=model.until).contains(&version);
        MODELS.iter().filter(is_there).find(|model| model.name == name)
    }

    /// The device that has the drive, as messages name it. Until QEMU 1.4 a virtio disk is one
    /// device.
    pub(crate) fn drive_holder(&self, version: Version) -> &'static str {
        if version < Version::V2_5 { self.name } else { self.inner }
    }

    fn property(&self, name: &str, version: Version) -> Option<Type> {
        let since = LATER.iter().find(|(later, _)| *later == name);
        let is_early = since.is_some_and(|(_, since)| version < *since);
        // Until 0.15 a drive has its serial itself, but for those of SCSI and IDE.
        let on_drive = ["virtio-blk-pci", "usb-storage"].contains(&self.name);
        if is_early || (name == "serial" && on_drive && version < Version::V1_2) {
            return None;
        }
        let known = self.properties.iter().flat_map(|list| list.iter());
        known.into_iter().find(|(known, _)| *known == name).map(|(_, of)| *of)
    }

    /// A virtio device on a conventional bus shows the id of old ones.
    pub(crate) fn facts_on(&self, is_express: bool) -> Facts {
        let device = match (self.name, is_express) {
            ("virtio-blk-pci", false) => 0x1001,
            ("virtio-scsi-pci", false) => 0x1004,
            ("virtio-net-pci", false) => 0x1000,
            ("virtio-balloon-pci", false) => 0x1002,
            ("virtio-serial-pci", false) => 0x1003,
            _ => self.facts.device,
        };
        Facts { device, ..self.facts }
    }

    /// Checks what a device is told, one by one as QEMU sets it.
    pub(crate) fn check(
        &self,
        properties: &Map<String, Value>,
        version: Version,
    ) -> Result<(), ErrorReply> {
        for (name, value) in properties {
            let Some(of) = self.property(name, version) else {
                return Err(words::no_property(version, self.name, name));
            };
            if version < Version::V10_0 {
                self.check_text(name, of, value, version)?;
            } else {
                self.check_typed(name, of, value)?;
            }
        }
        Ok(())
    }

    /// QEMU 10.0 takes JSON as it is.
    fn check_typed(&self, name: &str, of: Type, value: &Value) -> Result<(), ErrorReply> {
        match of {
            Text if !value.is_string() => Err(wrong_type(name, "string")),
            Bool if !value.is_boolean() => Err(wrong_type(name, "boolean")),
            Number | Signed if !value.is_i64() && !value.is_u64() => {
                Err(wrong_type(name, "integer"))
            }
            Block => match value.as_u64() {
                None => Err(wrong_type(name, "integer")),
                Some(size) if is_block(size) => Ok(()),
                Some(_) => Err(generic(format!(
                    "parameter {name} must be a power of 2 between 512 and 2097152"
                ))),
            },
            Words(words) => match value.as_str() {
                None => Err(wrong_type(name, "string")),
                Some(word) if words.contains(&word) => Ok(()),
                Some(word) => Err(not_accepted(name, word)),
            },
            Address if crate::pci::address(value).is_none() => Err(self.bad_value(name, value)),
            _ => Ok(()),
        }
    }

    /// Those before make texts of all first.
    fn check_text(
        &self,
        name: &str,
        of: Type,
        value: &Value,
        version: Version,
    ) -> Result<(), ErrorReply> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(true) => "on".to_owned(),
            Value::Bool(false) => "off".to_owned(),
            other => other.to_string(),
        };
        match of {
            Bool if !["on", "off", "yes", "no", "true", "false", "y", "n"]
                .contains(&text.as_str()) =>
            {
                Err(self.bad_text(name, &text, "'on' or 'off'", version))
            }
            Number | Signed if text.parse::<i128>().is_err() && !text.starts_with("0x") => {
                let expected = match (of, version) {
                    (_, Version::V2_5 | Version::V2_9) => "an int64 value or range",
                    (Signed, _) => "integer",
                    _ => "a number",
                };
                Err(self.bad_text(name, &text, expected, version))
            }
            Block if !text.parse().is_ok_and(is_block) => Err(generic(format!(
                "Property .{name} doesn't take value {text} (minimum: 512, maximum: 2097152)"
            ))),
            Words(words) if !words.contains(&text.as_str()) => Err(not_accepted(name, &text)),
            Address if crate::pci::address(value).is_none() => {
                Err(refusal::bad_value(self.name, name, &text))
            }
            _ => Ok(()),
        }
    }

    fn bad_text(&self, name: &str, text: &str, expected: &str, version: Version) -> ErrorReply {
        if version < Version::V1_2 {
            return refusal::bad_value(self.name, name, text);
        }
        if version < Version::V2_5 && expected != "'on' or 'off'" {
            return wrong_type(name, "integer");
        }
        generic(format!("Parameter '{name}' expects {expected}"))
    }

    fn bad_value(&self, name: &str, value: &Value) -> ErrorReply {
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        generic(format!("Property '{}.{name}' doesn't take value '{text}'", self.name))
    }
}

fn is_block(size: u64) -> bool {
    size.is_power_of_two() && (512..=2 << 20).contains(&size)
}
