//! The example of the library, on real machines.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::process::Command;
use std::time::Duration;

use qplug_testbed::image::{Format, Image};
use qplug_testbed::{Board, Machine, Qemu};

/// Through cargo, which builds the example only when no test is named.
fn example() -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--package", "qplug-hotplug", "--example", "plug", "--"]);
    command
}

#[test]
fn the_example_attaches_waits_and_detaches() {
    for qemu in Qemu::under_test("example") {
        let mut machine = Machine::builder(&qemu, Board::Q35).restored().unwrap();
        let image = Image::create(machine.folder(), "a.qcow2", Format::Qcow2, 1 << 20).unwrap();
        let output = example().arg(machine.qmp_path()).arg(&image.path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(text, "attached: the guest finds it at /dev/disk/by-id/virtio-data\ndetached\n");
        machine.guest.wait_added("data", Duration::from_secs(30)).unwrap();
        machine.guest.wait_removed("data", Duration::from_secs(30)).unwrap();
    }
}
