//! What sits where.

use ratatui::layout::Rect;

use super::{Canvas, shown, text};
use crate::output::printable;
use crate::watch::view::{Pane, Place, View};

/// From this width on, the kind of a place is told too.
const WITH_KIND: u16 = 56;

pub(super) fn draw(canvas: &mut Canvas<'_>, view: &View, area: Rect) {
    let title = match view.room {
        Some((free, all)) => format!("PLACES {free} of {all} free"),
        None => "PLACES".to_owned(),
    };
    let rows = canvas.title(view, Pane::Places, area, &title);
    let has_kind = rows.width >= WITH_KIND;
    let (port, kind, state) = (if has_kind { 20 } else { 14 }, 18, 8);
    let holds = rows.width.saturating_sub(port + state + 3);
    let mut columns = vec![text("PORT", port), text("STATE", state), text("HOLDS", holds)];
    if has_kind {
        columns.insert(1, text("KIND", kind));
        columns[3] = text("HOLDS", holds.saturating_sub(kind + 1));
    }
    let at = view.chosen(Pane::Places);
    let places = view.places();
    for (row, index) in (rows.y..rows.bottom()).zip(shown(places.len(), at, rows.height)) {
        let Place { port, kind, state, holds } = &places[index];
        // What is in brackets is for where there is room.
        let word = state.split(" (").next().unwrap_or_default();
        let holds = if port.is_empty() { format!("└ {holds}") } else { holds.clone() };
        let mut cells = vec![
            (printable(port), None),
            (word.to_owned(), Some(canvas.look.state(word))),
            (printable(&holds), None),
        ];
        if has_kind {
            cells.insert(1, (kind.clone(), None));
        }
        let is_chosen = view.focus == Pane::Places && index == at;
        let area = Rect { y: row, height: 1, ..rows };
        canvas.choice(area, &columns, &cells, is_chosen);
    }
}
