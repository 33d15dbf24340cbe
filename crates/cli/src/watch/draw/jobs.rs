//! Jobs, with how far they are.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::{Canvas, number, shown, text};
use crate::output::printable;
use crate::watch::jobs::{Job, Source};
use crate::watch::view::{Pane, View};

/// From this width on, the kind of a job is told too.
const WITH_KIND: u16 = 36;

const KIND: u16 = 7;
const STATUS: u16 = 9;
const PERCENT: u16 = 4;

pub(super) fn draw(canvas: &mut Canvas<'_>, view: &View, area: Rect) {
    let jobs = view.jobs();
    let rows = canvas.title(view, Pane::Jobs, area, &format!("JOBS {}", jobs.len()));
    if jobs.is_empty() {
        let text = match view.jobs_from {
            Source::Nothing => "this QEMU has none",
            _ => "none",
        };
        canvas.put(rows.x + 1, rows.y, text, rows.width.saturating_sub(1), canvas.look.dim());
        return;
    }
    let kind = if rows.width >= WITH_KIND { KIND } else { 0 };
    let room = rows.width.saturating_sub(1 + kind + STATUS + PERCENT + 4);
    let bar = room / 2;
    let columns = [
        text("", room - bar),
        text("", kind),
        text("", STATUS),
        text("", bar),
        number("", PERCENT),
    ];
    let at = view.chosen(Pane::Jobs);
    for (row, index) in (rows.y..rows.bottom()).zip(shown(jobs.len(), at, rows.height)) {
        let job = &jobs[index];
        let is_chosen = view.focus == Pane::Jobs && index == at;
        let cells = cells(canvas, job, bar);
        let area = Rect { y: row, height: 1, ..rows };
        canvas.choice(area, &columns, &cells, is_chosen);
    }
}

fn cells(canvas: &Canvas<'_>, job: &Job, bar: u16) -> Vec<(String, Option<Style>)> {
    let percent = job.percent();
    let progress = match &job.error {
        Some(error) => (printable(error), Some(canvas.look.bad())),
        None => (drawn(percent, bar), None),
    };
    let status = printable(&job.status);
    let style = canvas.look.state(&status);
    vec![
        (printable(&job.id), None),
        (printable(&job.kind), None),
        (status, Some(style)),
        progress,
        (format!("{percent}%"), None),
    ]
}

/// A bar that is as full as it says, in characters that every terminal has.
fn drawn(percent: u8, width: u16) -> String {
    let inside = usize::from(width.saturating_sub(2));
    let full = inside * usize::from(percent.min(100)) / 100;
    format!("[{}{}]", "#".repeat(full), " ".repeat(inside - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_full_at_the_end_only() {
        assert_eq!(drawn(0, 6), "[    ]");
        assert_eq!(drawn(99, 6), "[### ]");
        assert_eq!(drawn(100, 6), "[####]");
        assert_eq!(drawn(50, 0), "[]");
    }
}
