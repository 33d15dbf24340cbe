//! `qplug watch` in a terminal, on the simulated machine.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use qplug_testbed::terminal::{Key, WAIT};
use qplug_testbed::{Sim, Terminal, page};

/// How many pictures fill whatever is between a program and its terminal.
const PICTURES: usize = 60;

/// The time that a picture takes.
const DRAWN_WITHIN: Duration = Duration::from_millis(40);

fn sim(arguments: &[&str]) -> Sim {
    Sim::start(env!("CARGO_BIN_EXE_qplug"), arguments).unwrap()
}

/// Watches a simulated machine, of which the first look is done.
fn watch(sim: &Sim) -> Terminal {
    watch_with(sim, &[])
}

fn watch_with(sim: &Sim, environment: &[(&str, &str)]) -> Terminal {
    let mut command = sim.qplug();
    command.arg("watch").envs(environment.iter().copied());
    let terminal = Terminal::spawn(&command, 24, 80).unwrap();
    terminal.wait_for_text(" free ").unwrap();
    terminal.wait_for_text("  running").unwrap();
    terminal
}

/// Attaches an image by keys, and waits until it is listed.
fn attach(terminal: &mut Terminal, image: &str, disk: &str) {
    terminal.press(Key::Char('a')).unwrap();
    terminal.wait_for_text(":attach").unwrap();
    terminal.type_text(&format!("{image} --format raw\n")).unwrap();
    listed(terminal, disk, "attached");
}

/// Waits until a disk is in this state.
fn listed(terminal: &Terminal, disk: &str, state: &str) {
    let is_listed = |row: String| {
        let mut words = row.trim_start_matches('>').split_whitespace();
        words.next() == Some(disk) && words.next() == Some(state)
    };
    terminal
        .wait_for(&format!("{disk} that is {state}"), |screen| {
            screen.rows(0, screen.size().1.get()).any(is_listed)
        })
        .unwrap();
}

fn leave(mut terminal: Terminal) {
    terminal.press(Key::Char('q')).unwrap();
    assert_eq!(terminal.exit_code().unwrap(), 0);
    // What was on the screen before is there again, and the cursor is seen.
    assert_eq!(terminal.screen(), "");
    assert!(terminal.look(|screen| !screen.alternate_screen() && !screen.hide_cursor()));
}

#[test]
fn a_disk_comes_grows_and_goes_by_keys() {
    let sim = sim(&[]);
    sim.image("data.img").unwrap();
    let mut terminal = watch(&sim);
    terminal.wait_for_text("no disks; a attaches one").unwrap();
    terminal.press(Key::Char('a')).unwrap();
    terminal.wait_for_text(":attach").unwrap();
    terminal.type_text("dat").unwrap();
    terminal.press(Key::Tab).unwrap();
    terminal.wait_for_text(":attach data.img").unwrap();
    terminal.type_text("--format raw\n").unwrap();
    listed(&terminal, "data", "attached");
    terminal.wait_for_text("data attached at rp0 (raw)").unwrap();
    terminal.wait_for_text("PLACES 7 of 8 free").unwrap();
    terminal.type_text("r").unwrap();
    terminal.wait_for_text(":resize data").unwrap();
    terminal.type_text("32M\n").unwrap();
    terminal.wait_for_text("32.00 MiB").unwrap();
    terminal.press(Key::Char('d')).unwrap();
    terminal.wait_for_text("(y/n)").unwrap();
    terminal.press(Key::Char('n')).unwrap();
    terminal.wait_for_no("(y/n)").unwrap();
    terminal.type_text("dy").unwrap();
    terminal.wait_for_text("DEVICE_DELETED").unwrap();
    terminal.wait_for_text("data detached; its image is free").unwrap();
    terminal.wait_for_text("DISKS 0").unwrap();
    terminal.wait_for_text("PLACES 8 of 8 free").unwrap();
    leave(terminal);
}

#[test]
fn what_the_command_refuses_is_said_in_the_same_words() {
    let sim = sim(&[]);
    let mut terminal = watch(&sim);
    for (line, part) in [
        ("attach nothing.img", "nothing.img"),
        ("events", "needs a terminal of its own"),
        ("atach x", "unrecognized subcommand"),
        ("detach nothing", "no disk called nothing"),
    ] {
        terminal.type_text(&format!(":{line}\n")).unwrap();
        terminal.wait_for_text("error: ").unwrap();
        terminal.wait_for_line(part).unwrap();
    }
    terminal.wait_for_text("there is no disk called nothing in this machine").unwrap();
    leave(terminal);
}

#[test]
fn it_is_drawn_for_the_window_it_has_at_once() {
    let sim = sim(&[]);
    let mut terminal = watch(&sim);
    for (rows, columns, text) in [
        (40, 120, "READ/S"),
        (24, 80, "BYTES/S"),
        (10, 40, "40x10 is too small"),
        (24, 80, "BYTES/S"),
        (12, 50, "DISKS 0"),
    ] {
        terminal.resize(rows, columns).unwrap();
        terminal.wait_for_text(text).unwrap();
        let is_whole = |screen: &vt100::Screen| {
            let last = screen.rows(0, columns).last().unwrap_or_default();
            columns < 50 || last.contains("attach")
        };
        terminal.wait_for("last line in the last row", is_whole).unwrap();
    }
    leave(terminal);
}

#[test]
fn without_colour_there_is_no_escape_for_one_and_words_say_it_all() {
    let sim = sim(&[]);
    sim.image("data.img").unwrap();
    for (environment, has_colour) in [(&[("NO_COLOR", "1")][..], false), (&[], true)] {
        let mut terminal = watch_with(&sim, environment);
        attach(&mut terminal, "data.img", "data");
        terminal.type_text(":detach nothing\n").unwrap();
        terminal.wait_for_text("error: ").unwrap();
        terminal.type_text("dy").unwrap();
        terminal.wait_for_text("DISKS 0").unwrap();
        assert_eq!(terminal.has_used_colour(), has_colour);
        leave(terminal);
    }
}

#[test]
fn control_c_quits_and_so_do_signals_with_the_terminal_as_it_was() {
    let sim = sim(&[]);
    let mut terminal = watch(&sim);
    terminal.press(Key::Ctrl('c')).unwrap();
    assert_eq!(terminal.exit_code().unwrap(), 0);
    assert!(terminal.look(|screen| !screen.alternate_screen() && !screen.hide_cursor()));
    for signal in ["-TERM", "-HUP", "-INT"] {
        let mut terminal = watch(&sim);
        let id = terminal.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        assert_eq!(terminal.exit_code().unwrap(), 0);
        assert!(terminal.look(|screen| !screen.alternate_screen() && !screen.hide_cursor()));
    }
}

#[test]
fn a_detach_that_waits_is_shown_and_quitting_says_what_becomes_of_it() {
    let sim = sim(&["--guest", "dead"]);
    sim.image("data.img").unwrap();
    let mut terminal = watch(&sim);
    attach(&mut terminal, "data.img", "data");
    terminal.type_text(":detach data --timeout 0.2\n").unwrap();
    terminal.wait_for_text("data is pending").unwrap();
    listed(&terminal, "data", "pending");
    terminal.type_text("dy").unwrap();
    listed(&terminal, "data", "detaching");
    terminal.press(Key::Char('q')).unwrap();
    terminal.wait_for_text("not done yet. Quit all the same?").unwrap();
    terminal.press(Key::Char('n')).unwrap();
    terminal.wait_for_no("not done yet").unwrap();
    terminal.press(Key::Ctrl('c')).unwrap();
    terminal.wait_for_text("not done yet. Quit all the same?").unwrap();
    terminal.press(Key::Ctrl('c')).unwrap();
    assert_eq!(terminal.exit_code().unwrap(), 130);
    terminal.wait_for_line("left during 'detach data'").unwrap();
}

#[test]
fn a_lost_connection_is_said_and_found_again() {
    let mut sim = sim(&[]);
    sim.image("data.img").unwrap();
    let mut terminal = watch(&sim);
    attach(&mut terminal, "data.img", "data");
    sim.crash().unwrap();
    terminal.wait_for_text("NOT CONNECTED").unwrap();
    terminal.wait_for_text("DISKS 1 (stale)").unwrap();
    terminal.wait_for_text("the connection is lost").unwrap();
    terminal.type_text("dy").unwrap();
    terminal.wait_for_text("error: there is no connection").unwrap();
    sim.start_again(&["--qemu", "7.2"]).unwrap();
    terminal.wait_for_text("connected again").unwrap();
    terminal.wait_for_text("QEMU 7.2").unwrap();
    terminal.wait_for_text("DISKS 0").unwrap();
    assert!(!terminal.screen().contains("stale"), "{}", terminal.screen());
    attach(&mut terminal, "data.img", "data");
    // It can be left while there is nobody at the other end.
    sim.crash().unwrap();
    terminal.wait_for_text("NOT CONNECTED").unwrap();
    leave(terminal);
}

#[test]
fn machines_of_all_ages_show_what_they_have() {
    for (qemu, jobs) in [
        ("0.14", "this QEMU has none"),
        ("rhel6", "this QEMU has none"),
        ("1.2", "none"),
        ("2.5", "none"),
        ("2.9", "none"),
        ("7.2", "none"),
        ("10.0", "none"),
    ] {
        let sim = sim(&["--qemu", qemu, "--machine", "pc"]);
        sim.image("data.img").unwrap();
        let mut terminal = watch(&sim);
        terminal.wait_for_text(jobs).unwrap();
        attach(&mut terminal, "data.img", "data");
        terminal.type_text(":stop\n").unwrap();
        sim.image("other.img").unwrap();
        terminal.type_text("g").unwrap();
        terminal.wait_for_text("error: unrecognized").unwrap();
        terminal.type_text(":exec stop\n").unwrap();
        terminal.wait_for_text("  paused").unwrap();
        terminal.type_text(":exec cont\n").unwrap();
        terminal.wait_for_text("  running").unwrap();
        assert!(!terminal.screen().contains("error: 'query"), "{}", terminal.screen());
        leave(terminal);
    }
}

#[test]
fn a_job_shows_from_its_start_to_its_end() {
    for qemu in ["2.9", "7.2", "10.0"] {
        let sim = sim(&["--qemu", qemu]);
        sim.image("data.img").unwrap();
        sim.image("copy.img").unwrap();
        let mut terminal = watch(&sim);
        attach(&mut terminal, "data.img", "data");
        terminal
            .type_text(":exec blockdev-add driver=file node-name=copy filename=copy.img\n")
            .unwrap();
        // Commands run side by side.
        terminal.wait_for_text("{}").unwrap();
        terminal
            .type_text(
                ":exec blockdev-mirror job-id=j device=data.format target=copy sync=full speed=1\n",
            )
            .unwrap();
        terminal.wait_for_text("JOBS 1").unwrap();
        terminal.wait_for_text("0%").unwrap();
        terminal.type_text(":exec block-job-cancel device=j\n").unwrap();
        terminal.wait_for_text("JOBS 0").unwrap();
        leave(terminal);
    }
}

/// A terminal that takes nothing, as at the other end of a stuck connection, holds up nobody but
/// itself: a QEMU of which nobody reads the replies stops its guest.
#[test]
fn a_stuck_terminal_does_not_keep_the_machine_waiting() {
    let sim = sim(&["--qemu", "0.14"]);
    let trace = sim.folder().join("trace");
    let mut command = sim.qplug();
    command.arg("--trace").arg(&trace).arg("watch");
    let mut terminal = Terminal::spawn(&command, 24, 80).unwrap();
    terminal.wait_for_text("PLACES 30").unwrap();
    terminal.hold();
    // More pictures than the kernel keeps for a terminal.
    for _ in 0..PICTURES {
        terminal.press(Key::Ctrl('l')).unwrap();
        std::thread::sleep(DRAWN_WITHIN);
    }
    let asked = || fs::read_to_string(&trace).unwrap().matches("query-blockstats").count();
    let (before, deadline) = (asked(), Instant::now() + WAIT);
    terminal.type_text(":exec stop\n").unwrap();
    while asked() < before + 3 || !fs::read_to_string(&trace).unwrap().contains("\"stop\"") {
        assert!(Instant::now() < deadline, "nothing is asked any more");
        std::thread::sleep(DRAWN_WITHIN);
    }
    assert!(terminal.screen().contains("  running"), "{}", terminal.screen());
    terminal.go_on();
    terminal.wait_for_text("  paused").unwrap();
    terminal.hold();
    for _ in 0..PICTURES {
        terminal.press(Key::Ctrl('l')).unwrap();
        std::thread::sleep(DRAWN_WITHIN);
    }
    // Nor does it hold up who leaves, though it cannot be given back whole.
    terminal.press(Key::Char('q')).unwrap();
    let deadline = Instant::now() + WAIT;
    while !is_gone(&terminal) {
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(DRAWN_WITHIN);
    }
}

/// Whether the program has ended, and only its exit code is left.
fn is_gone(terminal: &Terminal) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", terminal.id().unwrap()));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

#[test]
fn where_there_is_no_terminal_or_a_program_asks_it_says_so() {
    let sim = sim(&[]);
    for (arguments, part) in
        [(&["watch"][..], "needs a terminal"), (&["watch", "--json"], "is for people")]
    {
        let output = sim.qplug().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(part), "{output:?}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_qplug"));
    command.args(["--socket", "/nonexistent/qmp", "watch"]);
    let mut terminal = Terminal::spawn(&command, 24, 80).unwrap();
    assert_eq!(terminal.exit_code().unwrap(), 3);
    terminal.wait_for_text("/nonexistent/qmp").unwrap();
}

/// The page on the view.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/watch.md");

#[test]
fn the_page_shows_what_is_drawn() {
    page::hold_to(Path::new(PAGE), |name| {
        let sim = sim(&["--guest", "dead"]);
        for image in ["data.img", "logs.img"] {
            sim.image(image).unwrap();
        }
        let mut terminal = watch(&sim);
        attach(&mut terminal, "data.img", "data");
        attach(&mut terminal, "logs.img", "logs");
        // Both have been looked at twice.
        let idle = |screen: &vt100::Screen| {
            screen.rows(0, 80).filter(|row| row.contains(" 0 B ")).count() == 2
        };
        terminal.wait_for("rates of both", idle).unwrap();
        match name {
            "detaching" => {
                terminal.type_text("dy").unwrap();
                listed(&terminal, "data", "detaching");
                terminal.wait_for_text("waiting for the guest").unwrap();
            }
            "question" => {
                terminal.type_text("d").unwrap();
                terminal.wait_for_text("(y/n)").unwrap();
            }
            name => panic!("the page has a screen {name}, which nobody draws"),
        }
        settled(&terminal.screen().replace(sim.folder().to_str().unwrap(), "/images"))
    })
    .unwrap();
}

/// A screen without what differs each time: the time, how much of a curve there is yet, and how long a
/// path and a command's number are.
fn settled(screen: &str) -> String {
    let clock = |line: &str| {
        let digits = line.get(1..9).is_some_and(|it| it.as_bytes()[2] == b':');
        if digits { format!(" 12:00:00{}", &line[9..]) } else { line.to_owned() }
    };
    let cost = |line: String| match line.split_once(" commands, ") {
        Some((before, _)) => format!("{before} commands, 400 bytes)"),
        None => line,
    };
    let rows = screen.lines().map(|line| cost(clock(&line.replace('·', " "))));
    rows.map(|row| row.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_shell_lends_its_connection_and_its_keys_and_has_them_back() {
    let mut sim = sim(&[]);
    let mut command = sim.qplug();
    command.arg("shell");
    let mut terminal = Terminal::spawn(&command, 24, 80).unwrap();
    terminal.wait_for_text("running>").unwrap();
    for _ in 0..2 {
        terminal.type_text("watch\n").unwrap();
        terminal.wait_for_text("PLACES 8 of 8 free").unwrap();
        terminal.type_text(":exec stop\n").unwrap();
        terminal.wait_for_text("  paused").unwrap();
        terminal.type_text(":exec cont\n").unwrap();
        terminal.wait_for_text("  running").unwrap();
        terminal.press(Key::Char('q')).unwrap();
        terminal.wait_for("shell", |screen| !screen.alternate_screen()).unwrap();
        terminal.type_text("status\n").unwrap();
        terminal.wait_for_text("it can do all that qplug can").unwrap();
        terminal.type_text("\u{c}").unwrap();
        terminal.wait_for_no("it can do all").unwrap();
    }
    terminal.type_text("watch\n").unwrap();
    terminal.wait_for_text("PLACES 8 of 8 free").unwrap();
    sim.crash().unwrap();
    terminal.wait_for("shell", |screen| !screen.alternate_screen()).unwrap();
    sim.start_again(&[]).unwrap();
    terminal.wait_for_line("connected again").unwrap();
    terminal.wait_for_text("running>").unwrap();
}

#[test]
fn a_machine_that_does_not_answer_is_said_to_be_silent_and_can_be_left() {
    let sim = sim(&[]);
    let terminal = watch(&sim);
    let id = sim.id().to_string();
    let signal = |signal: &str| {
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    };
    signal("-STOP");
    terminal.wait_for_text("NO ANSWER for").unwrap();
    terminal.wait_for_text("(stale)").unwrap();
    signal("-CONT");
    terminal.wait_for_no("NO ANSWER").unwrap();
    terminal.wait_for_no("(stale)").unwrap();
    signal("-STOP");
    terminal.wait_for_text("NO ANSWER for").unwrap();
    leave(terminal);
    signal("-CONT");
}
