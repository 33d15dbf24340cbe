//! A recorded conversation, as its lines tell it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Stands at the end of a command that descriptors came with.
const WITH_DESCRIPTORS: &str = "   (with SCM_RIGHTS)";

/// A command whose id was too deep to be written down.
const DEEP: &str = "[[[...2000 deep...]]]";

pub(crate) struct Transcript {
    /// The folder: the QEMU's version.
    pub(crate) version: String,
    /// The scenario: the file's name.
    pub(crate) name: String,
    /// How QEMU was started.
    pub(crate) command_line: String,
    pub(crate) steps: Vec<Step>,
}

/// What was done, and what was heard until the next thing was done.
pub(crate) struct Step {
    /// Where it stands in the file, from 1.
    pub(crate) line: usize,
    pub(crate) action: Action,
    /// Replies, events, and the greeting of a connection, in their order.
    pub(crate) heard: Vec<Value>,
    /// What was done besides, as when the recorder waited for something.
    pub(crate) remarks: Vec<String>,
    pub(crate) is_closed: bool,
}

pub(crate) enum Action {
    Connect,
    Send { bytes: Vec<u8>, shown: String, has_descriptor: bool },
}

impl Transcript {
    /// All conversations with a QEMU, by name.
    pub(crate) fn all(version: &str) -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/tests/transcripts");
        let entries = fs::read_dir(folder.join(version)).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| Self::read(version, file)).collect()
    }

    fn read(version: &str, file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        let mut lines = text.lines().enumerate();
        let command_line = lines.next().and_then(|(_, line)| line.strip_prefix("# cmdline: "));
        let mut transcript = Self {
            version: version.to_owned(),
            name: file.file_stem().unwrap().to_str().unwrap().to_owned(),
            command_line: command_line.unwrap().to_owned(),
            steps: Vec::new(),
        };
        for (at, line) in lines {
            transcript.take(at + 1, line);
        }
        let mut is_closed = false;
        for step in &mut transcript.steps {
            step.restore();
            // It is told once, and stays so.
            is_closed |= step.is_closed;
            step.is_closed = is_closed;
        }
        transcript
    }

    fn take(&mut self, number: usize, line: &str) {
        let begin = |action| Step {
            line: number,
            action,
            heard: Vec::new(),
            remarks: Vec::new(),
            is_closed: false,
        };
        if let Some(sent) = line.strip_prefix("-> ") {
            let shown = sent.to_owned();
            self.steps.push(begin(Action::Send {
                bytes: Vec::new(),
                shown,
                has_descriptor: false,
            }));
        } else if let Some(heard) = line.strip_prefix("<- ") {
            // An id too deep to be read back is known by the text around it.
            let heard = serde_json::from_str(heard).unwrap_or(Value::Null);
            if heard.get("QMP").is_some() {
                self.steps.push(begin(Action::Connect));
            }
            self.steps.last_mut().unwrap().heard.push(heard);
        } else if let Some(remark) = line.strip_prefix('#')
            && let Some(step) = self.steps.last_mut()
        {
            step.is_closed |= remark.starts_with(" EOF from QEMU");
            step.remarks.push(remark.trim_start().to_owned());
        } else if let Some(Step { action: Action::Send { shown, .. }, heard, .. }) =
            self.steps.last_mut()
            && heard.is_empty()
        {
            // A command that goes on in the next line.
            shown.push('\n');
            shown.push_str(line);
        }
    }
}

impl Step {
    /// Makes the bytes of what was written down for them.
    fn restore(&mut self) {
        let Action::Send { bytes, shown, has_descriptor } = &mut self.action else { return };
        let mut text = shown.clone();
        if let Some(command) = text.strip_suffix(WITH_DESCRIPTORS) {
            *has_descriptor = true;
            text = command.to_owned();
        }
        let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
        text = text.replace(DEEP, &deep);
        // Bytes that are no UTF-8 were written down as replacement characters.
        let parts: Vec<&[u8]> = text.split('\u{fffd}').map(str::as_bytes).collect();
        *bytes = if text == "\\0" { vec![0] } else { parts.join(&0xff) };
        bytes.push(b'\n');
    }
}
