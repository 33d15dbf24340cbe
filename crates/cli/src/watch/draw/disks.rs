//! Disks, with what they do.

use qplug_hotplug::ListedDisk;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::{Canvas, Column, WIDE, number, shown, text};
use crate::output::{printable, size};
use crate::watch::rates::{SAMPLES, curve};
use crate::watch::view::{Pane, View};

/// Widths that do not depend on the screen's.
const STATE: u16 = 10;
const PORT: u16 = 12;
const SIZE: u16 = 10;
const BYTES: u16 = 10;
const IOPS: u16 = 6;

/// How wide a disk's name and its two curves are on a screen of this width, and whether reading and
/// writing have a column each.
struct Widths {
    name: u16,
    curve: u16,
    is_wide: bool,
}

impl Widths {
    fn of(screen: u16) -> Self {
        let is_wide = screen >= WIDE;
        let bytes = if is_wide { 2 * BYTES + 1 } else { BYTES };
        // The margin, and a space between two columns.
        let gaps = if is_wide { 8 } else { 7 };
        let fixed = 1 + STATE + PORT + SIZE + bytes + IOPS + gaps;
        let room = screen.saturating_sub(fixed);
        let most = u16::try_from(SAMPLES).unwrap_or(u16::MAX);
        // Names come first.
        let curve = (room * 3 / 10).min(most);
        Self { name: room - 2 * curve, curve, is_wide }
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![
            text("NAME", self.name),
            text("STATE", STATE),
            text("PORT", PORT),
            number("SIZE", SIZE),
        ];
        match self.is_wide {
            true => columns.extend([number("READ/S", BYTES), number("WRITE/S", BYTES)]),
            false => columns.push(number("BYTES/S", BYTES)),
        }
        columns.extend([text("", self.curve), number("IOPS", IOPS), text("", self.curve)]);
        columns
    }
}

pub(super) fn draw(canvas: &mut Canvas<'_>, view: &View, area: Rect) {
    let disks = view.disks();
    let area = canvas.title(view, Pane::Disks, area, &format!("DISKS {}", disks.len()));
    let widths = Widths::of(area.width);
    let columns = widths.columns();
    let mut rows = canvas.headings(area, &columns);
    let Some(chosen) = view.disk() else {
        let text = if view.status.is_some() { "no disks; a attaches one" } else { "looking" };
        canvas.put(rows.x + 1, rows.y, text, rows.width.saturating_sub(1), canvas.look.dim());
        return;
    };
    // The last row tells more of the disk that is chosen.
    rows.height = rows.height.saturating_sub(1);
    let at = view.chosen(Pane::Disks);
    for (row, index) in (rows.y..rows.bottom()).zip(shown(disks.len(), at, rows.height)) {
        let cells = cells(canvas, view, &disks[index], &widths);
        let is_chosen = index == at;
        let area = Rect { y: row, height: 1, ..rows };
        canvas.choice(area, &columns, &cells, is_chosen);
    }
    let more = printable(&detail(chosen));
    canvas.put(area.x + 1, rows.bottom(), &more, area.width.saturating_sub(1), canvas.look.dim());
}

fn cells(
    canvas: &Canvas<'_>,
    view: &View,
    disk: &ListedDisk,
    widths: &Widths,
) -> Vec<(String, Option<Style>)> {
    let dash = || "-".to_owned();
    let state = view.state_of(disk);
    let now = view.meters.now(&disk.name).filter(|_| !view.link.is_stale());
    let rate = |bytes: Option<u64>| (bytes.map_or_else(dash, size), None);
    let line = |values: Vec<u64>| (curve(values.into_iter(), usize::from(widths.curve)), None);
    let mut cells = vec![
        (printable(&disk.name), None),
        (state.to_owned(), Some(canvas.look.state(state))),
        (printable(disk.port.as_deref().unwrap_or("-")), None),
        (disk.bytes.map_or_else(dash, size), None),
    ];
    match widths.is_wide {
        true => cells.extend([rate(now.map(|it| it.read)), rate(now.map(|it| it.written))]),
        false => cells.push(rate(now.map(|it| it.bytes()))),
    }
    cells.push(line(view.meters.before(&disk.name).map(|it| it.bytes()).collect()));
    cells.push((now.map_or_else(dash, |it| it.operations.to_string()), None));
    cells.push(line(view.meters.before(&disk.name).map(|it| it.operations).collect()));
    cells
}

/// What the row has no room for.
fn detail(disk: &ListedDisk) -> String {
    let access = match disk.read_only {
        Some(true) => Some("read-only".to_owned()),
        _ => None,
    };
    let serial = disk.serial.as_ref().filter(|serial| **serial != disk.name);
    let parts = [
        disk.bus.map(|bus| bus.to_string()),
        disk.format.clone(),
        access,
        serial.map(|serial| format!("serial {serial}")),
        Some(disk.image.clone().unwrap_or_else(|| "empty".to_owned())),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
