//! Lines from files and pipes.

use std::fs;
use std::io::Write as _;
use std::process::{Output, Stdio};

use qplug_testbed::Sim;

use crate::sim;

/// Runs a script, and expects this exit code.
fn script(sim: &Sim, text: &str, code: i32) -> (String, String) {
    let path = sim.folder().join("script");
    fs::write(&path, text).unwrap();
    let output = sim.qplug().args(["shell", "-x"]).arg(&path).output().unwrap();
    let Output { status, stdout, stderr } = output;
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(status.code(), Some(code), "{text}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

#[test]
fn both_languages_do() {
    let sim = sim(&[]);
    sim.image("a.img").unwrap();
    let (stdout, stderr) = script(
        &sim,
        r#"# a disk comes and goes
attach a.img --format raw
list
blockdev-add driver=null-co node-name=n \
    size=1M
{"execute": "query-named-block-nodes",
 "arguments": {"flat": true}} | grep -c node-name > count
blockdev-del {"node-name": "n"}
{'execute': 'query-name', 'id': 7}
detach a
"#,
        0,
    );
    assert!(stdout.contains("a attached at rp0"), "{stdout}");
    // What it took is told of each line by itself.
    let detached = stdout.lines().find(|line| line.starts_with("a detached")).unwrap();
    let commands = detached.rsplit('(').next().unwrap().split(' ').next().unwrap();
    assert!(commands.parse::<u32>().unwrap() < 20, "{detached}");
    assert_eq!(fs::read_to_string(sim.folder().join("count")).unwrap(), "3\n", "{stderr}");
}

#[test]
fn the_first_line_that_fails_ends_it() {
    let sim = sim(&[]);
    let (stdout, stderr) = script(&sim, "\nstatus\nattach no.img\nstatus\n", 6);
    assert_eq!(stdout.matches("QEMU").count(), 1, "{stdout}");
    assert!(stderr.contains("script:3: "), "{stderr}");
    let (stdout, stderr) = script(&sim, "- attach no.img\n-device_del id=x\nstatus\n", 0);
    assert!(stderr.contains("script:1: ") && stderr.contains("script:2: "), "{stderr}");
    assert!(stdout.contains("QEMU"), "{stdout}");
    // Each ends it with the exit code that the command has.
    for (line, code) in [
        ("appliance shell", 2),
        ("device_del id=x", 4),
        ("attach", 2),
        ("list --socket /x", 2),
        ("query-status 'x", 2),
        ("status | false", 1),
        ("status > /no/such/folder/x", 2),
        ("commit", 2),
        ("transaction", 2),
        ("exit now", 2),
        ("{\"execute\": 7}", 2),
        ("history", 2),
        ("transaction\nexit", 2),
        ("--json list", 0),
        ("--json atach", 2),
    ] {
        script(&sim, &format!("{line}\n"), code);
    }
    script(&sim, "exit\nattach no.img\n", 0);
}

#[test]
fn a_file_of_another_system_is_read_as_any() {
    let sim = sim(&[]);
    let rows = "\u{feff}query-name\r\nblockdev-add \\\r\n driver=null-co node-name='n'\r\nstatus | cat\r\n";
    let (stdout, stderr) = script(&sim, rows, 0);
    assert!(stdout.starts_with("{}\n{}\n") && stderr.is_empty(), "{stdout}{stderr}");
}

#[test]
fn nothing_of_a_line_that_is_too_long_is_done() {
    let sim = sim(&[]);
    let row = format!("- {{'execute': '{}\nstatus\n", "x".repeat(1 << 20));
    let (stdout, stderr) = script(&sim, &row, 2);
    assert!(stdout.is_empty() && stderr.contains("script:1: the line is longer"), "{stderr}");
}

#[test]
fn a_guest_that_does_not_let_go_ends_it_with_pending() {
    let sim = sim(&["--guest", "dead"]);
    sim.image("a.img").unwrap();
    let (_, stderr) =
        script(&sim, "attach a.img --format raw\ndetach a --timeout 0.1\nstatus\n", 5);
    assert!(stderr.contains("script:2: the script ends here (pending)"), "{stderr}");
}

#[test]
fn a_transaction_is_all_or_nothing() {
    let sim = sim(&[]);
    sim.image("a.img").unwrap();
    let begun = "attach a.img --format raw\ntransaction\n";
    let (_, stderr) = script(&sim, &format!("{begun}no-such-action a=b\n"), 6);
    assert!(stderr.contains("no-such-action is not added"), "{stderr}");
    sim.exits(&["detach", "a"], 0).unwrap();
    let (_, stderr) = script(&sim, &format!("{begun}abort\ncommit\n"), 2);
    assert!(stderr.contains("there is no transaction"), "{stderr}");
}

#[test]
fn a_transaction_needs_a_qemu_that_has_them() {
    let (_, stderr) = script(&sim(&["--qemu", "0.14"]), "transaction\n", 6);
    assert!(stderr.contains("script:1: this QEMU has no transactions"), "{stderr}");
    // Where no schema tells of actions, they are taken as they are.
    for version in ["1.2", "2.5", "2.9"] {
        let sim = sim(&["--qemu", version]);
        let (_, stderr) = script(&sim, "transaction\nabort-all a.b=c\nabort\nstatus\n", 0);
        assert!(stderr.is_empty(), "{version}: {stderr}");
    }
}

#[test]
fn events_are_shown_when_a_script_asks() {
    let sim = sim(&[]);
    sim.image("a.img").unwrap();
    let disk = "attach a.img --format raw\ndetach a\n";
    let (_, stderr) = script(&sim, disk, 0);
    assert!(!stderr.contains("DEVICE_DELETED"), "{stderr}");
    let (_, stderr) = script(&sim, &format!("events DEVICE_*\n{disk}status\n"), 0);
    assert!(stderr.contains("DEVICE_DELETED device=a"), "{stderr}");
    let (stdout, _) = script(&sim, "events !RTC_CHANGE\nevents\n", 0);
    assert_eq!(stdout, "all events are shown, but not RTC_CHANGE\n");
}

#[test]
fn standard_input_is_a_script_too() {
    let sim = sim(&[]);
    for arguments in [&["shell"][..], &["shell", "-x", "-"]] {
        let mut child = sim
            .qplug()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"query-name --json\nexec query-name x=1\n").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(6), "{output:?}");
        assert_eq!(output.stdout, b"{}\n");
    }
    let output = sim.qplug().args(["--json", "shell"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
