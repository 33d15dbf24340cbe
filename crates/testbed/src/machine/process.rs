//! One QEMU process.

use std::fs::File;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use crate::evidence::QEMU_LOG;
use crate::leash::Leashed;
use crate::{Error, Qemu, Result};

#[derive(Debug)]
pub(super) struct Process(Leashed);

impl Process {
    /// Starts QEMU in `folder`, with its messages going to a file there.
    pub(super) fn spawn(qemu: &Qemu, arguments: &[String], folder: &Path) -> Result<Self> {
        let log = folder.join(QEMU_LOG);
        let messages = File::create(&log).map_err(Error::file("create", &log))?;
        let output = messages.try_clone().map_err(Error::file("share", &log))?;
        let mut command = qemu.command();
        command.args(arguments).current_dir(folder);
        let leashed = Leashed::spawn(&command, output, messages);
        Ok(Self(leashed.map_err(Error::file("run", &qemu.path))?))
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.0.is_running()
    }

    pub(super) fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let waited = self.0.wait(within);
        let status =
            waited.map_err(|error| Error::failed(format!("cannot wait for QEMU: {error}")))?;
        status.ok_or_else(|| {
            Error::failed(format!("waited {within:?} for QEMU to end, and it runs on"))
        })
    }

    pub(super) fn kill(&mut self) {
        self.0.kill();
    }
}
