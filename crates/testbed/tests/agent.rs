//! QEMU's guest agent in the test guest tells which disks are there, and which are mounted.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::time::{Duration, Instant};

use qplug_testbed::agent::Agent;
use qplug_testbed::boot_files::BootFiles;
use qplug_testbed::image::{Format, Image};
use qplug_testbed::{Board, Machine, Qemu, Result};
use serde_json::{Value, json};

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
    ] {
        plug(&mut machine, device)?;
    }
    assert_eq!(mounted(&mut agent), Vec::<String>::new());
    for serial in ["data", "disk", "stick"] {
        assert_eq!(machine.guest.mount(serial, "ext4")?, format!("/mnt/{serial}"));
    }
    println!("fsinfo {}", agent.execute("guest-get-fsinfo", &json!({})).unwrap());
    println!("disks {}", agent.execute("guest-get-disks", &json!({})).unwrap());
    println!("devices {}", agent.execute("guest-get-devices", &json!({})).unwrap_or_else(|e| e));
    println!("pci {}", machine.oracle.demand("query-pci", json!({}))?);
    let mut places = mounted(&mut agent);
    places.sort();
    assert_eq!(places, ["/mnt/data", "/mnt/disk", "/mnt/stick"]);
    for serial in ["data", "disk", "stick"] {
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

/// Where disks are mounted.
fn mounted(agent: &mut Agent) -> Vec<String> {
    let file_systems = agent.execute("guest-get-fsinfo", &json!({})).unwrap();
    let places = file_systems.as_array().unwrap().iter();
    places.map(|each| each["mountpoint"].as_str().unwrap().to_owned()).collect()
}
