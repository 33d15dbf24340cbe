//! Conversations written down, with no secret in them.

use qplug_testbed::image::Format;
use qplug_testbed::{Board, Machine, Qemu};
use serde_json::Value;

use crate::run::{GUEST_WITHIN, image, on_every_machine, path, qplug, within};

/// What must never be seen.
const SECRET: &str = "hush-hush-7";

/// The lines of a transcript that are messages, as JSON, each with its sign.
fn messages(text: &str) -> Vec<(String, Value)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let message = |line: &str| {
        let (sign, message) = line.split_once(' ').unwrap();
        (sign.to_owned(), serde_json::from_str(message).unwrap())
    };
    lines.map(message).collect()
}

#[test]
fn a_trace_has_every_line_of_the_conversation() {
    on_every_machine("trace", |machine| {
        let image = image(machine, "data", Format::Raw);
        let (qmp, folder) = (machine.qmp_path(), machine.folder().to_owned());
        let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let attach = ["attach", path(&image), "--trace", &file("attach.txt"), "--json"];
        let told = qplug(&qmp, &attach).exits(0).json();
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
        let detach = ["detach", "data", "--trace", &file("detach.txt")];
        qplug(&qmp, &detach).exits(0);
        let text = std::fs::read_to_string(file("attach.txt")).unwrap();
        let traced = messages(&text);
        assert!(traced[0].0 == "<-" && traced[0].1["QMP"].is_object(), "{text}");
        let sent: Vec<_> = traced.iter().filter(|(sign, _)| sign == "->").collect();
        assert_eq!(sent.len() as u64, told["traffic"]["commands"].as_u64().unwrap(), "{text}");
        let replies = traced.iter().filter(|(_, it)| it.get("return").is_some()).count();
        assert_eq!(replies, sent.len(), "{text}");
        let text = std::fs::read_to_string(file("detach.txt")).unwrap();
        assert!(messages(&text).iter().any(|(_, it)| it["event"] == "DEVICE_DELETED"), "{text}");
        let missing = ["list", "--trace", "/nonexistent/trace"];
        qplug(&qmp, &missing).exits(2).says("/nonexistent/trace");
        // Names of boards tell the conversations apart.
        let status = qplug(&qmp, &["ports", "--json"]).exits(0).json();
        record(machine, status["board"].as_str().unwrap(), &["attach.txt", "detach.txt"]);
    });
}

/// With `QPLUG_RECORD` set, keeps the traces for the tests that replay them.
fn record(machine: &Machine, board: &str, names: &[&str]) {
    if std::env::var_os("QPLUG_RECORD").is_none() {
        return;
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("hotplug");
    let folder = folder.join("tests/traces");
    std::fs::create_dir_all(&folder).unwrap();
    let here = machine.folder().to_str().unwrap();
    for name in names {
        let text = std::fs::read_to_string(machine.folder().join(name)).unwrap();
        let name = format!("{}-{board}-{name}", machine.qemu.version);
        std::fs::write(folder.join(name), text.replace(here, "/images")).unwrap();
    }
}

#[test]
fn a_secret_is_seen_nowhere() {
    for qemu in Qemu::under_test("secrets") {
        let mut machine = Machine::builder(&qemu, Board::Q35).halted().unwrap();
        within(&mut machine, &format!("QEMU {}", qemu.version), |machine| {
            let trace = machine.folder().join("trace");
            let data = format!("data={SECRET}");
            let add = ["exec", "object-add", "qom-type=secret", "id=s", &data];
            let get = ["exec", "qom-get", "path=/objects/s", "property=data"];
            let hmp = format!("object_add secret,id=h,data={SECRET}");
            for (words, code) in [(&add[..], 0), (&add, 4), (&get, 0), (&["hmp", &hmp], 0)] {
                let flags = ["-v", "--trace", trace.to_str().unwrap()];
                let ran = qplug(machine.qmp_path(), &[&flags, words].concat()).exits(code);
                let trace = std::fs::read_to_string(&trace).unwrap();
                assert!(trace.contains("***"), "{words:?}: {trace}");
                assert!(!trace.contains(SECRET), "{words:?}: {trace}");
                assert!(!ran.stderr.contains(SECRET), "{words:?}: {}", ran.stderr);
                // Only who asks for it by name is shown it.
                assert_eq!(ran.stdout.contains(SECRET), words == get, "{words:?}: {}", ran.stdout);
            }
        });
    }
}

/// The passphrase of an encrypted image, all the way through an attach and a detach.
#[test]
fn a_passphrase_is_seen_nowhere() {
    for qemu in Qemu::under_test("passphrase") {
        let mut machine = Machine::builder(&qemu, Board::Q35).halted().unwrap();
        within(&mut machine, &format!("QEMU {}", qemu.version), |machine| {
            let file = |name: &str| machine.folder().join(name).to_str().unwrap().to_owned();
            let (image, secret, trace) = (file("data.luks"), file("secret"), file("trace"));
            std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
            let object = format!("secret,id=s,data={SECRET}");
            let options = "key-secret=s,iter-time=10";
            let mut create = qplug_testbed::image::tool("qemu-img").unwrap();
            create.args(["create", "-q", "-f", "luks", "--object", &object, "-o", options]);
            assert!(create.args([&image, "4M"]).status().unwrap().success());
            let flags = ["-v", "--trace", &trace];
            let attach = ["attach", &image, "--format", "luks", "--secret-file", &secret];
            for more in [
                &["--dry-run"][..],
                &["--dry-run", "--json"],
                &["--json"],
                &[],
                &["--port", "nosuch"],
            ] {
                let ran = qplug(machine.qmp_path(), &[&flags[..], &attach, more].concat());
                let trace = std::fs::read_to_string(&trace).unwrap();
                for text in [&ran.stdout, &ran.stderr, &trace] {
                    assert!(!text.contains(SECRET), "{more:?}: {text}");
                }
                let shown = ran.stdout.contains("***") || trace.contains("***");
                assert_eq!(
                    shown,
                    more.contains(&"--dry-run") || more == ["--json"],
                    "{more:?}: {ran:?}"
                );
            }
            qplug(machine.qmp_path(), &["list"]).exits(0).says("luks").says("attached");
        });
    }
}
