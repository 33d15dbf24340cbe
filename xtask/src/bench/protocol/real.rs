//! Round trips over a real QEMU, which reads its monitor a byte at a time: bytes are time.

use std::process::Command;

use qplug_testbed::{Board, Machine, Qemu, Result};

use super::stand_in::StandIn;
use super::turns::{self, FLOOR, Turns};

/// The QEMU whose numbers the target was set on.
const SERIES: &str = "7.2";

/// The bare loop sends qplug's bytes.
const WHO: &[&str] = &[FLOOR, "qplug-blocking", "qplug-async", "qapi-sync", "qapi-async", "qmp"];

/// What the clients of ours may take, in the bare loop's time.
const AT_MOST: f64 = 1.03;

/// Round trips in a turn.
const COUNT: u32 = 200;

/// Prints the ratios, or why there are none.
pub(super) fn run(stand_in: &StandIn, rounds: u32) -> Result<()> {
    let installed = Qemu::installed().unwrap_or_default();
    let Some(qemu) = installed.iter().find(|qemu| qemu.version.series() == SERIES) else {
        println!("\nno real QEMU is measured: {SERIES} is not set up (cargo xtask setup)");
        return Ok(());
    };
    // A monitor serves one client at a time.
    let monitors = WHO
        .iter()
        .flat_map(|who| ["-qmp".to_owned(), format!("unix:{who}.sock,server=on,wait=off")]);
    let machine = Machine::builder(qemu, Board::Pc).arguments(monitors).halted()?;
    let mut pin = Command::new(stand_in.program("timed"));
    stand_in.run(pin.args(["pin", &machine.pid().to_string(), &stand_in.cpu().to_string()]))?;
    let entrants = WHO
        .iter()
        .map(|who| {
            let socket = machine.folder().join(format!("{who}.sock"));
            format!("{who}={COUNT}={}", socket.display())
        })
        .collect::<Vec<_>>();
    let turns = turns::take(stand_in, "single", rounds, &entrants)?;
    let floor = Turns::of(&turns, FLOOR)?;
    println!("\n{:<24} {:>9}  {:>6}", format!("real QEMU {}", qemu.version), "µs", "ratio");
    for who in WHO {
        let turns = Turns::of(&turns, who)?;
        let ratio = turns.ratio(floor);
        let verdict = if who.starts_with("qplug") {
            let is_met = (ratio.median * 100.0).round() / 100.0 <= AT_MOST;
            format!("at most {AT_MOST}: {}", if is_met { "met" } else { "missed" })
        } else {
            String::new()
        };
        println!(
            "  {who:<22} {:>9.1}  {:>6.2} ({:.2}–{:.2})  {verdict}",
            turns.once().median / 1e3,
            ratio.median,
            ratio.low,
            ratio.high
        );
    }
    Ok(())
}
