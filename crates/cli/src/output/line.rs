//! A line of a terminal that moves, drawn without waiting for the terminal: Ctrl-S stops one.

use std::io;

use indicatif::TermLike;
use qplug_qmp::Aside;

/// A terminal as far as one moving line needs it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) terminal: Aside,
    pub(super) columns: u16,
}

impl Line {
    fn put(&self, text: &str) -> io::Result<()> {
        self.terminal.put(text.as_bytes());
        Ok(())
    }

    /// Moves the cursor by ECMA-48's CUU, CUD, CUF and CUB, which end in A to D.
    fn move_cursor(&self, count: usize, direction: char) -> io::Result<()> {
        if count == 0 { Ok(()) } else { self.put(&format!("\u{1b}[{count}{direction}")) }
    }
}

impl TermLike for Line {
    fn width(&self) -> u16 {
        self.columns
    }

    fn move_cursor_up(&self, count: usize) -> io::Result<()> {
        self.move_cursor(count, 'A')
    }

    fn move_cursor_down(&self, count: usize) -> io::Result<()> {
        self.move_cursor(count, 'B')
    }

    fn move_cursor_right(&self, count: usize) -> io::Result<()> {
        self.move_cursor(count, 'C')
    }

    fn move_cursor_left(&self, count: usize) -> io::Result<()> {
        self.move_cursor(count, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.put(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.put(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.put("\r\u{1b}[2K")
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
