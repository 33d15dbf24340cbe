//! One QEMU process, on a leash.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::evidence::QEMU_LOG;
use crate::{Error, Qemu, Result};

/// Turns into QEMU, after leaving a child that kills QEMU when the pipe on standard input breaks:
/// that is what happens when the test process dies in any way. A line on the pipe lets go instead.
///
/// The kernel's own parent-death signal would not do: it is sent when the *thread* that started
/// QEMU ends, and test threads end early. `$$` is QEMU's process id in both, as `exec` keeps it.
const LEASH: &str = r#"exec 3<&0 </dev/null
(read -r _ <&3 || kill -9 $$) >/dev/null 2>&1 &
exec "$@" 3<&-"#;

/// Time between two looks at a process that is to end: `std` can wait for ever or not at all.
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    leash: Option<ChildStdin>,
}

impl Process {
    /// Starts QEMU in `folder`, with its messages going to a file there.
    pub(super) fn spawn(qemu: &Qemu, arguments: &[String], folder: &Path) -> Result<Self> {
        let log = folder.join(QEMU_LOG);
        let messages = File::create(&log).map_err(Error::file("create", &log))?;
        let output = messages.try_clone().map_err(Error::file("share", &log))?;
        let mut child = Command::new("/bin/sh")
            .args(["-c", LEASH, "qemu"])
            .arg(&qemu.path)
            .args(arguments)
            .envs(qemu.environment())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(messages)
            .spawn()
            .map_err(Error::file("run", &qemu.path))?;
        let leash = child.stdin.take();
        Ok(Self { child, leash })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(super) fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    self.let_go();
                    return Ok(status);
                }
                Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK_EVERY),
                Ok(None) => {
                    return Err(Error::failed(format!(
                        "waited {within:?} for QEMU to end, and it runs on"
                    )));
                }
                Err(error) => return Err(Error::failed(format!("cannot wait for QEMU: {error}"))),
            }
        }
    }

    pub(super) fn kill(&mut self) {
        // Both fail only when QEMU has ended already, which is what is wanted.
        let _ = self.child.kill();
        self.let_go();
        let _ = self.child.wait();
    }

    /// Ends the leash before QEMU's process id can belong to somebody else.
    fn let_go(&mut self) {
        if let Some(mut leash) = self.leash.take() {
            // Fails only when the leash's other end is gone, and so has let go.
            let _ = leash.write_all(b"\n");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
