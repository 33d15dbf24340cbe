//! Several lines at once, and what becomes of lines once they are done.

use std::fs;

use qplug_testbed::terminal::{Key, Terminal};

use crate::sim;
use crate::terminal::shell;

/// As terminals send what is pasted (xterm's bracketed paste).
fn pasted(text: &str) -> String {
    format!("\u{1b}[200~{text}\u{1b}[201~\n")
}

#[test]
fn pasted_lines_are_done_one_after_the_other() {
    let sim = sim(&[]);
    sim.image("a.img").unwrap();
    let mut terminal = shell(&sim, 80);
    let text = "query-name | wc -c # bytes\nattach a.img --format raw # one\n{\"execute\":\n\"query-name\"}\n";
    terminal.type_text(&pasted(text)).unwrap();
    terminal.wait_for_line("a attached").unwrap();
    terminal.wait_for("two replies", |screen| screen.contents().contains("\n{}\n")).unwrap();
    assert!(terminal.all_lines().iter().any(|line| line.trim() == "3"), "{}", terminal.screen());
    terminal.type_text("list\n").unwrap();
    terminal.wait_for_text("a     attached").unwrap();
}

#[test]
fn the_first_pasted_line_that_fails_ends_them() {
    let sim = sim(&[]);
    sim.image("a.img").unwrap();
    let mut terminal = shell(&sim, 80);
    let text = "- attach none.img\natach a.img\nattach a.img --format raw\n\nlist\n";
    terminal.type_text(&pasted(text)).unwrap();
    terminal.wait_for_line("did you mean attach?").unwrap();
    terminal.wait_for_line("the lines behind it are not done: 2").unwrap();
    terminal.type_text("list\n").unwrap();
    terminal.wait_for_line("no disks").unwrap();
}

#[test]
fn history_goes_where_a_line_says() {
    let sim = sim(&[]);
    let mut terminal = shell(&sim, 80);
    terminal.type_text("query-name\nhistory | grep -c name\nhistory 1 > kept\n").unwrap();
    terminal.wait_for("the count", |screen| screen.contents().contains("\n2\n")).unwrap();
    terminal.type_text("exit\n").unwrap();
    assert_eq!(terminal.exit_code().unwrap(), 0);
    let kept = fs::read_to_string(sim.folder().join("kept")).unwrap();
    assert_eq!(kept, "    3  history 1 > kept\n");
}

#[test]
fn a_secret_is_brought_back_once_and_never_kept() {
    let sim = sim(&[]);
    let mut terminal = shell(&sim, 80);
    let line = "object-add qom-type=secret id=s data=hush";
    terminal.type_text(&format!("query-name\n{line}\n")).unwrap();
    terminal
        .wait_for("two replies", |screen| screen.contents().matches("\n{}").count() == 2)
        .unwrap();
    terminal.press(Key::Up).unwrap();
    terminal
        .wait_for("the line again", |screen| screen.contents().matches(line).count() == 2)
        .unwrap();
    terminal.press(Key::Ctrl('u')).unwrap();
    terminal.type_text("query-status\n").unwrap();
    terminal.wait_for_text("\"status\"").unwrap();
    terminal.press(Key::Up).unwrap();
    terminal.press(Key::Up).unwrap();
    terminal
        .wait_for("the one before", |screen| screen.contents().ends_with("> query-name"))
        .unwrap();
}

#[test]
fn a_terminal_that_is_closed_takes_no_history_with_it() {
    let sim = sim(&[]);
    let home = tempfile::tempdir().unwrap();
    let mut command = sim.qplug();
    command.arg("shell").env("XDG_STATE_HOME", home.path());
    let mut terminal = Terminal::spawn(&command, 24, 80).unwrap();
    terminal.type_text("query-name\n").unwrap();
    terminal.wait_for_text("\n{}").unwrap();
    let pid = terminal.id().unwrap().to_string();
    let killed = std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap();
    assert!(killed.success());
    terminal.exit_code().unwrap_err();
    let kept = fs::read_to_string(home.path().join("qplug/history")).unwrap();
    assert_eq!(kept, "query-name\n");
}

#[test]
fn a_terminal_alone_makes_a_shell() {
    let sim = sim(&[]);
    for part in ["> out", "2> out"] {
        let run = format!(
            "{} --socket {} shell {part}; echo ended with $?; cat out",
            env!("CARGO_BIN_EXE_qplug"),
            sim.socket().display()
        );
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &run]).current_dir(sim.folder());
        let mut terminal = Terminal::spawn(&command, 24, 80).unwrap();
        terminal.wait_for_line("ended with 2").unwrap();
        terminal.wait_for_line("output or error is none").unwrap();
        terminal.exit_code().unwrap();
    }
}

#[test]
fn ctrl_c_ends_a_program_of_the_hosts_and_not_the_shell() {
    let sim = sim(&[]);
    let mut terminal = shell(&sim, 80);
    terminal.type_text("query-name | { echo there; exec sleep 60; }\n").unwrap();
    terminal.wait_for("a program", |screen| screen.contents().contains("\nthere")).unwrap();
    terminal.press(Key::Ctrl('c')).unwrap();
    terminal.wait_for_line("the command behind | is interrupted").unwrap();
    terminal.type_text("query-name\n").unwrap();
    terminal.wait_for_text("\n{}").unwrap();
}
