//! Standard error, which a line editor may have on loan.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How many bytes wait for the line editor to show them. What comes then waits with whoever writes,
/// which is a thread of its own with a bound of its own.
const ABOVE_BYTES: usize = 16 << 10;

/// Standard error. While a line is being edited, what is written is kept for the editor, which shows
/// it above that line. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Screen(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// What is kept, while a line is being edited.
    above: Mutex<Option<String>>,
    changed: Condvar,
}

impl Screen {
    /// A line is being edited from now on, until what is returned is dropped.
    pub(crate) fn lend(&self) -> Loan {
        self.lock().get_or_insert_default();
        Loan(self.clone())
    }

    /// What is to be shown above the line, if anything.
    pub(crate) fn take(&self) -> Option<String> {
        let mut above = self.lock();
        let kept = above.as_mut().filter(|kept| !kept.is_empty()).map(std::mem::take);
        self.0.changed.notify_all();
        kept
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.above.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut above = self.lock();
        while let Some(kept) = above.as_mut() {
            if kept.is_empty() || kept.len() + bytes.len() <= ABOVE_BYTES {
                kept.push_str(&String::from_utf8_lossy(bytes));
                return Ok(bytes.len());
            }
            above = self.0.changed.wait(above).unwrap_or_else(PoisonError::into_inner);
        }
        drop(above);
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").finish_non_exhaustive()
    }
}

/// A line that is being edited.
#[derive(Debug)]
pub(crate) struct Loan(Screen);

impl Drop for Loan {
    fn drop(&mut self) {
        let kept = self.0.lock().take();
        // What the editor had no time for. Nobody is told when standard error is closed.
        let _ = io::stderr().write_all(kept.unwrap_or_default().as_bytes());
        self.0.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_while_a_line_is_edited_is_kept_for_above_it() {
        let mut screen = Screen::default();
        let loan = screen.lend();
        screen.write_all(b"a\n").unwrap();
        screen.write_all(b"b\n").unwrap();
        assert_eq!(screen.take().as_deref(), Some("a\nb\n"));
        assert_eq!(screen.take(), None);
        drop(loan);
        assert_eq!(screen.take(), None);
    }

    #[test]
    fn who_writes_too_much_waits_for_the_editor_or_the_end_of_the_line() {
        let screen = Screen::default();
        let loan = screen.lend();
        let mut writer = screen.clone();
        let writes = std::thread::spawn(move || {
            for bytes in [ABOVE_BYTES, ABOVE_BYTES, 1] {
                writer.write_all(&b"\n".repeat(bytes)).unwrap();
            }
        });
        let mut taken = 0;
        while taken < 2 * ABOVE_BYTES {
            taken += screen.take().map_or(0, |text| text.len());
            std::thread::yield_now();
        }
        drop(loan);
        writes.join().unwrap();
    }
}
