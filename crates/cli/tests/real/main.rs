//! The command on real machines: each test runs on every QEMU that is set up, on q35 and on pc,
//! with a Linux guest that sees the disks come and go.
//!
//! | file | holds |
//! |---|---|
//! | `run.rs` | running qplug with a deadline, and looking at the machine from outside |
//! | `journey.rs` | the main job, start to end |
//! | `detach.rs` | guests that are quick, slow, paused, or not there |
//! | `refusals.rs` | what cannot be done, and that it leaves nothing behind |
//! | `crash.rs` | qplug killed between two steps, and run again |
//! | `monitor.rs` | addresses, monitors of all kinds, and the other commands |

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod crash;
mod detach;
mod journey;
mod monitor;
mod refusals;
mod run;
