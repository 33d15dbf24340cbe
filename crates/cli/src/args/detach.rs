//! The words of `qplug detach`.

use std::time::Duration;

use clap::Args as ClapArgs;
use qplug_qmp::Address;

use super::seconds;

#[derive(Debug, ClapArgs)]
pub(crate) struct Detach {
    /// The disks' names. The guest is asked for all of them together.
    #[arg(value_name = "NAME", required_unless_present = "all")]
    pub(crate) names: Vec<String>,

    /// All disks that qplug attached.
    #[arg(long, short, conflicts_with = "names")]
    pub(crate) all: bool,

    /// How long to wait for the guest, in seconds. Then the detach is pending (exit code 5), and the
    /// same command goes on with it.
    #[arg(long, short, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,

    /// Succeed when there is no such disk, for scripts that repeat a detach.
    #[arg(long)]
    pub(crate) missing_ok: bool,

    /// Print what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// The socket of the guest's agent (qemu-guest-agent): a disk that is mounted or held in the
    /// guest is refused, and what holds it is named.
    #[arg(long, value_name = "ADDRESS", env = "QPLUG_AGENT")]
    pub(crate) agent: Option<Address>,

    /// Pull out what the guest uses, too, and do not ask its agent.
    #[arg(long)]
    pub(crate) force: bool,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  qplug detach data
  qplug detach a b c --timeout 10
  qplug detach --all --agent /run/vm1.agent";
