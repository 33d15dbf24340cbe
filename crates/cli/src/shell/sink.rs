//! Where the output of one line goes: a file, or a command of the host.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use super::line;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// The output of one line, which is closed when the line is done.
#[derive(Debug)]
pub(super) struct Sink {
    output: Output,
    child: Option<Child>,
}

impl Sink {
    /// Opens it before anything is done: a file that cannot be written is said first.
    pub(super) fn open(sink: &line::Sink, output: &Output) -> Result<Self, Failure> {
        match sink {
            line::Sink::Shell => Ok(Self { output: output.clone(), child: None }),
            line::Sink::File { path, append } => {
                let file = open(path, *append);
                let file = file.map_err(|error| Failure::usage(format!("> {path}: {error}")))?;
                Ok(Self { output: output.writing_to(file), child: None })
            }
            line::Sink::Pipe(command) => {
                let child = Command::new("sh").args(["-c", command]).stdin(Stdio::piped()).spawn();
                let mut child =
                    child.map_err(|error| Failure::usage(format!("| {command}: {error}")))?;
                let pipe = child.stdin.take().map(OwnedFd::from);
                let pipe = pipe.ok_or_else(|| Failure::usage("the pipe is not there"))?;
                Ok(Self { output: output.writing_to(File::from(pipe)), child: Some(child) })
            }
        }
    }

    /// Whether a command of the host's reads it.
    pub(super) fn is_pipe(&self) -> bool {
        self.child.is_some()
    }

    pub(super) fn output(&self) -> &Output {
        &self.output
    }

    /// Waits for the command that reads. How it ended counts, as it does in a pipeline.
    pub(super) async fn close(self) -> Result<(), Failure> {
        let Self { output, child } = self;
        drop(output);
        let Some(mut child) = child else { return Ok(()) };
        let status = tokio::task::spawn_blocking(move || child.wait()).await;
        let status = status.map_err(io::Error::other).flatten()?;
        if status.success() {
            return Ok(());
        }
        let message = format!("the command behind | ended with {status}");
        Err(Failure { exit: Exit::Other, message })
    }
}

fn open(path: &str, append: bool) -> io::Result<File> {
    OpenOptions::new().write(true).append(append).truncate(!append).create(true).open(path)
}
