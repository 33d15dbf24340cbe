//! Pictures of machines of all sizes, as text.

use std::time::{Duration, Instant, UNIX_EPOCH};

use qplug_hotplug::{Activity, DiskState, ListedDisk};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::watch::jobs::{Job, Source};
use crate::watch::keys;
use crate::watch::log::Kind;
use crate::watch::view::{Link, Mode};

const PLAIN: Look = Look { has_colour: false };

pub(crate) fn disk(name: &str) -> ListedDisk {
    ListedDisk {
        name: name.to_owned(),
        state: DiskState::Attached,
        bus: None,
        serial: Some(name.to_owned()),
        guest_path: None,
        port: Some("rp0".to_owned()),
        image: Some(format!("/images/{name}.qcow2")),
        format: Some("qcow2".to_owned()),
        bytes: Some(16 << 20),
        read_only: Some(false),
    }
}

/// A machine of so many disks, each of which does something, with two lines in its log.
pub(crate) fn machine(disks: usize) -> View {
    let mut view = View::new("10.0.2".to_owned());
    let names: Vec<_> = (0..disks).map(|number| format!("disk{number}")).collect();
    view.take_topology(names.iter().map(|name| disk(name)).collect(), None);
    let start = Instant::now();
    for second in 0..70 {
        let told = names.iter().map(|name| Activity {
            disk: name.clone(),
            read_bytes: second * second * 1000,
            written_bytes: 0,
            reads: second * 7,
            writes: 0,
        });
        view.meters.take(told.collect(), start + Duration::from_secs(second));
    }
    let noon = UNIX_EPOCH + Duration::from_secs(12 * 3600);
    view.log.add(noon, Kind::Event, "RESUME");
    view.log.add(noon, Kind::Failed, "something went wrong");
    view
}

fn job(id: &str, done: u64) -> Job {
    let (kind, status) = ("mirror".to_owned(), "running".to_owned());
    Job { id: id.to_owned(), kind, status, done, total: 100, error: None }
}

/// The rows of a picture, right-trimmed, as a terminal shows them.
fn rows(view: &View, width: u16, height: u16, look: Look) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let drawn = terminal.draw(|frame| {
        let picture = picture(view, frame.area(), look);
        frame.buffer_mut().clone_from(&picture.cells);
    });
    let cells = drawn.unwrap().buffer.clone();
    let row = |y| (0..width).map(move |x| (x, y));
    (0..height)
        .map(|y| {
            let text: String = row(y).map(|at| cells[at].symbol().to_owned()).collect();
            text.trim_end().to_owned()
        })
        .collect()
}

fn has(rows: &[String], text: &str) -> bool {
    rows.iter().any(|row| row.contains(text))
}

#[test]
fn a_machine_fits_the_smallest_usual_screen_and_a_larger_one() {
    let mut view = machine(3);
    view.take_jobs(Source::Jobs, vec![job("copy", 42)]);
    for (width, height) in [(80, 24), (120, 40), (MIN_COLUMNS, MIN_ROWS), (300, 100)] {
        let rows = rows(&view, width, height, PLAIN);
        for text in ["the machine", "QEMU 10.0.2", "disk0", "attached", "copy", "42%", "LOG"] {
            assert!(has(&rows, text), "{text} at {width}x{height}: {rows:#?}");
        }
    }
    let rows = rows(&view, 80, 24, PLAIN);
    assert!(rows[3].contains("disk0") && rows[3].contains("16.00 MiB"), "{rows:#?}");
    assert!(rows[3].contains('█') && rows[3].contains("  7 "), "{rows:#?}");
    assert!(has(&rows, "error: something went wrong"), "{rows:#?}");
    assert!(has(&rows, "[##   ]") && has(&rows, "/images/disk0.qcow2"), "{rows:#?}");
    assert!(rows[23].contains("q quit"), "{rows:#?}");
}

#[test]
fn a_screen_that_is_too_small_says_so() {
    for (width, height) in [(MIN_COLUMNS - 1, 24), (80, MIN_ROWS - 1), (9, 3), (1, 1)] {
        let rows = rows(&machine(3), width, height, PLAIN);
        assert!(!has(&rows, "disk0"), "{rows:#?}");
        let text = rows.join(" ");
        assert!(width < 30 || text.contains("too small: 50x12"), "{text}");
    }
}

#[test]
fn an_empty_machine_and_one_that_was_not_seen_yet_say_so() {
    let mut view = machine(0);
    assert!(has(&rows(&view, 80, 24, PLAIN), "looking"));
    view.take_jobs(Source::Nothing, Vec::new());
    assert!(has(&rows(&view, 80, 24, PLAIN), "this QEMU has none"));
}

#[test]
fn of_200_disks_those_around_the_chosen_one_are_seen() {
    let mut view = machine(200);
    view.choose(150);
    let some = rows(&view, 80, 24, PLAIN);
    assert!(has(&some, "DISKS 200") && has(&some, "disk150") && has(&some, "disk149"), "{some:#?}");
    assert!(!has(&some, "disk10 ") && !has(&some, "disk199"), "{some:#?}");
    view.is_zoomed = true;
    let zoomed = rows(&view, 80, 24, PLAIN);
    assert!(has(&zoomed, "disk145") && !has(&zoomed, "LOG"), "{zoomed:#?}");
    view.choose(isize::MAX);
    assert!(has(&rows(&view, 80, 24, PLAIN), "disk199"));
}

#[test]
fn of_many_jobs_those_around_the_chosen_one_are_seen() {
    let mut view = machine(1);
    let jobs = (0..100).map(|number| job(&format!("job{number}"), number)).collect();
    view.take_jobs(Source::Jobs, jobs);
    keys::press(&mut view, crossterm::event::KeyCode::Tab.into());
    keys::press(&mut view, crossterm::event::KeyCode::Tab.into());
    view.choose(50);
    let rows = rows(&view, 80, 24, PLAIN);
    assert!(has(&rows, "JOBS 100") && has(&rows, "job50") && has(&rows, "50%"), "{rows:#?}");
    assert!(!has(&rows, "job9 "), "{rows:#?}");
}

#[test]
fn long_and_wide_and_odd_names_stay_in_their_columns() {
    let mut view = machine(0);
    let names = ["x".repeat(200), "ディスク".repeat(20), "a\u{1b}[2Jb".to_owned()];
    view.take_topology(names.iter().map(|name| disk(name)).collect(), None);
    for (width, height) in [(80, 24), (120, 40)] {
        let rows = rows(&view, width, height, PLAIN);
        for row in &rows[3..6] {
            assert!(row.contains(" attached "), "{rows:#?}");
            assert!(!row.contains('\u{1b}'), "{rows:#?}");
        }
        assert!(rows[3].contains("xxx…") && rows[4].contains('…'), "{rows:#?}");
    }
}

#[test]
fn without_colour_no_cell_has_one_and_with_it_some_do() {
    let mut view = machine(3);
    view.link = Link::Down("closed".to_owned());
    let area = Rect::new(0, 0, 80, 24);
    let coloured = |look| {
        let cells = picture(&view, area, look).cells;
        cells.content().iter().any(|it| (it.fg, it.bg) != Default::default())
    };
    assert!(!coloured(PLAIN));
    assert!(coloured(Look { has_colour: true }));
}

#[test]
fn what_is_old_is_marked_and_rates_are_not_shown() {
    let mut view = machine(1);
    view.link = Link::Down("the machine closed the connection; trying again".to_owned());
    let down = rows(&view, 80, 24, PLAIN);
    assert!(down[0].contains("NOT CONNECTED: the machine closed"), "{down:#?}");
    assert!(down[1].contains("DISKS 1 (stale)") && !down[3].contains("  7 "), "{down:#?}");
    view.link = Link::Silent(Duration::from_secs(12));
    let silent = rows(&view, 80, 24, PLAIN);
    assert!(silent[0].contains("NO ANSWER for 12 s"), "{silent:#?}");
}

#[test]
fn questions_lines_and_help_have_the_bottom() {
    let mut view = machine(1);
    let press = |view: &mut View, keys: &str| {
        for key in keys.chars() {
            keys::press(view, crossterm::event::KeyCode::Char(key).into());
        }
    };
    press(&mut view, "d");
    let asked = rows(&view, 80, 24, PLAIN);
    assert!(asked[23].contains("detach disk0?") && asked[23].ends_with("(y/n)"), "{asked:#?}");
    press(&mut view, "n:resize disk0 2G");
    let area = Rect::new(0, 0, 80, 24);
    let typed = picture(&view, area, PLAIN);
    assert_eq!(typed.cursor, Some(Position { x: 16, y: 23 }));
    press(&mut view, &"x".repeat(200));
    assert_eq!(picture(&view, area, PLAIN).cursor, Some(Position { x: 79, y: 23 }));
    view.mode = Mode::Help;
    for (width, height) in [(80, 24), (MIN_COLUMNS, MIN_ROWS)] {
        let help = rows(&view, width, height, PLAIN);
        assert!(has(&help, "detach the chosen") && !has(&help, "DISKS"), "{help:#?}");
    }
}

#[test]
fn texts_are_cut_at_spaces_where_there_are_some() {
    assert_eq!(wrap("one two three", 7), ["one two", "three"]);
    assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
    assert_eq!(wrap("", 5), [""]);
    assert_eq!(wrap("ディスク", 3), ["デ", "ィ", "ス", "ク"]);
}
