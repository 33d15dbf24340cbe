//! What a disk can be told, as the machine has it then.

use qplug_testbed::image::Format;
use serde_json::{Value, json};

use crate::run::{GUEST_WITHIN, image, on_machines_of_all_ages, path, qplug, state};

#[test]
fn options_reach_the_nodes_and_the_device() {
    on_machines_of_all_ages("options", |machine| {
        let before = state(machine);
        let image = image(machine, "data", Format::Raw);
        let qmp = machine.qmp_path();
        let words = "--cache directsync --aio threads --discard unmap --detect-zeroes on --iothread io1 \
                     --queues 1 --throttle iops-total=5000,bps-total=100M --logical-block-size 4K \
                     --physical-block-size 4K --bootindex 7 --share-rw --rerror ignore --werror stop \
                     --set device.event_idx=false --set node.file.locking=off";
        let words: Vec<_> = words.split_whitespace().collect();
        let attach = [&["attach", path(&image)], &*words].concat();
        qplug(&qmp, &attach).exits(0);
        machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
        let mut property = |name: &str| -> Value {
            let of = json!({"path": "/machine/peripheral/data", "property": name});
            machine.oracle.demand("qom-get", of).unwrap()
        };
        for (name, value) in [
            ("logical_block_size", json!(4096)),
            ("physical_block_size", json!(4096)),
            ("bootindex", json!(7)),
            ("share-rw", json!(true)),
            ("write-cache", json!("off")),
            ("num-queues", json!(1)),
            ("event_idx", json!(false)),
            ("rerror", json!("ignore")),
            ("werror", json!("stop")),
            ("iothread", json!("/objects/io1")),
        ] {
            assert_eq!(property(name), value, "{name}");
        }
        let nodes = machine.oracle.demand("query-named-block-nodes", json!({})).unwrap();
        let node =
            nodes.as_array().unwrap().iter().find(|it| it["node-name"] == "data.format").unwrap();
        assert_eq!(node["cache"]["direct"], true, "{node}");
        assert_eq!(node["detect_zeroes"], "on", "{node}");
        qplug(&qmp, &attach).exits(0).says("already");
        qplug(&qmp, &["detach", "data"]).exits(0);
        // A thread stays: it may serve others by now.
        machine.oracle.demand("object-del", json!({"id": "io1"})).unwrap();
        assert_eq!(state(machine), before);
    });
}

#[test]
fn buses_that_take_no_disk_are_refused_before_a_machine_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.img"), [0; 4096]).unwrap();
    let image = folder.path().join("a.img");
    for bus in ["ide", "sata", "floppy", "nvme-ns", "virtio-mmio"] {
        // There is no such socket, and it is not missed.
        qplug("/nonexistent", &["attach", image.to_str().unwrap(), "--bus", bus])
            .exits(6)
            .says("takes no disk while the machine runs");
    }
}
