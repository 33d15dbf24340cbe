//! The terminal between two lines.

use std::io;

use rustix::termios::{InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// A terminal that does not show what is typed while a command runs: that is read later as the next
/// line, and shown there. Ctrl-C interrupts as always. Dropped, the terminal is as it was.
#[derive(Debug)]
pub(in crate::shell) struct Quiet {
    before: Termios,
}

impl Quiet {
    /// Makes the terminal quiet.
    pub(in crate::shell) fn begin() -> io::Result<Self> {
        let quiet = Self { before: tcgetattr(io::stdin())? };
        quiet.resume();
        Ok(quiet)
    }

    /// Leaves the terminal to another program. It is not waited until what was printed is shown: a terminal
    /// that stands still would hold up the thread that reads QEMU.
    pub(in crate::shell) fn suspend(&self) {
        // A terminal that is gone is noticed by who reads it.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }

    /// Takes the terminal back.
    pub(in crate::shell) fn resume(&self) {
        let mut quiet = self.before.clone();
        quiet.local_modes -= LocalModes::ECHO | LocalModes::ICANON;
        // Enter stays what it is to a line editor.
        quiet.input_modes -= InputModes::ICRNL;
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &quiet);
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        self.suspend();
    }
}
