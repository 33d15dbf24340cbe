//! PID 1 of the appliance: a QMP server that knows the disks plugged into it. What it is told is in
//! `qplug_agent::wire`.
//!
//! | file | owns |
//! |---|---|
//! | `boot.rs`, `modules.rs` | what an init does first, and drivers |
//! | `port.rs`, `uevent.rs` | the ports to the host, and the kernel's announcements |
//! | `serve.rs`, `jobs.rs`, `command.rs` | the conversation, and a thread for each command |
//! | `disks.rs`, `sysfs.rs`, `unread.rs`, `links.rs` | which disks there are, and their names in `/dev/disk/qplug` |
//! | `device.rs`, `content.rs`, `uses.rs` | what a command calls a device, what is on it, what uses it |
//! | `mounts.rs`, `tree.rs`, `files.rs`, `find.rs` | the tree of mounted file systems |
//! | `lanes.rs`, `transfer.rs`, `archive.rs`, `program.rs` | streams, and what sends and takes them |
//! | `draft.rs`, `direct.rs` | files that are made whole, and large ones |
//! | `root.rs` | where programs come from, if the user has a root for them |
//!
//! Nothing in here may end the process: the kernel panics when PID 1 exits. Nothing that a disk or the
//! host says may hang the conversation: whatever touches a disk has a thread of its own.

mod archive;
mod boot;
mod clock;
mod command;
mod content;
mod device;
mod direct;
mod disks;
mod draft;
mod files;
mod find;
mod jobs;
mod lanes;
mod links;
mod modules;
mod mounts;
mod port;
mod power;
mod program;
mod refusal;
mod root;
mod serve;
mod sysfs;
mod transfer;
mod tree;
mod uevent;
mod unread;
mod uses;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

/// What this program is besides PID 1: what loads drivers, for the kernel (`-q -- fs-ext4`) and as `modprobe`, what
/// becomes a program of the root's, and tar.
fn role() -> ExitCode {
    let mut rest = env::args_os();
    let name = rest.next().map(PathBuf::from).unwrap_or_default();
    let first = rest.next();
    if first.as_deref() == Some("-q".as_ref()) || name.ends_with("modprobe") {
        let alias = rest.last().or(first).unwrap_or_default();
        return ExitCode::from(u8::from(!modules::load_alias(&alias.to_string_lossy())));
    }
    if first.as_deref() == Some(root::ROLE.as_ref()) {
        return root::enter(rest);
    }
    archive::main(&mut first.into_iter().chain(rest))
}

fn main() -> ExitCode {
    if rustix::process::getpid().as_raw_nonzero().get() != 1 {
        return role();
    }
    // A thread that panics is reported by its end; this one outlives all others.
    let outcome =
        thread::Builder::new().name("agent".to_owned()).spawn(serve::run).map(|it| it.join());
    let reason = match outcome {
        Ok(Ok(Err(reason))) => reason,
        Ok(Ok(Ok(never))) => match never {},
        Ok(Err(_)) => "the agent panicked".to_owned(),
        Err(error) => format!("no thread can be begun: {error}"),
    };
    power::give_up(&reason)
}
