//! Disks as QEMU 0.14 to 2.8 have them: drives of the human monitor.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::time::{Duration, Instant};

use qplug_sim::{Config, Faults, Guest, Image, Machine, Reply, Sim, Start, Version};
use serde_json::{Value, json};

const OLD: [Version; 4] = [Version::V0_14, Version::V1_2, Version::V2_5, Version::V2_9];

fn config(version: Version) -> Config {
    Config::pc()
        .version(version)
        .image("/a.raw", Image::raw(1 << 20))
        .image("/a,b \"c\\.raw", Image::raw(1 << 20))
        .image("/a:b.raw", Image::raw(1 << 20))
        .image("/cd.iso", Image::raw(1 << 20))
}

struct Talk {
    machine: Machine,
    now: Instant,
}

impl Talk {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        Self { machine: Machine::new(config, now), now }
    }

    fn say(&mut self, command: &str, arguments: Value) -> Reply {
        self.machine.execute(command, Some(&arguments), &mut Vec::new(), self.now)
    }

    fn human(&mut self, line: &str) -> Value {
        self.say("human-monitor-command", json!({"command-line": line})).unwrap()
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.machine.handle_timeout(self.now);
    }

    fn drives(&mut self) -> Vec<String> {
        let drives = self.say("query-block", json!({})).unwrap();
        let drives = drives.as_array().unwrap().iter();
        let names = drives.map(|drive| drive["device"].as_str().unwrap().to_owned());
        names.filter(|name| name != "pflash0").collect()
    }

    fn events(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.machine.poll_event()).map(|event| event.name).collect()
    }

    fn plug(&mut self, drive: &str, id: &str) -> Reply {
        let disk = json!({"driver": "virtio-blk-pci", "drive": drive, "id": id});
        self.say("device_add", disk)
    }
}

#[test]
fn a_drive_goes_with_its_device_and_only_new_ones_say_so() {
    for version in OLD {
        let mut talk = Talk::new(config(version));
        assert_eq!(talk.human("drive_add 0 if=none,id=d,file=/a.raw,format=raw"), "OK\r\n");
        talk.plug("d", "x").unwrap();
        talk.say("device_del", json!({"id": "x"})).unwrap();
        // Asking again is nothing special.
        talk.say("device_del", json!({"id": "x"})).unwrap();
        assert_eq!(talk.drives(), ["d"], "{version:?}");
        talk.wait(Duration::from_secs(1));
        assert!(talk.drives().is_empty(), "{version:?}");
        assert_eq!(talk.human("drive_del d"), "Device 'd' not found\r\n");
        let told = talk.events().iter().any(|name| name == "DEVICE_DELETED");
        assert_eq!(told, version >= Version::V2_5, "{version:?}");
    }
}

#[test]
fn the_id_of_a_drive_that_was_torn_out_is_taken_until_its_device_goes() {
    for version in OLD {
        let mut talk = Talk::new(config(version).guest(Guest::Slow(Duration::from_secs(5))));
        let add = "drive_add 0 if=none,id=d,file=/a.raw,format=raw";
        talk.human(add);
        talk.plug("d", "x").unwrap();
        let nothing = if version < Version::V1_2 { json!({}) } else { json!("") };
        assert_eq!(talk.human("drive_del d"), nothing);
        assert!(talk.drives().is_empty());
        assert_eq!(talk.human(add), "Duplicate ID 'd' for drive\r\n");
        talk.say("device_del", json!({"id": "x"})).unwrap();
        assert_eq!(talk.human(add), "Duplicate ID 'd' for drive\r\n");
        talk.wait(Duration::from_secs(6));
        assert_eq!(talk.human(add), "OK\r\n", "{version:?}");
    }
}

#[test]
fn names_of_files_get_through_both_parsers() {
    for version in OLD {
        let mut talk = Talk::new(config(version));
        let line = r#"drive_add 0 "if=none,id=d,file=/a,,b \"c\\.raw,format=raw""#;
        assert_eq!(talk.human(line), "OK\r\n", "{version:?}");
        let said = talk.human("drive_add 0 if=none,id=e,file=/a:b.raw,format=raw");
        // Before 1.2 what is before a colon is a protocol.
        match version {
            Version::V0_14 => assert_ne!(said, "OK\r\n"),
            _ => assert_eq!(said, "OK\r\n", "{version:?}"),
        }
    }
}

#[test]
fn the_names_of_drives_are_cut_off_until_2_2() {
    let long = "d".repeat(40);
    for version in OLD {
        let mut talk = Talk::new(config(version));
        talk.human(&format!("drive_add 0 if=none,id={long},file=/a.raw,format=raw"));
        let most = if version < Version::V2_5 { 31 } else { 40 };
        assert_eq!(talk.drives(), [&long[..most]], "{version:?}");
        assert_eq!(talk.plug(&long, "x").is_ok(), most == 40);
    }
}

#[test]
fn red_hats_own_commands_stand_in_for_the_human_monitors() {
    let mut talk = Talk::new(config(Version::Rhel6));
    assert_eq!(talk.human("drive_add 0 id=d"), "unknown command: 'drive_add'\r\n");
    let mut add = |members: Value| talk.say("__com.redhat_drive_add", members);
    let desc = |reply: Reply| reply.unwrap_err().desc;
    assert_eq!(desc(add(json!({"file": "/a.raw"}))), "Parameter 'id' is missing");
    assert_eq!(desc(add(json!({"id": "d", "nosuch": 1}))), "Invalid parameter 'nosuch'");
    let missing = add(json!({"id": "d", "file": "/nope"}));
    assert_eq!(desc(missing), "Device 'd' could not be initialized");
    let disk = json!({"id": "d", "file": "/a.raw", "format": "raw", "cache": "none"});
    assert_eq!(add(disk.clone()).unwrap(), json!({}));
    assert_eq!(desc(add(disk)), "Duplicate ID 'd' for drive");
    talk.plug("d", "x").unwrap();
    talk.say("device_del", json!({"id": "x"})).unwrap();
    talk.wait(Duration::from_secs(1));
    let gone = talk.say("__com.redhat_drive_del", json!({"id": "d"})).unwrap_err();
    assert_eq!(gone.class, "DeviceNotFound");
}

#[test]
fn a_serial_is_the_drives_in_0_14_and_the_devices_later() {
    for (version, of_device) in [(Version::V0_14, false), (Version::V1_2, true)] {
        let mut talk = Talk::new(config(version));
        talk.human("drive_add 0 if=none,id=d,file=/a.raw,format=raw,serial=S");
        let disk = json!({"driver": "virtio-blk-pci", "drive": "d", "id": "x", "serial": "T"});
        assert_eq!(talk.say("device_add", disk).is_ok(), of_device);
        if !of_device {
            talk.plug("d", "x").unwrap();
        }
        assert_eq!(talk.machine.serial("x"), Some(if of_device { "T" } else { "S" }));
    }
}

#[test]
fn force_tears_out_a_hard_disks_medium_in_0_14_only() {
    for version in OLD {
        let mut talk = Talk::new(config(version));
        talk.human("drive_add 0 if=none,id=d,file=/a.raw,format=raw");
        talk.plug("d", "x").unwrap();
        let refused = talk.say("eject", json!({"device": "d"})).unwrap_err();
        assert_eq!(refused.desc, "Device 'd' is not removable");
        let torn = talk.say("eject", json!({"device": "d", "force": true})).is_ok();
        assert_eq!(torn, version < Version::V1_2, "{version:?}");
    }
}

#[test]
fn media_are_changed_by_their_names() {
    for version in OLD {
        let with_cd = config(version).drive("if=none,id=cd0,media=cdrom");
        let mut talk = Talk::new(with_cd.ide_cd_with("cd", "ide.1", "cd0"));
        talk.say("change", json!({"device": "cd0", "target": "/cd.iso"})).unwrap();
        let drives = talk.say("query-block", json!({})).unwrap();
        assert_eq!(drives[0]["inserted"]["file"], "/cd.iso", "{version:?}");
        talk.say("eject", json!({"device": "cd0"})).unwrap();
        let drives = talk.say("query-block", json!({})).unwrap();
        assert!(drives[0].get("inserted").is_none(), "{version:?}");
    }
}

/// A conversation, up to here.
fn replies(sim: &mut Sim, sent: &str, now: Instant) -> String {
    sim.handle_input(sent.as_bytes(), now);
    String::from_utf8(sim.poll_transmit().unwrap_or_default()).unwrap()
}

fn conversation(version: Version) -> (Sim, Instant) {
    let now = Instant::now();
    let mut sim = Sim::new(config(version).start(Start::Prelaunch), Faults::default(), now);
    sim.handle_connect(now);
    replies(&mut sim, r#"{"execute": "qmp_capabilities"}"#, now);
    let add = "drive_add 0 if=none,id=d,file=/a.raw,format=raw";
    let arguments = json!({"command-line": add});
    let sent = json!({"execute": "human-monitor-command", "arguments": arguments}).to_string();
    assert!(replies(&mut sim, &sent, now).contains("OK"));
    (sim, now)
}

#[test]
fn a_slot_that_no_bus_has_hangs_0_14() {
    let add = r#"{"execute": "device_add", "arguments":
        {"driver": "virtio-blk-pci", "drive": "d", "id": "x", "addr": "20"}}"#;
    let (mut sim, now) = conversation(Version::V0_14);
    assert_eq!(replies(&mut sim, add, now), "");
    assert_eq!(replies(&mut sim, r#"{"execute": "query-status"}"#, now), "");
    assert!(!sim.wants_close());
    let (mut sim, now) = conversation(Version::V1_2);
    assert!(replies(&mut sim, add, now).contains("doesn't take value '20'"));
}

#[test]
fn unplugging_a_usb_disk_is_the_end_of_1_2() {
    let (mut sim, now) = conversation(Version::V1_2);
    for device in [
        json!({"driver": "piix3-usb-uhci", "id": "uhci"}),
        json!({"driver": "usb-storage", "drive": "d", "id": "x"}),
    ] {
        let sent = json!({"execute": "device_add", "arguments": device}).to_string();
        assert!(replies(&mut sim, &sent, now).contains("return"));
    }
    let sent = r#"{"execute": "device_del", "arguments": {"id": "x"}}"#;
    assert_eq!(replies(&mut sim, sent, now), "");
    assert!(sim.wants_close() && sim.has_quit());
}
