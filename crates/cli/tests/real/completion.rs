//! Tab on real machines: every kind of name that completion asks a machine for.

use std::process::Command;

use qplug_testbed::Machine;
use qplug_testbed::image::Format;
use qplug_testbed::terminal::{Key, Terminal};
use serde_json::{Value, json};

use crate::run::{image, on_every_qemu, path, qplug};

/// What a machine has that is to be named.
const ARGUMENTS: &[&str] = &[
    "-object",
    "iothread,id=io-thread",
    "-chardev",
    "null,id=chr-null",
    "-netdev",
    "hubport,id=net-hub,hubid=0",
    "-drive",
    "if=none,id=cd-drive,media=cdrom",
    "-device",
    "ide-cd,id=cd-device,drive=cd-drive",
];

fn demand(machine: &mut Machine, command: &str, arguments: Value) {
    machine.oracle.demand(command, arguments).unwrap();
}

fn prepare(machine: &mut Machine) {
    let disk = image(machine, "some-disk", Format::Qcow2);
    qplug(machine.qmp_path(), &["attach", path(&disk)]).exits(0);
    for (node, size) in [("source-node", 1 << 30), ("target-node", 1 << 30)] {
        let arguments = json!({"driver": "null-co", "node-name": node, "size": size});
        demand(machine, "blockdev-add", arguments);
    }
    let bitmap = json!({"node": "source-node", "name": "some-bitmap"});
    demand(machine, "block-dirty-bitmap-add", bitmap);
    let mirror = json!({"job-id": "some-job", "device": "source-node", "target": "target-node",
                        "sync": "none"});
    demand(machine, "blockdev-mirror", mirror);
}

/// Types, presses Tab, waits for the line to be so, and drops it.
fn tab(terminal: &mut Terminal, typed: &str, becomes: &str) {
    terminal.type_text(typed).unwrap();
    line_is(terminal, typed);
    terminal.press(Key::Tab).unwrap();
    line_is(terminal, becomes);
    terminal.press(Key::Ctrl('c')).unwrap();
    line_is(terminal, "");
}

/// Waits until the row with the cursor ends in a prompt and this text.
fn line_is(terminal: &Terminal, text: &str) {
    terminal
        .wait_for(&format!("line {text:?}"), |screen| {
            let row = screen.cursor_position().0;
            let row = screen.rows(0, screen.size().1.get()).nth(row.into()).unwrap_or_default();
            row.split_once("> ").map_or("", |(_, line)| line).trim_end().starts_with(text)
                && (!text.is_empty() || row.trim_end().ends_with('>'))
        })
        .unwrap();
}

#[test]
fn names_are_the_machines() {
    on_every_qemu("names from machines", ARGUMENTS, |machine| {
        prepare(machine);
        let mut command = Command::new(env!("CARGO_BIN_EXE_qplug"));
        command.arg("--socket").arg(machine.qmp_path()).arg("shell");
        command.current_dir(machine.folder());
        let mut terminal = Terminal::spawn(&command, 24, 120).unwrap();
        terminal.wait_for_text(" prelaunch>").unwrap();
        for (typed, becomes) in [
            ("query-named", "query-named-block-nodes"),
            ("detach so", "detach some-disk"),
            ("eject cd-", "eject cd-device"),
            ("exec eject id=cd-", "exec eject id=cd-device"),
            ("blockdev-del node-name=sou", "blockdev-del node-name=source-node"),
            ("block-commit device=cd-", "block-commit device=cd-drive"),
            ("device_del id=some", "device_del id=some-disk"),
            ("object-del id=io", "object-del id=io-thread"),
            ("job-cancel id=some", "job-cancel id=some-job"),
            ("block-job-cancel device=some", "block-job-cancel device=some-job"),
            ("chardev-remove id=chr-", "chardev-remove id=chr-null"),
            ("netdev_del id=net-", "netdev_del id=net-hub"),
            (
                "block-dirty-bitmap-clear node=source-node name=so",
                "block-dirty-bitmap-clear node=source-node name=some-bitmap",
            ),
            ("device_add driver=virtio-scsi-p", "device_add driver=virtio-scsi-pci"),
            ("device_add driver=nvme seri", "device_add driver=nvme serial="),
            (
                "device_add driver=virtio-blk-pci drive=sour",
                "device_add driver=virtio-blk-pci drive=source-node",
            ),
            (
                "device_add driver=virtio-blk-pci write-cache=au",
                "device_add driver=virtio-blk-pci write-cache=auto",
            ),
            ("qom-list path=/mach", "qom-list path=/machine/"),
            (
                "qom-list path=/machine/peripheral/some",
                "qom-list path=/machine/peripheral/some-disk/",
            ),
            ("qom-get path=/machine property=dumpd", "qom-get path=/machine property=dumpdtb"),
            ("hmp inf", "hmp info"),
            ("hmp info qtr", "hmp info qtree"),
            ("attach some-disk.", "attach some-disk.qcow2"),
        ] {
            tab(&mut terminal, typed, becomes);
        }
    });
}
