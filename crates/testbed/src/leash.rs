//! A process on a leash: it ends with the one that started it, in whatever way that dies.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Turns into the program, after leaving a child that kills it when the pipe on standard input
/// breaks: that is what happens when the test process dies in any way. A line on the pipe lets go
/// instead.
///
/// The kernel's own parent-death signal would not do: it is sent when the *thread* that started
/// the program ends, and test threads end early. `$$` is the program's process id in both, as `exec`
/// keeps it.
const LEASH: &str = r#"exec 3<&0 </dev/null
(read -r _ <&3 || kill -9 $$) >/dev/null 2>&1 &
exec "$@" 3<&-"#;

/// Time between two looks at a process that is to end: `std` can wait for ever or not at all.
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(crate) struct Leashed {
    child: Child,
    leash: Option<ChildStdin>,
}

impl Leashed {
    /// Starts a program, whose output goes there, and whose standard input is empty.
    pub(crate) fn spawn(
        command: &Command,
        output: impl Into<Stdio>,
        errors: impl Into<Stdio>,
    ) -> std::io::Result<Self> {
        let mut leashed = Command::new("/bin/sh");
        leashed.args(["-c", LEASH, "leashed"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => leashed.env(key, value),
                None => leashed.env_remove(key),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            leashed.current_dir(folder);
        }
        let mut child = leashed.stdin(Stdio::piped()).stdout(output).stderr(errors).spawn()?;
        let leash = child.stdin.take();
        Ok(Self { child, leash })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the end; `None` when it does not come in time.
    pub(crate) fn wait(&mut self, within: Duration) -> std::io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + within;
        loop {
            match self.child.try_wait()? {
                Some(status) => {
                    self.let_go();
                    return Ok(Some(status));
                }
                None if Instant::now() < deadline => std::thread::sleep(LOOK_EVERY),
                None => return Ok(None),
            }
        }
    }

    pub(crate) fn kill(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        self.let_go();
        let _ = self.child.wait();
    }

    /// Ends the leash before the process id can belong to somebody else.
    fn let_go(&mut self) {
        if let Some(mut leash) = self.leash.take() {
            // Fails only when the leash's other end is gone, and so has let go.
            let _ = leash.write_all(b"\n");
        }
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        self.kill();
    }
}
