//! Every bus that takes a disk takes one from a living guest's view, on every QEMU and board.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::time::{Duration, Instant};

use qplug_testbed::boot_files::BootFiles;
use qplug_testbed::image::{Format, Image};
use qplug_testbed::{Board, Machine, Qemu, Result};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;
const SEEN_WITHIN: Duration = Duration::from_secs(30);
const GONE_WITHIN: Duration = Duration::from_secs(30);

fn everywhere(name: &str, test: impl Fn(&Qemu, Board) -> Result<()>) {
    for qemu in Qemu::under_test(name) {
        if let Err(error) = BootFiles::ready() {
            return qplug_testbed::qemu::skip(name, &error.to_string());
        }
        for board in Board::ALL {
            if let Err(error) = test(&qemu, board) {
                panic!("{name}: {} {}: {error}", qemu.version, board.name());
            }
        }
    }
}

/// A machine with every bus. All tests share its shape, and so what is saved of it.
fn machine(qemu: &Qemu, board: Board) -> Result<Machine> {
    Machine::builder(qemu, board).scsi().usb().cdrom().scsi_cdrom().bridge().restored()
}

/// Where a PCI device goes on this board.
fn pci_bus(board: Board, port: &str) -> &str {
    if board == Board::Q35 { port } else { "pci.0" }
}

/// Makes an image of 4 MiB and opens it as a node of the same name.
fn open(machine: &mut Machine, name: &str) -> Result<()> {
    let image = Image::create(machine.folder(), &format!("{name}.img"), Format::Raw, 4 * MIB)?;
    image.write(0, name.as_bytes())?;
    let file = json!({"driver": "file", "filename": image.path});
    let node = json!({"driver": "raw", "node-name": name, "file": file});
    machine.oracle.demand("blockdev-add", node).map(drop)
}

/// Plugs devices, of which the last is the disk called `name`, and has the guest read from it.
fn plug(machine: &mut Machine, name: &str, devices: &[Value]) -> Result<()> {
    for device in devices {
        machine.oracle.demand("device_add", device.clone())?;
    }
    let began = Instant::now();
    assert_eq!(machine.guest.wait_added(name, SEEN_WITHIN)?.bytes, 4 * MIB);
    assert_eq!(machine.guest.read(name, 0, name.len())?, name);
    println!("{name}: {} seen after {:.2?}", machine.qemu.version, began.elapsed());
    Ok(())
}

/// Asks a device out and waits for the machine's and the guest's word that its disk is gone.
fn unplug(machine: &mut Machine, device: &str, disk: &str) -> Result<()> {
    let began = Instant::now();
    machine.oracle.demand("device_del", json!({"id": device}))?;
    machine.guest.wait_removed(disk, GONE_WITHIN)?;
    machine
        .oracle
        .wait_event_where("DEVICE_DELETED", GONE_WITHIN, |data| data["device"] == device)?;
    println!("{device}: {} gone after {:.2?}", machine.qemu.version, began.elapsed());
    machine.oracle.demand("blockdev-del", json!({"node-name": disk})).map(drop)
}

#[test]
fn scsi_disks_behind_a_controller_that_was_there() {
    everywhere("scsi", |qemu, board| {
        let mut machine = machine(qemu, board)?;
        open(&mut machine, "one")?;
        let device = json!({"driver": "scsi-hd", "id": "one", "drive": "one", "serial": "one",
            "bus": "scsi0.0"});
        plug(&mut machine, "one", &[device])?;
        unplug(&mut machine, "one", "one")
    });
}

#[test]
fn scsi_disks_leave_with_their_controller() {
    everywhere("scsi controller", |qemu, board| {
        let mut machine = machine(qemu, board)?;
        open(&mut machine, "one")?;
        let controller = json!({"driver": "virtio-scsi-pci", "id": "late",
            "bus": pci_bus(board, "rp0")});
        let disk = json!({"driver": "scsi-hd", "id": "one", "drive": "one", "serial": "one",
            "bus": "late.0"});
        plug(&mut machine, "one", &[controller, disk])?;
        unplug(&mut machine, "late", "one")
    });
}

#[test]
fn an_nvme_disk() {
    everywhere("nvme", |qemu, board| {
        let mut machine = machine(qemu, board)?;
        open(&mut machine, "one")?;
        let device = json!({"driver": "nvme", "id": "one", "drive": "one", "serial": "one",
            "bus": pci_bus(board, "rp0")});
        plug(&mut machine, "one", &[device])?;
        unplug(&mut machine, "one", "one")
    });
}

#[test]
fn usb_disks_of_both_kinds() {
    everywhere("usb", |qemu, board| {
        let mut machine = machine(qemu, board)?;
        open(&mut machine, "stick")?;
        let stick = json!({"driver": "usb-storage", "id": "stick", "drive": "stick",
            "serial": "stick", "bus": "xhci.0"});
        plug(&mut machine, "stick", &[stick])?;
        if qemu.version.major < 6 {
            let reason = "it dies as soon as Linux drives that";
            qplug_testbed::qemu::pass_over("usb-uas on 5.2", reason);
            return unplug(&mut machine, "stick", "stick");
        }
        open(&mut machine, "fast")?;
        let adapter = json!({"driver": "usb-uas", "id": "adapter", "bus": "xhci.0"});
        let fast = json!({"driver": "scsi-hd", "id": "fast", "drive": "fast", "serial": "fast",
            "bus": "adapter.0"});
        machine.oracle.demand("device_add", adapter)?;
        machine.oracle.demand("device_add", fast)?;
        // QEMU plugs the adapter in only when it is told to, as its disks have to be there by then.
        let attach = json!({"path": "/machine/peripheral/adapter", "property": "attached",
            "value": true});
        machine.oracle.demand("qom-set", attach)?;
        plug(&mut machine, "fast", &[])?;
        unplug(&mut machine, "stick", "stick")?;
        unplug(&mut machine, "adapter", "fast")
    });
}

#[test]
fn a_disk_behind_a_bridge() {
    everywhere("bridge", |qemu, board| {
        let mut machine = machine(qemu, board)?;
        open(&mut machine, "one")?;
        let device = json!({"driver": "virtio-blk-pci", "id": "one", "drive": "one",
            "serial": "one", "bus": "br0", "addr": "1"});
        plug(&mut machine, "one", &[device])?;
        unplug(&mut machine, "one", "one")
    });
}
