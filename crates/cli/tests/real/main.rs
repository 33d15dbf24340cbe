//! The command on real machines: each test runs on every QEMU that is set up, on q35 and on pc,
//! with a Linux guest that sees the disks come and go.
//!
//! | file | holds |
//! |---|---|
//! | `run.rs` | running qplug with a deadline, and looking at the machine from outside |
//! | `journey.rs` | the main job, start to end |
//! | `detach.rs` | guests that are quick, slow, paused, or not there |
//! | `refusals.rs` | what cannot be done, and that it leaves nothing behind |
//! | `controller.rs` | two clients and one SCSI controller |
//! | `crash.rs` | qplug killed between two steps, and run again |
//! | `many.rs` | many disks at once, and lists of them |
//! | `images.rs` | images of other kinds than a plain file |
//! | `options.rs` | what a disk can be told, as the machine has it then |
//! | `dry_run.rs` | plans, which change nothing and are what is done then |
//! | `trace.rs` | conversations written down, with no secret in them |
//! | `guest.rs` | waiting for the guest, and asking its agent |
//! | `agent.rs` | lists with the guest's names |
//! | `snapshot.rs`, `still.rs` | snapshots, and guests that hold still for them, whatever happens |
//! | `media.rs`, `change.rs` | media, sizes and limits of what is there |
//! | `dialect.rs` | the dialect of older QEMUs, spoken to newer ones |
//! | `recover.rs` | what crashes and late guests leave, finished |
//! | `shell.rs` | the shell, at a terminal and with scripts |
//! | `watch.rs` | the full-screen view |
//! | `monitor.rs` | addresses, monitors of all kinds, and the other commands |

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod agent;
mod change;
mod completion;
mod controller;
mod crash;
mod detach;
mod dialect;
mod dry_run;
mod guest;
mod images;
mod journey;
mod many;
mod media;
mod monitor;
mod options;
mod recover;
mod refusals;
mod run;
mod schema;
mod shell;
mod snapshot;
mod still;
mod trace;
mod watch;
