//! `cargo xtask check`: which file may touch the outside world, and which crate may use which.
//!
//! The tables here are the rule. A change that needs another row says so here, where it is seen.

use std::fs;
use std::path::{Path, PathBuf};

use qplug_testbed::{Error, Result};

use crate::cargo::root;

/// Something that a file must be listed for.
struct Touch {
    what: &'static str,
    /// Text that gives it away.
    signs: &'static [&'static str],
    /// Files below `crates/` that may, and folders, with a slash at the end.
    allowed: &'static [&'static str],
}

impl Touch {
    fn allows(&self, file: &str) -> bool {
        let is_it = |it: &&&str| **it == file || (it.ends_with('/') && file.starts_with(**it));
        self.allowed.iter().any(|it| is_it(&it))
    }
}

/// PID 1 of the appliance: what it touches is the appliance's.
const AGENT: &str = "agent/src/bin/";

const TOUCHES: &[Touch] = &[
    Touch {
        what: "sockets",
        signs: &["tokio::net", "std::net::", "unix::net", "UnixStream", "rustix::net"],
        allowed: &[
            AGENT,
            "qmp/src/transport.rs",
            "qmp/src/transport/socket.rs",
            "qmp/src/transport/tls.rs",
            "qmp/src/transport/unix.rs",
            "qmp/src/fds.rs",
            "qmp/src/blocking/connect.rs",
            "qmp/src/blocking/socket.rs",
            "qmp/src/server/listener.rs",
            "cli/src/commands/sim.rs",
            // Only to tell whether an address is on this machine.
            "cli/src/monitor.rs",
            // The agent's socket, until both ends have met, and the monitor's, until QEMU has it.
            "appliance/src/link.rs",
            "appliance/src/process.rs",
            "appliance/src/transfer.rs",
        ],
    },
    Touch {
        what: "files",
        // With what comes before it: an initramfs is no file of the host.
        signs: &["std::fs", "tokio::fs", "File::open", " fs::", "(fs::", "|fs::", "!fs::", "&fs::"],
        allowed: &[
            AGENT,
            "hotplug/src/image.rs",
            "qmp/src/endpoint.rs",
            "qmp/src/server/listener.rs",
            // Traces, lists and secrets are files that the user names.
            "cli/src/commands.rs",
            "cli/src/commands/attach/list.rs",
            "cli/src/commands/attach/secret.rs",
            // Schemas are files that the user names, and so is what is generated.
            "cli/src/commands/codegen.rs",
            // So are the folders of completions and manual pages.
            "cli/src/commands/pages.rs",
            "cli/src/commands/schema/source.rs",
            // Schemas are kept in the user's cache folder.
            "cli/src/commands/schema/cache.rs",
            "cli/src/commands/sim/images.rs",
            // What is copied into an appliance and out of it.
            "cli/src/commands/appliance/files.rs",
            // What a line of the shell writes to, runs from, remembers, and completes.
            "cli/src/output.rs",
            "cli/src/shell/sink.rs",
            "cli/src/shell/script.rs",
            "cli/src/shell/history.rs",
            "cli/src/shell/live/host.rs",
            // What an appliance is made of, and where it is found again.
            "appliance/src/accel.rs",
            "appliance/src/cache.rs",
            "appliance/src/carry.rs",
            "appliance/src/copy.rs",
            "appliance/src/folder.rs",
            "appliance/src/init.rs",
            "appliance/src/kernel.rs",
            "appliance/src/lane.rs",
            "appliance/src/modules.rs",
            "appliance/src/programs.rs",
            "appliance/src/qemu.rs",
            "appliance/src/registry.rs",
            "appliance/src/saved.rs",
            "appliance/src/process.rs",
            // Random numbers.
            "appliance/src/link.rs",
        ],
    },
    Touch {
        what: "processes",
        signs: &["process::Command", "process::{Child, Command", "tokio::process"],
        allowed: &[
            AGENT,
            "qmp/src/transport/child.rs",
            "cli/src/shell/sink.rs",
            "appliance/src/process.rs",
        ],
    },
    Touch {
        what: "the clock",
        signs: &[
            "Instant::now",
            "SystemTime::now",
            "::sleep(",
            "sleep_until(at",
            "time::timeout",
            "time::{sleep",
        ],
        allowed: &[
            AGENT,
            "qmp/src/client.rs",
            "qmp/src/driver.rs",
            "qmp/src/transport.rs",
            "qmp/src/blocking.rs",
            "qmp/src/blocking/connect.rs",
            "qmp/src/blocking/conversation.rs",
            "qmp/src/blocking/events.rs",
            "qmp/src/blocking/meet.rs",
            "qmp/src/blocking/socket.rs",
            "qmp/src/server.rs",
            "hotplug/src/drive.rs",
            // How long a copy that is given up may take to leave.
            "cli/src/commands/appliance/files.rs",
            "cli/src/commands/appliance/machine.rs",
            "cli/src/commands/detach/progress.rs",
            "cli/src/commands/recover.rs",
            "cli/src/commands/sim.rs",
            // How long a guest held still.
            "cli/src/commands/snapshot/held.rs",
            "cli/src/shell/appliance/site.rs",
            "cli/src/shell/link.rs",
            "cli/src/shell/live.rs",
            "cli/src/shell/session.rs",
            "cli/src/watch/driver.rs",
            "cli/src/watch/run.rs",
            "appliance/src/appliance.rs",
            "appliance/src/cache.rs",
            "appliance/src/carry.rs",
            "appliance/src/disks.rs",
            "appliance/src/lane.rs",
            "appliance/src/launch.rs",
            "appliance/src/link.rs",
            "appliance/src/process.rs",
            "appliance/src/saved.rs",
            "appliance/src/standstill.rs",
            "appliance/src/transfer.rs",
        ],
    },
    Touch {
        what: "the terminal",
        signs: &["println!", "print!(", "io::stdout", "io::stderr", "anstream"],
        allowed: &[
            AGENT,
            "cli/src/output.rs",
            "cli/src/output/screen.rs",
            // The full-screen view has the terminal to itself.
            "cli/src/watch/screen.rs",
        ],
    },
];

/// The crates of the product, and which of the project's own each may use.
const ROOMS: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("qapi", &[]),
    ("qmp", &["qplug-proto", "qplug-qapi"]),
    ("sim", &["qplug-proto", "qplug-qapi"]),
    ("hotplug", &["qplug-proto", "qplug-qmp"]),
    ("agent", &["qplug-proto"]),
    ("appliance", &["qplug-agent", "qplug-hotplug", "qplug-qmp"]),
    ("cli", &["qplug-appliance", "qplug-hotplug", "qplug-qapi", "qplug-qmp", "qplug-sim"]),
];

/// Lists every breach.
pub(crate) fn run() -> Result<()> {
    let crates = root().join("crates");
    let mut breaches = Vec::new();
    for (room, may_use) in ROOMS {
        for file in rust_files(&crates.join(room).join("src"))? {
            check_file(&crates, &file, &mut breaches)?;
        }
        check_uses(&crates.join(room).join("Cargo.toml"), may_use, &mut breaches)?;
    }
    if breaches.is_empty() {
        return Ok(());
    }
    let list = breaches.join("\n  ");
    Err(Error::failed(format!(
        "rooms that are left (the tables are in xtask/src/check.rs):\n  {list}"
    )))
}

fn check_file(crates: &Path, file: &Path, breaches: &mut Vec<String>) -> Result<()> {
    let text = read(file)?;
    // A test may do what the code it tests may not.
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let name = file.strip_prefix(crates).unwrap_or(file).display().to_string();
    for touch in TOUCHES.iter().filter(|touch| !touch.allows(&name)) {
        for (number, line) in code.lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            if !is_comment && touch.signs.iter().any(|sign| line.contains(sign)) {
                breaches.push(format!("{name}:{}: touches {}", number + 1, touch.what));
            }
        }
    }
    Ok(())
}

fn check_uses(manifest: &Path, may_use: &[&str], breaches: &mut Vec<String>) -> Result<()> {
    let text = read(manifest)?;
    let dependencies = text.split("[dependencies]").nth(1).unwrap_or_default();
    let dependencies = dependencies.split("\n[").next().unwrap_or_default();
    for line in dependencies.lines().filter(|line| line.starts_with("qplug-")) {
        let used = line.split(['.', ' ', '=']).next().unwrap_or_default();
        if !may_use.contains(&used) {
            breaches.push(format!("{}: uses {used}", manifest.display()));
        }
    }
    Ok(())
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| unreadable(&folder, &error))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                // Unit tests that have a file, or a folder, of their own.
                && path.file_name().is_none_or(|name| name != "tests.rs")
                && path.parent().is_none_or(|folder| !folder.ends_with("tests"))
            {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::failed(format!("cannot read {}: {error}", path.display()))
}
