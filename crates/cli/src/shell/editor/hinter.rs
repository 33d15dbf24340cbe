//! Hints, as the line editor takes them.

use reedline::{Color, DefaultHinter, Hinter, History};

use super::Block;
use crate::shell::hint::hint;
use crate::shell::live::{Known, Source};

/// Says what is to come; where there is nothing to say, how a line like this went on before, which the
/// right arrow takes.
pub(super) struct Telling<S> {
    known: Known<S>,
    block: Block,
    before: DefaultHinter,
    is_told: bool,
}

impl<S: Source> Telling<S> {
    pub(super) fn new(known: Known<S>, block: &Block) -> Self {
        let before = DefaultHinter::default().with_style(Color::DarkGray.normal());
        Self { known, block: block.clone(), before, is_told: false }
    }
}

impl<S: Source> Hinter for Telling<S> {
    fn handle(
        &mut self,
        line: &str,
        at: usize,
        history: &dyn History,
        colour: bool,
        folder: &str,
    ) -> String {
        let told = match at == line.len() {
            true => hint(line, self.block.is_open(), &self.known),
            false => String::new(),
        };
        self.is_told = !told.is_empty();
        if !self.is_told {
            return self.before.handle(line, at, history, colour, folder);
        }
        if colour { Color::DarkGray.italic().paint(told).to_string() } else { told }
    }

    fn complete_hint(&self) -> String {
        if self.is_told { String::new() } else { self.before.complete_hint() }
    }

    fn next_hint_token(&self) -> String {
        if self.is_told { String::new() } else { self.before.next_hint_token() }
    }
}
