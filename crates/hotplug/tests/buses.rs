//! Every bus, on real machines.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::time::Duration;

use qplug_hotplug::{
    After, Attached, Bus, Departures, Detached, DeviceOptions, Disk, DiskName, DiskState, Error,
    ListedDisk, ListedPort, Machine, Meaning, PortState, Which,
};
use qplug_qmp::Client;
use qplug_testbed::boot_files::BootFiles;
use qplug_testbed::machine::Builder;
use qplug_testbed::{Board, Qemu};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const MIB: u64 = 1 << 20;
const SEEN_WITHIN: Duration = Duration::from_secs(30);
const BUSES: [Bus; 5] = [Bus::VirtioBlk, Bus::VirtioScsi, Bus::Nvme, Bus::UsbStorage, Bus::UsbUas];

/// A machine, qplug at its monitor, and what was in it before.
struct Bench {
    machine: qplug_testbed::Machine,
    qplug: Machine,
    runtime: Runtime,
    before: Value,
}

impl Bench {
    fn new(mut machine: qplug_testbed::Machine) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let address = machine.qmp_path().display().to_string().parse().unwrap();
        let client = runtime.block_on(Client::connect(&address)).unwrap();
        let before = contents(&mut machine);
        Self { machine, qplug: Machine::new(client), runtime, before }
    }

    /// A disk of its own image.
    fn disk(&self, name: &str, bus: Option<Bus>) -> Disk {
        let path = self.machine.folder().join(format!("{name}.img"));
        std::fs::File::create(&path).unwrap().set_len(MIB).unwrap();
        Disk::named(name).unwrap().bus(bus).image(path).unwrap()
    }

    fn disks(&self, prefix: &str, bus: Option<Bus>, count: usize) -> Vec<Disk> {
        (0..count).map(|n| self.disk(&format!("{prefix}{n}"), bus)).collect()
    }

    fn attach(&self, disk: Disk) -> Result<Attached, Error> {
        self.runtime.block_on(self.qplug.attach(disk))
    }

    fn attach_all(&self, disks: Vec<Disk>) -> Vec<Result<Attached, Error>> {
        self.runtime.block_on(self.qplug.attach_all(disks))
    }

    fn detach(&self, name: &str, timeout: Duration) -> Result<Detached, Error> {
        self.runtime.block_on(self.qplug.detach(&DiskName::new(name).unwrap(), timeout))
    }

    fn detach_all(&self) -> Departures {
        let detach = self.qplug.detach_all(Which::All, Machine::DETACH_TIMEOUT);
        self.runtime.block_on(detach).unwrap()
    }

    fn listed(&self, name: &str) -> ListedDisk {
        let list = self.runtime.block_on(self.qplug.list()).unwrap();
        list.into_iter().find(|disk| disk.name == name).unwrap()
    }

    fn port(&self, name: &str) -> Option<ListedPort> {
        let ports = self.runtime.block_on(self.qplug.ports()).unwrap();
        ports.ports.into_iter().find(|port| port.port == name)
    }

    /// Whether there is a device, object or node of this name.
    fn has(&mut self, name: &str) -> bool {
        let contents = contents(&mut self.machine);
        let sets = contents.as_object().unwrap().values();
        sets.flat_map(|set| set.as_array().unwrap()).any(|known| known == name)
    }

    #[track_caller]
    fn assert_nothing_left(&mut self) {
        assert_eq!(contents(&mut self.machine), self.before, "{}", self.machine.qemu.version);
    }

    #[track_caller]
    fn assert_all_removed(&self, departures: Departures) {
        for (name, outcome) in departures {
            let outcome = outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(matches!(outcome, Detached::Removed { .. }), "{name}: {outcome:?}");
        }
    }
}

/// The devices, nodes and objects of a machine, as the oracle sees them.
fn contents(machine: &mut qplug_testbed::Machine) -> Value {
    let mut names = |command: &str, arguments: Value, key: &str| {
        let answer = machine.oracle.demand(command, arguments).unwrap();
        let mut names: Vec<_> = answer
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it[key].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    json!({
        "devices": names("qom-list", json!({"path": "/machine/peripheral"}), "name"),
        "objects": names("qom-list", json!({"path": "/objects"}), "name"),
        "nodes": names("query-named-block-nodes", json!({}), "node-name"),
    })
}

/// Runs a test on a machine that never ran, on every QEMU.
fn halted(name: &str, shape: impl Fn(Builder) -> Builder, board: Board, test: impl Fn(Bench)) {
    for qemu in Qemu::of_all_ages(name) {
        // Set-up brings s390x for the newest QEMU only, as its package is large, and a PC alone of
        // another release.
        if !qemu.has_board(board) {
            let is_apart = board == Board::S390x || qemu.is_of_another_release();
            assert!(is_apart, "{name}: QEMU {} has no {}", qemu.version, board.name());
            continue;
        }
        let machine = shape(qplug_testbed::Machine::builder(&qemu, board)).halted().unwrap();
        test(Bench::new(machine));
    }
}

/// Runs a test on a machine with every bus and a living guest, on every QEMU and board.
fn living(name: &str, test: impl Fn(Bench, Board)) {
    living_on(Qemu::under_test(name), name, test);
}

fn living_on(qemus: Vec<Qemu>, name: &str, test: impl Fn(Bench, Board)) {
    for qemu in qemus {
        if let Err(error) = BootFiles::ready() {
            return qplug_testbed::qemu::skip(name, &error.to_string());
        }
        for board in Board::ALL {
            let builder = qplug_testbed::Machine::builder(&qemu, board);
            let builder = builder.scsi().usb().cdrom().scsi_cdrom().bridge();
            test(Bench::new(builder.restored().unwrap()), board);
        }
    }
}

#[test]
fn every_bus_brings_the_guest_a_disk_and_takes_it_away() {
    living_on(Qemu::of_all_ages("every bus"), "every bus", |mut bench, board| {
        let major = bench.machine.qemu.version.major;
        // QEMU 5.2 ends with "usb_packet_copy: invalid pid" as soon as Linux drives its usb-uas.
        let buses: Vec<_> =
            BUSES.into_iter().filter(|bus| major > 5 || *bus != Bus::UsbUas).collect();
        let disks = buses.iter().map(|bus| bench.disk(&format!("on-{bus}"), Some(*bus)));
        let disks: Vec<_> = disks.collect();
        for outcome in bench.attach_all(disks.clone()) {
            let attached = outcome.unwrap();
            let name = attached.name;
            bench.machine.guest.wait_added(&name, SEEN_WITHIN).unwrap();
            let listed = bench.listed(&name);
            assert_eq!((listed.bus, listed.state), (Some(attached.bus), DiskState::Attached));
            assert_eq!(listed.port, attached.port, "{name}");
            assert_eq!(listed.guest_path.as_deref(), Some(attached.guest_path.as_str()));
        }
        for (bus, port) in [(Bus::VirtioScsi, "scsi0"), (Bus::UsbUas, "xhci.0")] {
            if buses.contains(&bus) {
                assert_eq!(bench.listed(&format!("on-{bus}")).port.as_deref(), Some(port));
            }
        }
        let again = bench.attach(disks[1].clone()).unwrap();
        assert!(again.already && again.bus == Bus::VirtioScsi, "{board:?}");
        bench.assert_all_removed(bench.detach_all());
        bench.assert_nothing_left();
        // The guest hears of a USB disk's end a moment later.
        for bus in buses {
            bench.machine.guest.wait_removed(&format!("on-{bus}"), SEEN_WITHIN).unwrap();
        }
    });
}

#[test]
fn a_slot_behind_a_bridge_takes_a_disk() {
    living("bridge", |mut bench, _| {
        let disk = bench.disk("data", None).port(Some("br0/3".to_owned()));
        assert_eq!(bench.attach(disk).unwrap().port.as_deref(), Some("br0/3"));
        bench.machine.guest.wait_added("data", SEEN_WITHIN).unwrap();
        let port = bench.port("br0/3").unwrap();
        assert_eq!((port.state, port.holds.as_deref()), (PortState::Taken, Some("data")));
        assert_eq!(bench.port("br0/4").unwrap().state, PortState::Free);
        assert_eq!(bench.port("br0/0"), None);
        assert_eq!(bench.listed("data").port.as_deref(), Some("br0/3"));
        bench.assert_all_removed(bench.detach_all());
        bench.assert_nothing_left();
    });
}

#[test]
fn a_controller_comes_with_the_first_disk_and_leaves_with_the_last() {
    for qemu in Qemu::under_test("own controller") {
        for board in Board::ALL {
            let builder = qplug_testbed::Machine::builder(&qemu, board);
            let mut bench = Bench::new(builder.restored().unwrap());
            for outcome in bench.attach_all(bench.disks("d", Some(Bus::VirtioScsi), 3)) {
                let attached = outcome.unwrap();
                assert_eq!(attached.port.as_deref(), Some("qplug.scsi.0"));
                bench.machine.guest.wait_added(&attached.name, SEEN_WITHIN).unwrap();
            }
            assert_eq!(bench.port("qplug.scsi.0").unwrap().devices, Some(3));
            let removed = bench.detach("d1", Machine::DETACH_TIMEOUT).unwrap();
            assert_eq!(removed, Detached::Removed { was_gone: false });
            assert!(bench.has("qplug.scsi.0"));
            bench.assert_all_removed(bench.detach_all());
            bench.assert_nothing_left();
        }
    }
}

#[test]
fn a_controller_that_is_being_unplugged_is_left_alone() {
    halted(
        "leaving controller",
        |it| it,
        Board::Q35,
        |mut bench| {
            bench.attach(bench.disk("one", Some(Bus::VirtioScsi))).unwrap();
            // No guest lets go of the controller.
            let removed = bench.detach("one", Duration::from_millis(200)).unwrap();
            assert_eq!(removed, Detached::Removed { was_gone: false });
            assert!(bench.has("qplug.scsi.0") && bench.has("qplug.scsi.0.pending"));
            assert_eq!(bench.port("qplug.scsi.0").unwrap().state, PortState::Leaving);
            let error = bench.attach(bench.disk("two", None).port(Some("qplug.scsi.0".to_owned())));
            assert!(error.unwrap_err().to_string().contains("is being unplugged"));
            let two = bench.attach(bench.disk("two", Some(Bus::VirtioScsi))).unwrap();
            assert_eq!(two.port.as_deref(), Some("qplug.scsi.1"));
        },
    );
}

#[test]
fn three_hundred_disks_fit_on_one_controller() {
    halted("300 disks", Builder::scsi, Board::Q35, |mut bench| {
        for outcome in bench.attach_all(bench.disks("d", Some(Bus::VirtioScsi), 300)) {
            assert_eq!(outcome.unwrap().port.as_deref(), Some("scsi0"));
        }
        assert_eq!(bench.port("scsi0").unwrap().devices, Some(300));
        let lun = json!({"path": "/machine/peripheral/d299", "property": "lun"});
        assert_eq!(bench.machine.oracle.demand("qom-get", lun).unwrap(), 1);
        bench.assert_all_removed(bench.detach_all());
        bench.assert_nothing_left();
    });
}

#[test]
fn more_disks_than_ports_share_a_controller() {
    halted(
        "few ports",
        |it| it.ports(2),
        Board::Q35,
        |mut bench| {
            let outcomes = bench.attach_all(bench.disks("d", None, 5));
            let ports: Vec<_> = outcomes.into_iter().map(|it| it.unwrap().port.unwrap()).collect();
            let scsi = "qplug.scsi.0";
            assert_eq!(ports, ["rp1", scsi, scsi, scsi, scsi]);
            assert_eq!(bench.listed("d0").port.as_deref(), Some("rp1"));
            assert_eq!(bench.port("rp0").unwrap().holds.as_deref(), Some(scsi));
            assert!(bench.has("d4"));
        },
    );
}

#[test]
fn a_full_usb_bus_refuses_one_disk_and_keeps_the_others() {
    halted("full USB bus", Builder::usb, Board::Q35, |mut bench| {
        // QEMU makes hubs until they are five deep, which makes 39 ports of 8, and they stay.
        let outcomes = bench.attach_all(bench.disks("d", Some(Bus::UsbStorage), 40));
        let refused: Vec<_> = outcomes.iter().filter_map(|it| it.as_ref().err()).collect();
        assert!(matches!(refused[..], [Error::NoFreePort { .. }]), "{refused:?}");
        assert!(refused[0].to_string().contains("no free ports"));
        assert_eq!(bench.port("xhci.0").unwrap().devices, Some(39));
        bench.assert_all_removed(bench.detach_all());
        bench.assert_nothing_left();
    });
}

#[test]
fn usb_attached_scsi_is_not_for_usb_1() {
    let slow = |it: Builder| it.arguments(["-device", "piix3-usb-uhci,id=old"]);
    halted("USB 1", slow, Board::Q35, |mut bench| {
        let error = bench.attach(bench.disk("data", Some(Bus::UsbUas))).unwrap_err();
        assert!(error.to_string().contains("USB 1"), "{error}");
        let disk = bench.disk("data", Some(Bus::UsbStorage));
        assert_eq!(bench.attach(disk).unwrap().port.as_deref(), Some("old.0"));
        bench.assert_all_removed(bench.detach_all());
        bench.assert_nothing_left();
    });
}

#[test]
fn a_usb_disk_that_cannot_be_finished_is_undone() {
    halted("undone", Builder::usb, Board::Q35, |mut bench| {
        let set = vec![("no-such-property".to_owned(), json!(1))];
        let options = DeviceOptions { set, ..DeviceOptions::default() };
        let disk = bench.disk("data", Some(Bus::UsbUas)).device(options);
        let error = bench.attach(disk).unwrap_err();
        assert!(matches!(error, Error::Refused { after: After::Undone, .. }), "{error}");
        bench.assert_nothing_left();
        // QEMU 5.2 keeps a device's id until it has said so.
        let gone = |data: &Value| data["device"] == "data.uas";
        bench.machine.oracle.wait_event_where("DEVICE_DELETED", SEEN_WITHIN, gone).unwrap();
        bench.attach(bench.disk("data", Some(Bus::UsbUas))).unwrap();
    });
}

#[test]
fn long_serials_reach_the_device() {
    let serial = "x".repeat(36);
    halted(
        "long serials",
        |it| it.scsi().usb(),
        Board::Q35,
        |mut bench| {
            for bus in [Bus::VirtioScsi, Bus::UsbUas] {
                let path = bench.machine.folder().join("data.img");
                std::fs::File::create(&path).unwrap().set_len(MIB).unwrap();
                let disk = Disk::named("data").unwrap().bus(Some(bus)).serial(Some(&serial));
                bench.attach(disk.image(path).unwrap()).unwrap();
                let get = json!({"path": "/machine/peripheral/data", "property": "device_id"});
                assert_eq!(bench.machine.oracle.demand("qom-get", get).unwrap(), serial);
                bench.assert_all_removed(bench.detach_all());
                bench.assert_nothing_left();
            }
        },
    );
}

#[test]
fn ports_that_no_firmware_has_numbered_are_seen_and_can_be_named() {
    let switch = |it: Builder| {
        it.bridge().arguments([
            "-device",
            "x3130-upstream,bus=rp0,id=up",
            "-device",
            "xio3130-downstream,bus=up,id=down0,chassis=50",
        ])
    };
    halted("hidden ports", switch, Board::Q35, |bench| {
        for (name, port) in [("one", "down0"), ("two", "br0/31"), ("three", "br0/1")] {
            let disk = bench.disk(name, None).port(Some(port.to_owned()));
            assert_eq!(bench.attach(disk).unwrap().port.as_deref(), Some(port));
            let listed = bench.port(port).unwrap();
            assert_eq!((listed.state, listed.holds.as_deref()), (PortState::Taken, Some(name)));
        }
        assert_eq!(bench.port("br0/2").unwrap().state, PortState::Free);
        assert_eq!(bench.port("rp0").unwrap().holds.as_deref(), Some("up"));
        assert_eq!(bench.listed("one").port.as_deref(), Some("down0"));
        let again = bench.disk("four", None).port(Some("br0/31".to_owned()));
        let error = bench.attach(again).unwrap_err();
        assert!(
            matches!(error, Error::Refused { meaning: Some(Meaning::PortTaken), .. }),
            "{error}"
        );
        let none = bench.disk("four", None).port(Some("br0/0".to_owned()));
        assert!(matches!(bench.attach(none), Err(Error::NoSuchPort { .. })));
    });
}

#[test]
fn two_disks_of_a_list_cannot_have_one_port() {
    halted(
        "one port",
        |it| it,
        Board::Q35,
        |mut bench| {
            let to_rp1 = |disk: Disk| disk.port(Some("rp1".to_owned()));
            let disks = bench.disks("d", None, 2).into_iter().map(to_rp1).collect();
            let outcomes = bench.attach_all(disks);
            let errors: Vec<_> =
                outcomes.into_iter().map(|it| it.unwrap_err().to_string()).collect();
            assert!(errors[1].contains("is given to another disk of the list"), "{errors:?}");
            bench.assert_nothing_left();
        },
    );
}

#[test]
fn boards_of_other_kinds() {
    halted(
        "mainframe",
        |it| it,
        Board::S390x,
        |mut bench| {
            let disks =
                [Bus::VirtioBlk, Bus::VirtioScsi].map(|bus| bench.disk(bus.as_str(), Some(bus)));
            let outcomes = bench.attach_all(disks.to_vec());
            let ports: Vec<_> = outcomes.into_iter().map(|it| it.unwrap().port.unwrap()).collect();
            assert_eq!(ports, ["css", "qplug.scsi.0"]);
            assert_eq!(bench.listed("virtio-blk").port.as_deref(), Some("css"));
            assert_eq!(bench.port("css").unwrap().devices, Some(2));
            bench.assert_all_removed(bench.detach_all());
            bench.assert_nothing_left();
        },
    );
    halted(
        "ARM",
        |it| it,
        Board::Virt,
        |mut bench| {
            let port = bench.attach(bench.disk("data", None)).unwrap().port;
            assert_eq!(port.as_deref(), Some("rp0"));
            bench.assert_all_removed(bench.detach_all());
            bench.assert_nothing_left();
        },
    );
    halted(
        "microvm",
        |it| it,
        Board::Microvm,
        |mut bench| {
            let error = bench.attach(bench.disk("data", None)).unwrap_err();
            assert!(error.to_string().contains("there from the start"), "{error}");
            bench.assert_nothing_left();
        },
    );
}

#[test]
fn native_ports_and_a_bridge_that_plugs_by_itself() {
    for qemu in Qemu::under_test("native") {
        let builder = qplug_testbed::Machine::builder(&qemu, Board::Q35).bridge().fixed_ports(1);
        let mut bench = Bench::new(builder.native_hotplug().restored().unwrap());
        let fixed = bench.disk("data", None).port(Some("fixed0".to_owned()));
        let error = bench.attach(fixed).unwrap_err();
        let meaning = Some(Meaning::NotHotpluggable);
        assert!(matches!(error, Error::Refused { meaning: it, .. } if it == meaning));
        assert_eq!(bench.port("fixed0").unwrap().state, PortState::Fixed);
        for (name, port) in [("data", "rp0"), ("far", "br0/1")] {
            bench.attach(bench.disk(name, None).port(Some(port.to_owned()))).unwrap();
        }
        for name in ["data", "far"] {
            bench.machine.guest.wait_added(name, SEEN_WITHIN).unwrap();
        }
        bench.assert_all_removed(bench.detach_all());
        bench.assert_nothing_left();
    }
}
