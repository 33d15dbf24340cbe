//! The shell against a simulated machine.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod completion;
mod pasted;
mod screens;
mod script;
mod terminal;

use qplug_testbed::Sim;

fn sim(arguments: &[&str]) -> Sim {
    Sim::start(env!("CARGO_BIN_EXE_qplug"), arguments).unwrap()
}
