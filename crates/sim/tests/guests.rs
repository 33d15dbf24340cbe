//! Guests in virtual time: how long a disk takes to go, and what is said meanwhile.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::time::{Duration, Instant};

use qplug_sim::{Board, Config, Guest, Image, Machine, Version};
use serde_json::{Value, json};

/// Longer than any guest here takes.
const LONG: Duration = Duration::from_secs(60);

struct Run {
    machine: Machine,
    now: Instant,
}

impl Run {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        Self { machine: Machine::new(config.image("a", Image::raw(1 << 20)), now), now }
    }

    fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        let answer = self.machine.execute(command, Some(&arguments), &mut Vec::new(), self.now);
        answer.map_err(|error| error.desc)
    }

    fn go(&mut self, time: Duration) {
        self.now += time;
        self.machine.handle_timeout(self.now);
    }

    /// Plugs the disk `d` in.
    fn plug(&mut self, bus: &str) {
        let file = json!({"driver": "file", "node-name": "f", "filename": "a"});
        self.execute("blockdev-add", json!({"driver": "raw", "node-name": "n", "file": file}))
            .unwrap();
        let driver = "virtio-blk-pci";
        let device = json!({"driver": driver, "id": "d", "bus": bus, "addr": "4", "drive": "n"});
        let device = match bus {
            "pci.0" => device,
            _ => json!({"driver": driver, "id": "d", "bus": bus, "drive": "n"}),
        };
        self.execute("device_add", device).unwrap();
    }

    fn unplug(&mut self) -> Result<Value, String> {
        self.execute("device_del", json!({"id": "d"}))
    }

    /// How long until an event that names the disk, and its name; `None` when none comes.
    fn hears(&mut self) -> Option<(Duration, String)> {
        let began = self.now;
        loop {
            while let Some(event) = self.machine.poll_event() {
                let data = event.data.map(|data| data.get().to_owned()).unwrap_or_default();
                if data.contains(r#""device":"d""#) {
                    return Some((self.now - began, event.name));
                }
            }
            self.now = self.machine.poll_timeout().filter(|due| *due < began + LONG)?;
            self.machine.handle_timeout(self.now);
        }
    }

    fn reads(&mut self) -> u64 {
        let stats = self.execute("query-blockstats", json!({})).unwrap();
        stats[0]["stats"]["rd_operations"].as_u64().unwrap()
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// How long a disk of this machine takes to go, asked once it settled.
fn takes(config: Config, bus: &str) -> Duration {
    let mut run = Run::new(config);
    run.plug(bus);
    run.go(seconds(5));
    run.unplug().unwrap();
    let (time, event) = run.hears().unwrap();
    assert_eq!(event, "DEVICE_DELETED");
    time
}

#[test]
fn guests_take_their_time() {
    let quick = takes(Config::q35(1), "rp0");
    assert!((50..200).contains(&quick.as_millis()), "{quick:?}");
    assert_eq!(takes(Config::pc(), "pci.0"), quick);
    let native = takes(Config::q35(1).native_hotplug(), "rp0");
    assert!((6000..6500).contains(&native.as_millis()), "{native:?}");
    assert_eq!(takes(Config::q35(1).guest(Guest::Slow(seconds(2))), "rp0"), quick + seconds(2));
}

#[test]
fn a_dead_guest_lets_go_at_a_reset() {
    let mut run = Run::new(Config::q35(1).guest(Guest::Dead));
    run.plug("rp0");
    run.unplug().unwrap();
    assert_eq!(run.hears(), None);
    assert_eq!(run.reads(), 0);
    run.execute("system_reset", json!({})).unwrap();
    assert!(run.hears().is_some());
    run.execute("blockdev-del", json!({"node-name": "n"})).unwrap();
}

#[test]
fn a_paused_guest_lets_go_after_cont() {
    let mut run = Run::new(Config::q35(1).guest(Guest::Paused));
    run.plug("rp0");
    run.unplug().unwrap();
    assert_eq!(run.hears(), None);
    run.execute("cont", json!({})).unwrap();
    assert!(run.hears().is_some());
}

#[test]
fn a_booting_guest_loses_what_it_is_asked() {
    let mut run = Run::new(Config::q35(1).guest(Guest::Booting(seconds(10))));
    run.plug("rp0");
    run.go(seconds(1));
    run.unplug().unwrap();
    run.go(seconds(8));
    assert_eq!(run.reads(), 0);
    assert_eq!(run.hears(), None);
    assert_ne!(run.reads(), 0);
    run.unplug().unwrap();
    assert!(run.hears().is_some());
}

#[test]
fn a_busy_guest_says_so_on_a_native_port() {
    let busy = Guest::Busy(seconds(3));
    let mut run = Run::new(Config::q35(1).native_hotplug().guest(busy));
    run.plug("rp0");
    run.go(seconds(2));
    assert!(run.unplug().unwrap_err().contains("guest is busy"));
    run.go(seconds(2));
    run.unplug().unwrap();
    assert!(run.unplug().unwrap_err().contains("already in the process of unplug"));
    assert!(run.hears().is_some());
    // With ACPI the request is lost, and may be repeated.
    let mut run = Run::new(Config::q35(1).guest(busy));
    run.plug("rp0");
    run.unplug().unwrap();
    assert_eq!(run.hears(), None);
    run.go(seconds(3));
    run.unplug().unwrap();
    assert!(run.hears().is_some());
}

#[test]
fn a_guest_may_say_no_or_let_go_by_itself() {
    let mut run = Run::new(Config::new(Board::Q35).port("rp0").guest(Guest::Rejects));
    run.plug("rp0");
    run.unplug().unwrap();
    assert_eq!(run.hears().unwrap().1, "DEVICE_UNPLUG_GUEST_ERROR");
    let mut run = Run::new(Config::q35(1).guest(Guest::PullsOut(seconds(5))));
    run.plug("rp0");
    let (time, event) = run.hears().unwrap();
    assert!(time >= seconds(5) && event == "DEVICE_DELETED", "{time:?} {event}");
}

#[test]
fn many_share_one_grace_period() {
    let mut run = Run::new(Config::q35(2).scsi("scsi0", Some("rp1")).version(Version::V7_2));
    for at in 0..20 {
        let node = format!("n{at}");
        run.execute("blockdev-add", json!({"driver": "null-co", "node-name": node})).unwrap();
        let device = json!({"driver": "scsi-hd", "id": format!("d{at}"), "drive": node});
        run.execute("device_add", device).unwrap();
    }
    for at in 0..20 {
        run.execute("device_del", json!({"id": format!("d{at}")})).unwrap();
    }
    let began = run.now;
    run.go(qplug_sim::GRACE);
    let deleted = std::iter::from_fn(|| run.machine.poll_event());
    assert_eq!(deleted.filter(|event| event.name == "DEVICE_DELETED").count(), 20);
    assert_eq!(run.now - began, qplug_sim::GRACE);
}

#[test]
fn a_thousand_disks_are_no_trouble() {
    let mut run = Run::new(Config::q35(1).scsi("scsi0", Some("rp0")));
    for at in 0..1000 {
        let node = format!("n{at}");
        run.execute("blockdev-add", json!({"driver": "null-co", "node-name": node})).unwrap();
        let (target, lun) = (at % 250, at / 250);
        let device = json!({
            "driver": "scsi-hd", "id": format!("d{at}"), "drive": node, "scsi-id": target, "lun": lun,
        });
        run.execute("device_add", device).unwrap();
    }
    assert_eq!(run.execute("query-block", json!({})).unwrap().as_array().unwrap().len(), 1000);
    for at in 0..1000 {
        run.execute("device_del", json!({"id": format!("d{at}")})).unwrap();
    }
    run.go(qplug_sim::GRACE);
    assert_eq!(run.execute("query-block", json!({})).unwrap(), json!([]));
}
