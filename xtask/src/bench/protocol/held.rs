//! The counts that were won, and are kept.

use qplug_testbed::{Error, Result};

use super::counts;
use super::stand_in::StandIn;

/// How much instruction counts may differ between compilers and C libraries.
const MARGIN: f64 = 1.05;

/// What doing a work once may cost.
struct Held {
    who: &'static str,
    work: &'static str,
    /// How often it is done for counting.
    times: u32,
    system_calls: f64,
    allocations: f64,
    instructions: f64,
}

/// Lower these when less was won; who raises one says why.
const HELD: &[Held] = &[
    Held {
        who: "qplug-blocking",
        work: "single",
        times: 1000,
        system_calls: 2.0,
        allocations: 1.0,
        instructions: 2820.0,
    },
    Held {
        who: "qplug-async",
        work: "single",
        times: 1000,
        system_calls: 3.0,
        allocations: 1.0,
        instructions: 5730.0,
    },
];

/// Counts again, and lists what has grown.
pub(super) fn check(stand_in: &StandIn) -> Result<()> {
    for tool in counts::missing_tools() {
        println!("SKIPPED: {tool}");
    }
    let mut grown = Vec::new();
    for held in HELD {
        let Held { who, work, times, .. } = *held;
        let counts = counts::count(stand_in, work, who, times)?;
        for (what, value, bound) in [
            ("system calls", counts.system_calls, held.system_calls),
            ("allocations", counts.allocations, held.allocations),
            ("instructions", counts.instructions, held.instructions * MARGIN),
        ] {
            let Some(value) = value else { continue };
            // Starting differs by a call or two from run to run.
            let value = (value * 100.0).round() / 100.0;
            println!("{who}, {work}: {value} {what}, at most {bound:.0}");
            if value > bound + NOISE {
                grown.push(format!("{who}, {work}: {what} {value}, at most {bound:.0}"));
            }
        }
    }
    if grown.is_empty() {
        return Ok(());
    }
    Err(Error::failed(format!("more than was won:\n  {}", grown.join("\n  "))))
}

/// What starting may differ by, shared among all that is done.
const NOISE: f64 = 0.05;
