//! Snapshots within images, with the guest's file systems still and not.

use std::path::Path;

use qplug_testbed::agent::Agent;
use qplug_testbed::image::{Format, Image, run, tool};
use qplug_testbed::{Board, Machine};
use serde_json::json;

use crate::agent::on_machines_with_agents;
use crate::run::{GUEST_WITHIN, image, on_every_qemu, path, qplug};

/// A qcow2 image with an empty ext4 file system.
pub(crate) fn with_ext4(folder: &Path, name: &str) -> Image {
    let raw = Image::create(folder, &format!("{name}.raw"), Format::Raw, 16 << 20).unwrap();
    raw.make_ext4().unwrap();
    let path = folder.join(format!("{name}.qcow2"));
    let mut convert = tool("qemu-img").unwrap();
    run(convert.args(["convert", "-O", "qcow2"]).arg(&raw.path).arg(&path)).unwrap();
    Image { path, format: Format::Qcow2, bytes: raw.bytes }
}

/// Whether the ext4 file system has a journal to recover, which a mounted one has unless it is frozen:
/// a flag in the superblock, at 1024, among the incompatible features at 0x60.
pub(crate) fn needs_recovery(image: &Image) -> bool {
    const RECOVER: u8 = 4;
    image.read(1024 + 0x60, 1).unwrap()[0] & RECOVER != 0
}

/// What a snapshot has, as an image of its own; a machine may have the image open.
fn copied(image: &Image, tag: &str) -> Image {
    let path = image.path.with_extension(format!("{tag}.raw"));
    let mut convert = tool("qemu-img").unwrap();
    let snapshot = format!("snapshot.name={tag}");
    let words = ["convert", "-U", "-l", &snapshot, "-f", "qcow2", "-O", "raw"];
    run(convert.args(words).arg(&image.path).arg(&path)).unwrap();
    Image { path, format: Format::Raw, bytes: image.bytes }
}

fn status(machine: &Machine) -> String {
    let mut agent = Agent::connect(&machine.agent_path()).unwrap();
    let status = agent.execute("guest-fsfreeze-status", &json!({})).unwrap();
    status.as_str().unwrap().to_owned()
}

#[test]
fn a_snapshot_has_all_disks_at_one_moment_with_their_file_systems_still() {
    on_machines_with_agents(
        "snapshots",
        &[Board::Q35],
        |it| it,
        |machine| {
            let qmp = machine.qmp_path();
            let agent = machine.agent_path();
            let agent = ["--agent", agent.to_str().unwrap()];
            let data = with_ext4(machine.folder(), "data");
            let more = image(machine, "more", Format::Qcow2);
            // What the device holds is a throttle node then.
            let attach =
                ["attach", path(&data), "--throttle", "iops-total=5000", "--wait", "guest"];
            qplug(&qmp, &attach).exits(0);
            qplug(&qmp, &["attach", path(&more), "--wait", "guest"]).exits(0);
            for name in ["data", "more"] {
                machine.guest.wait_added(name, GUEST_WITHIN).unwrap();
            }
            machine.guest.mount("data", "ext4").unwrap();
            machine.guest.write("more", 0, "before").unwrap();
            qplug(&qmp, &["snapshot", "running"]).exits(0).says("snapshot running of data, more");
            let still = [&["snapshot", "still", "--json"], &agent[..]].concat();
            let told = qplug(&qmp, &still).exits(0).json();
            assert_eq!(
                (&told["frozen"]["file_systems"], &told["disks"]),
                (&json!(1), &json!(["data", "more"]))
            );
            assert_eq!(status(machine), "thawed");
            machine.guest.write("more", 0, "after!").unwrap();

            assert!(needs_recovery(&copied(&data, "running")));
            assert!(!needs_recovery(&copied(&data, "still")));
            for tag in ["running", "still"] {
                assert_eq!(copied(&more, tag).read(0, 6).unwrap(), b"before", "{tag}");
            }
            qplug(&qmp, &["snapshot", "still"]).exits(6).says("data has a snapshot still already");
            qplug(&qmp, &["snapshot", "--list", "still"]).exits(0).says("more");
            qplug(&qmp, &["snapshot", "still", "more", "--delete"])
                .exits(0)
                .says("deleted from more");
            qplug(&qmp, &["snapshot", "still", "more", "--delete"])
                .exits(6)
                .says("no snapshot still in more");
            qplug(&qmp, &["snapshot", "still", "--delete"]).exits(0).says("deleted from data");
            let listed = qplug(&qmp, &["snapshot", "--list", "--json"]).exits(0).json();
            assert_eq!(listed["snapshots"].as_array().unwrap().len(), 2, "{listed}");
            machine.guest.unmount("data").unwrap();
        },
    );
}

#[test]
fn a_guest_is_frozen_until_it_is_thawed() {
    on_machines_with_agents(
        "freeze",
        &[Board::Pc],
        |it| it,
        |machine| {
            let qmp = machine.qmp_path();
            let agent = machine.agent_path();
            let with_agent = |words: &[&str]| {
                qplug(&qmp, &[words, &["--agent", agent.to_str().unwrap()]].concat())
            };
            let data = with_ext4(machine.folder(), "data");
            with_agent(&["freeze"]).exits(0).says("no file system that can be frozen");
            qplug(&qmp, &["attach", path(&data), "--wait", "guest"]).exits(0);
            machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
            machine.guest.mount("data", "ext4").unwrap();
            with_agent(&["freeze", "--status"]).exits(0).says("thawed");
            assert!(needs_recovery(&data));
            with_agent(&["freeze"]).exits(0).says("frozen: 1 file system\n");
            assert!(!needs_recovery(&data));
            with_agent(&["freeze", "--status"]).exits(0).says("frozen");
            with_agent(&["freeze"]).exits(0).says("frozen already");
            // Other questions are refused then; a list comes without.
            with_agent(&["list"]).exits(0).says("frozen state").says("attached");
            let told = with_agent(&["snapshot", "t", "--json"]).exits(0).json();
            assert_eq!(told["frozen"]["already"], true);
            assert_eq!(status(machine), "frozen");
            // A job that begins now copies what is still.
            let copy =
                Image::create(machine.folder(), "copy.img", Format::Raw, data.bytes).unwrap();
            let file = format!("file.filename={}", path(&copy));
            let add =
                ["exec", "blockdev-add", "driver=raw", "node-name=copy", "file.driver=file", &file];
            qplug(&qmp, &add).exits(0);
            let job = ["job-id=copy", "device=data.format", "target=copy", "sync=full"];
            qplug(&qmp, &[&["exec", "blockdev-backup"], &job[..]].concat()).exits(0);
            with_agent(&["thaw"]).exits(0).says("thawed: 1 file system\n");
            with_agent(&["thaw"]).exits(0).says("nothing was frozen");
            machine.oracle.wait_event("BLOCK_JOB_COMPLETED", GUEST_WITHIN).unwrap();
            assert!(!needs_recovery(&copy));
            assert!(needs_recovery(&data));
            machine.guest.unmount("data").unwrap();
        },
    );
}

#[test]
fn what_cannot_have_a_snapshot_is_named_and_a_plan_changes_nothing() {
    on_every_qemu("unfit snapshots", &[], |machine| {
        let qmp = machine.qmp_path();
        let [a, raw, ro] = [("a", Format::Qcow2), ("raw", Format::Raw), ("ro", Format::Qcow2)]
            .map(|(name, format)| image(machine, name, format));
        qplug(&qmp, &["snapshot", "t"]).exits(6).says("no disk of qplug's");
        qplug(&qmp, &["attach", path(&a)]).exits(0);
        qplug(&qmp, &["attach", path(&ro), "--read-only"]).exits(0);
        let plan = qplug(&qmp, &["snapshot", "t", "--dry-run"]).exits(0).says("transaction");
        assert!(!plan.stdout.contains("ro.format"), "{}", plan.stdout);
        qplug(&qmp, &["snapshot", "--list"]).exits(0).says("no snapshots");
        qplug(&qmp, &["attach", path(&raw)]).exits(0);
        qplug(&qmp, &["snapshot", "t"]).exits(6).says("raw is raw").says("Nothing was changed");
        qplug(&qmp, &["snapshot", "t", "ro", "a"]).exits(6).says("ro is read-only");
        qplug(&qmp, &["snapshot", "t", "nope"]).exits(6).says("no disk or device called nope");
        qplug(&qmp, &["snapshot", "7"]).exits(2).says("more than digits");
        qplug(&qmp, &["snapshot", "--list"]).exits(0).says("no snapshots");
        qplug(&qmp, &["snapshot", "t", "a"]).exits(0).says("snapshot t of a");
        qplug(&qmp, &["snapshot", "t", "--delete"]).exits(0).says("deleted from a");
        // Nobody answers: nothing is taken, nor frozen.
        let nowhere = machine.folder().join("nowhere.sock");
        let words = ["snapshot", "t", "a", "--agent", nowhere.to_str().unwrap()];
        qplug(&qmp, &words).exits(3).says("no socket at");
        qplug(&qmp, &["snapshot", "--list"]).exits(0).says("no snapshots");
    });
}
