//! A small machine that disks are plugged into while it runs, to look inside them.

#![allow(dead_code, reason = "the launcher, which uses it all, comes next")]

mod cache;
mod cpio;
mod error;
mod folder;
mod init;
mod initramfs;
mod kernel;
mod modules;
mod programs;
mod qemu;
mod unpack;

pub use cache::Cache;
pub use error::{Error, Result};
pub use kernel::Kernel;
pub use qemu::Qemu;
