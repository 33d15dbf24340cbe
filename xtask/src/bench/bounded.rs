//! Running commands that must end.

use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use qplug_testbed::{Error, Result};

/// How long any command may take; qplug itself gives a guest 30 s.
const END_WITHIN: Duration = Duration::from_secs(90);

/// Runs a command until it ends; a failure is an error that quotes it. One that does not end in
/// time is left behind: it ends with the machine that it talks to.
pub(super) fn run(command: &mut Command) -> Result<Output> {
    run_within(command, END_WITHIN)
}

/// [`run`] for a command that moves so much that it may take longer.
pub(super) fn run_within(command: &mut Command, within: Duration) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let cannot = |error| Error::failed(format!("cannot run {name}: {error}"));
    let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(cannot)?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let output = receiver.recv_timeout(within).map_err(|_| {
        Error::failed(format!("{name} has not ended within {} s", within.as_secs()))
    })?;
    let output = output.map_err(cannot)?;
    if output.status.success() {
        return Ok(output);
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(Error::failed(format!("{name} failed ({}): {}", output.status, why.trim())))
}
