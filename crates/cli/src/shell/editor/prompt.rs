//! The prompt: whom one talks to, and how that is.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use reedline::{Color, Prompt, PromptEditMode, PromptHistorySearch, PromptHistorySearchStatus};
use unicode_width::UnicodeWidthStr as _;

use crate::output::printable;
use crate::shell::face::{Mood, Subject};

/// What stands before the second row of a line, and those after.
pub(super) const NEXT_ROW: &str = "... ";

pub(super) const END: &str = "> ";

/// A prompt that shows whom one talks to as it is when it is drawn.
#[derive(Clone)]
pub(in crate::shell) struct Lead {
    pub(in crate::shell) subject: Arc<dyn Subject>,
    /// How many actions are in the transaction, if there is one.
    pub(in crate::shell) actions: Option<usize>,
}

impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lead").field("actions", &self.actions).finish_non_exhaustive()
    }
}

impl Lead {
    fn text(&self) -> String {
        let face = self.subject.face();
        let mut text = format!("{} {}", printable(&face.name), printable(&face.state));
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

impl Prompt for Lead {
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
        match self.subject.face().mood {
            Mood::Well => Color::Green,
            Mood::Odd => Color::Yellow,
            Mood::Away => Color::Red,
        }
    }

    fn get_indicator_color(&self) -> Color {
        self.get_prompt_color()
    }

    fn get_prompt_multiline_color(&self) -> Color {
        Color::DarkGray
    }
}
