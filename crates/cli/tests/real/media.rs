//! Media of CD drives, with a guest that reads them, or holds the tray.

use std::time::Duration;

use qplug_testbed::guest::Medium;
use qplug_testbed::image::{Format, Image};
use qplug_testbed::{Board, Machine, Qemu};
use serde_json::json;

use crate::run::{path, qplug, start, state, within};

const MIB: u64 = 1 << 20;

pub(crate) fn on_machines_with_drives(test: &str, run: impl Fn(&mut Machine)) {
    for qemu in Qemu::of_all_ages(test) {
        let builder = Machine::builder(&qemu, Board::Q35).scsi().usb().cdrom().scsi_cdrom();
        let mut machine = builder.bridge().restored().unwrap();
        within(&mut machine, &format!("QEMU {} with CD drives", qemu.version), &run);
    }
}

/// A medium that begins with its name.
pub(crate) fn medium(machine: &Machine, name: &str, mib: u64) -> Image {
    let file = format!("{name}.iso");
    let image = Image::create(machine.folder(), &file, Format::Raw, mib * MIB).unwrap();
    image.write(0, name.as_bytes()).unwrap();
    image
}

/// What the guest finds in the drive that has something in it.
pub(crate) fn inside(machine: &mut Machine) -> Option<Medium> {
    ["sr0", "sr1"].iter().find_map(|drive| machine.guest.medium(drive).unwrap())
}

#[test]
fn a_medium_comes_gives_way_to_another_and_goes() {
    on_machines_with_drives("media", |machine| {
        let before = state(machine);
        let (first, second) = (medium(machine, "first", 1), medium(machine, "second", 2));
        let qmp = machine.qmp_path();
        for drive in ["cd0", "cd1"] {
            let inserted = qplug(&qmp, &["insert", drive, path(&first), "--json"]).exits(0).json();
            assert_eq!(
                (&inserted["medium"], &inserted["before"]),
                (&json!(path(&first)), &json!(null))
            );
            assert_eq!(inside(machine).unwrap(), Medium { bytes: MIB, first: "first".to_owned() });
            qplug(&qmp, &["insert", drive, path(&second)]).exits(6).says("qplug swap");
            qplug(&qmp, &["detach", drive]).exits(6);
            qplug(&qmp, &["swap", drive, path(&second)]).exits(0).says("in place of");
            assert_eq!(inside(machine).unwrap().first, "second");
            drop(first.lock().unwrap());
            // It is no disk that 'detach --all' or 'recover' would take away.
            qplug(&qmp, &["detach", "--all"]).exits(0);
            qplug(&qmp, &["recover"]).exits(0).says("nothing is half done");
            qplug(&qmp, &["eject", drive]).exits(0).says("is empty");
            assert_eq!(inside(machine), None);
            qplug(&qmp, &["eject", drive]).exits(0).says("empty already");
            assert_eq!(state(machine), before);
            drop(second.lock().unwrap());
        }
        qplug(&qmp, &["eject", "cd7"]).exits(6).says("there is cd0, cd1");
    });
}

#[test]
fn the_old_medium_is_back_in_place_when_the_new_one_fails() {
    on_machines_with_drives("media put back", |machine| {
        let (first, second) = (medium(machine, "first", 1), medium(machine, "second", 2));
        let qmp = machine.qmp_path();
        qplug(&qmp, &["insert", "cd0", path(&first)]).exits(0);
        let before = state(machine);
        let holder = second.lock().unwrap();
        let failed = qplug(&qmp, &["swap", "cd0", path(&second)]);
        assert!(matches!(failed.code, Some(4 | 6)), "{failed:?}");
        drop(holder);
        assert_eq!(inside(machine).unwrap().first, "first");
        assert_eq!(state(machine), before);
        qplug(&qmp, &["eject", "cd0"]).exits(0);
    });
}

#[test]
fn a_guest_that_holds_the_tray_keeps_its_medium_or_is_waited_for() {
    on_machines_with_drives("media held", |machine| {
        let first = medium(machine, "first", 1);
        let qmp = machine.qmp_path();
        qplug(&qmp, &["insert", "cd0", path(&first)]).exits(0);
        let holds =
            |machine: &mut Machine, drive: &&&str| machine.guest.medium(drive).unwrap().is_some();
        let drive = *["sr0", "sr1"].iter().find(|drive| holds(machine, drive)).unwrap();
        machine.guest.hold(drive).unwrap();
        qplug(&qmp, &["eject", "cd0", "--timeout", "0.5"]).exits(5).says("locked its tray");
        assert_eq!(machine.guest.medium(drive).unwrap().unwrap().first, "first");
        let ejecting = start(&qmp, &["eject", "cd0"]);
        std::thread::sleep(Duration::from_millis(300));
        machine.guest.release(drive).unwrap();
        ejecting.finish().exits(0).says("is empty");
        qplug(&qmp, &["insert", "cd0", path(&first)]).exits(0);
        machine.guest.hold(drive).unwrap();
        qplug(&qmp, &["eject", "cd0", "--force"]).exits(0).says("is empty");
        // The medium is gone from under it.
        let _ = machine.guest.release(drive);
    });
}
