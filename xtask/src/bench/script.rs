//! The bare script: what qplug says to QEMU, as the steps of a program that knows it beforehand.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use qplug_testbed::proxy::{Moment, Proxy, Said, Side, Then};
use qplug_testbed::{Error, Machine, Result};

use super::bounded;

/// How long the first command is held back: what qplug sends without waiting for its reply then
/// comes before that reply, also on a busy host.
const HOLD: Duration = Duration::from_millis(100);

/// A conversation to be repeated, and what it takes.
#[derive(Debug)]
pub(super) struct Script {
    /// The arguments of `bare` behind the socket.
    pub(super) steps: Vec<String>,
    commands: usize,
    bytes: usize,
}

impl Script {
    /// Has qplug carry a command out, and takes down what it says.
    pub(super) fn recorded(machine: &Machine, qplug: &Path, arguments: &[&str]) -> Result<Self> {
        let (conversation, report) = conversation(machine, qplug, arguments)?;
        let script = Self::of(&conversation);
        script.compare_with(&report)?;
        Ok(script)
    }

    pub(super) fn of(conversation: &[Said]) -> Self {
        let mut script = Self { steps: vec!["greeting".to_owned()], commands: 0, bytes: 0 };
        let (mut batch, mut gone) = (String::new(), None);
        for said in conversation {
            match said.by {
                Side::Client => {
                    script.steps.extend(gone.take());
                    script.commands += 1;
                    batch.push_str(&said.text);
                    batch.push('\n');
                }
                Side::Qemu => {
                    script.send(&mut batch);
                    gone = device_gone(&said.text).or(gone);
                }
            }
        }
        script
    }

    fn send(&mut self, batch: &mut String) {
        if !batch.is_empty() {
            self.bytes += batch.len();
            self.steps.push(std::mem::take(batch));
            self.steps.push(format!("replies={}", self.commands));
        }
    }

    /// What qplug counted itself has to be what was taken down: else the two would not be compared
    /// on equal terms.
    fn compare_with(&self, report: &str) -> Result<()> {
        let counted = [number(report, "commands"), number(report, "bytes")];
        if counted == [Some(self.commands), Some(self.bytes)] {
            return Ok(());
        }
        let Self { commands, bytes, .. } = self;
        Err(Error::failed(format!(
            "qplug sent {commands} commands in {bytes} bytes and reports {report}"
        )))
    }

    /// How much is said to QEMU, and how often it is waited for.
    pub(super) fn size(&self) -> String {
        let waits = self.steps.iter().filter(|step| step.starts_with('{')).count();
        format!("{} commands, {} bytes, in {waits} writes", self.commands, self.bytes)
    }
}

/// Has qplug carry a command out; what was said, and what qplug printed.
pub(super) fn conversation(
    machine: &Machine,
    qplug: &Path,
    arguments: &[&str],
) -> Result<(Vec<Said>, String)> {
    let proxy = Proxy::start(&machine.folder().join("bench.sock"), &machine.qmp_path())?;
    proxy.at(Moment::Arrived(1), || {
        std::thread::sleep(HOLD);
        Then::GoOn
    });
    let mut command = Command::new(qplug);
    command.arg("--json").args(arguments).env("QPLUG_SOCKET", proxy.path());
    let output = bounded::run(command.stdout(Stdio::piped()))?;
    Ok((proxy.conversation(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// The step that waits for this message, when it says that a device is gone.
fn device_gone(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("\"DEVICE_DELETED\"")?;
    let (_, rest) = rest.split_once("\"device\": \"")?;
    Some(format!("gone={}", rest.split('"').next()?))
}

/// The number called `name` in a JSON text.
fn number(json: &str, name: &str) -> Option<usize> {
    let (_, rest) = json.split_once(&format!("\"{name}\":"))?;
    rest.trim_start().split(|char: char| !char.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(by: Side, text: &str) -> Said {
        Said { by, text: text.to_owned() }
    }

    #[test]
    fn a_conversation_becomes_steps() {
        let reply = || said(Side::Qemu, "{\"return\": {}}");
        let gone = |data| said(Side::Qemu, &format!("{{\"event\": \"DEVICE_DELETED\", {data}}}"));
        let script = Script::of(&[
            said(Side::Qemu, "{\"QMP\": {}}"),
            said(Side::Client, "{1}"),
            said(Side::Client, "{2}"),
            reply(),
            reply(),
            gone("\"data\": {\"path\": \"/x\"}"),
            gone("\"data\": {\"device\": \"data\"}"),
            said(Side::Client, "{3}"),
            reply(),
        ]);
        let steps = ["greeting", "{1}\n{2}\n", "replies=2", "gone=data", "{3}\n", "replies=3"];
        assert_eq!(script.steps, steps);
        assert_eq!(script.size(), "3 commands, 12 bytes, in 2 writes");
        assert!(script.compare_with("{\"traffic\":{\"commands\":3,\"bytes\":12}}").is_ok());
        assert!(script.compare_with("{\"traffic\":{\"commands\":3,\"bytes\":13}}").is_err());
    }
}
