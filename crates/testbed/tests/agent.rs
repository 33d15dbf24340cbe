//! QEMU's guest agent in the test guest tells which disks are there, and which are mounted.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::path::Path;
use std::time::{Duration, Instant};

use qplug_testbed::agent::Agent;
use qplug_testbed::boot_files::BootFiles;
use qplug_testbed::image::{Format, Image};
use qplug_testbed::{Board, Machine, Qemu, Result};
use serde_json::{Value, json};

/// Where recordings go, in the crate that reads them.
const RECORDINGS: &str = "tests/agent";

/// One of each kind, in the order of the alphabet.
const DISKS: [&str; 4] = ["data", "disk", "quick", "stick"];

const MIB: u64 = 1 << 20;
const SEEN_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn a_mounted_disk_is_told() {
    let name = "guest agent";
    for qemu in Qemu::under_test(name) {
        if let Err(error) = BootFiles::ready_with_agent() {
            return qplug_testbed::qemu::skip(name, &error.to_string());
        }
        for board in Board::ALL {
            if let Err(error) = mount_and_ask(&qemu, board) {
                panic!("{} {}: {error}", qemu.version, board.name());
            }
        }
    }
}

fn mount_and_ask(qemu: &Qemu, board: Board) -> Result<()> {
    let began = Instant::now();
    let mut machine = Machine::builder(qemu, board).agent().scsi().usb().restored()?;
    let mut agent = Agent::connect(&machine.agent_path())?;
    println!("{} {}: restored and met after {:.2?}", qemu.version, board.name(), began.elapsed());
    let version = agent.execute("guest-info", &json!({})).unwrap();
    assert!(version["version"].as_str().is_some_and(|text| text.starts_with('7')), "{version}");

    let pci = if board == Board::Q35 { "rp0" } else { "pci.0" };
    for device in [
        json!({"driver": "virtio-blk-pci", "id": "data", "bus": pci}),
        json!({"driver": "scsi-hd", "id": "disk", "bus": "scsi0.0"}),
        json!({"driver": "usb-storage", "id": "stick", "bus": "xhci.0"}),
        json!({"driver": "nvme", "id": "quick", "bus": if board == Board::Q35 { "rp1" } else { pci }}),
    ] {
        plug(&mut machine, device)?;
    }
    assert_eq!(mounted(&mut agent), Vec::<String>::new());
    for serial in DISKS {
        assert_eq!(machine.guest.mount(serial, "ext4")?, format!("/mnt/{serial}"));
    }
    let mut places = mounted(&mut agent);
    places.sort();
    assert_eq!(places, DISKS.map(|serial| format!("/mnt/{serial}")));
    record(&mut agent, board, "")?;
    machine.guest.name_for_udev("data", "data")?;
    machine.guest.name_for_udev("disk", "0QEMU_QEMU_HARDDISK_disk")?;
    let disks = agent.execute("guest-get-disks", &json!({})).unwrap();
    record(&mut agent, board, "-udev")?;
    let mut serials: Vec<_> = disks
        .as_array()
        .unwrap()
        .iter()
        .map(|disk| disk["address"]["serial"].as_str().unwrap_or_default())
        .collect();
    serials.sort_unstable();
    assert_eq!(serials, ["", "", "0QEMU_QEMU_HARDDISK_disk", "data"], "{disks}");
    for serial in DISKS {
        machine.guest.unmount(serial)?;
    }
    assert_eq!(mounted(&mut agent), Vec::<String>::new());
    Ok(())
}

/// Plugs a disk with an ext4 file system; its node and its serial are called like the device.
fn plug(machine: &mut Machine, mut device: Value) -> Result<()> {
    let id = device["id"].as_str().unwrap().to_owned();
    let image = Image::create(machine.folder(), &format!("{id}.img"), Format::Raw, 4 * MIB)?;
    image.make_ext4()?;
    let file = json!({"driver": "file", "filename": image.path});
    let node = json!({"driver": "raw", "node-name": id, "file": file});
    machine.oracle.demand("blockdev-add", node)?;
    device["drive"] = json!(id);
    device["serial"] = json!(id);
    machine.oracle.demand("device_add", device)?;
    machine.guest.wait_added(&id, SEEN_WITHIN).map(drop)
}

/// With `QPLUG_RECORD` set, keeps what the agent says of the mounted disks, as it says it, for the
/// tests that have no guest.
fn record(agent: &mut Agent, board: Board, suffix: &str) -> Result<()> {
    if std::env::var_os("QPLUG_RECORD").is_none() {
        return Ok(());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("hotplug").join(RECORDINGS);
    std::fs::create_dir_all(&folder).unwrap();
    for command in ["guest-get-fsinfo", "guest-get-disks"] {
        let answer = agent.answer(command, &json!({}))?;
        let name = format!("{command}-{}{suffix}.json", board.name());
        std::fs::write(folder.join(name), answer + "\n").unwrap();
    }
    Ok(())
}

/// Where disks are mounted.
fn mounted(agent: &mut Agent) -> Vec<String> {
    let file_systems = agent.execute("guest-get-fsinfo", &json!({})).unwrap();
    let places = file_systems.as_array().unwrap().iter();
    places.map(|each| each["mountpoint"].as_str().unwrap().to_owned()).collect()
}
