//! Scenarios, and what becomes of them on either side.

use std::time::Duration;

use serde_json::{Value, json};

/// One thing to do.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A command whose reply is compared: a refusal by class and text, a result by the parts that
    /// the pointers name (none: only that there was one). A part may be `/*/node-name`, for a list.
    Say { command: &'static str, arguments: Value, parts: &'static [&'static str] },
    /// Waits for this event, and compares its data.
    Hear { event: &'static str, parts: &'static [&'static str] },
    /// Lets this much time go by.
    Wait(Duration),
    /// Asks until it is not refused any more.
    Until { command: &'static str, arguments: Value },
    /// Asks until the guest has read from the disk of this device.
    UntilRead { qdev: String },
}

/// A scenario on one kind of machine.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) steps: Vec<Step>,
}

impl Scenario {
    /// Whether a step names this file.
    pub(crate) fn mentions(&self, file: &str) -> bool {
        self.steps.iter().any(|step| format!("{step:?}").contains(file))
    }
}

pub(crate) fn scenario(name: &'static str, steps: impl IntoIterator<Item = Step>) -> Scenario {
    Scenario { name, steps: steps.into_iter().collect() }
}

pub(crate) fn say(command: &'static str, arguments: Value) -> Step {
    Step::Say { command, arguments, parts: &[] }
}

pub(crate) fn ask(command: &'static str, arguments: Value, parts: &'static [&'static str]) -> Step {
    Step::Say { command, arguments, parts }
}

pub(crate) fn hear(event: &'static str, parts: &'static [&'static str]) -> Step {
    Step::Hear { event, parts }
}

pub(crate) fn until(command: &'static str, arguments: Value) -> Step {
    Step::Until { command, arguments }
}

/// A raw image over a file, named as qplug names it.
pub(crate) fn raw(name: &str, file: &str) -> Step {
    say(
        "blockdev-add",
        json!({
            "driver": "raw", "node-name": format!("{name}.format"),
            "file": {"driver": "file", "node-name": format!("{name}.file"), "filename": file},
        }),
    )
}

/// A node with nothing behind it.
pub(crate) fn null(name: &str) -> Step {
    say("blockdev-add", json!({"driver": "null-co", "node-name": name, "size": 1 << 20}))
}

/// `device_add` of a virtio-blk disk.
pub(crate) fn plug(id: &str, drive: &str, bus: &str, addr: &str) -> Step {
    let driver = "virtio-blk-pci";
    let device = json!({"driver": driver, "id": id, "drive": drive, "bus": bus, "addr": addr});
    say("device_add", device)
}

pub(crate) fn unplug(id: &str) -> Step {
    say("device_del", json!({"id": id}))
}

pub(crate) fn close(node: &str) -> Step {
    say("blockdev-del", json!({"node-name": node}))
}

/// What a side answered, a line a step.
pub(crate) type Record = Vec<String>;

/// A side that scenarios are played on.
pub(crate) trait Side {
    fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, Value>;
    /// The next event of this name.
    fn hear(&mut self, event: &str) -> Option<Value>;
    fn wait(&mut self, time: Duration);
}

/// How often a command is given until it is not refused, and the time between.
const TRIES: usize = 400;
const BETWEEN_TRIES: Duration = Duration::from_millis(25);

/// Plays a scenario, and writes down what is compared.
pub(crate) fn play(scenario: &Scenario, side: &mut dyn Side) -> Record {
    scenario.steps.iter().map(|step| play_step(step, side)).collect()
}

fn play_step(step: &Step, side: &mut dyn Side) -> String {
    match step {
        Step::Say { command, arguments, parts } => {
            let answer = match side.execute(command, arguments) {
                Ok(value) => shown(&value, parts),
                Err(error) => {
                    format!("{}: {}", error["class"].as_str().unwrap(), settled(&error["desc"]))
                }
            };
            format!("{command} {arguments} -> {answer}")
        }
        Step::Hear { event, parts } => match side.hear(event) {
            Some(data) => format!("{event} {}", shown(&data, parts)),
            None => format!("{event} did not come"),
        },
        Step::Wait(time) => {
            side.wait(*time);
            format!("waited {time:?}")
        }
        Step::Until { command, arguments } => {
            let is_done = (0..TRIES).any(|_| {
                side.wait(BETWEEN_TRIES);
                side.execute(command, arguments).is_ok()
            });
            format!("{command} {arguments} -> {}", if is_done { "in the end" } else { "never" })
        }
        Step::UntilRead { qdev } => {
            let is_read = (0..TRIES).any(|_| {
                side.wait(BETWEEN_TRIES);
                let stats = side.execute("query-blockstats", &json!({})).unwrap();
                let stats = stats.as_array().unwrap().iter();
                let mut its = stats.filter(|stats| stats["qdev"] == json!(qdev));
                its.any(|stats| stats["stats"]["rd_operations"] != 0)
            });
            format!("{qdev} {}", if is_read { "was read" } else { "was not read" })
        }
    }
}

/// QEMU gives its nodes numbers as they come.
fn settled(desc: &Value) -> String {
    let text = desc.as_str().unwrap();
    let mut settled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("#block") {
        settled.push_str(before);
        settled.push_str("#blockN");
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    settled + rest
}

/// With the members of objects in the order of their names.
fn in_order(value: Value) -> Value {
    match value {
        Value::Object(mut members) => {
            members.sort_keys();
            members.into_iter().map(|(name, value)| (name, in_order(value))).collect()
        }
        other => other,
    }
}

/// The named parts of a value. Lists behind a star are compared without their order.
fn shown(value: &Value, parts: &[&str]) -> String {
    let part = |pointer: &&str| match pointer.split_once("/*") {
        None => {
            let part = value.pointer(pointer).cloned().unwrap_or_default();
            format!("{pointer}={}", in_order(part))
        }
        Some((list, each)) => {
            let list = value.pointer(list).and_then(Value::as_array).cloned().unwrap_or_default();
            let part = |item: &Value| {
                let part = in_order(item.pointer(each).cloned().unwrap_or_default());
                settled(&json!(part.to_string()))
            };
            let mut items: Vec<_> = list.iter().map(part).collect();
            items.sort();
            format!("{pointer}=[{}]", items.join(", "))
        }
    };
    match parts {
        [] => "ok".to_owned(),
        parts => parts.iter().map(part).collect::<Vec<_>>().join(" "),
    }
}
