//! What the engine does, on every QEMU that the simulated machine imitates: one table of scenarios,
//! in the same words for all three dialects, but where they must differ.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

#[path = "dialects/bench.rs"]
mod bench;
#[path = "dialects/coming.rs"]
mod coming;
#[path = "dialects/going.rs"]
mod going;
#[path = "dialects/media.rs"]
mod media;
#[path = "dialects/others.rs"]
mod others;
#[path = "model/seen.rs"]
#[allow(dead_code, reason = "the model asks for more")]
mod seen;
#[path = "dialects/snapshots.rs"]
mod snapshots;
#[path = "dialects/telling.rs"]
mod telling;
#[path = "model/wire.rs"]
#[allow(dead_code, reason = "the model has more go wrong")]
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind};

use bench::Bench;
use qplug_sim::Version;

/// What happens to a machine, and must come out the same on all of them.
type Scenario = (&'static str, fn(&mut Bench));

/// Every scenario, each of which has a machine of its own.
const SCENARIOS: &[&[Scenario]] = &[
    coming::SCENARIOS,
    going::SCENARIOS,
    others::SCENARIOS,
    media::SCENARIOS,
    snapshots::SCENARIOS,
    telling::SCENARIOS,
];

#[test]
fn every_scenario_comes_out_on_every_qemu() {
    let mut failed = Vec::new();
    for version in Version::ALL {
        for (name, scenario) in SCENARIOS.iter().copied().flatten() {
            let played = catch_unwind(AssertUnwindSafe(|| {
                let mut bench = Bench::new(version);
                scenario(&mut bench);
                bench.end();
            }));
            if played.is_err() {
                failed.push(format!("{}: {name}", version.name()));
            }
        }
    }
    assert!(failed.is_empty(), "failed, in the order of what they said above: {failed:#?}");
}
