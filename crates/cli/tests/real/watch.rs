//! The full-screen view, in a terminal, with a guest that does things.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use qplug_testbed::Machine;
use qplug_testbed::image::Format;
use qplug_testbed::terminal::{Key, Terminal, WAIT};
use serde_json::json;

use crate::media::{inside, medium, on_machines_with_drives};
use crate::run::{GUEST_WITHIN, image, on_every_machine, path, state};

fn watch(socket: impl AsRef<Path>) -> Terminal {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qplug"));
    command.arg("watch").env("QPLUG_SOCKET", socket.as_ref());
    let terminal = Terminal::spawn(&command, 24, 80).unwrap();
    terminal.wait_for_text("  running").unwrap();
    terminal
}

fn leave(mut terminal: Terminal) {
    terminal.press(Key::Char('q')).unwrap();
    assert_eq!(terminal.exit_code().unwrap(), 0);
}

/// The row of a disk.
fn row(terminal: &Terminal, disk: &str) -> String {
    let screen = terminal.screen();
    let is_its = |row: &&str| row.trim_start_matches('>').split_whitespace().next() == Some(disk);
    screen.lines().find(is_its).unwrap_or_default().to_owned()
}

fn attach(machine: &mut Machine, terminal: &mut Terminal) {
    let image = image(machine, "data", Format::Qcow2);
    terminal.press(Key::Char('a')).unwrap();
    terminal.wait_for_text(":attach").unwrap();
    terminal.type_text(&format!("{}\n", path(&image))).unwrap();
    machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
    let is_there = |screen: &vt100::Screen| {
        screen.rows(0, 80).any(|row| row.starts_with(">data") && row.contains("attached"))
    };
    terminal.wait_for("disk that is attached", is_there).unwrap();
}

#[test]
fn a_disk_is_plugged_in_used_and_pulled_out_by_keys() {
    on_every_machine("watch a disk", |machine| {
        let before = state(machine);
        let mut terminal = watch(machine.qmp_path());
        attach(machine, &mut terminal);
        // What the guest does shows, as numbers and as curves.
        let deadline = Instant::now() + WAIT;
        let mut offset = 0;
        loop {
            for _ in 0..20 {
                machine.guest.write("data", offset, "something").unwrap();
                offset += 4096;
            }
            let row = row(&terminal, "data");
            let has_curve = row.contains('█');
            let operations = row.split_whitespace().rev().nth(1).and_then(|it| it.parse().ok());
            if has_curve && operations.is_some_and(|count: u64| count > 0) {
                break;
            }
            assert!(Instant::now() < deadline, "{}", terminal.screen());
        }
        eprintln!("{}", terminal.screen());
        terminal.type_text("dy").unwrap();
        machine.guest.wait_removed("data", GUEST_WITHIN).unwrap();
        terminal.wait_for_text("data detached; its image is free").unwrap();
        let is_gone = |screen: &vt100::Screen| {
            screen.rows(0, 80).all(|row| !row.trim_start_matches([' ', '>']).starts_with("data "))
        };
        terminal.wait_for("list without it", is_gone).unwrap();
        leave(terminal);
        assert_eq!(state(machine), before);
    });
}

#[test]
fn what_others_do_is_seen() {
    on_every_machine("watch others", |machine| {
        let terminal = watch(machine.qmp_path());
        terminal.wait_for_text(" free ").unwrap();
        let image = image(machine, "theirs", Format::Raw);
        // Nothing announces a disk that comes.
        let node = json!({"driver": "raw", "node-name": "theirs",
            "file": {"driver": "file", "filename": path(&image)}});
        machine.oracle.demand("blockdev-add", node).unwrap();
        let port = json!({"path": "/machine/peripheral/rp1"});
        let bus = if machine.oracle.execute("qom-list", port).is_ok() { "rp1" } else { "pci.0" };
        let device = json!({"driver": "virtio-blk-pci", "id": "theirs", "drive": "theirs",
            "serial": "theirs", "bus": bus});
        machine.oracle.demand("device_add", device).unwrap();
        terminal.wait_for_text("theirs").unwrap();
        terminal
            .wait_for("disk of another", |screen| {
                let is_it = |row: String| row.contains("theirs") && row.contains("foreign");
                screen.rows(0, 80).any(is_it)
            })
            .unwrap();
        machine.oracle.demand("stop", json!({})).unwrap();
        terminal.wait_for_text("  paused").unwrap();
        machine.oracle.demand("cont", json!({})).unwrap();
        terminal.wait_for_text("  running").unwrap();
        machine.guest.wait_added("theirs", GUEST_WITHIN).unwrap();
        machine.oracle.demand("device_del", json!({"id": "theirs"})).unwrap();
        terminal.wait_for_text("DEVICE_DELETED").unwrap();
        terminal.wait_for_no("foreign").unwrap();
        leave(terminal);
    });
}

#[test]
fn a_job_has_a_bar_that_grows() {
    on_every_machine("watch a job", |machine| {
        let mut terminal = watch(machine.qmp_path());
        attach(machine, &mut terminal);
        let target = image(machine, "copy", Format::Raw);
        let node = json!({"driver": "raw", "node-name": "copy",
            "file": {"driver": "file", "filename": path(&target)}});
        machine.oracle.demand("blockdev-add", node).unwrap();
        machine.guest.write("data", 0, &"x".repeat(512)).unwrap();
        let job = json!({"job-id": "copying", "device": "data.format", "target": "copy",
            "sync": "full", "speed": 2 << 20});
        machine.oracle.demand("blockdev-backup", job).unwrap();
        terminal.wait_for_text("JOBS 1").unwrap();
        terminal
            .wait_for("bar that is neither empty nor full", |screen| {
                screen.rows(0, 80).any(|row| row.contains("[#") && row.contains(" ] "))
            })
            .unwrap();
        eprintln!("{}", terminal.screen());
        terminal.wait_for_text("JOBS 0").unwrap();
        terminal.wait_for_line("BLOCK_JOB_COMPLETED").unwrap();
        machine.oracle.demand("blockdev-del", json!({"node-name": "copy"})).unwrap();
        terminal.type_text("dy").unwrap();
        machine.guest.wait_removed("data", GUEST_WITHIN).unwrap();
        terminal.wait_for_text("data detached").unwrap();
        leave(terminal);
    });
}

/// What it costs a machine to be watched while nothing happens, as docs/watch.md tells.
#[test]
fn it_asks_one_command_a_second_of_a_machine_at_rest() {
    on_every_machine("watch a machine at rest", |machine| {
        let trace = machine.folder().join("trace");
        let mut command = Command::new(env!("CARGO_BIN_EXE_qplug"));
        command.arg("watch").arg("--trace").arg(&trace).env("QPLUG_SOCKET", machine.qmp_path());
        let terminal = Terminal::spawn(&command, 24, 80).unwrap();
        terminal.wait_for_text(" free ").unwrap();
        let asked = || std::fs::read_to_string(&trace).unwrap().matches("\"execute\"").count();
        let (start, before) = (Instant::now(), asked());
        while start.elapsed() < Duration::from_secs(4) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let asked = asked() - before;
        assert!((2..=5).contains(&asked), "{asked} commands in 4 s");
        leave(terminal);
    });
}

#[test]
fn a_medium_is_inserted_and_ejected_by_keys() {
    on_machines_with_drives("watch media", |machine| {
        let first = medium(machine, "first", 1);
        let mut terminal = watch(machine.qmp_path());
        terminal.wait_for_text(">cd0").unwrap();
        terminal.wait_for_text(" empty").unwrap();
        terminal.press(Key::Char('i')).unwrap();
        terminal.wait_for_text(":insert cd0").unwrap();
        terminal.type_text(&format!("{}\n", path(&first))).unwrap();
        terminal.wait_for_text("cd0 holds").unwrap();
        assert_eq!(inside(machine).unwrap().first, "first");
        terminal.wait_for_text("1.00 MiB").unwrap();
        terminal.type_text("ey").unwrap();
        terminal.wait_for_text("cd0 is empty").unwrap();
        terminal.wait_for_no("1.00 MiB").unwrap();
        assert_eq!(inside(machine), None);
        leave(terminal);
    });
}
