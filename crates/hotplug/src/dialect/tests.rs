//! Operations on machines that have drives, played as QEMU 0.14 answers.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::error::Error;
use crate::operation::script::Happens::{self, Answer, At};
use crate::operation::script::play;
use crate::{
    Attach, Attached, Detach, Detached, Disk, DiskName, Format, Operation, Resize, Size, Which,
};

const PCI: &str = r#"[{"bus": 0, "devices": [
    {"bus": 0, "qdev_id": "", "slot": 0, "class_info": {"class": 1536, "desc": "Host bridge"}, "id": {"device": 32902, "vendor": 4663}, "function": 0, "regions": []}]}]"#;
const PCI_WITH_DATA: &str = r#"[{"bus": 0, "devices": [
    {"bus": 0, "qdev_id": "", "slot": 0, "class_info": {"class": 1536, "desc": "Host bridge"}, "id": {"device": 32902, "vendor": 4663}, "function": 0, "regions": []},
    {"bus": 0, "qdev_id": "data", "slot": 3, "class_info": {"class": 256, "desc": "SCSI controller"}, "id": {"device": 6900, "vendor": 4097}, "function": 0, "regions": []}]}]"#;
const DRIVES: &str = r#"[{"device": "data.format", "locked": false, "removable": false, "type": "hd",
    "inserted": {"ro": false, "drv": "raw", "encrypted": false, "file": "/a,b.img"}}]"#;
const TREE: &str = r#""bus: main-system-bus\r\n  dev: virtio-blk-pci, id \"data\"\r\n    dev-prop: drive = data.format\r\n""#;
const NO_TREE: &str = r#""bus: main-system-bus\r\n  type System\r\n""#;

/// As 0.14 tells of itself.
fn features() -> Features {
    Features {
        dialect: Dialect::Drive,
        commands: Some(BTreeSet::from([
            "device_add".to_owned(),
            "human-monitor-command".to_owned(),
        ])),
        announces: false,
        names_devices: false,
        throttle_groups: false,
        flat_objects: false,
        ..Features::default()
    }
}

fn disk() -> Disk {
    let disk = Disk::named("data").unwrap().format(Some(Format::raw()));
    disk.remote_image("/a,b.img").unwrap()
}

fn gone(command: &'static str) -> Happens {
    Answer(command, "", Err("The command has not been found"))
}

fn attach(disk: Disk, script: Vec<Happens>) -> Result<Attached, Error> {
    let mut attach = Attach::new(vec![disk]);
    attach.speak(&features());
    play(attach, script).remove(0)
}

fn detach(script: Vec<Happens>) -> Result<Detached, Error> {
    let which = Which::Named(vec![DiskName::new("data").unwrap()]);
    let mut detach = Detach::new(which, Duration::from_secs(30));
    detach.speak(&features());
    play(detach, script).unwrap().remove(0).1
}

fn look_to_detach() -> Vec<Happens> {
    vec![
        Answer("query-block", "", Ok(DRIVES)),
        Answer("human-monitor-command", "info qtree", Ok(TREE)),
        gone("query-block-jobs"),
        gone("query-block-exports"),
        gone("qom-list"),
    ]
}

#[test]
fn a_disk_is_a_drive_with_the_serial() {
    let attached = attach(
        disk(),
        vec![
            Answer("query-pci", "", Ok(PCI)),
            Answer("query-block", "", Ok("[]")),
            gone("query-migrate"),
            Answer(
                "human-monitor-command",
                r#"drive_add 0 if=none,id=data.format,file=/a,,b.img,format=raw,serial=data"#,
                Ok(r#""OK\r\n""#),
            ),
            Answer("device_add", r#""drive":"data.format""#, Ok("{}")),
        ],
    );
    assert_eq!(attached.unwrap().port.as_deref(), Some("pci.0/1"));
}

#[test]
fn a_text_is_a_refusal_and_what_was_done_is_taken_back() {
    let look = || {
        vec![
            Answer("query-pci", "", Ok(PCI)),
            Answer("query-block", "", Ok("[]")),
            gone("query-migrate"),
        ]
    };
    let missing = r#""could not open disk image /a,b.img: No such file or directory\r\n""#;
    let mut script = look();
    script.push(Answer("human-monitor-command", "drive_add", Ok(missing)));
    let error = attach(disk(), script).unwrap_err();
    assert!(matches!(error, Error::Refused { after: crate::After::Unchanged, .. }), "{error}");
    let mut script = look();
    script.extend([
        Answer("human-monitor-command", "drive_add", Ok(r#""OK\r\n""#)),
        Answer("device_add", "", Err("Property 'virtio-blk-pci.nosuch' not found")),
        Answer("human-monitor-command", "info qtree", Ok(NO_TREE)),
        Answer("human-monitor-command", "drive_del data.format", Ok("{}")),
    ]);
    let error = attach(disk(), script).unwrap_err();
    assert!(matches!(error, Error::Refused { after: crate::After::Undone, .. }), "{error}");
}

#[test]
fn a_drive_that_a_device_has_is_not_taken_back() {
    let look = |drives, pci| {
        vec![
            Answer("query-pci", "", Ok(pci)),
            Answer("query-block", "", Ok(drives)),
            gone("query-migrate"),
        ]
    };
    // Another client found the drive half done, and was faster with the device.
    let mut script = look("[]", PCI);
    script.extend([
        Answer("human-monitor-command", "drive_add", Ok(r#""OK\r\n""#)),
        Answer("device_add", "", Err("Duplicate ID 'data' for device")),
        Answer("human-monitor-command", "info qtree", Ok(TREE)),
    ]);
    script.extend(look(DRIVES, PCI_WITH_DATA));
    script.extend([
        Answer("query-block", "", Ok(DRIVES)),
        Answer("human-monitor-command", "info qtree", Ok(TREE)),
        gone("qom-list"),
        Answer("human-monitor-command", "info qtree", Ok(TREE)),
        Answer("human-monitor-command", "info qtree", Ok(TREE)),
    ]);
    assert!(attach(disk(), script).unwrap().already);
    // Nobody can tell.
    let mut script = look("[]", PCI);
    script.extend([
        Answer("human-monitor-command", "drive_add", Ok(r#""OK\r\n""#)),
        Answer("device_add", "", Err("Something is wrong")),
        Answer("human-monitor-command", "info qtree", Err("it is not allowed")),
    ]);
    let error = attach(disk(), script).unwrap_err();
    let Error::Refused { after: crate::After::Left(left), .. } = &error else { panic!("{error}") };
    assert!(left[0].undo.to_string().contains("drive_del data.format"));
}

#[test]
fn a_path_with_a_colon_is_refused_where_it_would_be_a_protocol() {
    let disk = Disk::named("data").unwrap().format(Some(Format::raw()));
    let look = vec![
        Answer("query-pci", "", Ok(PCI)),
        Answer("query-block", "", Ok("[]")),
        gone("query-migrate"),
    ];
    let error = attach(disk.remote_image("/a:b.img").unwrap(), look).unwrap_err();
    assert!(matches!(error, Error::Drive(DriveError::Colon { .. })), "{error}");
}

#[test]
fn what_is_there_already_is_told_by_the_tree() {
    let script = |tree| {
        vec![
            Answer("query-pci", "", Ok(PCI_WITH_DATA)),
            Answer("query-block", "", Ok(DRIVES)),
            gone("query-migrate"),
            Answer("query-block", "", Ok(DRIVES)),
            Answer("human-monitor-command", "info qtree", Ok(tree)),
            gone("qom-list"),
            // Once for the devices, once for the serials, where one waits for the other.
            Answer("human-monitor-command", "info qtree", Ok(tree)),
            Answer("human-monitor-command", "info qtree", Ok(tree)),
        ]
    };
    assert!(attach(disk(), script(TREE)).unwrap().already);
    assert!(attach(disk().read_only(true), script(TREE)).is_err());
}

#[test]
fn what_is_limited_already_is_told_by_the_drive() {
    let limits = serde_json::from_str(r#"{"iops-total": 100}"#).unwrap();
    let attach = |drives: &'static str| {
        let throttle = crate::Throttle::new(None, Clone::clone(&limits));
        let mut attach = Attach::new(vec![disk().throttle(Some(throttle))]);
        let commands = ["human-monitor-command", "block_set_io_throttle"].map(ToOwned::to_owned);
        attach.speak(&Features { commands: Some(BTreeSet::from(commands)), ..features() });
        let script = vec![
            Answer("query-pci", "", Ok(PCI_WITH_DATA)),
            Answer("query-block", "", Ok(drives)),
            gone("query-migrate"),
            gone("qom-list"),
            Answer("query-block", "", Ok(drives)),
            Answer("human-monitor-command", "info qtree", Ok(TREE)),
            Answer("human-monitor-command", "info qtree", Ok(TREE)),
            Answer("human-monitor-command", "info qtree", Ok(TREE)),
        ];
        play(attach, script).remove(0)
    };
    let limited = r#"[{"device": "data.format", "removable": false, "inserted":
        {"ro": false, "drv": "raw", "file": "/a,b.img", "iops": 100, "bps": 0}}]"#;
    assert!(attach(limited).unwrap().already);
    assert!(matches!(attach(DRIVES), Err(Error::NameTaken { .. })));
}

#[test]
fn a_machine_that_says_nothing_is_looked_at_until_the_disk_is_gone() {
    let mut script = look_to_detach();
    script.extend([
        Answer("device_del", "data", Ok("{}")),
        At(50),
        Answer("query-pci", "", Ok(PCI_WITH_DATA)),
        At(150),
        Answer("query-pci", "", Ok(PCI_WITH_DATA)),
        At(350),
        Answer("query-pci", "", Ok(PCI)),
        Answer("human-monitor-command", "info qtree", Ok(NO_TREE)),
        // The drive went with its device.
        Answer("human-monitor-command", "drive_del", Ok(r#""Device 'data.format' not found\r\n""#)),
        Answer("human-monitor-command", "info qtree", Ok(NO_TREE)),
    ]);
    assert_eq!(detach(script).unwrap(), Detached::Removed { was_gone: false });
}

#[test]
fn who_is_asked_again_is_there_still() {
    let mut script = look_to_detach();
    script.push(Answer("device_del", "data", Ok("{}")));
    for at in [50, 150, 350, 700] {
        script.extend([At(at), Answer("query-pci", "", Ok(PCI_WITH_DATA))]);
    }
    script.extend([
        Answer("device_del", "data", Ok("{}")),
        At(1500),
        Answer("query-pci", "", Ok(PCI)),
        Answer("human-monitor-command", "info qtree", Ok(NO_TREE)),
        Answer("human-monitor-command", "drive_del", Ok(r#""Device 'data.format' not found\r\n""#)),
        Answer("human-monitor-command", "info qtree", Ok(NO_TREE)),
    ]);
    assert_eq!(detach(script).unwrap(), Detached::Removed { was_gone: false });
}

#[test]
fn a_job_on_a_drive_keeps_its_disk() {
    const JOBS: &str = r#"[{"type": "mirror", "device": "data.format", "len": 9, "offset": 1, "speed": 1, "busy": true}]"#;
    let mut script = look_to_detach();
    script[2] = Answer("query-block-jobs", "", Ok(JOBS));
    script.push(gone("x-debug-query-block-graph"));
    let error = detach(script).unwrap_err();
    assert!(matches!(&error, Error::Busy { by, .. } if by.contains("data.format")), "{error}");
}

#[test]
fn what_is_behind_a_bridge_that_has_no_number_is_not_gone() {
    let mut script = look_to_detach();
    script.extend([
        Answer("device_del", "data", Ok("{}")),
        At(50),
        Answer("query-pci", "", Ok(PCI)),
        Answer("human-monitor-command", "info qtree", Ok(TREE)),
        At(150),
        Answer("query-pci", "", Ok(PCI)),
        Answer("human-monitor-command", "info qtree", Err("it is not allowed")),
        At(40_000),
    ]);
    assert_eq!(detach(script).unwrap(), Detached::Pending);
}

#[test]
fn a_guest_that_stays_silent_is_pending_and_nothing_is_marked() {
    let mut script = look_to_detach();
    script.push(Answer("device_del", "data", Ok("{}")));
    script.extend([At(50), Answer("query-pci", "", Ok(PCI_WITH_DATA)), At(40_000)]);
    assert_eq!(detach(script).unwrap(), Detached::Pending);
}

#[test]
fn who_does_not_show_its_devices_keeps_its_drives() {
    // Each would be taken for one that no device uses, and be closed under the guest.
    let silent = [
        (Err("it is not allowed"), "not allowed"),
        (Ok(r#""unknown command: 'info'\r\n""#), "no tree of devices"),
        (Ok("{}"), "invalid type"),
    ];
    for (answer, why) in silent {
        let script = vec![
            Answer("query-block", "", Ok(DRIVES)),
            Answer("human-monitor-command", "info qtree", answer),
        ];
        let mut resize = Resize::new("data", Size::Bytes(512), true);
        resize.speak(&features());
        let error = play(resize, script).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_wish_that_a_drive_cannot_fulfil_is_refused_before_anything_is_sent() {
    let look = || {
        vec![
            Answer("query-pci", "", Ok(PCI)),
            Answer("query-block", "", Ok("[]")),
            gone("query-migrate"),
        ]
    };
    let iothread = disk().iothread(Some("io1".to_owned()));
    let mut script = look();
    script.push(gone("qom-list"));
    let error = attach(iothread, script).unwrap_err();
    let Error::NotAble { ability, dialect, .. } = &error else { panic!("{error}") };
    assert_eq!((*ability, *dialect), (Ability::IoThreads, Dialect::Drive));
    let far = disk().port(Some("pci.0/32".to_owned()));
    // An address that is out of range hangs 0.14.
    let mut script = look();
    script.extend([Answer("human-monitor-command", "info qtree", Ok(NO_TREE)), gone("qom-list")]);
    assert!(matches!(attach(far, script), Err(Error::NoSuchPort { .. })));
}

#[test]
fn a_dialect_is_read_as_it_is_written() {
    for dialect in [Dialect::Blockdev, Dialect::Drive, Dialect::Rhel6] {
        assert_eq!(dialect.to_string().parse(), Ok(dialect));
    }
    assert!("qmp".parse::<Dialect>().is_err());
}

#[test]
fn each_dialect_closes_an_image_its_own_way() {
    let close = |dialect| Features { dialect, ..Features::default() }.close("a.format");
    assert_eq!(close(Dialect::Blockdev).to_string(), "blockdev-del node-name=a.format");
    let drive = "human-monitor-command command-line='drive_del a.format'";
    assert_eq!(close(Dialect::Drive).to_string(), drive);
    assert_eq!(close(Dialect::Rhel6).to_string(), "__com.redhat_drive_del id=a.format");
}
