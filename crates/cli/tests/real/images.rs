//! Images of other kinds than a plain file by its path, as the command line names them.

use std::process::{Command, Stdio};

use qplug_testbed::image::{Format, tool};
use qplug_testbed::{Board, Machine, Qemu};

use crate::run::{image, path, qplug, start_with, state, within};

/// Runs a test on each QEMU, with a machine that never runs: only QEMU has to open the image.
fn on_every_qemu(test: &str, run: impl Fn(&mut Machine)) {
    for qemu in Qemu::under_test(test) {
        let mut machine = Machine::builder(&qemu, Board::Q35).halted().unwrap();
        within(&mut machine, &format!("QEMU {}", qemu.version), &run);
    }
}

fn listed(machine: &Machine, name: &str) -> serde_json::Value {
    let disks = qplug(machine.qmp_path(), &["list", "--json"]).exits(0).json();
    let disk = disks.as_array().unwrap().iter().find(|disk| disk["name"] == name);
    disk.unwrap_or_else(|| panic!("{name} is not in {disks}")).clone()
}

#[test]
fn layers_are_given_one_by_one_and_a_wrong_one_leaves_nothing() {
    on_every_qemu("layers", |machine| {
        let before = state(machine);
        let base = image(machine, "base", Format::Raw);
        let middle = base.overlay(machine.folder(), "middle.qcow2").unwrap();
        let top = middle.overlay(machine.folder(), "top.qcow2").unwrap();
        let layer = format!("{},format=qcow2", path(&middle));
        let lowest = format!("{},format=raw", path(&base));
        let attach = ["attach", path(&top), "--backing", &layer, "--backing", &lowest];
        qplug(machine.qmp_path(), &[&attach[..], &["--port", "nosuch"]].concat()).exits(6);
        assert_eq!(state(machine), before);
        qplug(machine.qmp_path(), &attach).exits(0).says("top attached");
        qplug(machine.qmp_path(), &attach).exits(0).says("already");
        qplug(machine.qmp_path(), &["attach", path(&top), "--backing", "x,format=qcow3"])
            .exits(2)
            .says("qcow3");
    });
}

#[test]
fn what_a_snapshot_writes_is_forgotten_and_its_image_only_read() {
    on_every_qemu("snapshot", |machine| {
        let image = image(machine, "data", Format::Raw);
        qplug(machine.qmp_path(), &["attach", path(&image), "--snapshot"]).exits(0);
        assert_eq!(listed(machine, "data")["read_only"], false);
        // Another reader may have it too.
        qplug(machine.qmp_path(), &["attach", path(&image), "--name", "again", "--read-only"])
            .exits(0);
    });
}

#[test]
fn an_open_file_is_handed_over_by_its_number_or_by_its_path() {
    on_every_qemu("descriptors", |machine| {
        let image = image(machine, "data", Format::Raw);
        qplug(machine.qmp_path(), &["attach", path(&image), "--pass-fd"]).exits(0);
        assert_eq!(listed(machine, "data")["state"], "attached");
        qplug(machine.qmp_path(), &["attach", path(&image), "--pass-fd"]).exits(0).says("already");
        qplug(machine.qmp_path(), &["attach", "--fd", "99", "--name", "x"])
            .exits(2)
            .says("--fd 99");
        // A shell opens a file and gives its number.
        let other = crate::run::image(machine, "other", Format::Raw);
        let line = format!(
            "exec '{}' attach --fd 7 --name other --format raw 7<>'{}'",
            env!("CARGO_BIN_EXE_qplug"),
            path(&other)
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).env("QPLUG_SOCKET", machine.qmp_path()).stdin(Stdio::null());
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(listed(machine, "other")["state"], "attached");
    });
}

#[test]
fn a_passphrase_comes_from_a_file_from_standard_input_or_from_the_environment() {
    on_every_qemu("passphrases", |machine| {
        let file = |name: &str| machine.folder().join(name).to_str().unwrap().to_owned();
        let (image, secret) = (file("data.luks"), file("secret"));
        let mut create = tool("qemu-img").unwrap();
        create.args(["create", "-q", "-f", "luks", "--object", "secret,id=s,data=hush"]);
        create.args(["-o", "key-secret=s,iter-time=10", &image, "4M"]);
        assert!(create.status().unwrap().success());
        let attach = |name: &'static str| {
            ["attach", &image, "--format", "luks", "--name", name, "--read-only"]
        };
        let qmp = machine.qmp_path();
        qplug(&qmp, &attach("none")).exits(6).says("--secret-file");
        std::fs::write(&secret, "wrong\n").unwrap();
        let with = ["--secret-file", &secret];
        qplug(&qmp, &[&attach("wrong")[..], &with].concat()).exits(4).says("password");
        std::fs::write(&secret, "hush\n").unwrap();
        qplug(&qmp, &[&attach("file")[..], &with].concat()).exits(0);
        start_with(&qmp, &attach("env"), &[("QPLUG_PASSPHRASE", "hush")]).finish().exits(0);
        // The environment's is for images that need one.
        let plain = crate::run::image(machine, "plain", Format::Raw);
        let words = ["attach", path(&plain)];
        start_with(&qmp, &words, &[("QPLUG_PASSPHRASE", "hush")]).finish().exits(0);
        let line = format!(
            "printf hush | '{}' attach '{image}' --format luks --name stdin --read-only --secret-file -",
            env!("CARGO_BIN_EXE_qplug")
        );
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", &line]).env("QPLUG_SOCKET", &qmp).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
}
