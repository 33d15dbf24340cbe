//! Commands that run while the machine is watched.

use std::io::{self, Write};

use tokio::sync::mpsc;

use crate::args::{Args, Command, Recover};
use crate::failure::Failure;
use crate::shell::line::{Request, Sink, parse};
use crate::shell::verb::{self, NOT_HERE};

/// How many commands run at once.
pub(crate) const MAX_WORKS: usize = 8;

/// A command that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) number: u64,
    /// As it was typed.
    pub(crate) line: String,
    /// What is being done, in a word.
    pub(crate) doing: &'static str,
    /// The disk that it is done to, where it is one.
    pub(crate) disk: Option<String>,
}

impl Work {
    pub(crate) fn new(number: u64, line: &str, command: &Command) -> Self {
        let first = |names: &[String]| names.first().cloned();
        let (doing, disk) = match command {
            Command::Attach(args) => ("attaching", args.disk.name.clone()),
            Command::Detach(args) => ("detaching", first(&args.names)),
            Command::Insert(args) => ("inserting", Some(args.drive.clone())),
            Command::Swap(args) => ("swapping", Some(args.drive.clone())),
            Command::Eject(args) => ("ejecting", Some(args.drive.clone())),
            Command::Resize(args) => ("resizing", Some(args.name.clone())),
            Command::Throttle(args) => ("throttling", Some(args.name.clone())),
            Command::Snapshot(args) => ("snapping", first(&args.disks)),
            Command::Freeze(_) => ("freezing", None),
            Command::Thaw(_) => ("thawing", None),
            Command::Recover(_) => ("recovering", None),
            _ => ("running", None),
        };
        Self { number, line: line.to_owned(), doing, disk }
    }

    /// What becomes of it when nobody waits for it any more.
    pub(crate) fn left(&self) -> String {
        let line = &self.line;
        match self.doing {
            "detaching" => format!(
                "left during '{line}': the guest may still let go; the same command goes on with \
                 the wait"
            ),
            "attaching" | "inserting" | "swapping" | "ejecting" | "recovering" => {
                format!("left during '{line}': it may be half done; the same command finishes it")
            }
            "snapping" => format!("left during '{line}': a guest that it froze is thawed again"),
            "freezing" => {
                format!("left during '{line}': the guest may be frozen: 'qplug thaw' thaws it")
            }
            _ => format!("left during '{line}': it may have been carried out or not"),
        }
    }
}

/// Reads a command line. What needs the terminal or never ends is for a terminal of its own.
pub(crate) fn read(line: &str) -> Result<Args, Failure> {
    let line = parse(line).map_err(|error| Failure::usage(error.to_string()))?;
    let words = match (line.request, line.sink) {
        (Request::Words(words), Sink::Shell) => words,
        (Request::Nothing, _) => return Err(Failure::usage("no command is given")),
        _ => return Err(Failure::usage("only qplug's own commands can be given here")),
    };
    if words.iter().any(|word| word == "-") {
        return Err(Failure::usage("standard input is the keyboard here: name a file"));
    }
    let args = match verb::read(words.iter().map(String::as_str)) {
        Ok(verb::Read::Args(args)) => *args,
        Ok(verb::Read::Help(_)) => {
            return Err(Failure::usage("help is long: read it in a terminal of its own"));
        }
        // What is wrong comes first, and then how all of it is used.
        Err(failure) => {
            let what = failure.message.split("\n\n").next().unwrap_or_default();
            return Err(Failure { message: what.to_owned(), ..failure });
        }
    };
    match &args.command {
        Command::Recover(Recover { watch: true, .. }) | Command::Watch => {}
        _ if words.first().is_some_and(|word| NOT_HERE.contains(&word.as_str())) => {}
        _ => return Ok(args),
    }
    Err(Failure::usage("this one needs a terminal of its own"))
}

/// Whether it can lose data, so that it is asked about.
pub(crate) fn is_risky(line: &str) -> bool {
    line.split_whitespace().any(|word| matches!(word, "--shrink" | "--force"))
}

/// Where a command prints: its lines go to whoever shows them.
#[derive(Debug)]
pub(crate) struct Page {
    /// What of a line came so far.
    pub(crate) partial: Vec<u8>,
    pub(crate) lines: mpsc::Sender<String>,
}

impl Write for Page {
    /// Waits for room: it is called by threads that have nothing else to do.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<_> = self.partial.drain(..=end).collect();
            let text = String::from_utf8_lossy(&line[..end]).into_owned();
            self.lines.blocking_send(text).map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_as_a_shell_would_and_some_are_not_for_here() {
        let work = |line: &str| read(line).map(|args| Work::new(0, line, &args.command));
        let detach = work("detach data --timeout 3").unwrap();
        assert_eq!((detach.doing, detach.disk.as_deref()), ("detaching", Some("data")));
        assert_eq!(work("resize 'my disk' 2G").unwrap().disk.as_deref(), Some("my disk"));
        for (line, part) in [
            ("", "no command"),
            ("watch", "terminal of its own"),
            ("events", "terminal of its own"),
            ("list --socket /x", "is reached already"),
            ("recover --watch", "terminal of its own"),
            ("attach a.img --secret-file -", "keyboard"),
            ("list | wc", "only qplug's own"),
            ("detach 'x", "quote"),
            ("detatch x", "unrecognized"),
            ("resize x", "required"),
        ] {
            let failure = work(line).unwrap_err();
            assert!(failure.message.contains(part), "{line}: {}", failure.message);
        }
    }

    #[test]
    fn what_becomes_of_a_command_is_said_by_its_kind() {
        for (line, part) in [
            ("detach data", "the guest may still let go"),
            ("attach a.img", "half done"),
            ("resize data 2G", "carried out or not"),
        ] {
            let left = Work::new(0, line, &read(line).unwrap().command).left();
            assert!(left.contains(part) && left.contains(line), "{left}");
        }
    }

    #[test]
    fn only_whole_lines_are_handed_on() {
        let (lines, mut told) = mpsc::channel(8);
        let mut page = Page { partial: Vec::new(), lines };
        page.write_all(b"a\nb").unwrap();
        page.write_all(b"c\n\xff\n").unwrap();
        assert_eq!(told.try_recv().unwrap(), "a");
        assert_eq!(told.try_recv().unwrap(), "bc");
        assert_eq!(told.try_recv().unwrap(), "\u{fffd}");
        assert!(told.try_recv().is_err());
    }
}
