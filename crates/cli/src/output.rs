//! The only file that prints. Colour is used on a terminal only, and `NO_COLOR` is heeded.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::failure::Failure;

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();

/// How often a progress line is drawn anew.
const PROGRESS_TICK: Duration = Duration::from_millis(100);

/// Where results go, and in which form.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// A result: `value` for programs, or what `people` prints.
    pub(crate) fn result<T: Serialize>(
        &self,
        value: &T,
        people: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Reader, Failure> {
        let mut out = anstream::AutoStream::auto(io::stdout()).lock();
        let written = if self.json {
            serde_json::to_writer(&mut out, value)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(out))
        } else {
            people(&mut out)
        };
        match written.and_then(|()| out.flush()) {
            Ok(()) => Ok(Reader::Listens),
            // `qplug list | head -1` is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Left),
            Err(error) => Err(error.into()),
        }
    }

    /// A remark for people, next to results.
    pub(crate) fn remark(&self, text: &str) {
        if !self.json {
            let _ = writeln!(anstream::stderr(), "{DIM}{text}{DIM:#}");
        }
    }

    /// Says what failed, and gives the exit code.
    pub(crate) fn failure(&self, failure: &Failure) -> ExitCode {
        let exit = failure.exit;
        // There is nobody left to tell when this fails too.
        let _ = if self.json {
            let error = serde_json::json!({"error": failure.to_json()});
            writeln!(io::stderr(), "{error}")
        } else {
            let message = printable_lines(&failure.message);
            writeln!(anstream::stderr(), "{ERROR}error{ERROR:#}: {message}")
        };
        exit.into()
    }

    /// Says what failed of one disk among several. Programs have it in the result.
    pub(crate) fn complain(&self, disk: &str, failure: &Failure) {
        if !self.json {
            let message = printable_lines(&failure.message);
            let _ = writeln!(anstream::stderr(), "{ERROR}error{ERROR:#}: {disk}: {message}");
        }
    }

    /// A line that shows that something is waited for, until it is dropped: a moving one on a
    /// terminal, else one line. Nothing for programs.
    pub(crate) fn progress(&self, text: &str) -> Progress {
        if self.json || !io::stderr().is_terminal() {
            self.remark(text);
            return Progress(None);
        }
        let bar = ProgressBar::new_spinner().with_message(text.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(PROGRESS_TICK);
        Progress(Some(bar))
    }
}

/// A progress line; it goes away when dropped.
#[derive(Debug)]
pub(crate) struct Progress(Option<ProgressBar>);

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
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

/// Sends the library's log to stderr.
pub(crate) fn log_to_stderr() {
    let format = tracing_subscriber::fmt().with_writer(io::stderr).with_target(false);
    let colour = io::stderr().is_terminal();
    format.with_ansi(colour).with_max_level(tracing::Level::DEBUG).init();
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
