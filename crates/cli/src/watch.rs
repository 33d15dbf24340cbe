//! `qplug watch`

use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::Output;

/// Watches one machine on a full screen.
pub(crate) async fn run(_monitor: &Monitor, _output: &Output) -> Result<Exit, Failure> {
    Err(Failure::usage("qplug watch is being written"))
}
