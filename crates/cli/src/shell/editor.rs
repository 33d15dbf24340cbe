//! The line editor.
//!
//! | file | owns |
//! |---|---|
//! | `editor/prompt.rs` | whom one talks to, and how that is, before the line |
//! | `editor/mode.rs` | the terminal between two lines |
//! | `editor/above.rs` | what is said above the line while it is typed |
//! | `editor/completer.rs`, `editor/hinter.rs` | completion and hints, as the editor takes them |
//! | `editor/colours.rs` | the line in colours |

mod above;
mod colours;
mod completer;
mod hinter;
mod mode;
mod prompt;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reedline::{
    ColumnarMenu, Emacs, ExternalPrinter, History, HistoryItem, KeyCode, KeyModifiers,
    MenuBuilder as _, Reedline, ReedlineEvent, ReedlineMenu, Signal, ValidationResult, Validator,
    default_emacs_keybindings,
};

use super::history::Discreet;
use super::line::{self, LineError};
use super::live::{Live, Source};
use crate::output::Screen;
use above::{Above, Attentive, Watchful};
use colours::Colours;
use completer::FromMachine;
use hinter::Telling;
pub(super) use mode::Quiet;
pub(super) use prompt::Lead;

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
    block: Block,
}

/// Whether the line that is typed is one of a transaction. Clones are the same.
#[derive(Debug, Clone, Default)]
struct Block(Arc<AtomicBool>);

impl Block {
    fn is_open(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Editor {
    pub(super) fn new<S: Source>(
        live: &Live<S>,
        screen: &Screen,
        history: Discreet,
        colour: bool,
    ) -> Self {
        let printer = ExternalPrinter::new(PRINTER_BACKLOG);
        let above = Above::new(screen.clone(), printer.sender());
        let block = Block::default();
        let reedline = reedline(history, &above, colour, live, &block);
        let mut reedline = reedline.with_external_printer(printer);
        let repaint = reedline.repaint_signal();
        live.source().on_change(move || repaint.request_repaint());
        Self { reedline, above, screen: screen.clone(), block }
    }

    /// Reads a line, or what else the user does. What is said meanwhile is shown above it.
    pub(super) fn read(&mut self, lead: &Lead) -> io::Result<Signal> {
        self.above.begin(lead);
        self.block.0.store(lead.actions.is_some(), Ordering::Relaxed);
        let _loan = self.screen.lend();
        self.reedline.read_line(lead)
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

fn reedline<S: Source>(
    history: Discreet,
    above: &Above,
    colour: bool,
    live: &Live<S>,
    block: &Block,
) -> Reedline {
    let mut keys = default_emacs_keybindings();
    let complete = ReedlineEvent::UntilFound(vec![
        ReedlineEvent::Menu(COMPLETIONS.to_owned()),
        ReedlineEvent::MenuNext,
    ]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, complete);
    // The prompt stays as it is.
    let menu = ColumnarMenu::default().with_name(COMPLETIONS).with_marker(prompt::END);
    Reedline::create()
        .with_history(Box::new(history))
        .with_validator(Box::new(Finished))
        .with_highlighter(Box::new(Watchful::new(Colours::new(live.known(), block), above)))
        .with_completer(Box::new(Attentive::new(FromMachine::new(live, block), above.clone())))
        .with_hinter(Box::new(Telling::new(live.known(), block)))
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
    fn validate(&self, text: &str) -> ValidationResult {
        match line::parse(line::split(text).last().unwrap_or(&text)) {
            Err(LineError::Unfinished(_)) => ValidationResult::Incomplete,
            _ => ValidationResult::Complete,
        }
    }
}
