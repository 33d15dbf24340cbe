//! QEMU as a process: started, known again, ended.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use crate::arguments::{Shape, Start};
use crate::error::{Error, Result};
use crate::lane::socket;
use crate::registry::Place;

/// Time between two looks at a process that is to end and is not our child.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A process, as no other one is: numbers come again, and start times with them do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since the host booted (`starttime` of proc(5)).
    pub started: u64,
}

impl Identity {
    /// The process that has this number now; nothing when none has, or it has ended and waits for its
    /// parent to hear of it.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // A program's name, which may have anything in it, is in parentheses.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        // `state` is the third field, and `starttime` the 22nd.
        let started = fields.nth(18)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some(Self { pid, started })
    }

    /// Whether the process runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    /// Ends the process, whatever it does, and waits until it has ended.
    ///
    /// # Errors
    /// When it has not ended in time.
    pub(crate) async fn kill(&self, within: Duration) -> Result<()> {
        self.signal_kill();
        let ended = async {
            while self.is_running() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let late = |_| Error::Late { what: "QEMU to end", within, words: String::new() };
        tokio::time::timeout(within, ended).await.map_err(late)
    }

    /// Waits until the process has ended; whether it has.
    pub(crate) async fn ended(&self, within: Duration) -> bool {
        let ended = async {
            while self.is_running() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(within, ended).await.is_ok()
    }

    /// Signals this process and no other, even if it ends meanwhile.
    fn signal_kill(&self) {
        let Some(pid) = Pid::from_raw(self.pid.try_into().unwrap_or_default()) else { return };
        // Opened first, looked at then: what is behind the descriptor stays the same.
        if let Ok(process) = pidfd_open(pid, rustix::process::PidfdFlags::empty())
            && self.is_running()
        {
            // Fails only when it has ended.
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
    }
}

/// Whether a process has this folder as its current one.
pub(crate) fn works_in(pid: u32, folder: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd"))
        .is_ok_and(|found| fs::canonicalize(folder).is_ok_and(|folder| folder == found))
}

/// Ends the QEMUs that ran in a folder which is there no more; whether there were any. Nothing else tells of
/// them: what was written down of them went with the folder.
pub(crate) fn end_strays(folder: &Path) -> bool {
    // As the kernel writes it.
    let gone = format!("{} (deleted)", folder.display());
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let strays = processes.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let place = fs::read_link(entry.path().join("cwd")).ok()?;
        let words = fs::read(entry.path().join("cmdline")).ok()?;
        let mut words = words.split(|&byte| byte == 0);
        let is_ours = words.any(|word| word == crate::arguments::CONTROL.as_bytes());
        (is_ours && place.as_os_str() == gone.as_str()).then_some(pid)
    });
    let strays: Vec<_> = strays.collect();
    strays.iter().for_each(|&pid| kill(pid));
    !strays.is_empty()
}

/// Ends a process.
pub(crate) fn kill(pid: u32) {
    if let Some(pid) = Pid::from_raw(pid.try_into().unwrap_or_default()) {
        // Fails only when it has ended.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Starts QEMU in its place, with its monitor's socket already there. It is no part of our terminal's
/// group, and outlives us.
pub(crate) fn start(shape: &Shape, start: Start, place: &Place) -> Result<Leashed> {
    let monitor = place.file(&socket(Place::CONTROL, 0));
    let listener = UnixListener::bind(&monitor).map_err(Error::file("listen at", &monitor))?;
    let log = place.file(Place::LOG);
    let messages = fs::File::create(&log).map_err(Error::file("make", &log))?;
    let output = messages.try_clone().map_err(Error::file("share", &log))?;
    let line = shape.command_line(start);
    let mut command = Command::new(&shape.qemu.program);
    command
        .args(&line[1..])
        .envs(shape.qemu.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(place.folder())
        .process_group(0)
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(output)
        .stderr(messages);
    let child = command.spawn().map_err(Error::file("run", &shape.qemu.program))?;
    let identity = child.id().and_then(Identity::of);
    let gone = || Error::Died { words: place.last_words() };
    identity.map(|identity| Leashed { child: Some(child), identity }).ok_or_else(gone)
}

/// A process that ends when this is dropped, unless it was let go.
#[derive(Debug)]
pub(crate) struct Leashed {
    child: Option<Child>,
    identity: Identity,
}

impl Leashed {
    /// Which process it is.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// From here on it outlives us. The runtime hears of its end, if that comes before ours.
    pub(crate) fn let_go(&mut self) {
        self.child = None;
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Fails only when it has ended.
            let _ = child.start_kill();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

    use super::*;

    #[tokio::test]
    async fn a_process_is_known_again_and_ended() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(child.id()).unwrap();
        assert!(identity.is_running());
        let other = Identity { started: identity.started + 1, ..identity };
        assert!(!other.is_running());
        other.kill(Duration::from_secs(1)).await.unwrap();
        assert!(identity.is_running(), "another process was ended");
        identity.kill(Duration::from_secs(10)).await.unwrap();
        assert!(!identity.is_running());
        assert!(!child.wait().unwrap().success());
    }
}
