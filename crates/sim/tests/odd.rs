//! Odd commands in odd orders: the machine answers them all, and what it says of itself fits together.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::time::{Duration, Instant};

use qplug_sim::{Config, Guest, Image, Machine, Start, Version};
use serde_json::{Value, json};

/// How many machines are played with, and how long each.
const RUNS: u64 = 300;
const STEPS: usize = 150;

/// How many steps lie between two looks at all of the machine.
const LOOK_EVERY: usize = 10;

/// The same numbers in every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

fn value(draw: &mut Draw) -> Value {
    let words = [
        "a", "b", "d", "n", "rp0", "rp1", "scsi0.0", "xhci.0", "pci.0", "1f.7", "0", "cd0", "g",
        "io",
    ];
    match draw.below(8) {
        0 => json!(draw.of(&[0_i64, 1, 7, 255, -1, i64::MAX, i64::MIN])),
        1 => json!(draw.of(&[true, false])),
        2 => json!({"driver": "file", "filename": draw.of(&["a", "b"])}),
        3 => Value::Null,
        _ => json!(draw.of(&words)),
    }
}

fn command(draw: &mut Draw) -> (&'static str, Value) {
    let names = ["a", "b", "d", "n"];
    let (name, id) = (draw.of(&names), draw.of(&names));
    let mut command = match draw.below(17) {
        0 => ("blockdev-add", json!({"driver": "null-co", "node-name": name})),
        1 => (
            "blockdev-add",
            json!({"driver": draw.of(&["raw", "qcow2"]), "node-name": name, "file": value(draw)}),
        ),
        2 => ("blockdev-del", json!({"node-name": name})),
        3..6 => {
            let driver = draw.of(&[
                "virtio-blk-pci",
                "scsi-hd",
                "nvme",
                "usb-storage",
                "virtio-scsi-pci",
                "usb-uas",
            ]);
            (
                "device_add",
                json!({"driver": driver, "id": id, "drive": name, "bus": value(draw), "addr": value(draw), "serial": "s"}),
            )
        }
        6 | 7 => ("device_del", json!({"id": id})),
        8 => ("blockdev-insert-medium", json!({"id": "cd0", "node-name": name})),
        9 => (
            draw.of(&[
                "blockdev-open-tray",
                "blockdev-close-tray",
                "eject",
                "blockdev-remove-medium",
            ]),
            json!({"id": "cd0"}),
        ),
        10 => (
            draw.of(&["blockdev-mirror", "blockdev-backup"]),
            json!({"job-id": id, "device": name, "target": id, "sync": "full"}),
        ),
        11 => (draw.of(&["system_reset", "stop", "cont", "migrate_cancel"]), json!({})),
        14..17 => {
            let drive = format!("if=none,id={id},file={name},format=raw");
            let line = draw.of(&[
                format!("drive_add 0 {drive}"),
                format!("drive_add 0 \"{drive}\""),
                format!("drive_add 0 {drive},media=cdrom,bps=9"),
                format!("drive_del {id}"),
                format!("device_add virtio-blk-pci,id={name},drive={id}"),
                format!("device_del {name}"),
                format!("eject -f {id}"),
                format!("change {id} {name}"),
                "info qtree".to_owned(),
                "info block".to_owned(),
                "info pci".to_owned(),
            ]);
            ("human-monitor-command", json!({"command-line": line}))
        }
        12 => ("block_resize", json!({"node-name": name, "size": value(draw)})),
        _ => (
            draw.of(&["qom-list", "qom-get", "object-add", "query-block", "block-job-cancel"]),
            json!({"path": "/machine/peripheral/d", "property": "serial"}),
        ),
    };
    if draw.below(3) == 0 {
        let member = draw.of(&[
            "scsi-id",
            "lun",
            "share-rw",
            "read-only",
            "port",
            "iothread",
            "node-name",
            "id",
        ]);
        command.1[member] = value(draw);
    }
    if draw.below(4) == 0
        && let Some(members) = command.1.as_object_mut()
        && let Some(name) = members.keys().next().cloned()
    {
        members.remove(&name);
    }
    command
}

/// Each disk lies on a node that there is, and no name is there twice.
fn check(machine: &mut Machine, now: Instant) {
    let version = machine.version();
    let mut ask = |command: &str, arguments: Value| {
        machine.execute(command, Some(&arguments), &mut Vec::new(), now).unwrap()
    };
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|it| it["node-name"].to_string()).collect()
    };
    let shown = ["query-block", "query-blockstats", "query-pci"].map(|it| ask(it, json!({})));
    let mut drives: Vec<_> =
        shown[0].as_array().unwrap().iter().filter_map(|it| it["device"].as_str()).collect();
    drives.retain(|name| !name.is_empty());
    drives.sort_unstable();
    assert!(drives.windows(2).all(|pair| pair[0] != pair[1]), "{drives:?}");
    if version < Version::V2_5 {
        return;
    }
    let mut nodes = names(&ask("query-named-block-nodes", json!({})));
    for block in ask("query-block", json!({})).as_array().unwrap() {
        if let Some(inserted) = block.get("inserted") {
            assert!(nodes.contains(&inserted["node-name"].to_string()), "{block} of {nodes:?}");
        }
    }
    nodes.sort();
    let count = nodes.len();
    nodes.dedup();
    assert_eq!(nodes.len(), count);
    if version < Version::V7_2 {
        return;
    }
    ask("x-debug-query-block-graph", json!({}));
    ask("query-blockstats", json!({"query-nodes": true}));
}

#[test]
fn odd_commands_are_answered() {
    for run in 1..=RUNS {
        let mut draw = Draw(run.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let guests =
            [Guest::Quick, Guest::Dead, Guest::Booting(Duration::from_secs(1)), Guest::Rejects];
        let boards = [
            Config::q35(2).scsi("scsi0", Some("rp1")).xhci("xhci").ide_cd("cd0", "ide.0"),
            Config::pc(),
        ];
        let config = boards.into_iter().nth(draw.below(2)).unwrap();
        let config = config
            .image("a", Image::raw(1 << 20))
            .image("b", Image::qcow2(1 << 20).over("a", "raw"));
        let config = config.version(draw.of(&Version::ALL));
        let config =
            config.start(draw.of(&[Start::Running, Start::Prelaunch])).guest(draw.of(&guests));
        let mut now = Instant::now();
        let mut machine = Machine::new(config, now);
        for step in 0..STEPS {
            if machine.is_hung() || machine.has_died() {
                break;
            }
            let (command, arguments) = command(&mut draw);
            let _ = machine.execute(command, Some(&arguments), &mut Vec::new(), now);
            now += Duration::from_millis(draw.of(&[0, 0, 1, 60, 2000]));
            machine.handle_timeout(now);
            if step % LOOK_EVERY == 0 && !machine.is_hung() && !machine.has_died() {
                check(&mut machine, now);
            }
        }
    }
}
