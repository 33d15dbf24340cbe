//! Boards without a guest: what there is to know about them from outside, while they never run.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use qplug_testbed::{Board, Machine, Qemu};
use serde_json::{Value, json};

/// A halted machine of this board with a node `n`, on every QEMU that has the board.
fn halted(board: Board) -> Vec<Machine> {
    let qemus = Qemu::under_test(board.name());
    let with_it = qemus.iter().filter(|qemu| qemu.has_board(board));
    let machines: Vec<_> = with_it
        .map(|qemu| {
            let mut machine = Machine::builder(qemu, board).halted().unwrap();
            let node = json!({"driver": "null-co", "node-name": "n", "size": 1 << 20});
            machine.oracle.demand("blockdev-add", node).unwrap();
            machine
        })
        .collect();
    if machines.is_empty() && !qemus.is_empty() {
        qplug_testbed::qemu::skip(board.name(), "no QEMU is set up with this board");
    }
    machines
}

fn refusal(machine: &mut Machine, device: Value) -> String {
    let refusal = machine.oracle.execute("device_add", device).unwrap_err();
    refusal["desc"].as_str().unwrap().to_owned()
}

fn kind(machine: &mut Machine) -> String {
    let question = json!({"path": "/machine", "property": "type"});
    let answer = machine.oracle.demand("qom-get", question).unwrap();
    answer.as_str().unwrap().to_owned()
}

#[test]
fn arm_takes_disks_in_root_ports() {
    for mut machine in halted(Board::Virt) {
        assert!(kind(&mut machine).starts_with("virt-"));
        let on_the_bus = json!({"driver": "virtio-blk-pci", "id": "d", "drive": "n"});
        let said = refusal(&mut machine, on_the_bus);
        assert_eq!(said, "Bus 'pcie.0' does not support hotplugging");
        let in_a_port = json!({"driver": "virtio-blk-pci", "id": "d", "drive": "n", "bus": "rp0",
            "addr": "0"});
        machine.oracle.demand("device_add", in_a_port).unwrap();
    }
}

#[test]
fn a_mainframe_takes_disks_anywhere() {
    for mut machine in halted(Board::S390x) {
        assert!(kind(&mut machine).starts_with("s390-ccw-virtio-"));
        let disk = json!({"driver": "virtio-blk-ccw", "id": "d", "drive": "n"});
        machine.oracle.demand("device_add", disk).unwrap();
        let controller = json!({"driver": "virtio-scsi-ccw", "id": "s"});
        machine.oracle.demand("device_add", controller).unwrap();
    }
}

#[test]
fn a_microvm_takes_none() {
    for mut machine in halted(Board::Microvm) {
        assert_eq!(kind(&mut machine), "microvm-machine");
        let said =
            refusal(&mut machine, json!({"driver": "virtio-blk-device", "id": "d", "drive": "n"}));
        assert!(said.starts_with("Bus 'virtio-mmio-bus."), "{said}");
        assert!(said.ends_with("does not support hotplugging"), "{said}");
    }
}
