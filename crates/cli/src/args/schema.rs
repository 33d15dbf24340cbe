//! The words of commands about what a QEMU can do.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Schema {
    #[command(subcommand)]
    pub(crate) about: Option<About>,

    /// A command or an event, to be shown as a tree. Left out, all are listed.
    pub(crate) name: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum About {
    /// Show what a device takes, which no schema lists: the names for device_add and what it is told.
    Device {
        /// Such as virtio-blk-pci. Left out, all devices are listed that this QEMU has.
        name: Option<String>,
    },
    /// Show what an object takes, for object-add.
    Object {
        /// Such as iothread. Left out, all objects are listed that this QEMU can make.
        name: Option<String>,
    },
    /// Show what came, went and changed from one QEMU to another.
    Diff {
        /// A monitor's address, the path of a QEMU, or a file with an answer to query-qmp-schema.
        #[arg(value_hint = ValueHint::FilePath)]
        from: String,
        /// Another.
        #[arg(value_hint = ValueHint::FilePath)]
        to: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Codegen {
    /// A QEMU: its path, a monitor's address, or a file with an answer to query-qmp-schema. Give it
    /// again for more of them, the oldest first.
    #[arg(long, value_name = "QEMU", required = true)]
    pub(crate) qemu: Vec<String>,

    /// The file to write.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  qplug schema blockdev-add
  qplug schema DEVICE_DELETED
  qplug schema device virtio-blk-pci
  qplug schema object
  qplug schema diff /usr/bin/qemu-system-x86_64 /run/vm1.qmp

QEMU makes a device to tell what it takes, and throws it away again: do not go through all of them on a
machine that matters.";
