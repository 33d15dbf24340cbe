//! Plans, which change nothing and are what is done then.

use std::path::Path;
use std::process::Command;

use qplug_testbed::Machine;
use qplug_testbed::image::Format;

use crate::run::{GUEST_WITHIN, image, on_every_machine, path, qplug, state};

/// Runs the commands of a plan as a shell would; those behind `undo:` in reverse.
fn carry_out(machine: &Machine, plan: &str, undo: bool) {
    let lines = plan.lines().map(str::trim);
    let mut commands: Vec<_> = match undo {
        false => lines.filter(|line| line.starts_with("qplug exec")).collect(),
        true => lines.filter_map(|line| line.strip_prefix("undo: ")).collect(),
    };
    if undo {
        commands.reverse();
    }
    assert!(!commands.is_empty(), "{plan}");
    let program = Path::new(env!("CARGO_BIN_EXE_qplug"));
    let path = std::env::var("PATH").unwrap();
    for command in commands {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).env("QPLUG_SOCKET", machine.qmp_path());
        shell.env("PATH", format!("{}:{path}", program.parent().unwrap().display()));
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_plan_changes_nothing_and_its_commands_are_an_attach() {
    on_every_machine("plan", |machine| {
        let before = state(machine);
        let image = image(machine, "data", Format::Qcow2);
        let qmp = machine.qmp_path();
        let words = ["attach", path(&image), "--dry-run", "--throttle", "iops-total=5000"];
        let plan = qplug(&qmp, &words).exits(0).says("blockdev-add").says("nothing was changed");
        assert_eq!(state(machine), before);
        carry_out(machine, &plan.stdout, false);
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
        let again = ["attach", path(&image), "--throttle", "iops-total=5000"];
        qplug(&qmp, &again).exits(0).says("already");
        qplug(&qmp, &again[..2]).exits(6).says("with limits to its speed");
        qplug(&qmp, &words).exits(0).says("data: nothing to do");
        let there = state(machine);
        let plan = qplug(&qmp, &["detach", "data", "--dry-run", "--json"]).exits(0).json();
        let steps = plan["disks"][0]["steps"].as_array().unwrap();
        let commands: Vec<_> =
            steps.iter().map(|it| it["command"]["execute"].as_str().unwrap()).collect();
        assert_eq!(commands, ["device_del", "blockdev-del", "object-del"]);
        assert!(steps[0]["awaits"].as_str().unwrap().starts_with("DEVICE_DELETED of data"));
        assert_eq!(state(machine), there);
        qplug(&qmp, &["detach", "data"]).exits(0);
        assert_eq!(state(machine), before);
    });
}

#[test]
fn the_undo_of_a_plan_takes_it_back() {
    on_every_machine("undo", |machine| {
        let before = state(machine);
        let image = image(machine, "data", Format::Raw);
        let plan = qplug(machine.qmp_path(), &["attach", path(&image), "--dry-run"]).exits(0);
        carry_out(machine, &plan.stdout, false);
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
        let undos = plan.stdout.clone();
        let (close, unplug) = undos.split_once("device_add").unwrap();
        carry_out(machine, unplug, true);
        machine
            .oracle
            .wait_event_where("DEVICE_DELETED", GUEST_WITHIN, |event| event["device"] == "data")
            .unwrap();
        carry_out(machine, close, true);
        assert_eq!(state(machine), before);
    });
}

#[test]
fn a_plan_says_what_would_be_refused() {
    on_every_machine("no plan", |machine| {
        let image = image(machine, "data", Format::Raw);
        let qmp = machine.qmp_path();
        let words = ["attach", path(&image), "--port", "nosuch", "--dry-run"];
        qplug(&qmp, &words).exits(6).says("data: cannot: there is no port nosuch");
        qplug(&qmp, &["detach", "data", "--dry-run"]).exits(6).says("there is no disk called data");
    });
}
