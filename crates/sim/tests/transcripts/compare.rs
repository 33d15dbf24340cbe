//! What counts as the same answer.

use serde_json::{Map, Value};

use crate::transcript::{Action, Step};

/// Members of results that the simulated machine leaves out, or makes up, knowingly and for good:
/// docs/simulator.md has a row for each command here.
const LEFT_OUT: &[(&str, &[&str])] = &[
    (
        "query-pci",
        &["regions", "irq", "irq_pin", "subsystem", "subsystem-vendor", "bus_range", "io_range"],
    ),
    ("query-block", &["cluster-size", "dirty-flag", "format-specific"]),
    ("query-named-block-nodes", &["cluster-size", "dirty-flag", "format-specific"]),
    // Of the statistics, only the reads are looked at.
    (
        "query-blockstats",
        &[
            "parent",
            "backing",
            "account_failed",
            "account_invalid",
            "failed_flush_operations",
            "failed_rd_operations",
            "failed_unmap_operations",
            "failed_wr_operations",
            "flush_operations",
            "flush_total_time_ns",
            "invalid_flush_operations",
            "invalid_rd_operations",
            "invalid_unmap_operations",
            "invalid_wr_operations",
            "rd_bytes",
            "rd_merged",
            "rd_total_time_ns",
            "timed_stats",
            "unmap_bytes",
            "unmap_merged",
            "unmap_operations",
            "unmap_total_time_ns",
            "wr_bytes",
            "wr_highest_offset",
            "wr_merged",
            "wr_operations",
            "wr_total_time_ns",
        ],
    ),
];

/// Commands that return lists of names in no particular order.
const LISTS: [&str; 2] = ["query-commands", "query-events"];

/// Members whose values are of the moment, or of the machine that recorded: only their type counts.
const OF_THE_MOMENT: &[&str] =
    &["package", "thread_id", "thread-id", "pc", "actual-size", "rd_operations"];

/// How two answers differ, in a few words: what was heard from the real one and from ours, and
/// whether they closed the connection.
pub(crate) fn compare(
    step: &Step,
    real: &[Value],
    heard: &[Value],
    is_closed: (bool, bool),
) -> Result<(), String> {
    let command = command(step);
    let (expected_events, expected) = events_apart(real);
    let (events, replies) = events_apart(heard);
    if replies.len() != expected.len() {
        return Err(format!("{} replies, not {}", replies.len(), expected.len()));
    }
    for (real, ours) in expected.iter().zip(&replies) {
        compare_reply(&command, real, ours)?;
    }
    let name = |event: &&Value| event["event"].as_str().unwrap_or_default().to_owned();
    let names: Vec<_> = events.iter().map(name).collect();
    let expected_names: Vec<_> = expected_events.iter().map(name).collect();
    if names != expected_names {
        return Err(format!("events {names:?}, not {expected_names:?}"));
    }
    for (real, ours) in expected_events.iter().zip(&events) {
        same("", "data", real.get("data"), ours.get("data"))?;
    }
    let kinds = |messages: &[Value]| -> Vec<String> {
        messages.iter().map(|message| message["event"].to_string()).collect()
    };
    if kinds(real) != kinds(heard) {
        return Err(format!("order {:?}, not {:?}", kinds(heard), kinds(real)));
    }
    if is_closed.0 != is_closed.1 {
        return Err(format!("has quit: {}, not {}", is_closed.1, is_closed.0));
    }
    Ok(())
}

/// The name of the command, as far as there is one.
fn command(step: &Step) -> String {
    let Action::Send { bytes, .. } = &step.action else { return String::new() };
    let sent: Value = serde_json::from_slice(bytes).unwrap_or_default();
    sent["execute"].as_str().unwrap_or_default().to_owned()
}

fn events_apart(heard: &[Value]) -> (Vec<&Value>, Vec<&Value>) {
    heard.iter().partition(|message| message.get("event").is_some())
}

fn compare_reply(command: &str, real: &Value, ours: &Value) -> Result<(), String> {
    same(command, "id", real.get("id"), ours.get("id"))?;
    same(command, "QMP", real.get("QMP"), ours.get("QMP"))?;
    match (real.get("error"), ours.get("error")) {
        (Some(real), Some(ours)) => same(command, "error", Some(real), Some(ours)),
        (Some(real), None) => Err(format!("no error, where it was {}", short(real))),
        (None, Some(ours)) => Err(format!("error {}", short(ours))),
        (None, None) if LISTS.contains(&command) => same_names(&real["return"], &ours["return"]),
        (None, None) => same(command, "return", real.get("return"), ours.get("return")),
    }
}

/// The order in which names are listed is not fixed.
fn same_names(real: &Value, ours: &Value) -> Result<(), String> {
    let names = |list: &Value| {
        let list = list.as_array().cloned().unwrap_or_default();
        let mut names: Vec<_> = list.iter().map(|entry| entry["name"].to_string()).collect();
        names.sort();
        names
    };
    let (real, ours) = (names(real), names(ours));
    let missing: Vec<_> = real.iter().filter(|name| !ours.contains(name)).collect();
    let new: Vec<_> = ours.iter().filter(|name| !real.contains(name)).collect();
    if missing.is_empty() && new.is_empty() {
        return Ok(());
    }
    Err(format!("{} names are missing, {} new", missing.len(), new.len()))
}

fn same(
    command: &str,
    place: &str,
    real: Option<&Value>,
    ours: Option<&Value>,
) -> Result<(), String> {
    match (real, ours) {
        (None, None) => Ok(()),
        (Some(Value::Object(real)), Some(Value::Object(ours))) => {
            same_members(command, place, real, ours)
        }
        (Some(Value::Array(real)), Some(Value::Array(ours))) if real.len() == ours.len() => {
            let mut pairs = real.iter().zip(ours);
            pairs.try_for_each(|(real, ours)| same(command, place, Some(real), Some(ours)))
        }
        (Some(Value::Array(real)), Some(Value::Array(ours))) => {
            Err(format!("{place}: {} elements, not {}", ours.len(), real.len()))
        }
        (real, ours) if real == ours => Ok(()),
        (Some(Value::String(real)), Some(Value::String(ours))) => {
            let (real, ours) = (of_any_machine(real), of_any_machine(ours));
            match first_difference(&real, &ours) {
                Some(_) if is_of_the_moment(place) => Ok(()),
                Some((real, ours)) => Err(format!("{place}: {ours:?}, not {real:?}")),
                None => Ok(()),
            }
        }
        (Some(real), Some(ours)) => {
            let name = place.rsplit('.').next().unwrap_or_default();
            let is_same_type = std::mem::discriminant(real) == std::mem::discriminant(ours);
            if is_same_type && (OF_THE_MOMENT.contains(&name) || are_alike(real, ours)) {
                return Ok(());
            }
            Err(format!("{place}: {}, not {}", short(ours), short(real)))
        }
        (Some(real), None) => Err(format!("{place} is missing: {}", short(real))),
        (None, Some(ours)) => Err(format!("{place} is new: {}", short(ours))),
    }
}

/// Where 1.2's firmware lay, and where it lies here.
const FIRMWARE: (&str, &str) = ("/images/1.2.2/share/qemu/", "/usr/share/qemu/");

/// The same but for names of nodes that QEMU makes up, and for where its own files lie.
fn are_alike(real: &Value, ours: &Value) -> bool {
    let (Some(real), Some(ours)) = (real.as_str(), ours.as_str()) else { return false };
    let are_made_up = real.starts_with("#block") && ours.starts_with("#block");
    are_made_up || real.replace(FIRMWARE.0, FIRMWARE.1) == ours
}

fn is_of_the_moment(place: &str) -> bool {
    OF_THE_MOMENT.contains(&place.rsplit('.').next().unwrap_or_default())
}

/// The first line of a text that is another one in the other.
fn first_difference<'a>(real: &'a str, ours: &'a str) -> Option<(&'a str, &'a str)> {
    let lines = |text: &'a str| text.split('\n').map(Some).chain([None]);
    let mut pairs = lines(real).zip(lines(ours));
    let (real, ours) = pairs.find(|(real, ours)| real != ours)?;
    Some((real.unwrap_or_default(), ours.unwrap_or_default()))
}

/// A text without the names that QEMU makes up, with the firmware's file where it usually is, and
/// without what `info` tells that nobody looks at.
fn of_any_machine(text: &str) -> String {
    let text = text.replace("/images/1.2.2/share", "/usr/share");
    let text = match text.starts_with("bus: main-system-bus") {
        true => named_devices(&text),
        false => text,
    };
    let is_detail = |line: &&str| {
        ["BAR", "IRQ", "PCI subsystem"].iter().any(|sign| line.trim_start().starts_with(sign))
    };
    let is_pci = text.starts_with("  Bus  0, device ");
    let lines = text.split_inclusive('\n').filter(|line| !(is_pci && is_detail(line)));
    let text: String = lines.collect();
    let mut parts = text.split("#block");
    let first = parts.next().unwrap_or_default().to_owned();
    let digits = |c: char| c.is_ascii_digit();
    parts.fold(first, |text, part| text + "#block" + part.trim_start_matches(digits))
}

/// Of `info qtree`, the devices that have ids, with what is within them, their place, their drive and
/// its serial. How far in a line begins counts.
fn named_devices(text: &str) -> String {
    let mut within = None;
    let mut kept = String::new();
    for line in text.split_inclusive('\n') {
        let depth = line.len() - line.trim_start().len();
        if within.is_none_or(|outer| depth <= outer) {
            let is_named = line.trim_start().starts_with("dev: ") && !line.contains("id \"\"");
            within = is_named.then_some(depth);
        }
        let line_is = |sign: &&str| line.contains(sign);
        let looked_at = ["dev: ", "bus: ", "type ", "drive = ", "serial = ", " addr = "];
        if within.is_some() && looked_at.iter().any(line_is) {
            kept.push_str(line);
        }
    }
    kept
}

fn same_members(
    command: &str,
    place: &str,
    real: &Map<String, Value>,
    ours: &Map<String, Value>,
) -> Result<(), String> {
    let left_out = LEFT_OUT.iter().find(|(of, _)| *of == command).map_or(&[][..], |(_, left)| left);
    let names = real.keys().chain(ours.keys().filter(|name| !real.contains_key(*name)));
    for name in names.filter(|name| !left_out.contains(&name.as_str())) {
        same(command, &format!("{place}.{name}"), real.get(name), ours.get(name))?;
    }
    Ok(())
}

fn short(value: &Value) -> String {
    const LENGTH: usize = 120;
    let text = value.to_string();
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
