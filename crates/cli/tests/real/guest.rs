//! Waiting for the guest, and asking its agent.

use qplug_testbed::image::{Format, Image};
use qplug_testbed::{Board, Machine, Qemu};

use crate::run::{GUEST_WITHIN, image, on_machines_of_all_ages, path, qplug, state, within};

#[test]
fn an_attach_waits_until_the_guest_has_read_from_the_disk() {
    on_machines_of_all_ages("wait", |machine| {
        let images = ["data", "more"].map(|name| image(machine, name, Format::Raw));
        let qmp = machine.qmp_path();
        qplug(&qmp, &["attach", path(&images[0]), "--wait", "guest"])
            .exits(0)
            .says("the guest's driver has read from it");
        // It is there: no wait is needed any more.
        let disks = machine.guest.disks().unwrap();
        assert!(disks.iter().any(|disk| disk.serial == "data"), "{disks:?}");
        let both = ["attach", path(&images[0]), path(&images[1]), "--wait", "guest", "--json"];
        let told = qplug(&qmp, &both).exits(0).json();
        assert!(told["disks"].as_array().unwrap().iter().all(|it| it["guest"]["state"] == "ready"));
        qplug(&qmp, &["detach", "--all"]).exits(0);
        for bus in ["virtio-scsi", "nvme"] {
            let words = ["attach", path(&images[0]), "--bus", bus, "--wait", "guest"];
            qplug(&qmp, &words).exits(0).says("the guest's driver has read from it");
            qplug(&qmp, &["detach", "--all"]).exits(0);
        }
    });
}

#[test]
fn a_guest_that_does_not_look_makes_it_pending_and_the_disk_stays() {
    for qemu in Qemu::under_test("wait in vain") {
        let mut machine = Machine::builder(&qemu, Board::Q35).halted().unwrap();
        within(&mut machine, &format!("QEMU {}", qemu.version), |machine| {
            let image = image(machine, "data", Format::Raw);
            let words = ["attach", path(&image), "--wait", "guest", "--timeout", "0.2"];
            qplug(machine.qmp_path(), &words)
                .exits(5)
                .says("data attached")
                .says("has not read from it within 0.2 s");
            qplug(machine.qmp_path(), &["list"]).exits(0).says("attached");
        });
    }
}

#[test]
fn a_disk_that_is_mounted_in_the_guest_stays_unless_it_is_forced_out() {
    for qemu in Qemu::under_test("agent") {
        if let Err(error) = qplug_testbed::boot_files::BootFiles::ready_with_agent() {
            return qplug_testbed::qemu::skip("agent", &error.to_string());
        }
        for board in Board::ALL {
            let builder = Machine::builder(&qemu, board).agent().scsi().usb();
            let mut machine = builder.restored().unwrap();
            within(&mut machine, &format!("QEMU {} {}", qemu.version, board.name()), mounted);
        }
    }
}

fn mounted(machine: &mut Machine) {
    let before = state(machine);
    let data = Image::create(machine.folder(), "data.img", Format::Raw, 8 << 20).unwrap();
    data.make_ext4().unwrap();
    let other = Image::create(machine.folder(), "other.img", Format::Raw, 8 << 20).unwrap();
    let (qmp, agent) = (machine.qmp_path(), machine.agent_path());
    let agent = agent.to_str().unwrap();
    let attach = ["attach", path(&data), "--wait", "guest", "--agent", agent, "--json"];
    let told = qplug(&qmp, &attach).exits(0).json();
    assert_eq!(told["guest"]["device"], "/dev/vda", "{told}");
    machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
    qplug(&qmp, &["attach", path(&other), "--wait", "guest"]).exits(0);
    machine.guest.mount("data", "ext4").unwrap();
    qplug(&qmp, &["detach", "data", "--agent", agent])
        .exits(6)
        .says("data is in use in the guest: mounted at /mnt/data")
        .says("--force");
    // Of all, those that are not used leave.
    qplug(&qmp, &["detach", "--all", "--agent", agent])
        .exits(6)
        .says("other detached")
        .says("data: data is in use in the guest");
    machine.guest.unmount("data").unwrap();
    qplug(&qmp, &["detach", "data", "--agent", agent]).exits(0);
    assert_eq!(state(machine), before);
    // Nobody listens to force.
    qplug(&qmp, &["attach", path(&data)]).exits(0);
    machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
    machine.guest.mount("data", "ext4").unwrap();
    qplug(&qmp, &["detach", "data", "--agent", "/nonexistent"]).exits(3).says("no socket");
    qplug(&qmp, &["detach", "data", "--agent", agent, "--force"]).exits(0);
    assert_eq!(state(machine), before);
}
