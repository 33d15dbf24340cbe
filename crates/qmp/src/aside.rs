//! Writing on a thread of its own: who reads QEMU must not wait for who reads us.
//!
//! A QEMU whose replies nobody reads stops reading, and 0.14.1 stops its guest with it (recorded:
//! after 139 replies). So what goes to a pipe or a terminal, which may be stuck, is only put down
//! here.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A writer that never waits. Clones write to the same place.
///
/// Each write is taken whole, or left out whole where there is no room for it. Once something was
/// left out, and there is room again, a mark says how much. The last clone that is dropped ends the
/// thread, when it has written what it had.
#[derive(Clone)]
pub struct Aside(Arc<Handle>);

struct Handle(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

struct Queue {
    /// At most so many bytes wait. One text that is longer is taken when nothing else waits.
    bound: usize,
    mark: fn(u64) -> String,
    waiting: Vec<u8>,
    /// How many bytes the thread has taken and not written.
    in_hand: usize,
    /// How many texts were left out since the last mark.
    left_out: u64,
    missing: u64,
    thread: Thread,
    failure: Option<io::Error>,
    /// Nobody writes any more.
    is_last: bool,
}

enum Thread {
    /// Nothing was written yet.
    NotBegun(Box<dyn Write + Send>),
    Runs,
    /// The writer failed; what is written now is dropped.
    Failed,
}

impl Aside {
    /// Writes to `writer`, with `bound` bytes waiting for it at most. `mark` words how many texts
    /// were left out, and ends in a line end.
    #[must_use]
    pub fn new(writer: impl Write + Send + 'static, bound: usize, mark: fn(u64) -> String) -> Self {
        let queue = Queue {
            bound,
            mark,
            waiting: Vec::new(),
            in_hand: 0,
            left_out: 0,
            missing: 0,
            thread: Thread::NotBegun(Box::new(writer)),
            failure: None,
            is_last: false,
        };
        let shared = Shared { queue: Mutex::new(queue), changed: Condvar::new() };
        Self(Arc::new(Handle(Arc::new(shared))))
    }

    /// Puts a text down to be written, or leaves it out.
    pub fn put(&self, text: &[u8]) {
        let shared = &self.0.0;
        let mut queue = shared.lock();
        if matches!(queue.thread, Thread::Failed) {
            return;
        }
        let left = queue.left();
        if left > 0 && left + text.len() > queue.bound {
            queue.left_out += 1;
            queue.missing += 1;
            return;
        }
        queue.add_mark();
        queue.waiting.extend_from_slice(text);
        queue.begin(shared);
        shared.changed.notify_all();
    }

    /// Whether everything is written.
    #[must_use]
    pub fn is_written(&self) -> bool {
        let queue = self.0.0.lock();
        queue.left() == 0 && queue.left_out == 0
    }

    /// How many texts were left out so far.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.0.0.lock().missing
    }

    /// Waits until everything is written, for as long as the reader takes some of it every
    /// `patience`; without one, for ever. Not for a task of a runtime: it blocks.
    ///
    /// # Errors
    /// What the writer said when it failed, once; [`ErrorKind::TimedOut`].
    pub fn drain(&self, patience: Option<Duration>) -> io::Result<()> {
        let shared = &self.0.0;
        let mut queue = shared.lock();
        loop {
            if let Some(failure) = queue.failure.take() {
                return Err(failure);
            }
            let left = queue.left();
            if left == 0 && queue.left_out == 0 {
                return Ok(());
            }
            let Some(patience) = patience else {
                queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = shared.changed.wait_timeout(queue, patience);
            let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            queue = again;
            if timeout.timed_out() && queue.left() >= left {
                let text = format!("nobody took what was written for {} s", patience.as_secs_f32());
                return Err(io::Error::new(ErrorKind::TimedOut, text));
            }
        }
    }
}

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aside")
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().is_last = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    /// No code panics while it holds the lock, so a poisoned one still guards sound data.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes, until nobody writes any more or the writer fails.
    fn run(&self, mut writer: Box<dyn Write + Send>) {
        while let Some(text) = self.take() {
            if let Err(error) = self.write(&mut *writer, &text) {
                let mut queue = self.lock();
                queue.fail(error);
                self.changed.notify_all();
                return;
            }
        }
    }

    /// Waits for something to write.
    fn take(&self) -> Option<Vec<u8>> {
        let mut queue = self.lock();
        loop {
            queue.add_mark();
            if !queue.waiting.is_empty() {
                queue.in_hand = queue.waiting.len();
                return Some(std::mem::take(&mut queue.waiting));
            }
            if queue.is_last {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write(&self, writer: &mut dyn Write, mut text: &[u8]) -> io::Result<()> {
        while !text.is_empty() {
            match writer.write(text) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    text = &text[count..];
                    if text.is_empty() {
                        writer.flush()?;
                    }
                    self.lock().in_hand = text.len();
                    self.changed.notify_all();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Queue {
    /// How many bytes are not written.
    fn left(&self) -> usize {
        self.waiting.len() + self.in_hand
    }

    fn add_mark(&mut self) {
        if self.left_out > 0 {
            let mark = (self.mark)(std::mem::take(&mut self.left_out));
            self.waiting.extend_from_slice(mark.as_bytes());
        }
    }

    /// The thread is there from the first text on.
    fn begin(&mut self, shared: &Arc<Shared>) {
        match std::mem::replace(&mut self.thread, Thread::Runs) {
            Thread::NotBegun(writer) => {
                let shared = Arc::clone(shared);
                let begun = thread::Builder::new().spawn(move || shared.run(writer));
                if let Err(error) = begun {
                    self.fail(error);
                }
            }
            other => self.thread = other,
        }
    }

    fn fail(&mut self, error: io::Error) {
        self.failure = Some(error);
        self.thread = Thread::Failed;
        self.waiting = Vec::new();
        self.in_hand = 0;
        self.left_out = 0;
    }
}

#[cfg(test)]
mod tests;
