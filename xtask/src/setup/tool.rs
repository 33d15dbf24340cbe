//! Running the system's tools, with errors a person can act on.

use std::io::ErrorKind;
use std::process::Command;

use qplug_testbed::{Error, Result};

/// Lines of a failed tool's messages that are shown.
const MAX_COMPLAINT: usize = 12;

/// Runs a command to its end and returns what it printed.
pub(super) fn run(command: &mut Command) -> Result<String> {
    bytes(command).map(|output| String::from_utf8_lossy(&output).into_owned())
}

/// [`run`] for output that is not text.
pub(super) fn bytes(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::not_set_up(format!(
            "{name} is missing. Set-up works on Debian and its kin, with apt-get, apt-cache and \
             dpkg-deb. Elsewhere, bring your own: QPLUG_QEMU=/path/to/qemu-system-x86_64 \
             QPLUG_KERNEL=/path/to/bzImage QPLUG_MODULES=/lib/modules/VERSION cargo xtask setup"
        )),
        _ => Error::failed(format!("cannot run {name}: {error}")),
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = complaint.lines().collect();
    let tail = lines[lines.len().saturating_sub(MAX_COMPLAINT)..].join("\n  ");
    Err(Error::failed(format!("{name} failed:\n  {tail}")))
}
