//! The words of `qplug snapshot`, `freeze` and `thaw`.

use std::time::Duration;

use clap::Args as ClapArgs;
use qplug_qmp::Address;

use super::seconds;

#[derive(Debug, ClapArgs)]
pub(crate) struct Snapshot {
    /// The snapshot's name; with --list, only those of this name.
    #[arg(required_unless_present = "list")]
    pub(crate) tag: Option<String>,

    /// The disks, by their names or their devices' ids. Default: all that qplug attached and that can
    /// be written to; with --list or --delete, all that have it.
    #[arg(value_name = "DISK")]
    pub(crate) disks: Vec<String>,

    /// List the snapshots that there are.
    #[arg(long)]
    pub(crate) list: bool,

    /// Delete the snapshot from these disks, one after the other.
    #[arg(long, conflicts_with = "list")]
    pub(crate) delete: bool,

    /// The socket of the guest's agent (qemu-guest-agent): the guest's file systems are frozen while the
    /// snapshot is taken, and thawed in any case.
    #[arg(long, value_name = "ADDRESS", env = "QPLUG_AGENT")]
    pub(crate) agent: Option<Address>,

    /// How long the guest may take to freeze, and again QEMU to take the snapshot, in seconds. Then the
    /// guest is thawed.
    #[arg(long, short, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,

    /// Print what would be done, and do nothing.
    #[arg(long, conflicts_with_all = ["list", "delete"])]
    pub(crate) dry_run: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Freeze {
    /// The socket of the guest's agent (qemu-guest-agent).
    #[arg(long, value_name = "ADDRESS", env = "QPLUG_AGENT")]
    pub(crate) agent: Address,

    /// How long the guest may take, in seconds. Then it is thawed.
    #[arg(long, short, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,

    /// Only say whether they are frozen.
    #[arg(long)]
    pub(crate) status: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Thaw {
    /// The socket of the guest's agent (qemu-guest-agent).
    #[arg(long, value_name = "ADDRESS", env = "QPLUG_AGENT")]
    pub(crate) agent: Address,

    /// How long to try, in seconds.
    #[arg(long, short, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  qplug snapshot before-update
  qplug snapshot nightly data logs --agent /run/vm1.agent
  qplug snapshot --list
  qplug snapshot nightly --delete

Snapshots are within the images, which must be qcow2. 'qemu-img snapshot -a TAG' goes back to one while
the image is in no machine, and 'qemu-img convert -l TAG' copies one out.";

pub(super) const FREEZE_EXAMPLES: &str = "\
Examples:
  qplug freeze --agent /run/vm1.agent && ./backup; qplug thaw --agent /run/vm1.agent
  qplug freeze --agent /run/vm1.agent --status";
