//! `cargo xtask bench protocol`: what qplug's clients cost beside a bare loop and other clients.
//!
//! The measuring itself is `benches/protocol`, a workspace of its own, so that nobody who builds
//! qplug builds its peers. Client and server share one processor, and take turns with the bare loop:
//! across processors a wake-up costs more than all that is measured here.
//!
//! | file | owns |
//! |---|---|
//! | `protocol/stand_in.rs` | the programs, and the stand-in server |
//! | `protocol/counts.rs` | what no noise touches: system calls, allocations, instructions, bytes |
//! | `protocol/turns.rs` | times, as ratios to the bare loop's |
//! | `protocol/table.rs` | the rows, the targets, and how they are printed |
//! | `protocol/real.rs` | the same over a real QEMU |
//! | `protocol/held.rs` | the counts that were won, and are kept |

mod counts;
mod held;
mod real;
mod stand_in;
mod table;
mod turns;

use qplug_testbed::Result;

pub(super) use counts::is_installed;
use stand_in::StandIn;
use table::GROUPS;

/// How many connections are open at once when their memory is measured.
const OPEN: u32 = 1000;

/// Measures everything, and prints a table for each kind of work. No ratio fails it.
pub(super) fn run(rounds: u32) -> Result<()> {
    let stand_in = StandIn::start()?;
    println!("qplug's clients beside a bare loop, all on one processor; {rounds} rounds each");
    println!("ratio: a round's time in the bare loop's of the same round, median (middle half)");
    let missing = counts::missing_tools();
    missing.iter().for_each(|tool| println!("not counted: {tool}"));
    for group in GROUPS {
        let rows =
            group.rows.iter().filter(|row| stand_in.has(row.who)).copied().collect::<Vec<_>>();
        let entrants = rows.iter().map(|row| row.at(stand_in.socket())).collect::<Vec<_>>();
        let turns = turns::take(&stand_in, group.work, rounds, &entrants)?;
        table::print(&stand_in, group, &rows, &turns)?;
    }
    table::print_memory(&stand_in, OPEN)?;
    real::run(&stand_in, rounds)
}

/// Holds what was won, by counts alone; fails when one has grown.
pub(super) fn check() -> Result<()> {
    held::check(&StandIn::start()?)
}
