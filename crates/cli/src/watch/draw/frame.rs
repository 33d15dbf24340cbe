//! The first line and the last, questions and help.

use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::Span;

use super::{Canvas, wrap};
use crate::output::printable;
use crate::watch::keys::HELP;
use crate::watch::prompt::Prompt;
use crate::watch::view::{Link, Mode, View};

/// What the last line says while nothing is typed.
const KEYS: &str =
    "a attach  d detach  r resize  e eject  i insert  : more  Tab, z  ? help  q quit";

/// The machine, and how the connection is.
pub(super) fn header(canvas: &mut Canvas<'_>, view: &View, area: Rect) {
    let style = canvas.look.bold();
    let name = view.status.as_ref().and_then(|it| it.name.as_deref()).unwrap_or("the machine");
    let state = view.status.as_ref().map_or("?", |it| it.state.as_str());
    let kind = view.status.as_ref().and_then(|it| it.machine.as_deref()).unwrap_or("");
    let dialect = view.status.as_ref().map(|it| format!("  {}", it.dialect)).unwrap_or_default();
    let (name, state, kind) = (printable(name), printable(state), printable(kind));
    let left = format!(" {name}  {state}  {kind}  QEMU {}{dialect}", view.qemu);
    canvas.put(area.x, area.y, &left, area.width, style);
    let state_at = area.x + 3 + width(&name);
    if !view.link.is_stale() && state_at < area.right() {
        let style = canvas.look.state(&state).patch(style);
        canvas.put(state_at, area.y, &state, area.right() - state_at, style);
    }
    let alarm = match &view.link {
        Link::Up => return,
        Link::Silent(since) => format!(" NO ANSWER for {} s ", since.as_secs()),
        Link::Down(why) => format!(" NOT CONNECTED: {} ", printable(why)),
    };
    // It may cover the rest, but not the machine's name.
    let room = area.width.saturating_sub(4 + width(&name));
    let used = width(&alarm).min(room);
    let style = canvas.look.bad().patch(canvas.look.chosen());
    canvas.put(area.right() - used, area.y, &alarm, used, style);
}

/// The last line, with what stands over the panes for it. Where the cursor is.
pub(super) fn footer(
    canvas: &mut Canvas<'_>,
    view: &View,
    area: Rect,
    body: Rect,
) -> Option<Position> {
    match &view.mode {
        Mode::Browse => {
            canvas.put(area.x, area.y, KEYS, area.width, canvas.look.dim());
            None
        }
        Mode::Help => {
            help(canvas, body);
            canvas.put(area.x, area.y, "any key goes back", area.width, canvas.look.dim());
            None
        }
        Mode::Confirm(question) => {
            let text = format!("{} (y/n) ", printable(&question.text));
            let lines = wrap(&text, usize::from(area.width));
            let style = canvas.look.chosen();
            let last = over(canvas, body, area, &lines, style);
            Some(Position { x: (area.x + width(last)).min(area.right() - 1), y: area.y })
        }
        Mode::Prompt(prompt) => Some(typed(canvas, prompt, area, body)),
    }
}

/// Lines that grow upwards from the last row of the screen. The one that is there.
fn over<'a>(
    canvas: &mut Canvas<'_>,
    body: Rect,
    area: Rect,
    lines: &'a [String],
    style: Style,
) -> &'a str {
    let Some((last, above)) = lines.split_last() else { return "" };
    let first = area.y.saturating_sub(u16::try_from(above.len()).unwrap_or(0)).max(body.y);
    for (row, line) in (first..area.y).zip(above) {
        clear(canvas, Rect { y: row, ..area });
        canvas.put(area.x, row, line, area.width, style);
    }
    clear(canvas, area);
    canvas.put(area.x, area.y, last, area.width, style);
    last
}

/// The line that is typed, of which the end that has the cursor is seen, and what may come next.
fn typed(canvas: &mut Canvas<'_>, prompt: &Prompt, area: Rect, body: Rect) -> Position {
    if !prompt.choices.is_empty() {
        let row = Rect { y: area.y.saturating_sub(1).max(body.y), ..area };
        clear(canvas, row);
        canvas.put(row.x, row.y, &prompt.choices.join("  "), row.width, canvas.look.dim());
    }
    clear(canvas, area);
    let room = usize::from(area.width).saturating_sub(2);
    let before = prompt.before();
    // As much before the cursor as there is room for.
    let mut seen = before.as_str();
    while Span::raw(seen).width() > room {
        let mut rest = seen.chars();
        rest.next();
        seen = rest.as_str();
    }
    let behind: String = prompt.text().chars().skip(before.chars().count()).collect();
    canvas.put(area.x, area.y, &format!(":{seen}{behind}"), area.width, Style::new());
    Position { x: area.x + 1 + width(seen), y: area.y }
}

fn help(canvas: &mut Canvas<'_>, body: Rect) {
    clear(canvas, body);
    let rows = (body.y..body.bottom()).zip(HELP);
    let mut last = body.y;
    for (row, (keys, does)) in rows {
        canvas.put(body.x + 1, row, keys, 28, canvas.look.bold());
        canvas.put(body.x + 30, row, does, body.width.saturating_sub(31), Style::new());
        last = row + 1;
    }
    let more = [
        "",
        "READ, WRITE, BYTES and IOPS are per second; each curve is of the last minute",
        "and has its own scale. Rows marked stale are as they were last seen.",
    ];
    for (row, line) in (last..body.bottom()).zip(more) {
        canvas.put(body.x + 1, row, line, body.width - 1, canvas.look.dim());
    }
}

fn clear(canvas: &mut Canvas<'_>, area: Rect) {
    for row in area.y..area.bottom() {
        canvas.put(area.x, row, &" ".repeat(usize::from(area.width)), area.width, Style::reset());
    }
}

fn width(text: &str) -> u16 {
    u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX)
}
