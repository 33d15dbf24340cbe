//! Drawing: from the view to cells, with no terminal at hand.
//!
//! | file | draws |
//! |---|---|
//! | `draw/frame.rs` | the first line and the last, questions and help |
//! | `draw/disks.rs` | disks, with what they do |
//! | `draw/places.rs` | what sits where |
//! | `draw/jobs.rs` | jobs, with how far they are |
//! | `draw/log.rs` | what happened |

mod disks;
mod frame;
mod jobs;
mod log;
mod places;
#[cfg(test)]
pub(crate) mod tests;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;

use super::view::{Pane, View};

/// The smallest screen that is drawn on.
pub(crate) const MIN_COLUMNS: u16 = 50;
pub(crate) const MIN_ROWS: u16 = 12;

/// Which screens have room for longer rows.
const WIDE: u16 = 110;

/// A screen as it is to be.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) cells: Buffer,
    /// Where the cursor is, when something is typed.
    pub(crate) cursor: Option<Position>,
}

/// What words look like. Without colour, words alone say what is what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) has_colour: bool,
}

impl Look {
    fn of(self, colour: Color) -> Style {
        if self.has_colour { Style::new().fg(colour) } else { Style::new() }
    }

    fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    fn bad(self) -> Style {
        self.of(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// The style of a state's word.
    fn state(self, word: &str) -> Style {
        match word {
            "attached" | "running" | "ready" => self.of(Color::Green),
            "foreign" | "free" | "taken" => Style::new(),
            _ => self.of(Color::Yellow),
        }
    }
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
struct Column {
    title: &'static str,
    width: u16,
    is_number: bool,
}

const fn text(title: &'static str, width: u16) -> Column {
    Column { title, width, is_number: false }
}

const fn number(title: &'static str, width: u16) -> Column {
    Column { title, width, is_number: true }
}

/// A place to draw on.
struct Canvas<'a> {
    cells: &'a mut Buffer,
    look: Look,
}

/// Draws all of it.
pub(crate) fn picture(view: &View, area: Rect, look: Look) -> Picture {
    let mut cells = Buffer::empty(area);
    let mut canvas = Canvas { cells: &mut cells, look };
    if area.width < MIN_COLUMNS || area.height < MIN_ROWS {
        let text = format!(
            "{}x{} is too small: {MIN_COLUMNS}x{MIN_ROWS} is needed (q quits)",
            area.width, area.height
        );
        for (row, line) in (area.y..area.bottom()).zip(wrap(&text, usize::from(area.width))) {
            canvas.put(area.x, row, &line, area.width, Style::new());
        }
        return Picture { cells, cursor: None };
    }
    frame::header(&mut canvas, view, Rect { height: 1, ..area });
    let body = Rect { y: area.y + 1, height: area.height - 2, ..area };
    for (pane, area) in panes(view, body) {
        match pane {
            Pane::Disks => disks::draw(&mut canvas, view, area),
            Pane::Places => places::draw(&mut canvas, view, area),
            Pane::Jobs => jobs::draw(&mut canvas, view, area),
            Pane::Log => log::draw(&mut canvas, view, area),
        }
    }
    let footer = Rect { y: area.bottom() - 1, height: 1, ..area };
    let cursor = frame::footer(&mut canvas, view, footer, body);
    Picture { cells, cursor }
}

/// Who has which part of the screen.
fn panes(view: &View, body: Rect) -> Vec<(Pane, Rect)> {
    if view.is_zoomed {
        return vec![(view.focus, body)];
    }
    let disks = body.height * 9 / 20;
    let middle = body.height / 4;
    let log = body.height - disks - middle;
    let left = body.width / 2;
    let at = |x, y, width, height| Rect { x: body.x + x, y: body.y + y, width, height };
    vec![
        (Pane::Disks, at(0, 0, body.width, disks)),
        (Pane::Places, at(0, disks, left - 1, middle)),
        (Pane::Jobs, at(left, disks, body.width - left, middle)),
        (Pane::Log, at(0, disks + middle, body.width, log)),
    ]
}

impl Canvas<'_> {
    /// Puts a text into one row, at most so wide; one that is longer ends with a mark.
    fn put(&mut self, x: u16, y: u16, text: &str, width: u16, style: Style) {
        if width == 0 {
            return;
        }
        self.cells.set_stringn(x, y, text, usize::from(width), style);
        // A character that is two cells wide does not begin in the last.
        if Span::raw(text).width() > usize::from(width) {
            self.cells.set_stringn(x + width - 1, y, "…", 1, style);
        }
    }

    /// The line over a pane: its name, where focus is marked, and something more. The rest below it.
    fn title(&mut self, view: &View, pane: Pane, area: Rect, text: &str) -> Rect {
        let is_focused = view.focus == pane;
        let stale = if view.link.is_stale() { " (stale)" } else { "" };
        let (mark, style) = match is_focused {
            true => ('>', self.look.bold()),
            false => ('-', self.look.dim()),
        };
        let line = format!("{mark} {text}{stale} ");
        let rule = usize::from(area.width).saturating_sub(Span::raw(&line).width());
        self.put(area.x, area.y, &format!("{line}{}", "─".repeat(rule)), area.width, style);
        Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }
    }

    /// The headings of a table.
    fn headings(&mut self, area: Rect, columns: &[Column]) -> Rect {
        let cells: Vec<_> = columns.iter().map(|it| (it.title.to_owned(), None)).collect();
        let style = self.look.dim();
        self.row(Rect { height: 1, ..area }, columns, &cells, style);
        Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }
    }

    /// A row of a table that can be chosen.
    fn choice(
        &mut self,
        area: Rect,
        columns: &[Column],
        cells: &[(String, Option<Style>)],
        is_chosen: bool,
    ) {
        let style = if is_chosen { self.look.chosen() } else { Style::new() };
        self.row(area, columns, cells, style);
        self.put(area.x, area.y, if is_chosen { ">" } else { " " }, 1, style);
    }

    /// A row of a table; a cell may have a style of its own.
    fn row(
        &mut self,
        area: Rect,
        columns: &[Column],
        cells: &[(String, Option<Style>)],
        style: Style,
    ) {
        self.cells.set_style(area, style);
        let mut x = area.x + 1;
        for (column, (text, own)) in columns.iter().zip(cells) {
            let width = column.width.min(area.right().saturating_sub(x));
            let used = u16::try_from(Span::raw(text).width()).unwrap_or(width).min(width);
            let indent = if column.is_number { width - used } else { 0 };
            self.put(x + indent, area.y, text, width - indent, own.unwrap_or_default());
            x = (x + column.width + 1).min(area.right());
        }
    }
}

/// The rows of a list that are shown, when one of them is to be seen: it stays in the middle.
fn shown(rows: usize, chosen: usize, height: u16) -> std::ops::Range<usize> {
    let height = usize::from(height);
    let start = chosen.saturating_sub(height / 2).min(rows.saturating_sub(height));
    start..rows.min(start + height)
}

/// Cuts a text into lines of a width, at spaces where there are some.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let needs = Span::raw(word.trim_end()).width();
        if used > 0 && used + needs > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        for character in word.chars() {
            let mut bytes = [0; 4];
            let needs = Span::raw(&*character.encode_utf8(&mut bytes)).width();
            if used + needs > width {
                // A space between two lines is none.
                if character == ' ' {
                    continue;
                }
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(character);
            used += needs;
        }
    }
    lines.push(line);
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}
