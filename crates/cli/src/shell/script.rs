//! Lines from a file, or from standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use tokio::task::JoinError;

use super::line::{self, Ending, MAX_LINE_BYTES, TOO_LONG};
use super::partner::Partner;
use super::session::{Flow, Session};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// What names standard input.
pub(super) const STANDARD_INPUT: &str = "-";

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Runs the lines up to the first that fails, unless it begins with `-`.
pub(super) async fn run<P: Partner>(
    mut lines: Lines,
    partner: P,
    output: &Output,
) -> Result<Exit, Failure> {
    let mut session = Session::new(partner, output.clone());
    loop {
        let (back, line) = lines.next().await?;
        lines = back;
        let Some(line) = line? else { break };
        let is_tolerant = line::scan(&line.text).is_tolerant;
        let outcome = session.run(&line.text).await;
        let place = line.place;
        match outcome {
            Ok(Flow::Leave) => break,
            Ok(Flow::On(Exit::Done)) => {}
            Ok(Flow::On(_)) if is_tolerant => {}
            Ok(Flow::On(exit)) => {
                output.announce(&format!("{place}: the script ends here ({})", exit.name()));
                return Ok(exit);
            }
            Err(failure) if failure.exit == Exit::Interrupted => return Err(failure),
            Err(failure) => {
                let failure =
                    Failure { message: format!("{place}: {}", failure.message), ..failure };
                if !is_tolerant {
                    return Err(failure);
                }
                output.failure(&failure);
            }
        }
    }
    match session.partner.actions() {
        None => Ok(Exit::Done),
        Some(_) => Err(Failure::usage(format!(
            "{}: a transaction is not committed at the end: nothing of it was sent",
            lines.name
        ))),
    }
}

/// A line that may go over several of the file's.
struct Line {
    /// The file and the number of its first line.
    place: String,
    text: String,
}

/// The lines of a file, or of standard input.
pub(super) struct Lines {
    name: String,
    reader: Box<dyn BufRead + Send>,
    number: usize,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let (name, reader): (_, Box<dyn BufRead + Send>) = if path == Path::new(STANDARD_INPUT) {
            ("standard input".to_owned(), Box::new(BufReader::new(io::stdin())))
        } else {
            let file = File::open(path);
            let file =
                file.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
            (path.display().to_string(), Box::new(BufReader::new(file)))
        };
        Ok(Self { name, reader, number: 0 })
    }

    /// The next line, on a thread of its own: standard input may take its time.
    async fn next(mut self) -> Result<(Self, Result<Option<Line>, Failure>), Failure> {
        let read = tokio::task::spawn_blocking(move || {
            let line = self.read();
            (self, line)
        });
        tokio::select! {
            read = read => read.map_err(|error: JoinError| io::Error::other(error).into()),
            signal = tokio::signal::ctrl_c() => {
                signal?;
                Err(Failure { exit: Exit::Interrupted, message: "interrupted".to_owned() })
            }
        }
    }

    fn read(&mut self) -> Result<Option<Line>, Failure> {
        let (mut text, mut ending) = (String::new(), Ending::default());
        let place = format!("{}:{}", self.name, self.number + 1);
        let at = |error: &dyn std::fmt::Display| Failure::usage(format!("{place}: {error}"));
        loop {
            let before = text.len();
            let row_start = text.strip_suffix('\n').map_or(before, str::len);
            self.append_row(&mut text).map_err(|error| at(&error))?;
            if text.is_empty() {
                return Ok(None);
            }
            // What is left of it would be taken for the next line.
            if text.len() > MAX_LINE_BYTES {
                return Err(at(&TOO_LONG));
            }
            let ends = text.len() == before;
            // The line end is not the line's, but one inside of JSON is.
            let whole = text.strip_suffix('\n').unwrap_or(&text);
            let row = &whole[row_start..];
            if ends || ending.is_whole(whole, row) {
                let text = whole.to_owned();
                return Ok(Some(Line { place, text }));
            }
        }
    }

    /// Puts the next row behind what is there, as far as a line may go and a byte more.
    fn append_row(&mut self, text: &mut String) -> io::Result<()> {
        let limit = MAX_LINE_BYTES.saturating_sub(text.len()) as u64 + 1;
        self.reader.by_ref().take(limit).read_line(text)?;
        // Editors of other systems end rows, and begin files, with what is no part of the text.
        if text.ends_with("\r\n") {
            text.truncate(text.len() - 2);
            text.push('\n');
        }
        if self.number == 0 && text.starts_with(BYTE_ORDER_MARK) {
            text.remove(0);
        }
        self.number += 1;
        Ok(())
    }
}
