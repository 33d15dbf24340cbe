//! Addresses, monitors of all kinds, and the commands that look and do not plug.

use std::os::unix::net::UnixListener;

use qplug_testbed::image::Format;
use qplug_testbed::proxy::{Proxy, Side};
use qplug_testbed::{Board, Machine, Qemu};
use serde_json::{Value, json};

use crate::run::{
    GUEST_WITHIN, image, on_every_qemu, path, qplug, start, start_stuck, start_unread, within,
};

#[test]
fn a_monitor_that_another_client_holds() {
    on_every_qemu("held", &[], |machine| {
        let holder = start(machine.qmp_path(), &["events"]);
        let held =
            |machine: &Machine| qplug(machine.qmp_path(), &["list", "--connect-timeout", "0.3"]);
        let deadline = std::time::Instant::now() + GUEST_WITHIN;
        // The holder needs a moment to connect.
        let ran = loop {
            let ran = held(machine);
            if ran.code != Some(0) {
                break ran;
            }
            assert!(std::time::Instant::now() < deadline, "the monitor was never held");
        };
        ran.exits(3).says("another client probably holds this monitor");
        holder.interrupt();
        holder.finish().exits(0);
        qplug(machine.qmp_path(), &["list"]).exits(0).says("no disks");
    });
}

#[test]
fn what_is_no_monitor_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    qplug(at("missing"), &["list"]).exits(3).says("there is no socket at");
    std::fs::write(at("file"), "x").unwrap();
    qplug(at("file"), &["list"]).exits(3).says("is not a socket");
    drop(UnixListener::bind(at("stale")).unwrap());
    qplug(at("stale"), &["list"]).exits(3).says("nobody listens");
    let listener = UnixListener::bind(at("ssh")).unwrap();
    let server = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
        stream
    });
    qplug(at("ssh"), &["list"]).exits(3).says("does not speak QMP").says("SSH-2.0");
    drop(server.join().unwrap());
    qplug("tcp:localhost:notaport", &["list"]).exits(2).says("port is not a number");
    qplug("", &["list"]).exits(2);
}

#[test]
fn a_pretty_monitor_works_like_any_other() {
    for qemu in Qemu::under_test("pretty") {
        let mut machine = Machine::builder(&qemu, Board::Pc).pretty().restored().unwrap();
        within(&mut machine, &format!("QEMU {}, pretty", qemu.version), |machine| {
            let image = image(machine, "data", Format::Qcow2);
            qplug(machine.qmp_path(), &["attach", path(&image)]).exits(0);
            machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
            qplug(machine.qmp_path(), &["list"]).exits(0).says("attached");
            qplug(machine.qmp_path(), &["detach", "data"]).exits(0);
        });
    }
}

#[test]
fn status_exec_and_hmp() {
    on_every_qemu("exec", &["-name", "vm one"], |machine| {
        let qmp = machine.qmp_path();
        qplug(&qmp, &["status"]).exits(0).says("vm one is prelaunch").says("q35");
        let status = qplug(&qmp, &["status", "--json"]).exits(0).json();
        assert_eq!((&status["state"], &status["running"]), (&json!("prelaunch"), &json!(false)));
        assert_eq!(status["qemu"], machine.qemu.version.to_string());

        let schema = qplug(&qmp, &["exec", "query-qmp-schema", "--json"]).exits(0);
        assert!(schema.stdout.len() > 140_000, "{} bytes", schema.stdout.len());
        let image = image(machine, "a", Format::Raw);
        let filename = format!("file.filename={}", path(&image));
        let add =
            ["exec", "blockdev-add", "driver=raw", "node-name=n", "file.driver=file", &filename];
        assert_eq!(qplug(&qmp, &add).exits(0).stdout, "{}\n");
        qplug(&qmp, &add).exits(4).says("Duplicate node");
        qplug(&qmp, &["hmp", "info", "block", "-n"]).exits(0).says("n: ");
        qplug(&qmp, &["exec", "blockdev-del", r#"{"node-name": "n"}"#]).exits(0);
        qplug(&qmp, &["exec", "no-such-command"]).exits(4).says("CommandNotFound");
        qplug(&qmp, &["exec", "query-block", "x"]).exits(2).says("neither key=value");
    });
}

#[test]
fn events_are_followed_until_the_machine_ends() {
    on_every_qemu("events", &[], |machine| {
        let following = start(machine.qmp_path(), &["events", "--json"]);
        // The follower is there once the oracle's monitor is not the only one that is served.
        let deadline = std::time::Instant::now() + GUEST_WITHIN;
        while qplug(machine.qmp_path(), &["status", "--connect-timeout", "0.2"]).code == Some(0) {
            assert!(std::time::Instant::now() < deadline, "nobody follows");
        }
        machine.oracle.demand("cont", json!({})).unwrap();
        machine.oracle.demand("stop", json!({})).unwrap();
        machine.oracle.demand("quit", json!({})).unwrap();
        let ran = following.finish().exits(3).says("closed the connection");
        let names: Vec<_> = ran
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone())
            .collect();
        assert_eq!(names, ["RESUME", "STOP", "SHUTDOWN"]);
    });
}

#[test]
fn tcp_and_a_missing_address() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let monitor = format!("tcp:127.0.0.1:{port},server=on,wait=off");
    let address = format!("tcp:127.0.0.1:{port}");
    on_every_qemu("tcp", &["-qmp", &monitor], |machine| {
        qplug(&address, &["status"]).exits(0).says("prelaunch");
        let image = image(machine, "data", Format::Qcow2);
        qplug(&address, &["attach", path(&image)]).exits(0);
    });
    qplug(&address, &["status"]).exits(3).says("nobody listens");
}

/// Whoever follows events into a pipe must not hold the monitor when the pipe's reader has left.
#[test]
fn events_end_when_nobody_reads_them() {
    on_every_qemu("events into a pipe", &[], |machine| {
        let mut following = start_unread(machine.qmp_path(), &["events", "--json"]);
        let deadline = std::time::Instant::now() + GUEST_WITHIN;
        while !following.has_ended() {
            assert!(std::time::Instant::now() < deadline, "it goes on with nobody reading");
            machine.oracle.demand("cont", json!({})).unwrap();
            machine.oracle.demand("stop", json!({})).unwrap();
        }
        following.finish().exits(0);
    });
}

/// Of a QEMU that says much while our own output is stuck, everything is read: what is passed on to
/// us is read but for the little that a socket holds, about 280 events.
#[test]
fn events_are_read_while_their_own_reader_is_stuck() {
    const TIMES: usize = 2_000;
    on_every_qemu("a stuck reader", &[], |machine| {
        let between = machine.folder().join("between.sock");
        let proxy = Proxy::start(&between, &machine.qmp_path()).unwrap();
        let (following, unread) = start_stuck(&between, &["events", "--json"]);
        let deadline = std::time::Instant::now() + GUEST_WITHIN;
        let said = |name: &str| {
            let event = format!("\"event\": \"{name}\"");
            let said = proxy.conversation();
            said.iter().filter(|said| said.by == Side::Qemu && said.text.contains(&event)).count()
        };
        while said("RESUME") == 0 {
            assert!(std::time::Instant::now() < deadline, "nobody follows");
            machine.oracle.demand("cont", json!({})).unwrap();
            machine.oracle.demand("stop", json!({})).unwrap();
        }
        let before = said("RESUME");
        for _ in 0..TIMES {
            machine.oracle.demand("cont", json!({})).unwrap();
            machine.oracle.demand("stop", json!({})).unwrap();
        }
        let deadline = std::time::Instant::now() + GUEST_WITHIN;
        while said("RESUME") < before + TIMES {
            let passed = said("RESUME") - before;
            assert!(std::time::Instant::now() < deadline, "{passed} of {TIMES} were read");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        following.interrupt();
        following.finish().exits(0);
        drop(unread);
    });
}
