//! Lists with the guest's names of disks, as its agent tells them.

use std::os::unix::net::UnixListener;

use qplug_testbed::boot_files::BootFiles;
use qplug_testbed::image::{Format, Image};
use qplug_testbed::machine::Builder;
use qplug_testbed::{Board, Machine, Qemu};
use serde_json::{Value, json};

use crate::run::{GUEST_WITHIN, image, path, qplug, start_with, within};

/// Runs a test on each of the system's QEMUs and these boards, with an agent in the guest.
pub(crate) fn on_machines_with_agents(
    test: &str,
    boards: &[Board],
    build: impl Fn(Builder) -> Builder,
    run: impl Fn(&mut Machine),
) {
    for qemu in Qemu::under_test(test) {
        if let Err(error) = BootFiles::ready_with_agent() {
            return qplug_testbed::qemu::skip(test, &error.to_string());
        }
        for &board in boards {
            let mut machine = build(Machine::builder(&qemu, board).agent()).restored().unwrap();
            within(&mut machine, &format!("QEMU {} {}", qemu.version, board.name()), &run);
        }
    }
}

/// What the list says of the guest's side of a disk.
fn guest(machine: &Machine, name: &str) -> Value {
    let agent = machine.agent_path();
    let words = ["list", "--agent", agent.to_str().unwrap(), "--json"];
    let listed = qplug(machine.qmp_path(), &words).exits(0).json();
    let disks = listed.as_array().unwrap();
    disks.iter().find(|disk| disk["name"] == name).unwrap()["guest"].clone()
}

#[test]
fn a_list_has_the_guests_names_and_what_is_mounted() {
    on_machines_with_agents("names", &Board::ALL, Builder::scsi, |machine| {
        let qmp = machine.qmp_path();
        let data = Image::create(machine.folder(), "data.img", Format::Raw, 8 << 20).unwrap();
        data.make_ext4().unwrap();
        let disk = image(machine, "disk", Format::Raw);
        qplug(&qmp, &["attach", path(&data), "--wait", "guest"]).exits(0);
        qplug(&qmp, &["attach", path(&disk), "--bus", "virtio-scsi", "--wait", "guest"]).exits(0);
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
        machine.guest.wait_added("disk", GUEST_WITHIN).unwrap();
        assert_eq!(guest(machine, "data"), json!({"device": "/dev/vda", "mounts": []}));
        machine.guest.mount("data", "ext4").unwrap();
        let mounted = json!({"device": "/dev/vda", "mounts": ["/mnt/data"]});
        assert_eq!(guest(machine, "data"), mounted);
        // The test guest has no udev: by the controller and the LUN, which are one disk's.
        assert_eq!(guest(machine, "disk"), json!({"device": "/dev/sda", "mounts": []}));
        let agent = machine.agent_path();
        let environment = [("QPLUG_AGENT", agent.to_str().unwrap())];
        start_with(&qmp, &["list"], &environment).finish().exits(0).says("/dev/vda on /mnt/data");
        let listed = qplug(&qmp, &["list", "--json"]).exits(0).json();
        assert_eq!(listed[0].get("guest"), None, "{listed}");
        // Two disks of one LUN are told apart by their serials alone.
        let other = image(machine, "other", Format::Raw);
        qplug(&qmp, &["attach", path(&other), "--bus", "virtio-scsi", "--wait", "guest"]).exits(0);
        let added = machine.guest.wait_added("other", GUEST_WITHIN).unwrap();
        assert_eq!([guest(machine, "disk"), guest(machine, "other")], [json!(null), json!(null)]);
        machine.guest.name_for_udev("other", "0QEMU_QEMU_HARDDISK_other").unwrap();
        assert_eq!(guest(machine, "other")["device"], format!("/dev/{}", added.name));
    });
}

#[test]
fn a_list_comes_without_the_guests_names_where_no_agent_answers() {
    for qemu in Qemu::under_test("no agent") {
        let mut machine = Machine::builder(&qemu, Board::Q35).halted().unwrap();
        within(&mut machine, &format!("QEMU {}", qemu.version), |machine| {
            let qmp = machine.qmp_path();
            let data = image(machine, "data", Format::Raw);
            qplug(&qmp, &["attach", path(&data)]).exits(0);
            let silent = machine.folder().join("silent.sock");
            let _listener = UnixListener::bind(&silent).unwrap();
            let gone = machine.folder().join("gone.sock");
            for (agent, why) in [(silent, "no guest agent answers"), (gone, "virtserialport")] {
                let words = ["list", "--connect-timeout", "1", "--agent", agent.to_str().unwrap()];
                let ran = qplug(&qmp, &words).exits(0).says("GUEST").says("attached").says(why);
                assert_eq!(ran.stderr.matches("the guest's names are missing").count(), 1);
                let ran = qplug(&qmp, &[&words[..], &["--json"]].concat()).exits(0);
                assert_eq!(ran.json()[0]["guest"], json!(null));
                assert!(ran.stderr.starts_with("{\"remark\":"), "{}", ran.stderr);
            }
        });
    }
}
