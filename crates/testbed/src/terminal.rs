//! A pseudo-terminal: what a person at a keyboard does, and what that person sees.
//!
//! A program that draws asks its terminal questions and waits for the answers, so this one answers.
//! What is waited for is a fact on the screen, with a deadline; a wait that fails shows
//! the screen.

mod answer;
mod key;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use self::answer::Answers;
pub use self::key::Key;
use crate::{Error, Result};

/// How long a wait for something on the screen, or for the program's end, may take. A machine of two
/// cores that runs other tests too is slow at times; what comes at all comes long before.
pub const WAIT: Duration = Duration::from_secs(20);

/// Time between two looks at a program that is to end.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long the output of a program that has ended is waited for, where something else that it left
/// behind still has the terminal.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Lines that are kept once they have scrolled off the screen.
const SCROLLBACK_LINES: usize = 20_000;

/// What the environment of whoever runs the tests must not decide.
const NOT_INHERITED: &[&str] =
    &["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLORTERM", "COLUMNS", "LINES", "QPLUG_SOCKET"];

/// A program in a terminal of its own. It is killed when this is dropped.
pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    shared: Arc<Shared>,
    /// The program's HOME, unless the caller named one. Goes when this goes.
    _home: tempfile::TempDir,
}

/// What the thread that reads the program's output shares with the test.
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
    keyboard: Mutex<Box<dyn Write + Send>>,
}

struct Seen {
    parser: vt100::Parser<Answers>,
    raw: Vec<u8>,
    /// Nothing more comes: the program, and all that had its terminal, are gone.
    is_over: bool,
    /// The test has the terminal stand still.
    is_held: bool,
}

impl Terminal {
    /// Starts a program in a terminal of that many rows and columns.
    ///
    /// Its arguments, its environment and its folder are the command's. `TERM` is `xterm-256color`, and
    /// `HOME` and the `XDG` folders are in a folder that goes with the terminal, so that nobody's history
    /// is touched; variables that decide about colour and size, and `QPLUG_SOCKET`, are not inherited.
    /// What the command sets itself comes before all this.
    ///
    /// # Errors
    ///
    /// When there is no pseudo-terminal, or the program does not start.
    pub fn spawn(command: &Command, rows: u16, columns: u16) -> Result<Self> {
        let home = tempfile::tempdir().map_err(|error| failed("make a home folder", error))?;
        let pair = native_pty_system()
            .openpty(size(rows, columns))
            .map_err(|error| failed("open a pseudo-terminal", error))?;
        let child = pair
            .slave
            .spawn_command(builder(command, home.path()))
            .map_err(|error| failed("start a program in a terminal", error))?;
        // While this end is open here, the program's end is never seen.
        drop(pair.slave);
        let keyboard =
            pair.master.take_writer().map_err(|error| failed("write to a terminal", error))?;
        let reader =
            pair.master.try_clone_reader().map_err(|error| failed("read a terminal", error))?;
        let parser = vt100::Parser::new_with_callbacks(
            at_least_one(rows),
            at_least_one(columns),
            SCROLLBACK_LINES,
            Answers::default(),
        );
        let seen = Seen { parser, raw: Vec::new(), is_over: false, is_held: false };
        let shared = Arc::new(Shared {
            seen: Mutex::new(seen),
            changed: Condvar::new(),
            keyboard: Mutex::new(keyboard),
        });
        let for_thread = Arc::clone(&shared);
        // Ends with the last process that has the terminal; dropping kills ours.
        thread::spawn(move || for_thread.read(reader));
        Ok(Self { child, master: pair.master, shared, _home: home })
    }

    /// The program's process id.
    pub fn id(&self) -> Option<u32> {
        self.child.process_id()
    }

    /// Types text, all at once, as a paste or a fast typist does. A line end is Enter.
    ///
    /// # Errors
    ///
    /// When nobody has the terminal any more.
    pub fn type_text(&mut self, text: &str) -> Result<()> {
        self.send(text.replace('\n', "\r").as_bytes())
    }

    /// Presses one key.
    ///
    /// # Errors
    ///
    /// When nobody has the terminal any more.
    pub fn press(&mut self, key: Key) -> Result<()> {
        self.send(&key.bytes())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.shared.send(bytes).map_err(|error| {
            let screen = self.screen();
            Error::failed(format!("cannot type {bytes:?}: {error}\n{}", framed(&screen)))
        })
    }

    /// Changes the size of the window, which the program is told by the kernel (SIGWINCH).
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn resize(&mut self, rows: u16, columns: u16) -> Result<()> {
        // Ours first: what the program draws for the new size is drawn on a screen that has it.
        self.shared.lock().parser.set_size(at_least_one(rows), at_least_one(columns));
        self.master
            .resize(size(rows, columns))
            .map_err(|error| failed("change the size of a terminal", error))
    }

    /// Waits for a screen that is as asked, [`WAIT`] at most; `what` says in words what is waited for.
    ///
    /// # Errors
    ///
    /// When it does not come in time, or the program ends first: with the screen as it is.
    pub fn wait_for(
        &self,
        what: &str,
        mut is_there: impl FnMut(&vt100::Screen) -> bool,
    ) -> Result<()> {
        self.wait(WAIT, |seen| is_there(seen.parser.screen())).map_err(|why| {
            Error::failed(format!("no {what} on the screen, {why}:\n{}", framed(&self.screen())))
        })
    }

    /// Waits for a text within one row of the screen.
    ///
    /// # Errors
    ///
    /// As [`Terminal::wait_for`].
    pub fn wait_for_text(&self, text: &str) -> Result<()> {
        self.wait_for(&format!("{text:?}"), |screen| rows_of(screen).contains(text))
    }

    /// Waits until a text is nowhere on the screen.
    ///
    /// # Errors
    ///
    /// As [`Terminal::wait_for`].
    pub fn wait_for_no(&self, text: &str) -> Result<()> {
        self.wait_for(&format!("end of {text:?}"), |screen| !rows_of(screen).contains(text))
    }

    /// Waits for a text in one of the lines of [`Terminal::all_lines`].
    ///
    /// # Errors
    ///
    /// As [`Terminal::wait_for`].
    pub fn wait_for_line(&self, text: &str) -> Result<()> {
        let is_there = |seen: &mut Seen| seen.all_lines().iter().any(|line| line.contains(text));
        self.wait(WAIT, is_there).map_err(|why| {
            let lines = framed(&self.all_lines().join("\n"));
            Error::failed(format!("no {text:?} in what was shown, {why}:\n{lines}"))
        })
    }

    /// Looks after each piece that the program writes; otherwise why there will be no more of them.
    fn wait(
        &self,
        within: Duration,
        mut is_there: impl FnMut(&mut Seen) -> bool,
    ) -> Result<(), &'static str> {
        let deadline = Instant::now() + within;
        let mut seen = self.shared.lock();
        loop {
            if is_there(&mut seen) {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if seen.is_over {
                return Err("and the program has ended");
            }
            if left.is_zero() {
                return Err("waited long enough");
            }
            let waited = self.shared.changed.wait_timeout(seen, left);
            seen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The rows of the screen, without the spaces at their ends and the empty rows at the bottom.
    pub fn screen(&self) -> String {
        rows_of(self.shared.lock().parser.screen())
    }

    /// The lines that scrolled off the top and the rows of the screen, in order. Of a full-screen
    /// program (the alternate screen), which has no lines that scroll off, only the rows.
    pub fn all_lines(&self) -> Vec<String> {
        self.shared.lock().all_lines()
    }

    /// Looks at the screen in other ways: colours, attributes, which of the two screens it is.
    pub fn look<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.shared.lock().parser.screen())
    }

    /// The cursor's row and column, from 0.
    pub fn cursor(&self) -> (u16, u16) {
        self.shared.lock().parser.screen().cursor_position()
    }

    /// Every byte that the program wrote, from its start.
    pub fn raw(&self) -> Vec<u8> {
        self.shared.lock().raw.clone()
    }

    /// Whether the program ever asked for a colour: an SGR sequence with a number that names one.
    pub fn has_used_colour(&self) -> bool {
        answer::names_colour(&self.raw())
    }

    /// Stops reading what the program writes, as a terminal does whose user pressed Ctrl-S, until
    /// [`Terminal::go_on`]. The screen does not change any more once this returns.
    pub fn hold(&self) {
        self.shared.lock().is_held = true;
    }

    /// Reads again.
    pub fn go_on(&self) {
        self.shared.lock().is_held = false;
        self.shared.changed.notify_all();
    }

    /// Waits for the program's end, [`WAIT`] at most, and for all that it wrote. Its exit code.
    ///
    /// # Errors
    ///
    /// When it does not end, or a signal ended it.
    pub fn exit_code(&mut self) -> Result<u32> {
        let deadline = Instant::now() + WAIT;
        let status = loop {
            match self.child.try_wait().map_err(|error| failed("wait for a program", error))? {
                Some(status) => break status,
                None if Instant::now() < deadline => thread::sleep(LOOK_EVERY),
                None => {
                    let screen = framed(&self.screen());
                    return Err(Error::failed(format!("a program did not end:\n{screen}")));
                }
            }
        };
        // Where they do not come, there is nothing that this end could do.
        let _ = self.wait(LAST_WORDS, |seen| seen.is_over);
        match status.signal() {
            None => Ok(status.exit_code()),
            Some(signal) => {
                let screen = framed(&self.screen());
                Err(Error::failed(format!("a program ended by a signal ({signal}):\n{screen}")))
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A thread that holds still would keep the terminal open for ever.
        self.go_on();
        // Both fail only when it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Terminal").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        // A predicate that panics, as an assertion does, leaves the screen as it was.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut keyboard = self.keyboard.lock().unwrap_or_else(PoisonError::into_inner);
        keyboard.write_all(bytes).and_then(|()| keyboard.flush())
    }

    /// Until the end of the program's output.
    fn read(&self, mut reader: Box<dyn Read + Send>) {
        let mut buffer = [0; 4096];
        loop {
            // The kernel says EIO, not end of file, once nobody has the other end.
            let read = reader.read(&mut buffer).unwrap_or(0);
            let mut seen = self.lock();
            while seen.is_held {
                seen = self.changed.wait(seen).unwrap_or_else(PoisonError::into_inner);
            }
            seen.raw.extend_from_slice(&buffer[..read]);
            seen.parser.process(&buffer[..read]);
            seen.is_over = read == 0;
            let answers = seen.parser.callbacks_mut().take();
            drop(seen);
            self.changed.notify_all();
            if read == 0 {
                return;
            }
            if !answers.is_empty() {
                // Fails when the program is gone, which the next read tells.
                let _ = self.send(&answers);
            }
        }
    }
}

impl Seen {
    fn all_lines(&mut self) -> Vec<String> {
        let screen = self.parser.screen_mut();
        let height = usize::from(screen.size().0.get());
        let mut lines = Vec::new();
        let mut above = screen.scrollback_len();
        while above > 0 {
            screen.set_scrollback(above);
            let page = height.min(above);
            lines.extend(trimmed_rows(screen).into_iter().take(page));
            above -= page;
        }
        screen.set_scrollback(0);
        lines.extend(rows_of(screen).lines().map(str::to_owned));
        lines
    }
}

fn builder(command: &Command, home: &std::path::Path) -> CommandBuilder {
    let mut builder = CommandBuilder::new(command.get_program());
    builder.args(command.get_args());
    for name in NOT_INHERITED {
        builder.env_remove(name);
    }
    builder.env("TERM", "xterm-256color");
    builder.env("HOME", home);
    builder.env("XDG_STATE_HOME", home.join("state"));
    builder.env("XDG_CACHE_HOME", home.join("cache"));
    builder.env("XDG_CONFIG_HOME", home.join("config"));
    builder.env("XDG_DATA_HOME", home.join("data"));
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => builder.env(key, value),
            None => builder.env_remove(key),
        }
    }
    // The builder's own default is the home folder.
    match command.get_current_dir() {
        Some(folder) => builder.cwd(folder),
        None => {
            if let Ok(folder) = std::env::current_dir() {
                builder.cwd(folder);
            }
        }
    }
    builder
}

fn size(rows: u16, cols: u16) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

fn at_least_one(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap_or(NonZeroU16::MIN)
}

fn trimmed_rows(screen: &vt100::Screen) -> Vec<String> {
    let width = screen.size().1.get();
    screen.rows(0, width).map(|row| row.trim_end().to_owned()).collect()
}

fn rows_of(screen: &vt100::Screen) -> String {
    trimmed_rows(screen).join("\n").trim_end_matches('\n').to_owned()
}

/// Text with a bar before each line, so that in a failure's text it is seen where a screen begins.
fn framed(text: &str) -> String {
    text.lines().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n")
}

fn failed(doing: &str, error: impl fmt::Display) -> Error {
    Error::failed(format!("cannot {doing}: {error}"))
}
