//! A simulated machine that speaks QMP: no QEMU, no I/O, no clock.
//!
//! [`Machine`] is the machine alone: commands and times go in, replies and events come out. [`Sim`]
//! is the machine with its monitor: bytes and times go in and out, and [`Faults`] say what goes
//! wrong on the way. Both are state machines in the manner of `qplug_proto::Server`.
//!
//! It is honest: `tests/scenarios.rs` asks it and real QEMUs the same, and the answers must agree.
//! Where it knowingly differs, `docs/simulator.md` says so.
//!
//! | file | owns |
//! |---|---|
//! | `config.rs`, `guest.rs`, `files.rs` | the machine that is wanted, its guest, its images |
//! | `release.rs` | what is peculiar to each QEMU: commands, events, how its monitor speaks |
//! | `machine.rs`, `command.rs` | the machine, its commands, and what happens by itself |
//! | `clock.rs` | the host's time and the guest's |
//! | `graph.rs` | the block graph, its permissions and locks |
//! | `pci.rs`, `model.rs`, `device.rs` | buses, device models, devices |
//! | `build.rs` | what is there from the start |
//! | `bus.rs`, `plug.rs`, `unplug.rs` | how devices come and go |
//! | `drives.rs`, `human.rs` | drives with a name, and the human monitor that adds them |
//! | `netdev.rs` | names of network backends |
//! | `redhat.rs` | what RHEL 6 has of its own |
//! | `life.rs` | how a machine runs, begins anew and ends |
//! | `snapshots.rs` | snapshots within images |
//! | `media.rs` | trays, sizes, speeds |
//! | `objects.rs`, `qom.rs`, `fdset.rs` | objects, the paths of all, passed descriptors |
//! | `job.rs`, `export.rs`, `migration.rs` | what else holds nodes, or keeps devices in place |
//! | `sim.rs`, `faults.rs` | the monitor, and what goes wrong |
//! | `arguments.rs`, `refusal.rs` | what is wrong with arguments, in QEMU's words |
//! | `words.rs` | the words and the classes of other versions |

mod arguments;
mod build;
mod bus;
mod clock;
mod command;
mod config;
mod device;
mod drives;
mod export;
mod faults;
mod fdset;
mod files;
mod graph;
mod guest;
mod human;
mod job;
mod life;
mod machine;
mod media;
mod migration;
mod model;
mod netdev;
mod objects;
mod pci;
mod plug;
mod qom;
mod redhat;
mod refusal;
mod release;
mod sim;
mod snapshots;
mod unplug;
mod words;

pub use config::{Board, Config, GRACE, ParseVersionError, Start, Version};
pub use faults::{Faults, MAX_FAULTS, ParseFaultsError};
pub use fdset::Descriptor;
pub use files::{Files, Image, Images, OpenError};
pub use guest::{Guest, ParseGuestError};
pub use machine::{EVENT_BACKLOG, Machine};
pub use refusal::Reply;
pub use sim::{SWAP_WAIT, Sim};
