//! The shell as somebody has it who sits at a terminal.

use qplug_testbed::Sim;
use qplug_testbed::terminal::{Key, Terminal};

use crate::sim;

pub(crate) fn shell(sim: &Sim, columns: u16) -> Terminal {
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
    terminal.wait_for_text("error: there is no command atach; did you mean attach?").unwrap();
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

#[test]
fn what_is_typed_ahead_is_read_later() {
    let sim = sim(&["--guest", "slow:1s"]);
    sim.image("a.img").unwrap();
    let mut terminal = shell(&sim, 80);
    terminal.type_text("attach a.img --format raw\ndetach a\nquery-name\nlis").unwrap();
    terminal.wait_for_line("a detached").unwrap();
    terminal.wait_for_text("qmp running> lis").unwrap();
    terminal.type_text("t\n").unwrap();
    terminal.wait_for_text("no disks").unwrap();
    let shown = terminal.all_lines().join("\n");
    assert_eq!(shown.matches("query-name").count(), 1, "{shown}");
}

#[test]
fn ctrl_c_ends_a_wait_and_not_the_shell() {
    let sim = sim(&["--guest", "dead"]);
    sim.image("a.img").unwrap();
    let mut terminal = shell(&sim, 80);
    terminal.type_text("attach a.img --format raw\n").unwrap();
    terminal.wait_for_line("a attached").unwrap();
    terminal.type_text("detach a --timeout 100\n").unwrap();
    terminal.wait_for_text("waiting").unwrap();
    terminal.press(Key::Ctrl('c')).unwrap();
    terminal.wait_for_line("interrupted; the guest may still let go of a").unwrap();
    terminal.wait_for_text("qmp running>").unwrap();
    // A line that is typed is dropped, and a second one is done.
    terminal.type_text("nonsense").unwrap();
    terminal.wait_for_text("> nonsense").unwrap();
    terminal.press(Key::Ctrl('c')).unwrap();
    terminal
        .wait_for("new line", |screen| screen.contents().trim_end().ends_with("running>"))
        .unwrap();
    terminal.type_text("list\n").unwrap();
    terminal.wait_for_text("a     attached").unwrap();
    terminal.type_text("exit\n").unwrap();
    assert_eq!(terminal.exit_code().unwrap(), 0);
}

#[test]
fn history_is_kept_between_sessions_without_secrets() {
    let sim = sim(&[]);
    let home = tempfile::tempdir().unwrap();
    let shell = || {
        let mut command = sim.qplug();
        command.arg("shell").env("XDG_STATE_HOME", home.path());
        let terminal = Terminal::spawn(&command, 24, 100).unwrap();
        terminal.wait_for_text("qmp running>").unwrap();
        terminal
    };
    let mut terminal = shell();
    for line in ["query-name\n", "object-add qom-type=secret id=s data=hush\n", "!query\n"] {
        terminal.type_text(line).unwrap();
    }
    terminal
        .wait_for("three replies", |screen| screen.contents().matches("\n{}").count() == 3)
        .unwrap();
    terminal.press(Key::Ctrl('d')).unwrap();
    assert_eq!(terminal.exit_code().unwrap(), 0);
    let kept = std::fs::read_to_string(home.path().join("qplug/history")).unwrap();
    assert_eq!(kept, "query-name\n", "{kept}");
    let mut terminal = shell();
    terminal.press(Key::Up).unwrap();
    terminal.wait_for_text("qmp running> query-name").unwrap();
    terminal.press(Key::Ctrl('u')).unwrap();
    terminal.press(Key::Ctrl('r')).unwrap();
    terminal.type_text("nam").unwrap();
    terminal.wait_for_text("(history: nam) query-name").unwrap();
    terminal.press(Key::Enter).unwrap();
    terminal.type_text("\nhistory\n").unwrap();
    terminal.wait_for_text("    1  query-name").unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    let file = std::fs::metadata(home.path().join("qplug/history")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_terminal_may_change_its_size() {
    let sim = sim(&[]);
    let mut terminal = shell(&sim, 80);
    let line = "blockdev-add driver=null-co node-name=a-node-with-a-long-name";
    terminal.type_text(line).unwrap();
    terminal.wait_for_text(line).unwrap();
    terminal.resize(24, 40).unwrap();
    terminal.type_text("r").unwrap();
    terminal
        .wait_for("line over rows", |screen| {
            screen.rows(0, 40).collect::<String>().trim_end().ends_with("a-node-with-a-long-namer")
        })
        .unwrap();
    terminal.resize(24, 100).unwrap();
    terminal.type_text("s\n").unwrap();
    terminal.wait_for_text("{}").unwrap();
}

#[test]
fn json_may_take_several_rows() {
    let sim = sim(&[]);
    let mut terminal = shell(&sim, 80);
    terminal.type_text("{\"execute\":\n\"query-name\"\n").unwrap();
    terminal.wait_for_text("... \"query-name\"").unwrap();
    terminal.type_text("}\n").unwrap();
    terminal.wait_for_text("{}").unwrap();
}

#[test]
fn a_transaction_is_put_together() {
    let sim = sim(&[]);
    let mut terminal = shell(&sim, 100);
    terminal.type_text("transaction\n").unwrap();
    terminal.wait_for_text("qmp running transaction(0)>").unwrap();
    terminal.type_text("block-dirty-bitmap-add node=n nam=b\n").unwrap();
    terminal.wait_for_text("did you mean name?").unwrap();
    terminal.type_text("block-dirty-bitmap-add node=n name=b\n").unwrap();
    terminal.wait_for_text("qmp running transaction(1)>").unwrap();
    terminal.type_text("abort\n").unwrap();
    terminal.wait_for_text("qmp running>").unwrap();
}

#[test]
fn without_colour_there_is_none() {
    let sim = sim(&[]);
    let mut command = sim.qplug();
    command.arg("shell").env("NO_COLOR", "1");
    let mut terminal = Terminal::spawn(&command, 24, 80).unwrap();
    terminal.wait_for_text("qmp running>").unwrap();
    terminal.type_text("device_del id=x\n").unwrap();
    terminal.wait_for_text("error").unwrap();
    terminal.press(Key::Ctrl('d')).unwrap();
    terminal.exit_code().unwrap();
    assert!(!terminal.has_used_colour());
}

#[test]
fn a_program_of_the_hosts_reads_what_a_command_says() {
    let sim = sim(&[]);
    let mut terminal = shell(&sim, 80);
    terminal.type_text("query-commands | grep -c name\n").unwrap();
    // The next line is typed once the terminal is the shell's again.
    let is_counted = |text: &str| text.trim_end().ends_with("\n233\nqmp running>");
    terminal.wait_for("count", |screen| is_counted(&screen.contents())).unwrap();
    // It has the terminal as any program has it.
    let asks = "query-name | { cat >x; echo who; read line </dev/tty; echo so $line; }\n";
    terminal.type_text(asks).unwrap();
    terminal.wait_for("question", |screen| screen.contents().contains("\nwho")).unwrap();
    terminal.type_text("be it\n").unwrap();
    terminal.wait_for_text("so be it").unwrap();
    terminal.wait_for_text("qmp running>").unwrap();
}

#[test]
fn a_shell_that_is_ended_leaves_the_terminal_as_it_was() {
    let sim = sim(&[]);
    let run = format!(
        "{} --socket {} shell; echo ended with $?; stty -a",
        env!("CARGO_BIN_EXE_qplug"),
        sim.socket().display()
    );
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &run]);
    let mut terminal = Terminal::spawn(&command, 24, 80).unwrap();
    terminal.wait_for_text("qmp running>").unwrap();
    let sh = terminal.id().unwrap();
    let children = std::fs::read_to_string(format!("/proc/{sh}/task/{sh}/children")).unwrap();
    let ended = std::process::Command::new("kill").arg(children.trim()).status().unwrap();
    assert!(ended.success());
    terminal.wait_for_line("ended with 130").unwrap();
    terminal.exit_code().unwrap();
    let settings = terminal.all_lines().join(" ");
    for setting in [" icanon", " echo", " icrnl", " isig"] {
        assert!(settings.contains(setting), "{settings}");
    }
}
