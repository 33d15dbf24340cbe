//! What there is to see when a machine misbehaves.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::Error;

/// The guest's console, within a machine's folder.
pub(crate) const CONSOLE_LOG: &str = "console.log";
/// What QEMU itself printed, within a machine's folder.
pub(crate) const QEMU_LOG: &str = "qemu.log";

/// Lines of each log that a report shows.
const TAIL_LINES: usize = 30;
/// Lines of the guest's protocol that are kept.
const MAX_TALK: usize = 200;

/// The logs of one machine; cheap to clone, and readable from any thread.
#[derive(Debug, Clone)]
pub struct Evidence {
    folder: PathBuf,
    started: Instant,
    talk: Arc<Mutex<VecDeque<String>>>,
}

impl Evidence {
    /// The evidence of the machine that keeps its logs in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), started: Instant::now(), talk: Arc::default() }
    }

    /// Notes one line said to or by the guest.
    pub(crate) fn note(&self, line: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        if talk.len() == MAX_TALK {
            talk.pop_front();
        }
        talk.push_back(format!("{seconds:8.3} {line}"));
    }

    /// The tails of all logs, for people.
    #[must_use]
    pub fn report(&self) -> String {
        let talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let talk: Vec<&str> = talk.iter().map(String::as_str).collect();
        format!(
            "\n--- guest's console (tail)\n{}\n--- talk with the guest (tail)\n{}\n--- QEMU (tail)\n{}\n---",
            tail(&self.console()),
            tail(&talk.join("\n")),
            tail(&self.qemu_output()),
        )
    }

    /// The whole console so far.
    #[must_use]
    pub fn console(&self) -> String {
        self.read(CONSOLE_LOG)
    }

    /// All that QEMU itself printed so far.
    #[must_use]
    pub fn qemu_output(&self) -> String {
        self.read(QEMU_LOG)
    }

    /// An error that carries the report.
    pub(crate) fn failure(&self, what: &str) -> Error {
        Error::failed(format!("{what}{}", self.report()))
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.folder.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
