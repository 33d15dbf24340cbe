//! A small machine that disks are plugged into while it runs, to look inside them.
//!
//! ```text
//! Launch → kernel, initramfs, QEMU's arguments → a machine, booted or restored → its agent
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `launch.rs` | what is wanted, and the way from there to a machine that answers |
//! | `appliance.rs` | a running appliance |
//! | `registry.rs`, `process.rs` | where appliances are found again, and whether they live |
//! | `disks.rs`, `root.rs` | its disks, and the one that programs come from |
//! | `files.rs`, `copy.rs` | files in what it has mounted, and programs |
//! | `transfer.rs`, `carry.rs`, `count.rs` | bytes on their way: through a port, or on a disk |
//! | `link.rs`, `lane.rs`, `standstill.rs` | conversations with the agent, several at once, and machines in which it cannot answer |
//! | `saved.rs` | machines that booted once and are restored |
//! | `arguments.rs`, `accel.rs`, `qemu.rs` | QEMU, and its command line as data |
//! | `kernel.rs`, `modules.rs`, `programs.rs`, `init.rs` | what goes into a machine |
//! | `initramfs.rs`, `cpio.rs`, `unpack.rs` | the archive that it boots from |
//! | `cache.rs`, `folder.rs` | what is made once, and folders that are the user's alone |
//! | `error.rs` | what can go wrong, by blame |

mod accel;
mod appliance;
mod arguments;
mod cache;
mod carry;
mod copy;
mod count;
mod cpio;
mod disks;
mod error;
mod files;
mod folder;
mod init;
mod initramfs;
mod kernel;
mod lane;
mod launch;
mod link;
mod modules;
mod process;
mod programs;
mod qemu;
mod registry;
mod root;
mod saved;
mod standstill;
mod transfer;
mod unpack;

pub use qplug_agent::{Name, wire};
pub use qplug_hotplug::{DiskName, Format, Storage};

pub use accel::Accel;
pub use appliance::{Appliance, down};
pub use cache::Cache;
pub use count::{Counted, Watch};
pub use disks::NewDisk;
pub use error::{Error, Result};
pub use kernel::Kernel;
pub use lane::MAX_CLIENTS;
pub use launch::{Launch, Plan};
pub use link::Agent;
pub use process::Identity;
pub use qemu::Qemu;
pub use registry::{ApplianceName, Place, Record, Registry, State};
pub use root::Root;
