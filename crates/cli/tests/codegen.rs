//! Types that a user generates, in a crate of the user's.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Uses what was generated, as its user would.
const PROGRAM: &str = r#"
mod types;

use qplug_qapi::Command as _;
use qplug_qapi::wire::Wire as _;
use serde_json::json;
use types::{BlockdevAdd, Event, QueryStatus, RunState, StatusInfo};

fn main() {
    let node = json!({"driver": "raw", "node-name": "n", "file": "other"});
    let command = BlockdevAdd::read(node.clone()).unwrap();
    assert_eq!(command.node_name.as_deref(), Some("n"));
    assert_eq!((BlockdevAdd::NAME, command.write()), ("blockdev-add", node));
    let reply: <QueryStatus as qplug_qapi::Command>::Reply =
        StatusInfo::read(json!({"running": true, "singlestep": false, "status": "running"})).unwrap();
    assert_eq!(reply.status, RunState::Running);
    let data = json!({"device": "d", "path": "/p"}).as_object().unwrap().clone();
    let event = Event::read("DEVICE_DELETED", data).unwrap();
    assert!(matches!(event, Event::DeviceDeleted(it) if it.device.as_deref() == Some("d")));
    println!("all as it should be");
}
"#;

#[test]
fn generated_types_are_a_crate_of_their_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let qapi = root.join("crates/qapi");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    fs::create_dir(file("src")).unwrap();
    fs::write(file("src/main.rs"), PROGRAM).unwrap();
    let manifest = format!(
        "[package]\nname = \"user\"\nedition = \"2024\"\n\n[dependencies]\n\
         qplug-qapi = {{ path = {qapi:?} }}\nserde_json = \"1\"\n\n[workspace]\n"
    );
    fs::write(file("Cargo.toml"), manifest).unwrap();
    // The versions that are here already.
    fs::copy(root.join("Cargo.lock"), file("Cargo.lock")).unwrap();

    let mut qplug = Command::new(env!("CARGO_BIN_EXE_qplug"));
    qplug.args(["codegen", "--qemu"]).arg(qapi.join("schemas/7.2.json"));
    let output = qplug.arg("-o").arg(file("src/types.rs")).output().unwrap();
    assert!(output.status.success(), "{output:?}");

    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--offline"]).current_dir(folder.path());
    // What it depends on is built once.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("codegen");
    let output = cargo.env("CARGO_TARGET_DIR", target).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(output.stdout, b"all as it should be\n", "{said}");
    // Nor is its user warned of what others made.
    assert!(said.is_empty(), "{}", said.chars().take(2000).collect::<String>());
}
