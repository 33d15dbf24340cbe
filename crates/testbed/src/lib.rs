//! Real QEMU machines for the tests: launched, saved, restored and watched over.
//!
//! A test asks for a [`Machine`], points the product at [`Machine::qmp_path`], and checks what
//! happened from two sides that share no code with the product: the [`monitor::Monitor`], a small
//! QMP client of its own, and [`guest::Guest`], the kernel inside.
//!
//! ```no_run
//! use qplug_testbed::{Board, Machine, Qemu};
//!
//! for qemu in Qemu::under_test("attach to a booted machine") {
//!     let mut machine = Machine::builder(&qemu, Board::Q35).restored()?;
//!     machine.guest.ping()?;
//! }
//! # Ok::<(), qplug_testbed::Error>(())
//! ```
//!
//! Nothing here is part of qplug; it is never published and never installed.

pub mod accel;
pub mod agent;
pub mod boot_files;
pub mod cache;
pub mod certificates;
mod cpio;
mod error;
mod evidence;
pub mod guest;
pub mod https;
pub mod image;
pub mod initramfs;
mod leash;
mod lines;
pub mod machine;
pub mod monitor;
pub mod nbd;
pub mod page;
pub mod proxy;
pub mod python;
pub mod qemu;
mod sim;
pub mod terminal;

pub use error::{Error, Result};
pub use evidence::Evidence;
pub use machine::{Board, Machine};
pub use qemu::Qemu;
pub use sim::{IMAGE_BYTES, Sim};
pub use terminal::Terminal;
