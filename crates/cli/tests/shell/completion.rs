//! Tab, and what is said behind the cursor.

use std::process::Command;
use std::time::{Duration, Instant};

use qplug_testbed::terminal::{Key, Terminal};

use crate::sim;
use crate::terminal::shell;

/// How long a line may stand still where the machine hangs: twice what completion waits, and time for a
/// busy host.
const LINE_WITHIN: Duration = Duration::from_secs(5);

/// Longer than what is known of a machine is good for.
const FRESH: Duration = Duration::from_millis(2500);

/// A process that hangs, until this is dropped.
struct Stopped(u32);

impl Stopped {
    fn new(process: u32) -> Self {
        signal("-STOP", process);
        Self(process)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("-CONT", self.0);
    }
}

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

/// Types, presses Tab, and waits for the line to be so.
fn tab(terminal: &mut Terminal, typed: &str, becomes: &str) {
    terminal.type_text(typed).unwrap();
    line_is(terminal, typed.trim_end());
    terminal.press(Key::Tab).unwrap();
    line_is(terminal, becomes);
    terminal.press(Key::Ctrl('c')).unwrap();
    line_is(terminal, "");
}

/// Waits until the row with the cursor is the prompt and a text that begins so.
fn line_is(terminal: &Terminal, text: &str) {
    let expected = format!("> {text}");
    terminal
        .wait_for(&format!("line {text:?}"), |screen| {
            let row = screen.cursor_position().0;
            let row = screen.rows(0, screen.size().1.get()).nth(row.into()).unwrap_or_default();
            let is_empty = text.is_empty() && row.trim_end().ends_with('>');
            is_empty || (!text.is_empty() && row.contains(&expected))
        })
        .unwrap();
}

#[test]
fn tab_completes_from_schema_and_machine() {
    let sim = sim(&[]);
    sim.image("a b.img").unwrap();
    sim.exits(&["attach", "a b.img", "--format", "raw", "--name", "data"], 0).unwrap();
    let mut terminal = shell(&sim, 120);
    for (typed, becomes) in [
        ("query-named", "query-named-block-nodes"),
        ("device_del i", "device_del id="),
        ("device_del id=d", "device_del id=data"),
        ("detach d", "detach data"),
        ("blockdev-add driver=raw file=data.fi", "blockdev-add driver=raw file=data.file"),
        (
            "blockdev-add driver=raw file.driver=nbd file.exp",
            "blockdev-add driver=raw file.driver=nbd file.export=",
        ),
        ("attach a", r"attach a\ b.img"),
        ("attach 'a", "attach 'a b.img'"),
        ("query-block | cat > a", r"query-block | cat > a\ b.img"),
        ("{\"execute\": \"query-named", "{\"execute\": \"query-named-block-nodes\""),
        ("help device_d", "help device_del"),
    ] {
        tab(&mut terminal, typed, becomes);
    }
}

#[test]
fn many_candidates_are_a_menu_and_the_hint_says_what_is_missing() {
    let sim = sim(&[]);
    let mut terminal = shell(&sim, 100);
    terminal.type_text("device_del ").unwrap();
    terminal.wait_for_text("> device_del id=…").unwrap();
    terminal.type_text("id=").unwrap();
    terminal.wait_for_text("> device_del id= str").unwrap();
    terminal.press(Key::Ctrl('c')).unwrap();
    line_is(&terminal, "");
    terminal.type_text("blockdev-add driver=qco").unwrap();
    terminal.press(Key::Tab).unwrap();
    terminal.wait_for_text("> blockdev-add driver=qcow").unwrap();
    terminal.press(Key::Tab).unwrap();
    terminal
        .wait_for("menu", |screen| {
            let rows: Vec<_> = screen.rows(0, 100).collect();
            rows.iter().any(|row| row.trim_start_matches('>').starts_with("qcow"))
        })
        .unwrap();
}

#[test]
fn where_nothing_fits_the_line_stays_as_it_is() {
    let sim = sim(&[]);
    let mut terminal = shell(&sim, 100);
    terminal.type_text("zebra").unwrap();
    line_is(&terminal, "zebra");
    terminal.press(Key::Tab).unwrap();
    terminal.type_text("s").unwrap();
    line_is(&terminal, "zebras");
    assert!(!terminal.screen().to_lowercase().contains("records"), "{}", terminal.screen());
}

#[test]
fn help_tells_of_verbs_and_commands() {
    let sim = sim(&[]);
    let mut terminal = shell(&sim, 100);
    terminal.type_text("help device_del\n").unwrap();
    terminal.wait_for_line("command device_del").unwrap();
    terminal.wait_for_line("id: str").unwrap();
    terminal.type_text("help detach\n").unwrap();
    terminal.wait_for_line("Usage: detach").unwrap();
    terminal.type_text("help\n").unwrap();
    terminal.wait_for_line("Of the shell:").unwrap();
}

#[test]
fn a_machine_that_hangs_does_not_hang_the_line() {
    let sim = sim(&[]);
    sim.exits(&["attach", text(&sim.image("a.img").unwrap()), "--format", "raw"], 0).unwrap();
    let mut terminal = shell(&sim, 100);
    terminal.type_text("device_del id=").unwrap();
    line_is(&terminal, "device_del id= str");
    let stopped = Stopped::new(sim.id());
    let since = Instant::now();
    terminal.press(Key::Tab).unwrap();
    terminal.type_text("other").unwrap();
    line_is(&terminal, "device_del id=other");
    assert!(since.elapsed() < LINE_WITHIN, "{:?}", since.elapsed());
    drop(stopped);
    // What could not be had is asked for again.
    terminal.press(Key::Ctrl('c')).unwrap();
    line_is(&terminal, "");
    std::thread::sleep(FRESH);
    tab(&mut terminal, "detach ", "detach a");
}

#[test]
fn lines_of_a_transaction_are_actions() {
    let sim = sim(&[]);
    let mut terminal = shell(&sim, 100);
    terminal.type_text("transaction\n").unwrap();
    terminal.wait_for_text("transaction(0)>").unwrap();
    tab(&mut terminal, "block-dirty-bitmap-cl", "block-dirty-bitmap-clear");
    tab(&mut terminal, "block-dirty-bitmap-clear no", "block-dirty-bitmap-clear node=");
}

#[test]
fn another_machine_at_the_same_place_has_a_schema_of_its_own() {
    let mut sim = sim(&[]);
    let mut terminal = shell(&sim, 100);
    // Since 9.2.
    tab(&mut terminal, "device-sync-c", "device-sync-config");
    sim.crash().unwrap();
    terminal.wait_for_text("not connected>").unwrap();
    sim.start_again(&["--qemu", "7.2"]).unwrap();
    terminal.wait_for_text("qmp running>").unwrap();
    terminal.type_text("device-sync-c").unwrap();
    terminal.press(Key::Tab).unwrap();
    terminal.type_text("x").unwrap();
    line_is(&terminal, "device-sync-cx");
}

#[test]
fn a_machine_with_no_schema_has_commands_and_names() {
    let sim = sim(&["--qemu", "0.14"]);
    let image = sim.image("a.img").unwrap();
    sim.exits(&["attach", text(&image), "--format", "raw", "--name", "data"], 0).unwrap();
    let mut terminal = shell(&sim, 100);
    for (typed, becomes) in [
        ("query-blockst", "query-blockstats"),
        ("exec query-sta", "exec query-status"),
        ("detach d", "detach data"),
        ("attach --bus virtio-b", "attach --bus virtio-blk"),
    ] {
        tab(&mut terminal, typed, becomes);
    }
}
