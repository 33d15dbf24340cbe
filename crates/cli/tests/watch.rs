//! `qplug watch` in a terminal, on the simulated machine.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use qplug_testbed::terminal::Key;
use qplug_testbed::{Sim, Terminal};

fn sim(arguments: &[&str]) -> Sim {
    Sim::start(env!("CARGO_BIN_EXE_qplug"), arguments).unwrap()
}

/// Watches a simulated machine.
fn watch(sim: &Sim, environment: &[(&str, &str)], rows: u16, columns: u16) -> Terminal {
    let mut command = sim.qplug();
    command.arg("watch").envs(environment.iter().copied());
    Terminal::spawn(&command, rows, columns).unwrap()
}

#[test]
fn a_disk_is_attached_and_detached_by_keys_and_both_are_seen() {
    let sim = sim(&[]);
    sim.image("data.img").unwrap();
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
}
