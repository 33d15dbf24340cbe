//! The command against a simulated machine, which is the command too.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use qplug_testbed::{IMAGE_BYTES, Sim};
use serde_json::Value;

/// How long the simulated machine may take over anything.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

const QPLUG: &str = env!("CARGO_BIN_EXE_qplug");

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_disk_comes_and_goes() {
    for arguments in
        [&["--qemu", "7.2"][..], &["--machine", "pc"], &["--halted", "--guest", "dead"]]
    {
        let sim = Sim::start(QPLUG, arguments).unwrap();
        let image = sim.image("a.img").unwrap();
        sim.exits(&["attach", "--format", "raw", text(&image)], 0).unwrap();
        let listed = sim.json(&["list", "--json"]).unwrap();
        assert_eq!(listed[0]["name"], "a", "{listed}");
        assert_eq!(listed[0]["state"], "attached", "{listed}");
        assert_eq!(listed[0]["bytes"], IMAGE_BYTES, "{listed}");
        if arguments.contains(&"dead") {
            sim.exits(&["detach", "--timeout", "0.2", "a"], 5).unwrap();
            continue;
        }
        sim.exits(&["detach", "a"], 0).unwrap();
        assert_eq!(sim.json(&["list", "--json"]).unwrap().as_array().unwrap().len(), 0);
    }
}

/// The monitor's version, its `query-status`, and whether it takes `null` for an id.
#[test]
fn an_old_qemu_speaks_as_it_did() {
    for (name, version, members, takes_null) in [
        ("0.14", [0, 14, 1], 2, false),
        ("rhel6", [0, 12, 1], 2, false),
        ("1.2", [1, 2, 2], 3, false),
        ("2.5", [2, 5, 1], 3, true),
        ("2.9", [2, 9, 1], 3, true),
    ] {
        let sim = Sim::start(QPLUG, &["--qemu", name]).unwrap();
        let mut peer = UnixStream::connect(sim.socket()).unwrap();
        peer.set_read_timeout(Some(ANSWERS_WITHIN)).unwrap();
        let mut lines = BufReader::new(peer.try_clone().unwrap()).lines();
        let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
        let greeting = next();
        let qemu = &greeting["QMP"]["version"]["qemu"];
        assert_eq!([&qemu["major"], &qemu["minor"], &qemu["micro"]], version, "{greeting}");
        assert_eq!(greeting["QMP"]["capabilities"], serde_json::json!([]));
        peer.write_all(b"{'execute':'qmp_capabilities'}{'execute':'query-status'}").unwrap();
        assert!(next().get("return").is_some());
        let status = next();
        assert_eq!(status["return"].as_object().unwrap().len(), members, "{status}");
        peer.write_all(b"{'execute':'query-name','id':null}").unwrap();
        let answer = next();
        assert_eq!(answer.get("error").is_none(), takes_null, "{name}: {answer}");
    }
}

/// The same commands, whatever the dialect.
#[test]
fn an_old_machine_takes_the_same_commands() {
    for (name, dialect) in [
        ("0.14", "drive"),
        ("rhel6", "rhel6"),
        ("1.2", "drive"),
        ("2.5", "drive"),
        ("2.9", "blockdev"),
        ("7.2", "blockdev"),
    ] {
        let sim = Sim::start(QPLUG, &["--qemu", name, "--machine", "pc"]).unwrap();
        let status = sim.json(&["status", "--json"]).unwrap();
        assert_eq!(status["dialect"], dialect, "{status}");
        let image = sim.image("a,b c.img").unwrap();
        let attach = ["attach", "--format", "raw", "--name", "a", text(&image)];
        let is_ours = |disk: &Value| disk["name"] == "a";
        let listed = || sim.json(&["list", "--json"]).unwrap().as_array().unwrap().clone();
        let cannot_wait = status["cannot"].to_string().contains("wait-guest");
        let waited = sim.qplug().args(attach).args(["--wait", "guest"]).output().unwrap();
        assert_eq!(waited.status.code(), Some(if cannot_wait { 6 } else { 0 }), "{waited:?}");
        assert_eq!(listed().iter().any(is_ours), !cannot_wait, "{name}");
        sim.exits(&attach, 0).unwrap();
        let again = sim.json(&[&attach[..], &["--json"]].concat()).unwrap();
        assert_eq!(again["already"], true, "{name}: {again}");
        let disk = listed().into_iter().find(is_ours).unwrap();
        assert_eq!((&disk["state"], &disk["image"]), (&"attached".into(), &text(&image).into()));
        let far = ["attach", "--format", "raw", "--name", "b", "--port", "pci.0/32", text(&image)];
        sim.exits(&far, 6).unwrap();
        sim.exits(&["eject", "a"], 6).unwrap();
        sim.exits(&["resize", "a", "32M", "--shrink"], 0).unwrap();
        sim.exits(&["detach", "a"], 0).unwrap();
        assert!(!listed().iter().any(is_ours), "{name}");
        sim.exits(&["recover"], 0).unwrap();
    }
}

#[test]
fn a_client_is_told_of_the_end() {
    for (arguments, reason) in
        [(&["--guest", "switches-off:2s"][..], "guest-shutdown"), (&[], "host-signal")]
    {
        let sim = Sim::start(QPLUG, arguments).unwrap();
        let mut peer = UnixStream::connect(sim.socket()).unwrap();
        peer.set_read_timeout(Some(ANSWERS_WITHIN)).unwrap();
        peer.write_all(b"{'execute':'qmp_capabilities'}").unwrap();
        let mut lines = BufReader::new(peer).lines();
        assert!(lines.next().unwrap().unwrap().contains("QMP"));
        assert!(lines.next().unwrap().unwrap().contains("return"));
        if arguments.is_empty() {
            let pid = sim.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        }
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(
            (&event["event"], &event["data"]["reason"]),
            (&"SHUTDOWN".into(), &reason.into())
        );
        assert!(lines.next().is_none());
    }
}

#[test]
fn ports_and_status_are_shown() {
    let sim = Sim::start(QPLUG, &["--ports", "3"]).unwrap();
    let ports = sim.json(&["ports", "--json"]).unwrap();
    assert_eq!(ports["ports"].as_array().unwrap().len(), 3, "{ports}");
    assert_eq!(ports["board"], "q35", "{ports}");
    let status = sim.json(&["status", "--json"]).unwrap();
    assert_eq!(status["machine"], "pc-q35-10.0", "{status}");
}

#[test]
fn faults_happen_as_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let faults = folder.path().join("faults.txt");
    fs::write(&faults, "fail device_add:1 GenericError No room\ndrop device_add:2 unanswered\n")
        .unwrap();
    let sim = Sim::start_in(QPLUG, folder, &["--faults", text(&faults)]).unwrap();
    let image = sim.image("a.img").unwrap();
    let attach = ["attach", "--format", "raw", text(&image)];
    let refused = sim.exits(&attach, 4).unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("No room"), "{refused:?}");
    // The reply is lost, and the disk is there.
    sim.exits(&attach, 7).unwrap();
    sim.exits(&attach, 0).unwrap();
}

#[test]
fn what_cannot_be_simulated_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let faults = folder.path().join("faults.txt");
    fs::write(&faults, "\nnonsense\n").unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qplug"));
        let output = command.args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let socket = folder.path().join("qmp");
    let (code, says) = run(&["--socket", text(&socket), "sim", "--faults", text(&faults)]);
    assert!(code == Some(2) && says.contains("line 2"), "{code:?} {says}");
    let (code, says) = run(&["--socket", "tcp:localhost:1", "sim"]);
    assert!(code == Some(2) && says.contains("unix socket"), "{code:?} {says}");
    let old = ["--socket", text(&socket), "sim", "--qemu", "0.14", "--machine", "q35"];
    let (code, says) = run(&old);
    assert!(code == Some(2) && says.contains("--machine pc"), "{code:?} {says}");
    let (code, _) = run(&["--socket", text(&socket), "sim", "--guest", "lazy"]);
    assert_eq!(code, Some(2));
    assert!(!socket.exists());
}

#[test]
fn the_socket_is_removed_in_the_end_and_a_stale_one_replaced() {
    let sim = Sim::start(QPLUG, &[]).unwrap();
    let socket = sim.socket();
    let pid = sim.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let deadline = Instant::now() + ANSWERS_WITHIN;
    while socket.exists() {
        assert!(Instant::now() < deadline, "the socket stays");
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(sim);
    let folder = tempfile::tempdir().unwrap();
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("qmp")).unwrap());
    let sim = Sim::start_in(QPLUG, folder, &[]).unwrap();
    sim.exits(&["status"], 0).unwrap();
}

/// Up to 2.4 names are all that a QEMU tells of its commands; before 1.2 not even events'.
#[test]
fn a_qemu_without_a_schema_tells_names() {
    for (name, events) in [("0.14", false), ("rhel6", false), ("1.2", true)] {
        let sim = Sim::start(QPLUG, &["--qemu", name]).unwrap();
        let listed = sim.exits(&["schema"], 0).unwrap();
        let text = String::from_utf8(listed.stdout).unwrap();
        assert!(text.lines().any(|line| line == "device_add"), "{name}: {text}");
        assert_eq!(text.lines().any(|line| line == "BLOCK_IO_ERROR"), events, "{name}: {text}");
        let told = String::from_utf8(listed.stderr).unwrap();
        assert!(told.contains("there is one since 2.5"), "{name}: {told}");
        let json = sim.json(&["schema", "--json"]).unwrap();
        assert_eq!(json["events"].as_array().unwrap().is_empty(), !events, "{json}");
        assert_eq!(json["commands"][0], serde_json::json!({"name": json["commands"][0]["name"]}));

        let one = sim.json(&["schema", "device_add", "--json"]).unwrap();
        assert_eq!(one["lines"][0]["text"], "command device_add");
        let none = sim.exits(&["schema", "device_ad"], 6).unwrap();
        let told = String::from_utf8(none.stderr).unwrap();
        assert!(told.contains("did you mean device_add"), "{name}: {told}");
        assert_eq!(told.contains("which events it has, it does not say"), !events, "{told}");
        let device = sim.exits(&["schema", "device", "virtio-blk-pci"], 6).unwrap();
        let told = String::from_utf8(device.stderr).unwrap();
        assert!(told.contains("this one is not asked"), "{name}: {told}");
        let unchecked = sim.exits(&["exec", "device_add", "driver=no-such"], 4).unwrap();
        let told = String::from_utf8(unchecked.stderr).unwrap();
        assert!(told.contains("nothing is checked"), "{name}: {told}");
    }
    let sim = Sim::start(QPLUG, &["--qemu", "2.5"]).unwrap();
    let listed = sim.exits(&["schema"], 0).unwrap();
    assert!(listed.stderr.is_empty(), "{listed:?}");
}
