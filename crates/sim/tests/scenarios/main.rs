//! One suite of scenarios, asked of real QEMUs and of the simulated machine: the answers must agree.
//!
//! No answer is written down here. A scenario is a list of commands; what a real QEMU answers is
//! what the simulated one must answer: the class and the text of refusals, what a query returns of
//! the parts that are named, and which events came. `docs/simulator.md` tells what is not compared.
//!
//! | file | holds |
//! |---|---|
//! | `script.rs` | scenarios, and what becomes of them on either side |
//! | `group.rs` | the machines that they are played on |
//! | `recorded.rs` | what real machines answered |
//! | `real.rs` | the real side |
//! | `simulated.rs` | the simulated side |
//! | `halted.rs` | scenarios on machines that never ran |
//! | `booted.rs` | scenarios with a guest that answers |

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod booted;
mod group;
mod halted;
mod real;
mod recorded;
mod script;
mod simulated;

use qplug_sim::Version;
use qplug_testbed::Qemu;

use group::Group;
use recorded::{Recorded, VERSIONS};
use script::Record;

/// All groups of one kind, each with what a side makes of its scenarios.
fn played(groups: &[Group], on: impl Fn(&Group, &script::Scenario) -> Record) -> Recorded {
    let mut all = Recorded::default();
    for group in groups {
        for scenario in &group.scenarios {
            all.add(group.name, scenario.name, on(group, scenario));
        }
    }
    all
}

/// Real QEMUs answer as is recorded. To record anew: `QPLUG_RECORD=1`.
fn real_ones_answer_as_recorded(kind: &str, groups: &[Group]) {
    for qemu in Qemu::under_test(&format!("scenarios: {kind}")) {
        let series = qemu.version.series();
        if !VERSIONS.iter().any(|(known, _)| *known == series) {
            continue;
        }
        let answered = played(groups, |group, scenario| group.on_qemu(&qemu, scenario));
        if std::env::var_os("QPLUG_RECORD").is_some() {
            answered.write(kind, &series);
        } else {
            answered.must_be(&Recorded::read(kind, &series), &format!("QEMU {series}"));
        }
    }
}

/// The simulated machine answers as real ones did.
fn the_simulated_one_answers_alike(kind: &str, groups: &[Group]) {
    for (series, version) in VERSIONS {
        let version: Version = version;
        let answered = played(groups, |group, scenario| group.on_sim(version, scenario));
        answered.must_be(&Recorded::read(kind, series), &format!("the simulated {series}"));
    }
}

#[test]
fn halted_qemus_answer_as_recorded() {
    real_ones_answer_as_recorded("halted", &halted::groups());
}

#[test]
fn booted_qemus_answer_as_recorded() {
    real_ones_answer_as_recorded("booted", &booted::groups());
}

#[test]
fn the_simulated_machine_answers_like_halted_ones() {
    the_simulated_one_answers_alike("halted", &halted::groups());
}

#[test]
fn the_simulated_machine_answers_like_booted_ones() {
    the_simulated_one_answers_alike("booted", &booted::groups());
}
