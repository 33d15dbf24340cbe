//! CD drives: a medium comes and goes, and a guest that uses it locks the tray.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::time::Duration;

use qplug_testbed::boot_files::BootFiles;
use qplug_testbed::guest::Medium;
use qplug_testbed::image::{Format, Image};
use qplug_testbed::{Board, Machine, Qemu, Result};
use serde_json::json;

const MIB: u64 = 1 << 20;
const MOVED_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn a_medium_goes_in_and_comes_out() {
    let name = "CD drives";
    for qemu in Qemu::under_test(name) {
        if let Err(error) = BootFiles::ready() {
            return qplug_testbed::qemu::skip(name, &error.to_string());
        }
        for board in Board::ALL {
            // The shape that `buses.rs` saves too.
            let builder = Machine::builder(&qemu, board).scsi().usb().cdrom().scsi_cdrom();
            let mut machine = builder.bridge().restored().unwrap();
            assert_eq!(machine.guest.drives().unwrap(), ["sr0", "sr1"]);
            assert_eq!(machine.guest.disks().unwrap(), []);
            for drive in ["cd0", "cd1"] {
                if let Err(error) = insert_lock_and_eject(&mut machine, drive) {
                    panic!("{} {} {drive}: {error}", qemu.version, board.name());
                }
            }
        }
    }
}

fn insert_lock_and_eject(machine: &mut Machine, drive: &str) -> Result<()> {
    let image = Image::create(machine.folder(), &format!("{drive}.iso"), Format::Raw, MIB)?;
    image.write(0, drive.as_bytes())?;
    let file = json!({"driver": "file", "filename": image.path});
    let node = json!({"driver": "raw", "node-name": drive, "read-only": true, "file": file});
    machine.oracle.demand("blockdev-add", node)?;
    let id = json!({ "id": drive });
    machine.oracle.demand("blockdev-open-tray", id.clone())?;
    let medium = json!({"id": drive, "node-name": drive});
    machine.oracle.demand("blockdev-insert-medium", medium)?;
    machine.oracle.demand("blockdev-close-tray", id.clone())?;

    // Which drive the kernel found first is its own business.
    let inside: Vec<Option<Medium>> =
        ["sr0", "sr1"].iter().map(|name| machine.guest.medium(name)).collect::<Result<_>>()?;
    let kernel_name = ["sr0", "sr1"][usize::from(inside[0].is_none())];
    let expected = Medium { bytes: MIB, first: drive.to_owned() };
    let found: Vec<Medium> = inside.into_iter().flatten().collect();
    assert_eq!(found, [expected]);

    machine.guest.hold(kernel_name)?;
    let block = machine.oracle.demand("query-block", json!({}))?;
    let ours = block.as_array().unwrap().iter().find(|device| {
        device["qdev"].as_str().is_some_and(|path| path.split('/').any(|part| part == drive))
    });
    assert_eq!(ours.unwrap()["locked"], true, "{block}");
    // A guest that is asked and does not answer keeps its medium.
    machine.oracle.demand("blockdev-open-tray", id.clone())?;
    let refusal = machine.oracle.execute("blockdev-remove-medium", id.clone()).unwrap_err();
    println!("{drive}: {refusal}");
    assert!(refusal["desc"].as_str().unwrap().contains("is not open"), "{refusal}");

    machine.guest.release(kernel_name)?;
    machine.oracle.events();
    machine.oracle.demand("blockdev-open-tray", id.clone())?;
    machine.oracle.wait_event_where("DEVICE_TRAY_MOVED", MOVED_WITHIN, |data| {
        data["id"] == drive && data["tray-open"] == true
    })?;
    machine.oracle.demand("blockdev-remove-medium", id.clone())?;
    machine.oracle.demand("blockdev-del", json!({"node-name": drive}))?;
    assert_eq!(machine.guest.medium(kernel_name)?, None);
    machine.oracle.demand("blockdev-close-tray", id)?;
    assert_eq!(machine.guest.medium(kernel_name)?, None);
    Ok(())
}
