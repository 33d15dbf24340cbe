//! The words of `qplug attach`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum, ValueHint};
use qplug_qmp::Address;

use super::disk::DiskWords;
use super::seconds;

#[derive(Debug, ClapArgs)]
pub(crate) struct Attach {
    /// Images: a file, a block device, or nbd://, nbd+unix://, nbds://, https://, ssh://, iscsi://,
    /// rbd: (these need --format). Each makes a disk; all that can be checked is, for all of them,
    /// before the first is plugged in.
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath, required_unless_present_any = ["list", "fd"])]
    pub(crate) images: Vec<String>,

    /// A TOML or JSON file of `disk` tables, whose keys are image and the options below. Paths in
    /// it are taken from its folder.
    #[arg(long, short, value_name = "FILE", conflicts_with = "images")]
    pub(crate) list: Option<PathBuf>,

    /// Print what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// guest: wait until the guest's driver has read from the disk.
    #[arg(long, value_name = "FOR", conflicts_with = "dry_run")]
    pub(crate) wait: Option<Wait>,

    /// How long to wait for the guest with --wait, in seconds. Then the exit code is 5; the disk is
    /// attached all the same.
    #[arg(long, short, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,

    /// The socket of the guest's agent (qemu-guest-agent), to print the guest's device name with
    /// --wait.
    #[arg(long, value_name = "ADDRESS", env = "QPLUG_AGENT")]
    pub(crate) agent: Option<Address>,

    #[command(flatten)]
    pub(crate) disk: DiskWords,
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    /// Until the guest's driver has read from the disk
    Guest,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  qplug attach data.qcow2 --wait guest
  qplug attach a.img b.img c.img --bus virtio-scsi
  qplug attach vol.img --cache none --aio native --throttle iops-total=500,bps-total=50M
  qplug attach nbd://store/vol1 --format raw --name vol1
  qplug attach --list disks.toml --dry-run";
