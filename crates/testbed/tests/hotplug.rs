//! The testbed itself: every QEMU, on every board, plugs a disk into a living guest and out again.

use std::time::{Duration, Instant};

use qplug_testbed::boot_files::BootFiles;
use qplug_testbed::image::{Format, Image};
use qplug_testbed::{Board, Machine, Qemu, Result};
use serde_json::json;

const MIB: u64 = 1 << 20;
const SEEN_WITHIN: Duration = Duration::from_secs(20);
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// Runs `test` on every QEMU and board there are to test on.
fn everywhere(name: &str, test: impl Fn(&Qemu, Board) -> Result<()>) {
    for qemu in Qemu::under_test(name) {
        if let Err(error) = BootFiles::ready() {
            return qplug_testbed::qemu::skip(name, &error.to_string());
        }
        for board in Board::ALL {
            let began = Instant::now();
            if let Err(error) = test(&qemu, board) {
                panic!("{name}: {} {}: {error}", qemu.version, board.name());
            }
            let (board, took) = (board.name(), began.elapsed());
            println!("{name}: {} {board}: {took:.2?}", qemu.version);
        }
    }
}

/// Adds a raw image as the disk `data`, sees it from inside, and takes it out again.
fn plug_and_unplug(machine: &mut Machine, board: Board) -> Result<()> {
    let image = Image::create(machine.folder(), "data.img", Format::Raw, 16 * MIB)?;
    image.write(4096, b"from outside")?;
    let node = json!({"driver": "raw", "node-name": "data.format",
        "file": {"driver": "file", "node-name": "data.file", "filename": "data.img"}});
    machine.oracle.demand("blockdev-add", node)?;
    let mut device = json!({"driver": "virtio-blk-pci", "id": "data",
        "drive": "data.format", "serial": "data"});
    if board == Board::Q35 {
        device["bus"] = json!("rp0");
    }
    machine.oracle.demand("device_add", device)?;

    let disk = machine.guest.wait_added("data", SEEN_WITHIN)?;
    assert_eq!((disk.bytes, disk.read_only), (16 * MIB, false));
    assert_eq!(machine.guest.read("data", 4096, 12)?, "from outside");
    machine.guest.write("data", 512, "from  inside")?;
    assert_eq!(image.read(512, 12)?, b"from  inside");
    assert_eq!(machine.guest.disks()?, [disk]);
    let resize = json!({"node-name": "data.format", "size": 32 * MIB});
    machine.oracle.demand("block_resize", resize)?;
    assert_eq!(machine.guest.wait_changed("data", SEEN_WITHIN)?.bytes, 32 * MIB);

    machine.oracle.demand("device_del", json!({"id": "data"}))?;
    machine.guest.wait_removed("data", GONE_WITHIN)?;
    machine
        .oracle
        .wait_event_where("DEVICE_DELETED", GONE_WITHIN, |data| data["device"] == "data")?;
    machine.oracle.demand("blockdev-del", json!({"node-name": "data.format"}))?;
    assert_eq!(machine.guest.disks()?, []);
    Ok(())
}

#[test]
fn a_booted_machine() {
    everywhere("booted", |qemu, board| {
        let began = Instant::now();
        let mut machine = Machine::builder(qemu, board).boot()?;
        println!("boot {:.2?}", began.elapsed());
        plug_and_unplug(&mut machine, board)?;
        machine.guest.poweroff()?;
        assert!(machine.wait_exit(GONE_WITHIN)?.success());
        Ok(())
    });
}

#[test]
fn a_restored_machine() {
    everywhere("restored", |qemu, board| {
        for _ in 0..2 {
            let began = Instant::now();
            let mut machine = Machine::builder(qemu, board).restored()?;
            println!("restore {:.2?}", began.elapsed());
            plug_and_unplug(&mut machine, board)?;
        }
        Ok(())
    });
}

#[test]
fn native_hotplug() {
    everywhere("native hotplug", |qemu, board| {
        if board == Board::Pc {
            return Ok(());
        }
        let mut machine = Machine::builder(qemu, board).native_hotplug().restored()?;
        let began = Instant::now();
        plug_and_unplug(&mut machine, board)?;
        // The attention button gives a person five seconds to change their mind.
        assert!(began.elapsed() > Duration::from_secs(5));
        Ok(())
    });
}

#[test]
fn a_reboot_is_survived() {
    everywhere("reboot", |qemu, board| {
        if board == Board::Q35 && qemu.version.major < 6 {
            let reason = "its firmware resets itself again and again once a guest has";
            qplug_testbed::qemu::pass_over("reboot on 5.2's q35", reason);
            return Ok(());
        }
        let mut machine = Machine::builder(qemu, board).restored()?;
        machine.guest.reboot()?;
        machine.guest.wait_ready(Duration::from_secs(60))?;
        plug_and_unplug(&mut machine, board)
    });
}

#[test]
fn a_machine_that_never_ran() {
    for qemu in Qemu::under_test("halted") {
        for board in Board::ALL {
            let began = Instant::now();
            let mut machine = Machine::builder(&qemu, board).halted().unwrap();
            println!("halted {} {:.2?}", board.name(), began.elapsed());
            let status = machine.oracle.execute("query-status", json!({})).unwrap();
            assert_eq!(status["status"], "prelaunch");
            machine.kill();
            assert!(machine.oracle.execute("query-status", json!({})).is_err());
        }
    }
}

#[test]
fn a_wrong_argument_is_told_at_once() {
    for qemu in Qemu::under_test("wrong argument") {
        let began = Instant::now();
        let builder = Machine::builder(&qemu, Board::Pc).arguments(["-device", "no-such-device"]);
        let error = builder.halted().unwrap_err().to_string();
        assert!(error.contains("'no-such-device' is not a valid device"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_locked_image_is_refused() {
    for qemu in Qemu::under_test("locks") {
        let mut machine = Machine::builder(&qemu, Board::Q35).halted().unwrap();
        let image = Image::create(machine.folder(), "data.qcow2", Format::Qcow2, MIB).unwrap();
        image.write(0, b"held").unwrap();
        let node = json!({"driver": "qcow2", "node-name": "data.format",
            "file": {"driver": "file", "filename": "data.qcow2"}});
        let holder = image.lock().unwrap();
        let refusal = machine.oracle.execute("blockdev-add", node.clone());
        assert!(refusal.unwrap_err()["desc"].as_str().unwrap().contains("lock"));
        drop(holder);
        machine.oracle.execute("blockdev-add", node).unwrap();
        assert_eq!(image.read(0, 4).unwrap(), b"held");
    }
}

#[test]
fn a_damaged_save_is_made_anew() {
    everywhere("damaged save", |qemu, board| {
        if board == Board::Q35 {
            return Ok(());
        }
        // A shape of its own, so that no other test meets the damage.
        let builder = Machine::builder(qemu, board).memory_mib(136);
        let place = builder.saved_place()?;
        drop(builder.clone().restored()?);
        std::fs::write(&place, "not a machine").unwrap();
        builder.restored()?.guest.ping()?;
        assert!(std::fs::metadata(&place).unwrap().len() > MIB);
        Ok(())
    });
}

#[test]
fn other_kinds_of_disk() {
    everywhere("other kinds of disk", |qemu, board| {
        let mut machine = Machine::builder(qemu, board).restored()?;
        let bus =
            |port: &str| if board == Board::Q35 { port.to_owned() } else { "pci.0".to_owned() };
        for node in ["one", "two"] {
            let image = Image::create(machine.folder(), node, Format::Raw, 4 * MIB)?;
            let node = json!({"driver": "raw", "node-name": node,
                "file": {"driver": "file", "filename": image.path}});
            machine.oracle.demand("blockdev-add", node)?;
        }
        for device in [
            json!({"driver": "virtio-scsi-pci", "id": "scsi", "bus": bus("rp0")}),
            json!({"driver": "scsi-hd", "id": "one", "drive": "one", "serial": "one",
                "bus": "scsi.0"}),
            json!({"driver": "nvme", "id": "two", "drive": "two", "serial": "two",
                "bus": bus("rp1")}),
        ] {
            machine.oracle.demand("device_add", device)?;
        }
        for serial in ["one", "two"] {
            assert_eq!(machine.guest.wait_added(serial, SEEN_WITHIN)?.bytes, 4 * MIB);
            machine.guest.write(serial, 0, "x")?;
        }
        let resize = json!({"node-name": "one", "size": 8 * MIB});
        machine.oracle.demand("block_resize", resize)?;
        assert_eq!(machine.guest.wait_changed("one", SEEN_WITHIN)?.bytes, 8 * MIB);
        for serial in ["one", "two"] {
            machine.oracle.demand("device_del", json!({"id": serial}))?;
            machine.guest.wait_removed(serial, GONE_WITHIN)?;
        }
        Ok(())
    });
}
