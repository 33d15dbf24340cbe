//! What happened, newest at the bottom.

use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

use super::{Canvas, wrap};
use crate::watch::log::{Entry, Kind};
use crate::watch::view::{Pane, View};

/// How far lines that go on are moved to the right: below the text, not below the time.
const INDENT: u16 = 9;

pub(super) fn draw(canvas: &mut Canvas<'_>, view: &View, area: Rect) {
    let back = view.chosen(Pane::Log);
    let title = match back {
        0 => "LOG".to_owned(),
        back => format!("LOG ({back} newer below)"),
    };
    let rows = canvas.title(view, Pane::Log, area, &title);
    let width = rows.width.saturating_sub(INDENT + 1);
    let mut row = rows.bottom();
    for entry in view.log.entries().rev().skip(back) {
        let style = style(canvas, entry.kind);
        let lines = wrap(&words(entry), usize::from(width));
        for (number, line) in lines.iter().enumerate().rev() {
            if row == rows.y {
                return;
            }
            row -= 1;
            canvas.put(rows.x + 1 + INDENT, row, line, width, style);
            if number == 0 {
                canvas.put(rows.x + 1, row, &entry.clock, INDENT - 1, canvas.look.dim());
            }
        }
    }
}

/// The line, with what tells its kind where there is no colour.
fn words(entry: &Entry) -> String {
    let sign = match entry.kind {
        Kind::Event | Kind::Said => "",
        Kind::Asked => "> ",
        Kind::Failed => "error: ",
    };
    let times = match entry.times {
        1 => String::new(),
        times => format!(" ({times} times)"),
    };
    format!("{sign}{}{times}", entry.text)
}

fn style(canvas: &Canvas<'_>, kind: Kind) -> Style {
    match kind {
        Kind::Event => canvas.look.of(Color::Cyan),
        Kind::Asked => canvas.look.bold(),
        Kind::Said => Style::new(),
        Kind::Failed => canvas.look.bad(),
    }
}
