//! The human monitor, as `human-monitor-command` reaches it: what it prints comes back as a text, a
//! failure too.
//!
//! | file | owns |
//! |---|---|
//! | `human/line.rs` | a line: its words, quotes and escapes |
//! | `human/options.rs` | options with commas between them |
//! | `human/info.rs` | `info block` and other short ones |
//! | `human/qtree.rs` | `info qtree` |

mod info;
mod line;
mod options;
mod qtree;

use std::time::Instant;

use qplug_proto::ErrorReply;
use serde_json::{Map, Value, json};

use crate::arguments::Arguments;
use crate::config::Version;
use crate::drives::MadeBy;
use crate::machine::Machine;
use crate::refusal::{Reply, generic};
use line::{Kind, Line, Syntax};
pub(crate) use options::Options;

/// What the monitor adds to a complaint about an id.
const IDENTIFIERS: &str =
    "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter.\n";

/// The commands there are, with what each takes.
const COMMANDS: &[Syntax] = &[
    Syntax { names: &["block_resize"], takes: &[Kind::Drive, Kind::Size] },
    Syntax { names: &["change"], takes: &[Kind::Drive, Kind::File, Kind::Optional] },
    Syntax { names: &["cont", "c"], takes: &[] },
    Syntax { names: &["device_add"], takes: &[Kind::Options] },
    Syntax { names: &["device_del"], takes: &[Kind::Text] },
    Syntax { names: &["eject"], takes: &[Kind::Flag('f'), Kind::Drive] },
    Syntax { names: &["help", "?"], takes: &[Kind::Optional] },
    Syntax { names: &["info"], takes: &[Kind::Optional] },
    Syntax { names: &["quit", "q"], takes: &[] },
    Syntax { names: &["stop", "s"], takes: &[] },
    Syntax { names: &["system_reset"], takes: &[] },
];

/// `drive_add` and `drive_del`, which RHEL 6 took out.
const DRIVE: &[Syntax] = &[
    Syntax { names: &["drive_add"], takes: &[Kind::Flag('n'), Kind::Text, Kind::Text] },
    Syntax { names: &["drive_del"], takes: &[Kind::Drive] },
];

/// The same before 2.5; `-n` came with 2.6.
const OLD_DRIVE: &[Syntax] = &[
    Syntax { names: &["drive_add"], takes: &[Kind::Text, Kind::Text] },
    Syntax { names: &["drive_del"], takes: &[Kind::Text] },
];

/// What RHEL 6 has in their place.
const REDHAT: &[Syntax] = &[
    Syntax { names: &["__com.redhat_drive_add"], takes: &[Kind::Options] },
    Syntax { names: &["__com.redhat_drive_del"], takes: &[Kind::Text] },
];

impl Machine {
    /// `human-monitor-command`. Before 1.1 nothing printed is an empty object.
    pub(crate) fn human_monitor_command(
        &mut self,
        mut arguments: Arguments,
        now: Instant,
    ) -> Reply {
        let line = arguments.required_text("command-line")?;
        let processor = arguments.integer("cpu-index")?;
        arguments.finish()?;
        if processor.is_some_and(|number| number != 0) {
            return Err(generic("Parameter 'cpu-index' expects a CPU number"));
        }
        let printed = self.human_line(&line, now);
        Ok(match printed.is_empty() && self.version < Version::V1_2 {
            true => json!({}),
            false => json!(printed.replace('\n', "\r\n")),
        })
    }

    fn human_line(&mut self, line: &str, now: Instant) -> String {
        let (name, rest) = line::command(line);
        if name.is_empty() {
            return String::new();
        }
        let drive = match self.version {
            Version::Rhel6 => REDHAT,
            Version::V0_14 | Version::V1_2 => OLD_DRIVE,
            _ => DRIVE,
        };
        let mut known = COMMANDS.iter().chain(drive);
        let Some(syntax) = known.find(|syntax| syntax.names.contains(&name)) else {
            return format!("unknown command: '{name}'\n");
        };
        match syntax.read(rest, self.version) {
            Ok(line) => self.human_command(syntax.names[0], &line, now),
            Err(complaint) => complaint,
        }
    }

    fn human_command(&mut self, name: &str, line: &Line, now: Instant) -> String {
        let version = self.version;
        let done = match name {
            "drive_add" => return self.human_drive_add(line),
            "drive_del" => return self.human_drive_del(line.text(0)),
            "info" => return self.human_info(line.optional(0)),
            "help" => return help(line.optional(0)),
            "device_add" => self.human_device_add(line.text(0), now),
            "device_del" => self.run("device_del", json!({"id": line.text(0)}), now),
            "eject" => {
                let members = json!({"device": line.text(1), "force": line.flag(0)});
                self.run("eject", members, now)
            }
            "change" => {
                let mut members = json!({"device": line.text(0), "target": line.text(1)});
                if let Some(format) = line.optional(2) {
                    members["arg"] = json!(format);
                }
                let members = members.as_object().cloned().unwrap_or_default();
                self.change(Arguments::nested(members, String::new()), now)
            }
            "block_resize" => {
                let members = json!({"device": line.text(0), "size": line.size(1)});
                self.run("block_resize", members, now)
            }
            "__com.redhat_drive_add" => {
                let options = Options::read(line.text(0), None, version);
                self.redhat_drive_add(options)
            }
            "__com.redhat_drive_del" => self.run(name, json!({"id": line.text(0)}), now),
            other => self.run(other, json!({}), now),
        };
        match done {
            Ok(_) => String::new(),
            Err(why) => told(&why, version),
        }
    }

    /// Runs a command of QMP.
    fn run(&mut self, command: &str, members: Value, now: Instant) -> Reply {
        let members = match members {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        self.dispatch(command, members, &mut Vec::new(), now)
    }

    fn human_device_add(&mut self, text: &str, now: Instant) -> Reply {
        let options = Options::read(text, Some("driver"), self.version);
        let id = options.id.into_iter().map(|id| ("id".to_owned(), Value::from(id)));
        let rest = options.given.into_iter().map(|(name, value)| (name, Value::from(value)));
        self.device_add(Arguments::new(id.chain(rest).collect(), self.version), now)
    }

    /// The address is not looked at.
    fn human_drive_add(&mut self, line: &Line) -> String {
        let text = match self.version < Version::V2_5 {
            true => line.text(1),
            false if line.flag(0) => {
                return "adding a node by drive_add is not simulated\n".to_owned();
            }
            false => line.text(2),
        };
        let options = Options::read(text, None, self.version);
        let path = options.clone().take("file").unwrap_or_default();
        match self.add_drive(options) {
            Ok((_, 0)) => "OK\n".to_owned(),
            Ok((name, interface)) => {
                self.take_drive_back(&name);
                format!("Can't hot-add drive to type {interface}\n")
            }
            Err(why) => in_drive_add(&why, &path, self.version),
        }
    }

    /// `drive_del`: of a drive that no device has, of one that is plugged, of a node.
    fn human_drive_del(&mut self, name: &str) -> String {
        let version = self.version;
        let Some(drive) = self.drives.find(name) else {
            if version >= Version::V2_9 && self.graph.find(name).is_some() {
                return match self.graph.delete(name) {
                    Ok(()) => String::new(),
                    Err(why) => format!("{}\n", why.desc),
                };
            }
            return format!("Device '{name}' not found\n");
        };
        if drive.made_by == MadeBy::Blockdev {
            return "Deleting device added with blockdev-add is not supported\n".to_owned();
        }
        self.drop_drive(name);
        String::new()
    }
}

/// A refusal as the monitor prints it.
fn told(why: &ErrorReply, version: Version) -> String {
    let said = format!("{}\n", why.desc);
    if why.desc == "Parameter 'id' expects an identifier" {
        return with_identifiers(&said, version);
    }
    if why.desc == "Parameter 'driver' expects a driver name" {
        return format!("{said}Try with argument '?' for a list.\n");
    }
    let error = if version < Version::V7_2 { "" } else { "Error: " };
    format!("{error}{said}")
}

/// The same in `drive_add`, which also says whose lock it may be.
fn in_drive_add(why: &ErrorReply, path: &str, version: Version) -> String {
    let said = format!("{}\n", why.desc);
    if why.desc == "Parameter 'id' expects an identifier" {
        return with_identifiers(&said, version);
    }
    match why.desc.starts_with("Failed to get ") {
        true => format!("{said}Is another process using the image [{path}]?\n"),
        false => said,
    }
}

fn with_identifiers(said: &str, version: Version) -> String {
    match version {
        Version::V1_2 => format!("{IDENTIFIERS}{said}"),
        _ => format!("{said}{IDENTIFIERS}"),
    }
}

fn help(of: Option<&str>) -> String {
    let asked = |syntax: &&Syntax| of.is_none_or(|name| syntax.names.contains(&name));
    let known = COMMANDS.iter().chain(OLD_DRIVE).filter(asked);
    known.map(|syntax| format!("{} -- see QEMU\n", syntax.names.join("|"))).collect()
}
