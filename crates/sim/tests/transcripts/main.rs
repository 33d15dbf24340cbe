//! What real QEMUs were heard to say (`crates/proto/tests/transcripts`), asked of the simulated
//! machine: every command of every conversation, in virtual time, and the answers compared: how many
//! there are, whether they are errors, of which class and with which words, what they return as far
//! as it is looked at (`compare.rs`), and which events come.
//!
//! Where the two differ, `differences/` says so, a file a scenario and under the row of
//! docs/simulator.md that says why. A difference that is not listed fails the test, and so does one
//! that is listed and is none any more. `QPLUG_RECORD=1` writes the lists anew; what is new goes
//! under 'not yet'.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod compare;
mod differences;
mod machine;
mod replay;
mod transcript;

use std::collections::BTreeMap;

use qplug_sim::Version;

use differences::Differences;
use transcript::Transcript;

const VERSIONS: [(&str, Version); 5] = [
    ("0.14.1", Version::V0_14),
    ("1.2.2", Version::V1_2),
    ("2.5.1", Version::V2_5),
    ("2.9.1", Version::V2_9),
    ("7.2", Version::V7_2),
];

/// How many commands there are in all; fewer would mean that some are passed over.
const LEAST_COMMANDS: usize = 2_000;

#[test]
fn every_command_that_qemu_was_given() {
    let mut asked = 0;
    let mut found: BTreeMap<String, Vec<differences::Found>> = BTreeMap::new();
    for (folder, version) in VERSIONS {
        for transcript in Transcript::all(folder) {
            let (commands, differing) = replay::replay(&transcript, version);
            asked += commands;
            found.entry(transcript.name.clone()).or_default().extend(differing);
        }
    }
    assert!(asked > LEAST_COMMANDS, "{asked} commands");
    let known = Differences::read_all();
    if std::env::var_os("QPLUG_RECORD").is_some() {
        known.renew(&found);
    } else {
        known.must_be(&found);
    }
    println!("{asked} commands, of which {} are answered otherwise, as is known", known.len());
}

#[test]
fn every_reason_is_a_row_of_the_documentation() {
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/simulator.md");
    let page = std::fs::read_to_string(place).unwrap();
    for reason in Differences::read_all().reasons() {
        assert!(page.contains(&format!("\n| {reason} |")), "no row for {reason:?}");
    }
}
