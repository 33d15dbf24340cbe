//! Where the output of one line goes: a file, or a command of the host.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};

use tokio::signal::unix::SignalKind;

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

    pub(super) fn output(&self) -> &Output {
        &self.output
    }

    /// Waits for the command that reads. How it ended counts, as it does in a pipeline.
    pub(super) async fn close(self) -> Result<(), Failure> {
        let Self { output, child } = self;
        let screen = output.screen().clone();
        drop(output);
        let Some(mut child) = child else { return Ok(()) };
        let status = tokio::task::spawn_blocking(move || {
            // A pager has the screen for itself.
            let _loan = screen.lend();
            child.wait()
        });
        let status = status.await.map_err(io::Error::other).flatten()?;
        if status.success() {
            return Ok(());
        }
        // Ctrl-C goes to all that the terminal runs, and whoever pressed it meant the whole line.
        if status.signal() == Some(SignalKind::interrupt().as_raw_value()) {
            let message = "the command behind | is interrupted".to_owned();
            return Err(Failure { exit: Exit::Interrupted, message });
        }
        let message = format!("the command behind | ended with {status}");
        Err(Failure { exit: Exit::Other, message })
    }
}

fn open(path: &str, append: bool) -> io::Result<File> {
    OpenOptions::new().write(true).append(append).truncate(!append).create(true).open(path)
}
