//! Random operations, faults, crashes, guests and other clients, against a reference of which disks
//! are to be there, on a simulated machine of any version and over real bytes.
//!
//! What holds, whatever happens:
//!
//! - no node, device, object or mark is left that a disk does not own;
//! - nothing that others made is touched;
//! - an outcome is true: what is attached is there over its image, what is removed is gone, what is
//!   refused is as it was, and what is unknown is settled by running the command again;
//! - whatever is left, `recover` ends it: after it the machine holds exactly the disks that are to
//!   be there;
//! - what a version cannot do is refused before anything is changed;
//! - everything ends in time, with a bounded number of commands.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

#[path = "model/crash.rs"]
mod crash;
#[path = "model/drives.rs"]
mod drives;
#[path = "model/foreign.rs"]
mod foreign;
#[path = "model/judge.rs"]
mod judge;
#[path = "model/seen.rs"]
mod seen;
#[path = "model/story.rs"]
mod story;
#[path = "model/wire.rs"]
mod wire;
#[path = "model/world.rs"]
mod world;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use story::{op, parts};
use world::World;

/// How many stories an ordinary run tells; `PROPTEST_CASES` says otherwise.
const CASES: u32 = 1500;

/// The stories of an ordinary run are the same each time, so that a change is judged by what it
/// changes; `PROPTEST_RNG_SEED` names others, and finds what these do not.
const SEED: u64 = 2011;

fn from_environment<T: std::str::FromStr>(key: &str, otherwise: T) -> T {
    std::env::var(key).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn whatever_happens_the_disks_are_those_that_are_to_be_there() {
    let seed = from_environment("PROPTEST_RNG_SEED", SEED);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: from_environment("PROPTEST_CASES", CASES),
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        source_file: Some(file!()),
        ..Default::default()
    });
    let stories = (parts(), prop::collection::vec(op(), 1..12));
    let told = runner.run(&stories, |(parts, ops)| {
        let mut world = World::new(parts);
        for op in &ops {
            world.play(op);
        }
        world.end();
        Ok(())
    });
    if let Err(why) = told {
        panic!("with PROPTEST_RNG_SEED={seed}: {why}");
    }
}
