//! Two clients and one SCSI controller of qplug's own, which leaves with its last disk: what one does
//! between two commands of the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use qplug_testbed::image::Format;
use qplug_testbed::proxy::{Moment, Proxy, Then};
use qplug_testbed::{Board, Machine, Qemu};

use crate::run::{image, path, qplug, start, state, within};

/// More commands than an attach or a detach of one disk takes.
const MOST_COMMANDS: usize = 40;

/// The other client's monitor.
const SECOND: &str = "second.sock";

/// Machines that never run, so that no guest lets go of a controller: what is asked of it stays asked.
fn on_halted_machines(test: &str, run: impl Fn(&mut Machine)) {
    for qemu in Qemu::under_test(test) {
        let second = format!("unix:{SECOND},server=on,wait=off");
        let builder = Machine::builder(&qemu, Board::Q35).arguments(["-qmp", &second]);
        let mut machine = builder.halted().unwrap();
        within(&mut machine, &format!("QEMU {}", qemu.version), &run);
    }
}

/// What there is of this kind that disks share.
fn shared(machine: &mut Machine, kind: &str) -> Vec<String> {
    let state = state(machine);
    let names = state[kind].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    names.filter(|name| name.starts_with("qplug.scsi.")).map(ToOwned::to_owned).collect()
}

/// Runs qplug, and something else just before QEMU hears of its first command that has this in it.
fn interrupted_at(
    machine: &Machine,
    arguments: &[&str],
    command: &'static str,
    meanwhile: impl FnOnce() + Send + 'static,
) -> crate::run::Ran {
    let proxy =
        Arc::new(Proxy::start(&machine.folder().join("proxy"), &machine.qmp_path()).unwrap());
    let meanwhile = Arc::new(std::sync::Mutex::new(Some(meanwhile)));
    let has_come = Arc::new(AtomicBool::new(false));
    for number in 1..MOST_COMMANDS {
        let (seen, meanwhile) = (Arc::downgrade(&proxy), Arc::clone(&meanwhile));
        let has_come = Arc::clone(&has_come);
        proxy.at(Moment::Arrived(number), move || {
            let said = seen.upgrade().map(|proxy| proxy.conversation()).unwrap_or_default();
            if said.last().is_some_and(|said| said.text.contains(command))
                && let Some(meanwhile) = meanwhile.lock().unwrap().take()
            {
                meanwhile();
                has_come.store(true, Ordering::SeqCst);
            }
            Then::GoOn
        });
    }
    let ran = start(proxy.path(), arguments).finish();
    assert!(has_come.load(Ordering::SeqCst), "no {command} came");
    ran
}

#[test]
fn a_controller_that_gets_a_disk_while_it_is_emptied_stays() {
    on_halted_machines("a controller filled", |machine| {
        let [first, second] = ["a", "b"].map(|name| image(machine, name, Format::Raw));
        let attach = |image| ["attach", "--bus", "virtio-scsi", path(image)];
        qplug(machine.qmp_path(), &attach(&first)).exits(0);
        let monitor = machine.folder().join(SECOND);
        let image = second.path.to_str().unwrap().to_owned();
        let fill = move || {
            let attach = ["attach", "--bus", "virtio-scsi", "--json", &image];
            let told = qplug(monitor, &attach).exits(0).json();
            assert_eq!(told["port"], "qplug.scsi.0", "{told}");
        };
        let detach = ["detach", "--timeout", "1", "a"];
        interrupted_at(machine, &detach, "qplug.scsi.0.pending", fill).exits(0);
        assert!(shared(machine, "objects").is_empty(), "the mark stayed");
        qplug(machine.qmp_path(), &["list"]).exits(0).says("b ").says("qplug.scsi.0");
        qplug(machine.qmp_path(), &attach(&first)).exits(0).says("qplug.scsi.0");
    });
}

#[test]
fn a_disk_on_a_controller_that_is_asked_to_leave_goes_behind_another() {
    on_halted_machines("a controller taken", |machine| {
        let [first, second] = ["a", "b"].map(|name| image(machine, name, Format::Raw));
        qplug(machine.qmp_path(), &["attach", "--bus", "virtio-scsi", path(&first)]).exits(0);
        let monitor = machine.folder().join(SECOND);
        let empty = move || {
            // The disk goes, and its controller is asked in vain.
            qplug(monitor, &["detach", "--timeout", "1", "a"]).exits(0);
        };
        let attach = ["attach", "--bus", "virtio-scsi", "--json", path(&second)];
        let told = interrupted_at(machine, &attach, "device_add", empty).exits(0).json();
        assert_eq!(told["port"], "qplug.scsi.1", "{told}");
        assert_eq!(shared(machine, "objects"), ["qplug.scsi.0.pending"]);
        assert_eq!(shared(machine, "devices"), ["qplug.scsi.0", "qplug.scsi.1"]);
    });
}
