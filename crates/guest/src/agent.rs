//! QEMU's own guest agent, when the initramfs has it and the machine a port for it.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Where the initramfs keeps it.
const PROGRAM: &str = "/usr/sbin/qemu-ga";

/// Where it keeps what it remembers.
const STATE: &str = "/run";

/// The port's name, which QEMU and the agent agree on.
const PORT: &str = "org.qemu.guest_agent.0";

/// Starts the agent. `Ok(None)` is a machine without one, which is the usual case.
pub(crate) fn start() -> Result<Option<Child>, String> {
    if !fs::exists(PROGRAM).unwrap_or(false) {
        return Ok(None);
    }
    let Some(port) = port() else {
        return Ok(None);
    };
    fs::create_dir_all(STATE).map_err(|error| format!("cannot make {STATE}: {error}"))?;
    Command::new(PROGRAM)
        .args(["--method", "virtio-serial", "--statedir", STATE, "--path"])
        .arg(port)
        .stdin(Stdio::null())
        .spawn()
        .map(Some)
        .map_err(|error| format!("cannot run {PROGRAM}: {error}"))
}

/// udev would have made a link of the port's name.
fn port() -> Option<PathBuf> {
    let entries = fs::read_dir("/sys/class/virtio-ports").ok()?;
    entries.flatten().find_map(|entry| {
        let name = fs::read_to_string(entry.path().join("name")).ok()?;
        (name.trim() == PORT).then(|| PathBuf::from("/dev").join(entry.file_name()))
    })
}
