//! The shell as somebody has it who sits at a terminal.

use qplug_testbed::Sim;
use qplug_testbed::terminal::{Key, Terminal};

use crate::sim;

fn shell(sim: &Sim, columns: u16) -> Terminal {
    let mut command = sim.qplug();
    command.arg("shell");
    let terminal = Terminal::spawn(&command, 24, columns).unwrap();
    terminal.wait_for_text("qmp running>").unwrap();
    terminal
}

#[test]
fn a_line_is_typed_and_done() {
    let sim = sim(&[]);
    let mut terminal = shell(&sim, 100);
    terminal.type_text("query-status\n").unwrap();
    terminal.wait_for_text("\"status\": \"running\"").unwrap();
    terminal.type_text("atach a.img\n").unwrap();
    terminal.wait_for_text("error").unwrap();
    terminal.press(Key::Ctrl('d')).unwrap();
    assert_eq!(terminal.exit_code().unwrap(), 0);
}

#[test]
fn the_prompt_shows_the_state_that_another_client_makes() {
    let sim = sim(&[]);
    let mut terminal = shell(&sim, 80);
    terminal.type_text("query-").unwrap();
    terminal.wait_for_text("> query-").unwrap();
    terminal.type_text("\u{15}stop\n").unwrap();
    terminal.wait_for_text("qmp paused>").unwrap();
    terminal.type_text("cont\n").unwrap();
    terminal.wait_for_line("RESUME").unwrap();
    terminal.wait_for_text("qmp running>").unwrap();
}

#[test]
fn a_lost_connection_is_said_and_found_again() {
    let mut sim = sim(&[]);
    let mut terminal = shell(&sim, 80);
    terminal.type_text("query-na").unwrap();
    terminal.wait_for_text("> query-na").unwrap();
    sim.crash().unwrap();
    terminal.wait_for_text("the connection is lost").unwrap();
    terminal.wait_for_text("qmp not connected> query-na").unwrap();
    terminal.type_text("me\n").unwrap();
    terminal.wait_for_text("error: not connected").unwrap();
    sim.start_again(&["--qemu", "7.2"]).unwrap();
    terminal.wait_for_text("connected again to qmp, QEMU 7.2").unwrap();
    terminal.wait_for_text("qmp running>").unwrap();
    terminal.type_text("list\n").unwrap();
    terminal.wait_for_text("no disks").unwrap();
}

#[test]
fn an_event_does_not_spoil_the_line() {
    let sim = sim(&["--guest", "slow:1s"]);
    sim.image("a.img").unwrap();
    // Narrow, so that the line takes several rows.
    let mut terminal = shell(&sim, 40);
    terminal.type_text("attach a.img --format raw\n").unwrap();
    terminal.wait_for_line("a attached").unwrap();
    terminal.type_text("device_del id=a\n").unwrap();
    let line = "blockdev-add driver=null-co node-name=a-node-with-a-very-long-name";
    terminal.type_text(line).unwrap();
    terminal.wait_for_line("DEVICE_DELETED").unwrap();
    terminal
        .wait_for("line behind the event", |screen| {
            let rows: String = screen.rows(0, 40).collect();
            rows.ends_with(line) || rows.trim_end().ends_with(line)
        })
        .unwrap();
    let shown = terminal.all_lines().join("\n");
    assert_eq!(shown.matches("qmp running> blockdev-add").count(), 1, "{shown}");
}
