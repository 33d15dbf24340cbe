//! The command against a simulated machine, which is the command too.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long the simulated machine may take to make its socket.
const UP_WITHIN: Duration = Duration::from_secs(20);

/// The size of the disks.
const DISK_BYTES: u64 = 16 << 20;

/// A simulated machine, and a folder for its socket and images. Dropping it ends it.
struct Sim {
    child: Child,
    folder: TempDir,
}

impl Sim {
    fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), arguments)
    }

    fn start_in(folder: TempDir, arguments: &[&str]) -> Self {
        let socket = folder.path().join("qmp");
        let child = Command::new(env!("CARGO_BIN_EXE_qplug"))
            .arg("--socket")
            .arg(&socket)
            .arg("sim")
            .args(arguments)
            .current_dir(folder.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let sim = Self { child, folder };
        let deadline = Instant::now() + UP_WITHIN;
        while UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < deadline, "no socket came");
            std::thread::sleep(Duration::from_millis(2));
        }
        sim
    }

    fn image(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::File::create(&path).unwrap().set_len(DISK_BYTES).unwrap();
        path
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_qplug"))
            .arg("--socket")
            .arg(self.folder.path().join("qmp"))
            .args(arguments)
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .output()
            .unwrap()
    }

    fn exits(&self, arguments: &[&str], code: i32) -> Output {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        output
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.exits(arguments, 0);
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_disk_comes_and_goes() {
    for arguments in
        [&["--qemu", "7.2"][..], &["--machine", "pc"], &["--halted", "--guest", "dead"]]
    {
        let sim = Sim::start(arguments);
        let image = sim.image("a.img");
        sim.exits(&["attach", "--format", "raw", text(&image)], 0);
        let listed = sim.json(&["list", "--json"]);
        assert_eq!(listed[0]["name"], "a", "{listed}");
        assert_eq!(listed[0]["state"], "attached", "{listed}");
        assert_eq!(listed[0]["bytes"], DISK_BYTES, "{listed}");
        if arguments.contains(&"dead") {
            sim.exits(&["detach", "--timeout", "0.2", "a"], 5);
            continue;
        }
        sim.exits(&["detach", "a"], 0);
        assert_eq!(sim.json(&["list", "--json"]).as_array().unwrap().len(), 0);
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
        let sim = Sim::start(&["--qemu", name]);
        let mut peer = UnixStream::connect(sim.folder.path().join("qmp")).unwrap();
        peer.set_read_timeout(Some(UP_WITHIN)).unwrap();
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
        let sim = Sim::start(&["--qemu", name, "--machine", "pc"]);
        let status = sim.json(&["status", "--json"]);
        assert_eq!(status["dialect"], dialect, "{status}");
        let image = sim.image("a,b c.img");
        let attach = ["attach", "--format", "raw", "--name", "a", text(&image)];
        let is_ours = |disk: &Value| disk["name"] == "a";
        let listed = || sim.json(&["list", "--json"]).as_array().unwrap().clone();
        let cannot_wait = status["cannot"].to_string().contains("wait-guest");
        let waited = sim.run(&[&attach[..], &["--wait", "guest"]].concat());
        assert_eq!(waited.status.code(), Some(if cannot_wait { 6 } else { 0 }), "{waited:?}");
        assert_eq!(listed().iter().any(is_ours), !cannot_wait, "{name}");
        sim.exits(&attach, 0);
        let again = sim.json(&[&attach[..], &["--json"]].concat());
        assert_eq!(again["already"], true, "{name}: {again}");
        let disk = listed().into_iter().find(is_ours).unwrap();
        assert_eq!((&disk["state"], &disk["image"]), (&"attached".into(), &text(&image).into()));
        let far = ["attach", "--format", "raw", "--name", "b", "--port", "pci.0/32", text(&image)];
        sim.exits(&far, 6);
        sim.exits(&["eject", "a"], 6);
        sim.exits(&["resize", "a", "32M", "--shrink"], 0);
        sim.exits(&["detach", "a"], 0);
        assert!(!listed().iter().any(is_ours), "{name}");
        sim.exits(&["recover"], 0);
    }
}

#[test]
fn a_client_is_told_of_the_end() {
    for (arguments, reason) in
        [(&["--guest", "switches-off:2s"][..], "guest-shutdown"), (&[], "host-signal")]
    {
        let sim = Sim::start(arguments);
        let mut peer = UnixStream::connect(sim.folder.path().join("qmp")).unwrap();
        peer.set_read_timeout(Some(UP_WITHIN)).unwrap();
        peer.write_all(b"{'execute':'qmp_capabilities'}").unwrap();
        let mut lines = BufReader::new(peer).lines();
        assert!(lines.next().unwrap().unwrap().contains("QMP"));
        assert!(lines.next().unwrap().unwrap().contains("return"));
        if arguments.is_empty() {
            let pid = sim.child.id().to_string();
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
    let sim = Sim::start(&["--ports", "3"]);
    let ports = sim.json(&["ports", "--json"]);
    assert_eq!(ports["ports"].as_array().unwrap().len(), 3, "{ports}");
    assert_eq!(ports["board"], "q35", "{ports}");
    let status = sim.json(&["status", "--json"]);
    assert_eq!(status["machine"], "pc-q35-10.0", "{status}");
}

#[test]
fn faults_happen_as_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let faults = folder.path().join("faults.txt");
    fs::write(&faults, "fail device_add:1 GenericError No room\ndrop device_add:2 unanswered\n")
        .unwrap();
    let sim = Sim::start_in(folder, &["--faults", text(&faults)]);
    let image = sim.image("a.img");
    let attach = ["attach", "--format", "raw", text(&image)];
    let refused = sim.exits(&attach, 4);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("No room"), "{refused:?}");
    // The reply is lost, and the disk is there.
    sim.exits(&attach, 7);
    sim.exits(&attach, 0);
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
    let sim = Sim::start(&[]);
    let socket = sim.folder.path().join("qmp");
    let pid = sim.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let deadline = Instant::now() + UP_WITHIN;
    while socket.exists() {
        assert!(Instant::now() < deadline, "the socket stays");
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(sim);
    let folder = tempfile::tempdir().unwrap();
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("qmp")).unwrap());
    let sim = Sim::start_in(folder, &[]);
    sim.exits(&["status"], 0);
}

/// Up to 2.4 names are all that a QEMU tells of its commands; before 1.2 not even events'.
#[test]
fn a_qemu_without_a_schema_tells_names() {
    for (name, events) in [("0.14", false), ("rhel6", false), ("1.2", true)] {
        let sim = Sim::start(&["--qemu", name]);
        let listed = sim.exits(&["schema"], 0);
        let text = String::from_utf8(listed.stdout).unwrap();
        assert!(text.lines().any(|line| line == "device_add"), "{name}: {text}");
        assert_eq!(text.lines().any(|line| line == "BLOCK_IO_ERROR"), events, "{name}: {text}");
        let told = String::from_utf8(listed.stderr).unwrap();
        assert!(told.contains("there is one since 2.5"), "{name}: {told}");
        let json = sim.json(&["schema", "--json"]);
        assert_eq!(json["events"].as_array().unwrap().is_empty(), !events, "{json}");
        assert_eq!(json["commands"][0], serde_json::json!({"name": json["commands"][0]["name"]}));

        let one = sim.json(&["schema", "device_add", "--json"]);
        assert_eq!(one["lines"][0]["text"], "command device_add");
        let none = sim.exits(&["schema", "device_ad"], 6);
        let told = String::from_utf8(none.stderr).unwrap();
        assert!(told.contains("did you mean device_add"), "{name}: {told}");
        assert_eq!(told.contains("which events it has, it does not say"), !events, "{told}");
        let device = sim.exits(&["schema", "device", "virtio-blk-pci"], 6);
        let told = String::from_utf8(device.stderr).unwrap();
        assert!(told.contains("this one is not asked"), "{name}: {told}");
        let unchecked = sim.exits(&["exec", "device_add", "driver=no-such"], 4);
        let told = String::from_utf8(unchecked.stderr).unwrap();
        assert!(told.contains("nothing is checked"), "{name}: {told}");
    }
    let sim = Sim::start(&["--qemu", "2.5"]);
    let listed = sim.exits(&["schema"], 0);
    assert!(listed.stderr.is_empty(), "{listed:?}");
}
