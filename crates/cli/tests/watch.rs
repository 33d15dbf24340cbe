//! `qplug watch` in a terminal, on the simulated machine.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod simulated;

use std::process::Command;

use qplug_testbed::Terminal;
use qplug_testbed::terminal::Key;
use simulated::{Sim, text};

/// Watches a simulated machine.
fn watch(sim: &Sim, environment: &[(&str, &str)], rows: u16, columns: u16) -> Terminal {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qplug"));
    command.arg("watch").env("QPLUG_SOCKET", sim.socket()).current_dir(sim.folder.path());
    command.envs(environment.iter().copied());
    Terminal::spawn(&command, rows, columns).unwrap()
}

#[test]
fn a_disk_is_attached_and_detached_by_keys_and_both_are_seen() {
    let sim = Sim::start(&[]);
    let image = sim.image("data.img");
    let mut terminal = watch(&sim, &[], 24, 80);
    terminal.wait_for_text("DISKS 0").unwrap();
    terminal.wait_for_text("no disks; a attaches one").unwrap();
    terminal.press(Key::Char('a')).unwrap();
    terminal.wait_for_text(":attach").unwrap();
    terminal.type_text("dat").unwrap();
    terminal.press(Key::Tab).unwrap();
    terminal.wait_for_text(":attach data.img").unwrap();
    terminal.type_text("--format raw\n").unwrap();
    terminal.wait_for_text("DISKS 1").unwrap();
    println!("{}", terminal.screen());
    terminal.press(Key::Char('q')).unwrap();
    assert_eq!(terminal.exit_code().unwrap(), 0);
    println!("{}", terminal.screen());
    let _ = text(&image);
}
