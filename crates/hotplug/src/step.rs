//! A step of a plan: a command, and the one that takes it back.

use crate::command::Command;
use crate::inventory::Port;

/// A step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// What it does, such as 'open the image'.
    pub(crate) doing: &'static str,
    /// How.
    pub(crate) command: Command,
    /// What takes it back; nothing where the undo of an earlier step does.
    pub(crate) undo: Option<Command>,
    /// For a step that plugs something in: where. Another port may be tried when this one cannot.
    pub(crate) port: Option<Port>,
    /// The drive that the undo takes, which QEMU would take from under a device, too: whether one has
    /// it is looked at before.
    pub(crate) drive: Option<String>,
    /// Whether it only removes something, so that it is done where that is gone already.
    pub(crate) clears: bool,
}

/// What a step does that clears the way.
const CLEAR: &str = "remove what an attach or a detach left that ended early";

impl Step {
    pub(crate) fn new(doing: &'static str, command: Command, undo: Option<Command>) -> Self {
        Self { doing, command, undo, port: None, drive: None, clears: false }
    }

    /// A step that adds a drive.
    pub(crate) fn add_drive(
        doing: &'static str,
        command: Command,
        undo: Command,
        drive: String,
    ) -> Self {
        Self { drive: Some(drive), ..Self::new(doing, command, Some(undo)) }
    }

    /// A step that removes what was left.
    pub(crate) fn clear(command: Command) -> Self {
        Self { clears: true, ..Self::new(CLEAR, command, None) }
    }

    /// A step that plugs something into a port.
    pub(crate) fn plug(doing: &'static str, command: Command, undo: Command, port: Port) -> Self {
        Self { port: Some(port), ..Self::new(doing, command, Some(undo)) }
    }

    /// The same step at another port.
    pub(crate) fn move_to(&mut self, port: Port) {
        self.command.plug_into(&port);
        self.port = Some(port);
    }
}
