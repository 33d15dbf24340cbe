//! qplug killed between two steps, and run again: the next run finishes or undoes what is half
//! done, because all that it must know is in the machine, by name.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use qplug_testbed::image::{Format, Image};
use qplug_testbed::proxy::{Moment, Proxy, Then};
use qplug_testbed::{Board, Machine, Qemu};

use crate::run::{
    GUEST_WITHIN, Ran, Running, image, on_every_machine, path, qplug, start, state, within,
};

/// Runs qplug through a proxy that kills it at this moment.
pub(crate) fn killed(machine: &Machine, moment: Moment, arguments: &[&str]) {
    let proxy = Proxy::start(&machine.folder().join("proxy"), &machine.qmp_path()).unwrap();
    let victim: Arc<Mutex<Option<Running>>> = Arc::default();
    // Held until the victim is there to be killed.
    let mut slot = victim.lock().unwrap();
    let for_proxy = Arc::clone(&victim);
    proxy.at(moment, move || {
        for_proxy.lock().unwrap().as_mut().unwrap().kill();
        Then::Cut
    });
    *slot = Some(start(proxy.path(), arguments));
    drop(slot);
    let deadline = std::time::Instant::now() + GUEST_WITHIN;
    loop {
        // The proxy's action needs the lock, so the wait must not hold it.
        if let Some(running) = victim.lock().unwrap().take_if(|running| running.has_ended()) {
            assert_eq!(running.finish().code, None, "it ended before {moment:?}");
            return;
        }
        assert!(std::time::Instant::now() < deadline, "it was not killed at {moment:?}");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Where an attach and a detach can be cut: their commands are numbered from the negotiation on.
const ATTACH: [(Moment, &str); 7] = [
    (Moment::Executed(4), "before the first change"),
    (Moment::Arrived(5), "blockdev-add not sent"),
    (Moment::Executed(5), "blockdev-add done"),
    (Moment::Answered(5), "blockdev-add answered"),
    (Moment::Arrived(6), "device_add not sent"),
    (Moment::Forwarded(6), "device_add sent"),
    (Moment::Executed(6), "device_add done"),
];
const DETACH: [(Moment, &str); 5] = [
    (Moment::Arrived(6), "device_del not sent"),
    (Moment::Executed(6), "device_del done"),
    (Moment::Arrived(7), "blockdev-del not sent"),
    (Moment::Forwarded(7), "blockdev-del sent"),
    (Moment::Executed(7), "blockdev-del done"),
];

#[test]
fn an_attach_cut_anywhere_is_finished_by_the_next() {
    on_every_machine("attach killed", |machine| {
        let before = state(machine);
        let image = image(machine, "data", Format::Qcow2);
        for (moment, what) in ATTACH {
            eprintln!("   {what}");
            killed(machine, moment, &["attach", path(&image)]);
            finish_attach(machine, &image);
            assert_eq!(state(machine), before, "{what}");
        }
    });
}

fn finish_attach(machine: &mut Machine, image: &Image) {
    qplug(machine.qmp_path(), &["attach", path(image)]).exits(0);
    machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
    assert_eq!(machine.guest.disks().unwrap().len(), 1);
    qplug(machine.qmp_path(), &["detach", "data"]).exits(0);
    machine.guest.wait_removed("data", GUEST_WITHIN).unwrap();
}

#[test]
fn an_attach_cut_in_the_middle_is_undone_by_a_detach_and_keeps_its_name_until_then() {
    on_every_machine("attach killed, then something else", |machine| {
        let before = state(machine);
        let data = image(machine, "data", Format::Qcow2);
        let other = image(machine, "other", Format::Raw);
        killed(machine, Moment::Executed(5), &["attach", path(&data)]);
        let qmp = machine.qmp_path();
        qplug(&qmp, &["list"]).exits(0).says("half-done").says("run the attach again");
        let taken = qplug(&qmp, &["attach", path(&other), "--name", "data"]).exits(6);
        taken.says(path(&data)).says("'qplug detach data' closes it");
        qplug(&qmp, &["detach", "data"]).exits(0);
        assert_eq!(state(machine), before);
        drop(data.lock().unwrap());
    });
}

/// Runs an attach of `data`, and another qplug, on a second monitor, at this moment of it.
fn interrupted_by(machine: &Machine, data: &Image, moment: Moment, arguments: &[&str]) -> [Ran; 2] {
    let proxy = Proxy::start(&machine.folder().join("proxy"), &machine.qmp_path()).unwrap();
    let second = machine.folder().join("second");
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let (ran, when_ran) = channel();
    proxy.at(moment, move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        ran.send(qplug(&second, &arguments)).unwrap();
        Then::GoOn
    });
    let first = qplug(proxy.path(), &["attach", path(data), "--json"]);
    [first, when_ran.recv_timeout(GUEST_WITHIN).unwrap()]
}

#[test]
fn two_clients_at_once_agree_on_one_disk_and_do_not_mix_two() {
    for qemu in Qemu::under_test("two clients") {
        let second = ["-qmp", "unix:second,server=on,wait=off"];
        let mut machine = Machine::builder(&qemu, Board::Q35).arguments(second).restored().unwrap();
        within(&mut machine, &format!("QEMU {}, two monitors", qemu.version), |machine| {
            let before = state(machine);
            let data = image(machine, "data", Format::Qcow2);
            let other = image(machine, "other", Format::Raw);
            let (same, taken) = (path(&data), path(&other));
            for (moment, arguments, second_exits) in [
                (Moment::Arrived(5), vec!["attach", same], 0),
                (Moment::Arrived(6), vec!["attach", same], 0),
                (Moment::Arrived(6), vec!["attach", taken, "--name", "data"], 6),
                (Moment::Arrived(6), vec!["detach", "data"], 0),
            ] {
                let [first, second] = interrupted_by(machine, &data, moment, &arguments);
                second.exits(second_exits);
                assert_eq!(first.exits(0).json()["image"], same);
                machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
                let listed = qplug(machine.qmp_path(), &["list", "--json"]).exits(0).json();
                assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
                assert_eq!(listed[0]["image"], same, "{arguments:?}");
                qplug(machine.qmp_path(), &["detach", "data"]).exits(0);
                machine.guest.wait_removed("data", GUEST_WITHIN).unwrap();
                assert_eq!(state(machine), before);
            }
        });
    }
}

#[test]
fn a_detach_cut_anywhere_is_finished_by_the_next() {
    on_every_machine("detach killed", |machine| {
        let before = state(machine);
        let image = image(machine, "data", Format::Qcow2);
        for (moment, what) in DETACH {
            eprintln!("   {what}");
            qplug(machine.qmp_path(), &["attach", path(&image)]).exits(0);
            machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
            killed(machine, moment, &["detach", "data"]);
            qplug(machine.qmp_path(), &["detach", "data", "--missing-ok"]).exits(0);
            machine.guest.wait_removed("data", GUEST_WITHIN).unwrap();
            assert_eq!(state(machine), before, "{what}");
            drop(image.lock().unwrap());
        }
    });
}

#[test]
fn a_connection_cut_in_mid_command_is_an_unknown_outcome() {
    on_every_machine("cut", |machine| {
        let before = state(machine);
        let image = image(machine, "data", Format::Raw);
        for command in [5, 6] {
            let proxy =
                Proxy::start(&machine.folder().join(format!("cut{command}")), &machine.qmp_path())
                    .unwrap();
            proxy.at(Moment::Executed(command), || Then::Cut);
            qplug(proxy.path(), &["attach", path(&image)])
                .exits(7)
                .says("Run the same command again");
            drop(proxy);
            finish_attach(machine, &image);
            assert_eq!(state(machine), before);
        }
    });
}
