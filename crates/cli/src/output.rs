//! The only file that prints, with `output/screen.rs` and the shell's line editor. Colour is used on a terminal only, and `NO_COLOR` is heeded.
//!
//! Nothing that is printed may hold up the one thread that reads QEMU: whoever reads us may be stuck.
//! So results are written by a thread of the runtime's, and waited for; all else is put aside.

mod line;
mod screen;
mod stream;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use qplug_qmp::Aside;
use serde::Serialize;
use tokio::io::AsyncWrite;

use crate::failure::{Exit, Failure};
use line::Line;
pub(crate) use screen::Screen;
use stream::{Left, Stream};

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();

/// How often a progress line is drawn anew.
const PROGRESS_TICK: Duration = Duration::from_millis(100);

/// How wide a terminal is that does not say.
const USUAL_COLUMNS: u16 = 80;

/// How many bytes of remarks and of the log wait for a reader that does not read. More are left out,
/// and a line says so.
const REMARKS_BACKLOG: usize = 1 << 20;

/// Where results go, and in which form.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    json: bool,
    results: Results,
    /// Standard error, or what is above the line that is being edited.
    errors: Aside,
    screen: Screen,
    /// Whether whoever reads a stream left before its end.
    reader: Left,
}

/// Where results are written.
#[derive(Clone)]
enum Results {
    Stdout,
    /// Somewhere within this program.
    Page(Arc<Mutex<dyn Write + Send>>),
    /// A file, or a pipe to another program.
    Elsewhere(Arc<File>),
}

impl std::fmt::Debug for Results {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stdout => "Stdout",
            Self::Page(_) => "Page",
            Self::Elsewhere(_) => "Elsewhere",
        })
    }
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let screen = Screen::default();
        let errors = Aside::new(screen.clone(), REMARKS_BACKLOG, left_out);
        Self { json, results: Results::Stdout, errors, screen, reader: Left::default() }
    }

    /// The same, with results for programs or for people.
    pub(crate) fn with_json(&self, json: bool) -> Self {
        Self { json, ..self.clone() }
    }

    /// The same, with results in a file or a pipe.
    pub(crate) fn writing_to(&self, file: File) -> Self {
        let (results, reader) = (Results::Elsewhere(Arc::new(file)), Left::default());
        Self { results, reader, ..self.clone() }
    }

    /// For people, with results and all else on pages within this program, in plain text.
    pub(crate) fn onto(
        results: impl Write + Send + 'static,
        remarks: impl Write + Send + 'static,
    ) -> Self {
        let errors = Aside::new(remarks, REMARKS_BACKLOG, left_out);
        let results = Results::Page(Arc::new(Mutex::new(results)));
        let (screen, reader) = (Screen::default(), Left::default());
        Self { json: false, results, errors, screen, reader }
    }

    /// Whether results are for programs.
    pub(crate) fn is_for_programs(&self) -> bool {
        self.json
    }

    /// Whether results are in colour.
    pub(crate) fn has_colour(&self) -> bool {
        anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
    }

    /// Whether somebody at a terminal sees all that is printed.
    pub(crate) fn is_seen() -> bool {
        io::stdout().is_terminal() && io::stderr().is_terminal()
    }

    /// What keeps a line that is being edited apart from what is said meanwhile.
    pub(crate) fn screen(&self) -> &Screen {
        &self.screen
    }

    /// A result: `value` for programs, or what `people` prints. What was remarked before comes first.
    /// A command's last one is printed when the connection is dropped: a reader may take its time, and
    /// others want the monitor.
    pub(crate) async fn result<T: Serialize>(
        &self,
        value: &T,
        people: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Reader, Failure> {
        let mut text = Vec::new();
        if self.json {
            serde_json::to_writer(&mut text, value).map_err(io::Error::from)?;
            text.push(b'\n');
        } else {
            people(&mut text)?;
        }
        let remarks = self.errors.clone();
        // Colours are for people; what programs read is not touched.
        let colours = match (self.json, &self.results) {
            (true, _) => anstream::ColorChoice::AlwaysAnsi,
            (false, Results::Stdout) => anstream::AutoStream::choice(&io::stdout()),
            (false, Results::Elsewhere(_) | Results::Page(_)) => anstream::ColorChoice::Never,
        };
        let (results, screen) = (self.results.clone(), self.screen.clone());
        let written = tokio::task::spawn_blocking(move || {
            // Who left is found out by whoever writes there next.
            let _ = remarks.drain(None);
            // A pager that takes its time has the screen for itself.
            let _loan = matches!(results, Results::Elsewhere(_)).then(|| screen.lend());
            match results {
                Results::Stdout => write(anstream::AutoStream::new(io::stdout(), colours), &text),
                Results::Page(page) => {
                    let text = anstream::adapter::strip_bytes(&text).into_vec();
                    write(&mut *page.lock().unwrap_or_else(PoisonError::into_inner), &text)
                }
                Results::Elsewhere(file) if colours == anstream::ColorChoice::Never => {
                    write(&*file, &anstream::adapter::strip_bytes(&text).into_vec())
                }
                Results::Elsewhere(file) => write(&*file, &text),
            }
        });
        match written.await.map_err(io::Error::other).flatten() {
            Ok(()) => Ok(Reader::Listens),
            // `qplug list | head -1` is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Left),
            Err(error) => {
                let message = format!("the output cannot be written: {error}");
                Err(Failure { exit: Exit::Other, message })
            }
        }
    }

    /// Where bytes go that are a result as they are.
    pub(crate) fn stream(&self) -> io::Result<Box<dyn AsyncWrite + Unpin + Send>> {
        let reader = self.reader.clone();
        Ok(match &self.results {
            Results::Stdout => Box::new(Stream::new(tokio::io::stdout(), reader)),
            Results::Elsewhere(file) => {
                let file = tokio::fs::File::from_std(file.try_clone()?);
                Box::new(Stream::new(file, reader))
            }
            Results::Page(_) => {
                let text = "a pager is for text; write it to a file";
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
        })
    }

    /// Whether somebody read all of the streams since this was asked for the last time. To leave early is
    /// no failure: `cat FILE | head -1`.
    pub(crate) fn reader(&self) -> Reader {
        if self.reader.take() { Reader::Left } else { Reader::Listens }
    }

    /// Where the complaints of a program go that is run elsewhere.
    pub(crate) fn error_stream(&self) -> impl AsyncWrite + Unpin + Send + use<> {
        tokio::io::stderr()
    }

    /// Says what happened meanwhile, next to results: `value` for programs, or a text for people.
    pub(crate) fn tell<T: Serialize>(&self, value: &T, text: &str) {
        match serde_json::to_string(value) {
            Ok(line) if self.json => self.errors.put(format!("{line}\n").as_bytes()),
            _ => self.say(&format!("{text}\n")),
        }
    }

    /// Says what everybody is to know, programs too.
    pub(crate) fn announce(&self, text: &str) {
        self.tell(&serde_json::json!({"remark": text}), &dim(text));
    }

    /// A remark for people, next to results.
    pub(crate) fn remark(&self, text: &str) {
        if !self.json {
            self.say(&format!("{DIM}{text}{DIM:#}\n"));
        }
    }

    /// Says what failed, and gives the exit code.
    pub(crate) fn failure(&self, failure: &Failure) -> ExitCode {
        if self.json {
            let error = serde_json::json!({"error": failure.to_json()});
            self.errors.put(format!("{error}\n").as_bytes());
        } else {
            let message = printable_lines(&failure.message);
            self.say(&format!("{ERROR}error{ERROR:#}: {message}\n"));
        }
        failure.exit.into()
    }

    /// Says what failed of one disk among several. Programs have it in the result.
    pub(crate) fn complain(&self, disk: &str, failure: &Failure) {
        if !self.json {
            let message = printable_lines(&failure.message);
            self.say(&format!("{ERROR}error{ERROR:#}: {disk}: {message}\n"));
        }
    }

    fn say(&self, text: &str) {
        let is_plain = matches!(self.results, Results::Page(_))
            || anstream::AutoStream::choice(&io::stderr()) == anstream::ColorChoice::Never;
        if is_plain {
            let text = anstream::adapter::strip_str(text).to_string();
            self.errors.put(text.as_bytes());
        } else {
            self.errors.put(text.as_bytes());
        }
    }

    /// Waits until all that was said is written, however long its reader takes: the connection is
    /// closed by now. There is nobody left to tell when this fails.
    pub(crate) fn finish(&self) {
        let _ = self.errors.drain(None);
    }

    /// The same, ended by Ctrl-C too, which a runtime may have taken from the system.
    pub(crate) async fn finish_or_interrupted(&self) {
        if self.errors.is_written() {
            return;
        }
        let errors = self.errors.clone();
        let written = tokio::task::spawn_blocking(move || errors.drain(None));
        tokio::select! {
            _ = written => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }

    /// Sends the library's log to stderr.
    pub(crate) fn log_to_stderr(&self) {
        let errors = self.errors.clone();
        let format = tracing_subscriber::fmt().with_writer(move || errors.clone());
        let colour = io::stderr().is_terminal();
        format.with_target(false).with_ansi(colour).with_max_level(tracing::Level::DEBUG).init();
    }

    /// A line that shows how far a copy is, until it is dropped, on a terminal.
    pub(crate) fn copying(&self, text: &str) -> Progress {
        let Some(target) = self.moving_line() else { return Progress(None) };
        let bar = ProgressBar::with_draw_target(None, target).with_message(text.to_owned());
        Progress(Some(bar))
    }

    /// A line that shows that something is waited for, until it is dropped: a moving one on a
    /// terminal, else one line. Nothing for programs.
    pub(crate) fn progress(&self, text: &str) -> Progress {
        let Some(target) = self.moving_line() else {
            self.remark(text);
            return Progress(None);
        };
        let bar = ProgressBar::with_draw_target(None, target).with_message(text.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(PROGRESS_TICK);
        Progress(Some(bar))
    }

    /// Where a line moves; nothing for programs, and where there is no terminal.
    fn moving_line(&self) -> Option<ProgressDrawTarget> {
        let is_elsewhere = matches!(self.results, Results::Page(_));
        if self.json || is_elsewhere || !io::stderr().is_terminal() {
            return None;
        }
        let size = rustix::termios::tcgetwinsize(io::stderr());
        let columns = size.map_or(USUAL_COLUMNS, |size| size.ws_col);
        let line = Line { terminal: self.errors.clone(), columns };
        Some(ProgressDrawTarget::term_like(Box::new(line)))
    }
}

/// A progress line; it goes away when dropped.
#[derive(Debug)]
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Shows how many bytes have been moved, and of how many where that is known.
    pub(crate) fn moved(&self, moved: u64, total: Option<u64>) {
        const WITH_TOTAL: &str =
            "{msg} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}";
        const WITHOUT: &str = "{spinner} {msg} {bytes} {binary_bytes_per_sec} {elapsed}";
        let Some(bar) = &self.0 else { return };
        if bar.position() == 0 && moved > 0 {
            let template = if total.is_some() { WITH_TOTAL } else { WITHOUT };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_length(total.unwrap_or(0));
        }
        bar.set_position(moved);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// What stands where lines were left out.
fn left_out(count: u64) -> String {
    format!("({count} lines are left out: nobody read them)\n")
}

fn write(mut out: impl Write, text: &[u8]) -> io::Result<()> {
    out.write_all(text)?;
    out.flush()
}

/// Columns under headings, with no lines between them.
pub(crate) fn table<const N: usize>(
    out: &mut dyn Write,
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings);
    table.add_rows(rows.into_iter().map(|row| row.map(|cell| printable(&cell))));
    let text = table.to_string();
    for (number, line) in text.lines().enumerate() {
        let style = if number == 0 { BOLD } else { Style::new() };
        // The preset indents every line by one space.
        let line = line.strip_prefix(' ').unwrap_or(line).trim_end();
        writeln!(out, "{style}{line}{style:#}")?;
    }
    Ok(())
}

/// A size as people say it.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// A less important part of a line.
pub(crate) fn dim(text: impl std::fmt::Display) -> String {
    format!("{DIM}{text}{DIM:#}")
}

/// Text from a machine, made safe for a terminal: control characters are written out.
pub(crate) fn printable(text: &str) -> String {
    let escape = |character: char| {
        let escaped = character.is_control().then(|| character.escape_default().to_string());
        escaped.unwrap_or_else(|| character.to_string())
    };
    text.chars().map(escape).collect()
}

fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// Whether somebody still reads what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// As far as can be known.
    Listens,
    /// The pipe is closed.
    Left,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(printable("a\u{1b}[31mé\n"), "a\\u{1b}[31mé\\n");
    }
}
