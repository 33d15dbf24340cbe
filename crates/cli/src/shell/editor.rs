//! The line editor.
//!
//! | file | owns |
//! |---|---|
//! | `editor/prompt.rs` | the machine's name and state before the line |
//! | `editor/above.rs` | what is said above the line while it is typed |

mod above;
mod prompt;

use std::io;
use std::time::Duration;

use reedline::{
    ColumnarMenu, DefaultCompleter, Emacs, ExternalPrinter, History, HistoryItem, KeyCode,
    KeyModifiers, MenuBuilder as _, Reedline, ReedlineEvent, ReedlineMenu, Signal,
    SimpleMatchHighlighter, ValidationResult, Validator, default_emacs_keybindings,
};

use super::history::Discreet;
use super::line::{self, LineError};
use super::link::Link;
use crate::output::Screen;
use above::{Above, Attentive, Watchful};
pub(super) use prompt::Face;

/// How often the editor looks for something to show above the line.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

/// How many texts wait between the completer, which is asked at every turn, and the painter.
const PRINTER_BACKLOG: usize = 4;

const COMPLETIONS: &str = "completions";

/// The line editor of a shell, which reads on a thread of its own.
pub(super) struct Editor {
    reedline: Reedline,
    above: Above,
    screen: Screen,
}

impl Editor {
    pub(super) fn new(link: &Link, screen: &Screen, history: Discreet, colour: bool) -> Self {
        let printer = ExternalPrinter::new(PRINTER_BACKLOG);
        let above = Above::new(screen.clone(), printer.sender());
        let mut reedline = reedline(history, &above, colour).with_external_printer(printer);
        let repaint = reedline.repaint_signal();
        link.on_change(move || repaint.request_repaint());
        Self { reedline, above, screen: screen.clone() }
    }

    /// Reads a line, or what else the user does. What is said meanwhile is shown above it.
    pub(super) fn read(&mut self, face: &Face) -> io::Result<Signal> {
        self.above.begin(face);
        let _loan = self.screen.lend();
        self.reedline.read_line(face)
    }

    pub(super) fn history(&self) -> &dyn History {
        self.reedline.history()
    }

    /// Remembers a line that was not typed as it stands.
    pub(super) fn remember(&mut self, line: &str) {
        // What cannot be kept is not worth ending the session for.
        let _ = self.reedline.history_mut().save(HistoryItem::from_command_line(line));
    }
}

fn reedline(history: Discreet, above: &Above, colour: bool) -> Reedline {
    let mut keys = default_emacs_keybindings();
    let complete = ReedlineEvent::UntilFound(vec![
        ReedlineEvent::Menu(COMPLETIONS.to_owned()),
        ReedlineEvent::MenuNext,
    ]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, complete);
    let menu = ColumnarMenu::default().with_name(COMPLETIONS);
    Reedline::create()
        .with_history(Box::new(history))
        .with_validator(Box::new(Finished))
        .with_highlighter(Box::new(Watchful::new(SimpleMatchHighlighter::default(), above)))
        .with_completer(Box::new(Attentive::new(DefaultCompleter::default(), above.clone())))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_poll_interval(LOOKS_EVERY)
        .with_ansi_colors(colour)
        .with_quick_completions(true)
        .with_partial_completions(true)
        .use_bracketed_paste(true)
}

/// Enter ends a line that is finished, and goes to the next row in one that is not.
struct Finished;

impl Validator for Finished {
    fn validate(&self, line: &str) -> ValidationResult {
        match line::parse(line) {
            Err(LineError::Unfinished(_)) => ValidationResult::Incomplete,
            _ => ValidationResult::Complete,
        }
    }
}
