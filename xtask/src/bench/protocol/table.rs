//! The rows, the targets, and how they are printed.

use std::path::Path;

use qplug_testbed::Result;

use super::counts::{self, Counts};
use super::stand_in::StandIn;
use super::turns::{FLOOR, Turns};

/// A kind of work, and who does it.
#[derive(Debug)]
pub(super) struct Group {
    title: &'static str,
    pub(super) work: &'static str,
    unit: Unit,
    pub(super) rows: &'static [Row],
    targets: &'static [Target],
    /// How often the work is done for counting, if it is.
    counted: Option<u32>,
}

/// Someone who does a work, so often in a round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) who: &'static str,
    count: u32,
}

/// How a time is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    Microseconds,
    /// Millions a second, when the work is so many.
    Millions(u32),
    /// MB a second, when the work is so many bytes.
    Megabytes(u32),
}

/// What is to be reached.
#[derive(Debug, Clone, Copy)]
struct Target {
    who: &'static str,
    what: What,
    bound: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    Ratio,
    Rate,
    SystemCalls,
    Allocations,
    Instructions,
}

const fn row(who: &'static str, count: u32) -> Row {
    Row { who, count }
}

const fn target(who: &'static str, what: What, bound: f64) -> Target {
    Target { who, what, bound }
}

pub(super) const GROUPS: &[Group] = &[
    Group {
        title: "round trips, one at a time",
        work: "single",
        unit: Unit::Microseconds,
        rows: &[
            row(FLOOR, 1000),
            row("qplug-blocking", 1000),
            row("qplug-async", 1000),
            row("qapi-sync", 1000),
            row("qapi-sync-documented", 500),
            row("qapi-async", 1000),
            row("qmp", 1000),
            row("python", 100),
        ],
        targets: &[
            target("qplug-blocking", What::Ratio, 1.08),
            target("qplug-blocking", What::SystemCalls, 2.0),
            target("qplug-blocking", What::Allocations, 2.0),
            target("qplug-blocking", What::Instructions, 3000.0),
            target("qplug-async", What::Ratio, 1.25),
            target("qplug-async", What::SystemCalls, 4.0),
            target("qplug-async", What::Allocations, 2.0),
            target("qplug-async", What::Instructions, 6000.0),
        ],
        counted: Some(1000),
    },
    Group {
        title: "64 commands in flight",
        work: "in-flight",
        unit: Unit::Millions(64),
        rows: &[
            row(FLOOR, 200),
            row("qplug-blocking", 200),
            row("qplug-async", 200),
            row("qapi-sync", 100),
            row("qapi-async", 20),
            row("qmp", 50),
            row("python", 5),
        ],
        targets: &[
            target("qplug-blocking", What::Rate, 1.0),
            target("qplug-async", What::Rate, 1.0),
        ],
        counted: None,
    },
    Group {
        title: "200,000 events to one subscriber, owned",
        work: "events",
        unit: Unit::Millions(200_000),
        rows: &[
            row(FLOOR, 1),
            row("qplug-blocking", 1),
            row("qplug-async", 1),
            row("qapi-sync", 1),
            row("qapi-async", 1),
            row("qmp", 1),
        ],
        targets: &[
            target("qplug-blocking", What::Rate, 2.0),
            target("qplug-async", What::Rate, 2.0),
        ],
        counted: None,
    },
    Group {
        title: "207 KB replies, handed over unparsed",
        work: "unparsed",
        unit: Unit::Megabytes(207_000),
        rows: &[row(FLOOR, 100), row("qplug-blocking", 100), row("qplug-async", 100)],
        targets: &[
            target("qplug-blocking", What::Rate, 500.0),
            target("qplug-async", What::Rate, 500.0),
        ],
        counted: None,
    },
    Group {
        title: "207 KB replies, decoded into types",
        work: "decoded",
        unit: Unit::Megabytes(207_000),
        rows: &[
            row(FLOOR, 50),
            row("qplug-blocking", 20),
            row("qplug-async", 20),
            row("qapi-sync", 5),
            row("qapi-async", 5),
            row("qmp", 5),
            row("python", 2),
        ],
        targets: &[
            target("qplug-blocking", What::Rate, 170.0),
            target("qplug-async", What::Rate, 170.0),
        ],
        counted: None,
    },
];

/// Who has its memory measured, and how many KB a connection may take.
const MEMORY: &[(&str, Option<f64>)] = &[
    (FLOOR, None),
    ("qplug-blocking", Some(5.0)),
    ("qplug-async", Some(8.0)),
    ("qapi-sync", None),
    ("qapi-async", None),
    ("qmp", None),
];

impl Row {
    /// As an entrant at this monitor.
    pub(super) fn at(self, socket: &Path) -> String {
        format!("{}={}={}", self.who, self.count, socket.display())
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Microseconds => "µs",
            Self::Millions(_) => "M/s",
            Self::Megabytes(_) => "MB/s",
        }
    }

    fn of(self, nanoseconds: f64) -> f64 {
        match self {
            Self::Microseconds => nanoseconds / 1e3,
            Self::Millions(many) | Self::Megabytes(many) => f64::from(many) * 1e3 / nanoseconds,
        }
    }
}

/// Prints a group's rows, and what became of its targets.
pub(super) fn print(
    stand_in: &StandIn,
    group: &Group,
    rows: &[Row],
    turns: &[Turns],
) -> Result<()> {
    let heading = if group.counted.is_some() {
        format!("{:>7} {:>7} {:>13} {:>6}", "calls", "allocs", "instructions", "bytes")
    } else {
        String::new()
    };
    println!("\n{:<24} {:>9}  {:>6} {:<14} {heading}", group.title, group.unit.name(), "ratio", "");
    let floor = Turns::of(turns, FLOOR)?;
    let mut verdicts = Vec::new();
    for row in rows {
        let turns = Turns::of(turns, row.who)?;
        let counts = match group.counted {
            Some(times) => counts::count(stand_in, group.work, row.who, times)?,
            None => Counts::default(),
        };
        let (ratio, rate) = (turns.ratio(floor), group.unit.of(turns.once().median));
        let spread = format!("({:.2}–{:.2})", ratio.low, ratio.high);
        let counted = group.counted.map_or_else(String::new, |_| counted(&counts));
        println!("  {:<22} {rate:>9.2}  {:>6.2} {spread:<14} {counted}", row.who, ratio.median);
        if turns.missed > 0 {
            let share = turns.missed as f64 / (turns.count as f64 * EVENTS) * 100.0;
            println!("    of the events {share:.1} % were lost on the way to the subscriber");
        }
        for target in group.targets.iter().filter(|target| target.who == row.who) {
            let value = match target.what {
                What::Ratio => Some(ratio.median),
                // Losing events is no way of handing them over.
                What::Rate => Some(if turns.missed > 0 { 0.0 } else { rate }),
                What::SystemCalls => counts.system_calls,
                What::Allocations => counts.allocations,
                What::Instructions => counts.instructions,
            };
            verdicts.push(target.verdict(value));
        }
    }
    verdicts.iter().for_each(|verdict| println!("  → {verdict}"));
    Ok(())
}

/// How many events one doing of the work sets off.
const EVENTS: f64 = 200_000.0;

fn counted(counts: &Counts) -> String {
    let text = |value: Option<f64>, places: usize| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{:.places$}", value.abs()))
    };
    format!(
        "{:>7} {:>7} {:>13} {:>6}",
        text(counts.system_calls, 2),
        text(counts.allocations, 2),
        text(counts.instructions, 0),
        text(counts.bytes, 1)
    )
}

impl Target {
    fn verdict(self, value: Option<f64>) -> String {
        let (what, at_least, places) = match self.what {
            What::Ratio => ("ratio", false, 2),
            What::Rate => ("rate", true, 2),
            What::SystemCalls => ("system calls", false, 2),
            What::Allocations => ("allocations", false, 2),
            What::Instructions => ("instructions", false, 0),
        };
        let Self { who, bound, .. } = self;
        let bound_word = if at_least { "at least" } else { "at most" };
        let Some(value) = value else {
            return format!("{who}: {what} {bound_word} {bound}: not counted");
        };
        // What is printed is what is judged.
        let scale = 10_f64.powi(places);
        let value = (value * scale).round() / scale;
        let is_met = if at_least { value >= bound } else { value <= bound };
        let verdict = if is_met { "met" } else { "missed" };
        format!("{who}: {what} {bound_word} {bound}: {verdict} ({value})")
    }
}

/// Prints what a connection takes, with many open.
pub(super) fn print_memory(stand_in: &StandIn, open: u32) -> Result<()> {
    println!("\n{:<24} {:>9} {:>9}", format!("KB a connection, {open} open"), "heap", "resident");
    for (who, bound) in MEMORY {
        let (heap, resident) = counts::memory(stand_in, who, open)?;
        let [heap, resident] = [heap, resident].map(|bytes| bytes as f64 / 1024.0);
        let verdict = bound.map_or_else(String::new, |bound| {
            let verdict = if heap.max(resident) <= bound { "met" } else { "missed" };
            format!("  at most {bound}: {verdict}")
        });
        println!("  {who:<22} {heap:>9.1} {resident:>9.1}{verdict}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_what_is_judged() {
        let ratio = target("x", What::Ratio, 1.08);
        assert_eq!(ratio.verdict(Some(1.0849)), "x: ratio at most 1.08: met (1.08)");
        assert_eq!(ratio.verdict(Some(1.086)), "x: ratio at most 1.08: missed (1.09)");
        let rate = target("x", What::Rate, 2.0);
        assert_eq!(rate.verdict(Some(1.5)), "x: rate at least 2: missed (1.5)");
        assert_eq!(rate.verdict(None), "x: rate at least 2: not counted");
    }
}
