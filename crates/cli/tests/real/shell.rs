//! The shell on real machines: at a terminal, and with scripts.

use std::path::Path;
use std::process::Command;

use qplug_testbed::image::Format;
use qplug_testbed::terminal::{Key, Terminal};
use serde_json::{Value, json};

use crate::run::{GUEST_WITHIN, image, on_every_machine, on_every_qemu, path, qplug};

fn shell(socket: &Path, home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qplug"));
    command.arg("--socket").arg(socket).arg("shell").env("XDG_CACHE_HOME", home);
    command
}

#[test]
fn a_session_at_a_terminal() {
    on_every_machine("a shell at a terminal", |machine| {
        let image = image(machine, "data", Format::Qcow2);
        let command = shell(&machine.qmp_path(), machine.folder());
        let mut terminal = Terminal::spawn(&command, 24, 100).unwrap();
        terminal.wait_for_text(" running>").unwrap();
        terminal.type_text(&format!("attach {}\n", path(&image))).unwrap();
        terminal.wait_for_line("data attached").unwrap();
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();

        // What another client does shows, and does not spoil what is being typed.
        terminal.type_text("query-st").unwrap();
        terminal.wait_for_text("> query-st").unwrap();
        machine.oracle.demand("stop", json!({})).unwrap();
        terminal.wait_for_line("STOP").unwrap();
        terminal.wait_for_text(" paused> query-st").unwrap();
        machine.oracle.demand("cont", json!({})).unwrap();
        terminal.wait_for_text(" running> query-st").unwrap();
        terminal.type_text("atus | grep -c running\n").unwrap();
        // The next line is typed once the terminal is the shell's again.
        let is_counted = |text: &str| text.contains("\n2\n") && text.trim_end().ends_with('>');
        terminal.wait_for("count", |screen| is_counted(&screen.contents())).unwrap();

        // Both of two changes are made, or none.
        for line in [
            "transaction",
            "block-dirty-bitmap-add node=data.format name=one",
            "block-dirty-bitmap-add node=data.format name=two",
            "commit",
        ] {
            terminal.type_text(&format!("{line}\n")).unwrap();
        }
        terminal.wait_for_text("transaction(2)> commit").unwrap();
        terminal.wait_for("reply", |screen| screen.contents().contains("\n{}\n")).unwrap();
        assert_eq!(bitmaps(machine), ["one", "two"]);

        terminal.type_text("detach data\n").unwrap();
        terminal.wait_for_line("data detached").unwrap();
        machine.guest.wait_removed("data", GUEST_WITHIN).unwrap();
        terminal.press(Key::Ctrl('d')).unwrap();
        assert_eq!(terminal.exit_code().unwrap(), 0);
    });
}

fn bitmaps(machine: &mut qplug_testbed::Machine) -> Vec<String> {
    let nodes = machine.oracle.demand("query-named-block-nodes", json!({"flat": true})).unwrap();
    let nodes = nodes.as_array().unwrap().clone();
    let node = nodes.iter().find(|node| node["node-name"] == "data.format").unwrap();
    let bitmaps = node["dirty-bitmaps"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<_> =
        bitmaps.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_machine_that_ends_is_missed_and_said() {
    on_every_qemu("a lost machine", &["-name", "vm one"], |machine| {
        let command = shell(&machine.qmp_path(), machine.folder());
        let mut terminal = Terminal::spawn(&command, 24, 100).unwrap();
        terminal.wait_for_text("vm one prelaunch>").unwrap();
        terminal.type_text("exec quit\n").unwrap();
        terminal.wait_for_line("the connection is lost").unwrap();
        terminal.wait_for_text("vm one not connected>").unwrap();
        terminal.type_text("list\n").unwrap();
        terminal.wait_for_line("error: not connected").unwrap();
        terminal.press(Key::Ctrl('d')).unwrap();
        assert_eq!(terminal.exit_code().unwrap(), 0);
    });
}

#[test]
fn scripts_speak_both_languages() {
    on_every_qemu("a script", &[], |machine| {
        let image = image(machine, "a", Format::Raw);
        let script = machine.folder().join("script");
        let run = |text: &str| {
            std::fs::write(&script, text).unwrap();
            qplug(machine.qmp_path(), &["shell", "-x", script.to_str().unwrap()])
        };
        let ran = run(&format!(
            "# both
blockdev-add driver=raw node-name=n file.driver=file file.filename={image}
{{'execute': 'query-named-block-nodes',
  'arguments': {{'flat': true}}}} > {nodes}
- {{\"exec-oob\": \"migrate-pause\"}}
- blockdev-add driver=raw node-name=n file.driver=file file.filename={image}
- blockdev-add driver=raw node-nam=n
hmp info block -n | grep -q '^n: '
transaction
block-dirty-bitmap-add node=n name=one
block-dirty-bitmap-add node=nowhere name=two
-commit
abort
blockdev-del node-name=n
query-status
",
            image = path(&image),
            nodes = machine.folder().join("nodes").display(),
        ));
        let ran = ran
            .exits(0)
            .says("script:5: QEMU refused migrate-pause: GenericError")
            .says("script:6: ")
            .says("did you mean node-name?");
        assert!(ran.stderr.contains("nowhere"), "{}", ran.stderr);
        assert!(ran.stdout.contains("prelaunch"), "{}", ran.stdout);
        let nodes = std::fs::read_to_string(machine.folder().join("nodes")).unwrap();
        let nodes: Value = serde_json::from_str(&nodes).unwrap();
        assert_eq!(nodes.as_array().unwrap().len(), 2);
        // What QEMU has made is not made again because its reply could not be written.
        let once = "blockdev-add driver=null-co node-name=z\ntransaction\nblock-dirty-bitmap-add node=z name=once\n";
        run(&format!("{once}- commit > /dev/full\ncommit\n"))
            .exits(2)
            .says("script:4: ")
            .says("script:5: there is no transaction");
        run("block-dirty-bitmap-remove node=z name=once\nblockdev-del node-name=z\n").exits(0);
        run("device_del id=nobody\nquery-status\n").exits(4).says("script:1: ");
    });
}
