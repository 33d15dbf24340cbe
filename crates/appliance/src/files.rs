//! Files in the file systems that an appliance has mounted, and programs that it runs.

use std::path::PathBuf;

use qplug_agent::Name;
use qplug_agent::wire::{
    Download, Ended, Find, Found, Line, Moved, Place as File, Run, TarIn, TarOut, Upload,
};
use tokio::sync::MutexGuard;

use crate::appliance::Appliance;
use crate::error::{Error, Result};
use crate::link::{Agent, random_token};
use crate::registry::Place;
use crate::transfer::{Finished, Port, Sink, Source, Traffic};

/// The port for bytes, while one command has it.
struct Turn<'a> {
    agent: &'a Agent,
    port: MutexGuard<'a, Option<Port>>,
    path: PathBuf,
    appliance: &'a Appliance,
}

impl Turn<'_> {
    /// Gives a command, which is made once its streams have their numbers.
    async fn run<'a, C: qplug_agent::wire::Command>(
        mut self,
        source: Option<Source<'a>>,
        sinks: Vec<Sink<'a>>,
        command: impl FnOnce(Option<u32>, &[u32]) -> C,
    ) -> Result<Finished<C::Return>> {
        let mut port = match self.port.take() {
            Some(port) => port,
            None => {
                let token = random_token().map_err(Error::file("begin anew at", &self.path))?;
                Port::open(&self.path, token, self.agent).await?
            }
        };
        let source = source.map(|source| (port.number(), source));
        let sinks: Vec<_> = sinks.into_iter().map(|sink| (port.number(), sink)).collect();
        let numbers: Vec<_> = sinks.iter().map(|(number, _)| *number).collect();
        let command = command(source.as_ref().map(|(number, _)| *number), &numbers);
        let moving = port.run(self.agent, &command, Traffic { source, sinks });
        let returned = self.appliance.while_it_runs(moving).await?;
        // One that an error came over is not used again.
        *self.port = Some(port);
        Ok(returned)
    }
}

impl Appliance {
    async fn turn(&self) -> Result<Turn<'_>> {
        let agent = self.agent().await?;
        let path = self.socket(Place::FILES).await?;
        Ok(Turn { agent, port: self.port().lock().await, path, appliance: self })
    }

    /// Copies a file, or all of a device, out of the appliance; how many bytes it had.
    ///
    /// # Errors
    /// When the agent cannot read it, or the sink cannot be written.
    pub async fn download(&self, from: File, to: Sink<'_>) -> Result<u64> {
        let command = |_: Option<u32>, sinks: &[u32]| Download {
            from,
            stream: sinks[0],
            offset: None,
            bytes: None,
        };
        let finished = self.turn().await?.run(None, vec![to], command).await?;
        let Moved { bytes } = finished.returned;
        whole(finished.came, bytes)
    }

    /// Copies bytes into a file, in the place of one that is there, or onto a device; how many.
    ///
    /// # Errors
    /// When the agent cannot write it, or the source cannot be read.
    pub async fn upload(&self, from: Source<'_>, to: File, mode: Option<u32>) -> Result<u64> {
        let command = |source: Option<u32>, _: &[u32]| Upload {
            to,
            stream: source.unwrap_or_default(),
            mode,
            offset: None,
        };
        let finished = self.turn().await?.run(Some(from), Vec::new(), command).await?;
        whole(finished.returned.bytes, finished.went)
    }

    /// Writes the paths of everything below a folder, each with a NUL behind it.
    ///
    /// # Errors
    /// When there is no such folder.
    pub async fn find_files(&self, path: Name, to: Sink<'_>) -> Result<Found> {
        let command = |_: Option<u32>, sinks: &[u32]| Find { path, stream: sinks[0] };
        Ok(self.turn().await?.run(None, vec![to], command).await?.returned)
    }

    /// Unpacks a tar archive into a folder.
    ///
    /// # Errors
    /// When it is none, or the agent cannot write what is in it.
    pub async fn tar_in(&self, from: Source<'_>, path: Name) -> Result<()> {
        let command =
            |source: Option<u32>, _: &[u32]| TarIn { path, stream: source.unwrap_or_default() };
        self.turn().await?.run(Some(from), Vec::new(), command).await?;
        Ok(())
    }

    /// Packs a folder's contents as a tar archive.
    ///
    /// # Errors
    /// When the agent cannot read them.
    pub async fn tar_out(&self, path: Name, to: Sink<'_>) -> Result<()> {
        let command = |_: Option<u32>, sinks: &[u32]| TarOut { path, stream: sinks[0] };
        self.turn().await?.run(None, vec![to], command).await?;
        Ok(())
    }

    /// Runs a program of the appliance's.
    ///
    /// # Errors
    /// When it cannot be run. How it ended is no error.
    pub async fn run_program<'a>(
        &self,
        line: Line,
        stdin: Option<Source<'a>>,
        stdout: Sink<'a>,
        stderr: Sink<'a>,
    ) -> Result<Ended> {
        let command = |source: Option<u32>, sinks: &[u32]| Run {
            command: line,
            stdout: sinks[0],
            stderr: Some(sinks[1]),
            stdin: source,
        };
        Ok(self.turn().await?.run(stdin, vec![stdout, stderr], command).await?.returned)
    }
}

/// Nothing is taken for a whole file that is not as long as who sent it says.
fn whole(came: u64, sent: u64) -> Result<u64> {
    if came == sent {
        return Ok(sent);
    }
    Err(Error::Transfer(format!("{sent} bytes were sent, and {came} came")))
}
