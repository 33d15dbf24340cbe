//! `qplug shell`

pub(crate) mod line;

use crate::args::Shell;
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::Output;

/// Talks to one machine.
pub(crate) async fn run(
    args: Shell,
    _monitor: &Monitor,
    _output: &Output,
) -> Result<Exit, Failure> {
    Err(Failure::usage(format!("qplug shell is being written ({:?})", args.script)))
}
