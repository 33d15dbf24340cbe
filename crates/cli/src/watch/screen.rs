//! The terminal: taken over, drawn on, and given back however the program ends.
//!
//! A thread of its own writes to it, the newest picture only: a terminal that takes nothing, as one
//! at the other end of a stuck connection, holds up nobody but that thread.

use std::io::{self, BufWriter, IsTerminal, Stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste, Event};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, execute, terminal};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;

use super::draw::Picture;

/// How long the end waits for a terminal that takes nothing.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// How long the end of reading keys may take.
const KEYS_WITHIN: Duration = Duration::from_millis(100);

/// A screen's worth of bytes is written at once.
const BUFFER_BYTES: usize = 64 << 10;

/// The usual size, of a terminal that does not tell its own.
const USUAL: (u16, u16) = (80, 24);

/// The terminal, taken over.
#[derive(Debug)]
pub(crate) struct Screen(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    next: Mutex<Next>,
    changed: Condvar,
}

/// What the thread is to do next.
#[derive(Debug, Default)]
struct Next {
    picture: Option<Picture>,
    /// Draw all cells, not only those that changed.
    anew: bool,
    leave: bool,
    /// The thread has ended, and what failed then.
    left: bool,
    failure: Option<String>,
}

/// Whether both ends that a person has are a terminal.
pub(crate) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// The terminal's size.
pub(crate) fn size() -> Rect {
    let (width, height) = terminal::size().unwrap_or(USUAL);
    Rect::new(0, 0, width, height)
}

/// Reads keys and changes of size on a thread, until this is dropped: the next key is somebody else's
/// then.
#[derive(Debug)]
pub(crate) struct Keys {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keys {
    /// Hands them on, as long as somebody takes them. `None` tells that the terminal is gone.
    pub(crate) fn read(take: impl Fn(Option<Event>) -> bool + Send + 'static) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                let event = match event::poll(KEYS_WITHIN) {
                    Ok(false) => continue,
                    Ok(true) => event::read().ok(),
                    Err(_) => None,
                };
                let is_gone = event.is_none();
                if !take(event) || is_gone {
                    return;
                }
            }
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panicked, if this fails, and has said so.
            let _ = thread.join();
        }
    }
}

impl Screen {
    /// Takes the terminal over.
    pub(crate) fn enter() -> io::Result<Self> {
        restore_when_panicking();
        terminal::enable_raw_mode()?;
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        thread::spawn(move || {
            let outcome = for_thread.draw();
            let mut next = for_thread.lock();
            next.failure = outcome.err().map(|error| error.to_string());
            next.left = true;
            for_thread.changed.notify_all();
        });
        Ok(Self(shared))
    }

    /// Shows a picture, in place of one that is not drawn yet.
    pub(crate) fn show(&self, picture: Picture) {
        self.0.lock().picture = Some(picture);
        self.0.changed.notify_all();
    }

    /// The next picture is drawn whole: something else may have written to the terminal.
    pub(crate) fn draw_anew(&self) {
        self.0.lock().anew = true;
    }

    /// Why nothing can be drawn any more, if so.
    pub(crate) fn failure(&self) -> Option<String> {
        self.0.lock().failure.clone()
    }
}

impl Drop for Screen {
    /// Gives the terminal back, as it was.
    fn drop(&mut self) {
        let mut next = self.0.lock();
        next.leave = true;
        self.0.changed.notify_all();
        if !next.left {
            let waited = self.0.changed.wait_timeout_while(next, LEAVE_WITHIN, |it| !it.left);
            drop(waited);
        }
        // There is no way to tell anybody, and nothing else to try.
        let _ = terminal::disable_raw_mode();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws what comes, until the end.
    fn draw(&self) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout());
        execute!(out, EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)?;
        let mut terminal = Terminal::new(CrosstermBackend::new(out))?;
        // Not `clear`: that asks the terminal where its cursor is, and the answer comes among the
        // keys, which another thread reads.
        terminal.resize(size())?;
        while let Some((picture, anew)) = self.take() {
            if anew {
                terminal.resize(size())?;
            }
            put(&mut terminal, picture)?;
        }
        execute!(terminal.backend_mut(), DisableBracketedPaste, LeaveAlternateScreen, cursor::Show)
    }

    /// Waits for a picture.
    fn take(&self) -> Option<(Picture, bool)> {
        let mut next = self.lock();
        loop {
            if next.leave {
                return None;
            }
            if let Some(picture) = next.picture.take() {
                return Some((picture, std::mem::take(&mut next.anew)));
            }
            next = self.changed.wait(next).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Draws what changed. The window may have another size by now: there is another picture coming then.
fn put(
    terminal: &mut Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    picture: Picture,
) -> io::Result<()> {
    terminal.draw(|frame| {
        let area = frame.area();
        let seen = area.intersection(*picture.cells.area());
        let cells = frame.buffer_mut();
        for position in seen.positions() {
            cells[position] = picture.cells[position].clone();
        }
        if let Some(cursor) = picture.cursor.filter(|cursor| area.contains(*cursor)) {
            frame.set_cursor_position(cursor);
        }
    })?;
    Ok(())
}

/// A panic is read on the screen of before. Nothing is locked for it: whoever panics may have the
/// lock.
fn restore_when_panicking() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let _ = terminal::disable_raw_mode();
            let mut text = Vec::new();
            let written = execute!(text, DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
            if written.is_ok() {
                let _ = rustix::io::write(io::stdout(), &text);
            }
            before(panic);
        }));
    });
}
