//! The prompt: which machine, and how it is.

use std::borrow::Cow;

use reedline::{Color, Prompt, PromptEditMode, PromptHistorySearch, PromptHistorySearchStatus};
use unicode_width::UnicodeWidthStr as _;

use super::super::link::Link;
use crate::output::printable;

/// What stands before the second row of a line, and those after.
pub(super) const NEXT_ROW: &str = "... ";

pub(super) const END: &str = "> ";

/// A prompt that shows the machine as it is when it is drawn.
#[derive(Debug, Clone)]
pub(in crate::shell) struct Face {
    pub(in crate::shell) link: Link,
    /// How many actions are in the transaction, if there is one.
    pub(in crate::shell) actions: Option<usize>,
}

impl Face {
    fn text(&self) -> String {
        let face = self.link.face();
        let state = face.state.as_deref().unwrap_or("not connected");
        let mut text = format!("{} {}", printable(&face.name), printable(state));
        if let Some(actions) = self.actions {
            text += &format!(" transaction({actions})");
        }
        text
    }

    /// How many columns it takes.
    pub(super) fn width(&self) -> usize {
        self.text().width() + END.width()
    }
}

impl Prompt for Face {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        self.text().into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        END.into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        NEXT_ROW.into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        let failing = match search.status {
            PromptHistorySearchStatus::Passing => "",
            PromptHistorySearchStatus::Failing => "nothing in ",
        };
        format!(" ({failing}history: {}) ", search.term).into()
    }

    fn get_prompt_color(&self) -> Color {
        match self.link.face().state.as_deref() {
            Some("running") => Color::Green,
            Some(_) => Color::Yellow,
            None => Color::Red,
        }
    }

    fn get_indicator_color(&self) -> Color {
        self.get_prompt_color()
    }

    fn get_prompt_multiline_color(&self) -> Color {
        Color::DarkGray
    }
}
