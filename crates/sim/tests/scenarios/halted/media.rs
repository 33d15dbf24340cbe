//! Drives whose medium is changed.

use serde_json::json;

use super::{add, drives};
use crate::script::{Scenario, Step, ask, close, hear, null, plug, say, scenario};

pub(super) fn media_scenarios() -> Vec<Scenario> {
    let medium = |name: &'static str, path: &str| {
        let file = json!({"driver": "file", "filename": path, "read-only": true});
        add(json!({"driver": "raw", "node-name": name, "read-only": true, "file": file}))
    };
    let tray = |command: &'static str, id: &str| say(command, json!({"id": id}));
    let insert =
        |id: &str, node: &str| say("blockdev-insert-medium", json!({"id": id, "node-name": node}));
    let moved = || hear("DEVICE_TRAY_MOVED", &["/id", "/device", "/tray-open"]);
    let mut all = Vec::new();
    for (name, drive) in [("a medium in an IDE drive", "cd0"), ("a medium in a SCSI drive", "cd1")]
    {
        all.push(scenario(
            name,
            [
                medium("m", "a.raw"),
                medium("k", "b.raw"),
                insert(drive, "m"),
                tray("blockdev-open-tray", drive),
                moved(),
                tray("blockdev-open-tray", drive),
                tray("blockdev-remove-medium", drive),
                insert(drive, "m"),
                insert(drive, "k"),
                insert(drive, "m"),
                tray("blockdev-close-tray", drive),
                moved(),
                tray("blockdev-close-tray", drive),
                drives(),
                tray("blockdev-remove-medium", drive),
                close("m"),
                insert(drive, "nope"),
                say("blockdev-open-tray", json!({"id": drive, "force": true})),
                moved(),
                tray("blockdev-remove-medium", drive),
                close("m"),
                insert(drive, "k"),
                tray("eject", drive),
                close("k"),
                drives(),
            ],
        ));
        all.push(scenario(
            if drive == "cd0" { "a change in one go" } else { "a SCSI change in one go" },
            [
                say(
                    "blockdev-change-medium",
                    json!({"id": drive, "filename": "a.raw", "format": "raw"}),
                ),
                moved(),
                moved(),
                ask("query-block", json!({}), &["/*/inserted/file", "/*/tray_open"]),
                say(
                    "blockdev-change-medium",
                    json!({"id": drive, "filename": "missing.raw", "format": "raw"}),
                ),
                ask("query-block", json!({}), &["/*/inserted/file", "/*/tray_open"]),
                tray("eject", drive),
                moved(),
                say(
                    "blockdev-change-medium",
                    json!({"id": drive, "filename": "b.raw", "format": "raw"}),
                ),
                moved(),
                drives_by_file(),
            ],
        ));
    }
    all.push(scenario(
        "drives that there are not",
        [
            null("n"),
            plug("hd", "n", "rp0", "0"),
            tray("blockdev-open-tray", "nope"),
            tray("eject", "nope"),
            tray("blockdev-open-tray", "hd"),
            tray("eject", "hd"),
            tray("blockdev-close-tray", "hd"),
            tray("blockdev-remove-medium", "hd"),
            insert("hd", "n"),
            tray("blockdev-open-tray", "/machine/peripheral/hd/virtio-backend"),
            tray("blockdev-close-tray", "/machine/peripheral/hd/virtio-backend"),
            tray("blockdev-remove-medium", "/machine/peripheral/hd/virtio-backend"),
            tray("eject", "/machine/peripheral/hd/virtio-backend"),
            medium("m", "a.raw"),
            insert("/machine/peripheral/hd/virtio-backend", "m"),
            say("blockdev-change-medium", json!({"id": "hd", "filename": "a.raw"})),
            say("blockdev-open-tray", json!({})),
            say("blockdev-insert-medium", json!({"id": "cd0"})),
            say("device_del", json!({"id": "cd0"})),
        ],
    ));
    all.push(scenario(
        "a medium keeps its size",
        [
            medium("m", "a.raw"),
            tray("blockdev-open-tray", "cd1"),
            insert("cd1", "m"),
            say("block_resize", json!({"node-name": "m", "size": 33_554_432})),
        ],
    ));
    all
}

fn drives_by_file() -> Step {
    ask("query-block", json!({}), &["/*/inserted/file", "/*/inserted/ro"])
}
