//! The words of `qplug list`.

use clap::Args as ClapArgs;
use qplug_qmp::Address;

#[derive(Debug, ClapArgs)]
pub(crate) struct List {
    /// The socket of the guest's agent (qemu-guest-agent), to show the guest's names of the disks and
    /// where they are mounted. The list comes without them where the agent does not answer.
    #[arg(long, value_name = "ADDRESS", env = "QPLUG_AGENT")]
    pub(crate) agent: Option<Address>,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  qplug list
  qplug list --agent /run/vm1.agent";
