//! Lists of disks, and what disks share: controllers, groups, limits.

use super::*;

#[test]
fn many_are_plugged_in_side_by_side_and_each_ends_for_itself() {
    let steps = vec![
        Answer("blockdev-add", "/a", Ok("{}")),
        plug(r#""bus":"rp1","addr":"0""#, Ok("{}")),
        Answer("blockdev-add", "/b", Ok("{}")),
        plug(r#""bus":"rp0","addr":"0""#, Err(LOCKED)),
        Answer("blockdev-del", "b.format", Ok("{}")),
    ];
    let outcomes = many(&["a", "b"], script([look(Q35, "[]"), steps]));
    assert_eq!(outcomes[0].as_ref().unwrap().port.as_deref(), Some("rp1"));
    assert!(matches!(outcomes[1], Err(Error::Refused { after: After::Undone, .. })));
}

#[test]
fn every_disk_of_a_list_may_be_overtaken_at_once() {
    let names = ["a", "b", "c", "d", "e"];
    const FIVE: &str = r#"[{"bus": 0, "devices": [
        {"slot": 0, "id": {"vendor": 32902, "device": 4663}, "class_info": {"class": 1536}, "qdev_id": ""}]}]"#;
    let opened = || Answer("blockdev-add", "", Ok("{}"));
    // A recovery of another client took them for left over.
    let lost = "Property 'virtio-blk-device.drive' can't find value 'a.format'";
    let gone = "Failed to find node with node-name='a.format'";
    let closed = || Answer("blockdev-del", "", Err(gone));
    let mut steps = look(FIVE, "[]");
    steps.extend(names.iter().flat_map(|_| [opened(), plug("", Err(lost)), closed()]));
    steps.extend(look(FIVE, "[]"));
    steps.extend(names.iter().flat_map(|_| [opened(), plug("", Ok("{}"))]));
    let outcomes = many(&names, steps);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
}

#[test]
fn a_disk_that_is_half_done_comes_before_one_that_is_not_begun() {
    let names: Vec<String> = (0..=MAX_IN_FLIGHT).map(|n| format!("d{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let raw = || Some(Format::raw());
    let disk = |name: &&str| {
        let disk = Disk::named(name).unwrap().format(raw()).remote_image(format!("/{name}"));
        disk.unwrap().port(Some("css".to_owned()))
    };
    let mut attach = Attach::new(names.iter().map(disk).collect());
    let now = Instant::now();
    let answer = |attach: &mut Attach, text: &str| {
        let value = serde_json::value::RawValue::from_string(text.to_owned()).unwrap();
        attach.handle_answer(crate::operation::Answer::Returned(value), now);
    };
    for text in ["[]", "[]", "{}", r#""s390-ccw-virtio-7.2-machine""#, "[]", "[]"] {
        attach.poll_transmit().unwrap();
        answer(&mut attach, text);
    }
    for _ in 0..MAX_IN_FLIGHT {
        assert_eq!(attach.poll_transmit().unwrap().name, "blockdev-add");
    }
    assert_eq!(attach.poll_transmit(), None);
    let next = (0..MAX_IN_FLIGHT).find_map(|_| {
        answer(&mut attach, "{}");
        attach.poll_transmit()
    });
    assert_eq!(next.unwrap().name, "device_add");
}

#[test]
fn a_list_is_refused_as_a_whole_when_one_of_it_is_impossible() {
    let outcomes = many(&["a", "b", "a"], {
        let mut steps = look(Q35, "[]");
        steps.extend(look_for_controllers());
        steps
    });
    assert!(matches!(outcomes[0], Err(Error::NotTried)));
    assert!(matches!(outcomes[2], Err(Error::NamedTwice { .. })));
}

#[test]
fn a_controller_makes_room_where_the_ports_do_not_and_goes_again_when_no_disk_came() {
    let disk = || {
        let named = Disk::named("data").unwrap().format(Some(Format::raw()));
        named.bus(Some(Bus::VirtioScsi)).remote_image("/a").unwrap()
    };
    let look = || {
        let mut steps = look(Q35, "[]");
        steps.push(Answer("qom-list", "/machine/peripheral", Ok(NO_DEVICES)));
        steps.push(Answer("qom-list", "/objects", Ok("[]")));
        steps.push(plug(r#""virtio-scsi-pci","id":"qplug.scsi.0","bus":"rp1""#, Ok("{}")));
        steps.push(open());
        steps
    };
    let mut steps =
        vec![plug(r#""drive":"data.format","serial":"data","bus":"qplug.scsi.0.0""#, Ok("{}"))];
    steps.extend(stays("[]", ON_CONTROLLER));
    let attached = attach(disk(), script([look(), steps])).unwrap();
    assert_eq!((attached.bus, attached.port.as_deref()), (Bus::VirtioScsi, Some("qplug.scsi.0")));
    let ask = || Answer("device_del", "qplug.scsi.0", Ok("{}"));
    let refused = || {
        vec![
            plug("qplug.scsi.0.0", Err(LOCKED)),
            close(Ok("{}")),
            Answer("object-add", "qplug.scsi.0.pending", Ok("{}")),
            Answer("qom-list", "/qplug.scsi.0.0", Ok("[]")),
            ask(),
        ]
    };
    let mut steps = refused();
    steps.push(Event("DEVICE_DELETED", r#"{"device": "qplug.scsi.0"}"#));
    steps.push(Answer("object-del", "qplug.scsi.0.pending", Ok("{}")));
    let error = attach(disk(), script([look(), steps])).unwrap_err();
    assert!(matches!(error, Error::Refused { after: After::Undone, .. }), "{error}");
    // A guest that does not answer keeps it.
    let mut steps = refused();
    steps.extend([At(700), ask(), At(3000), ask(), At(9000), ask(), At(10000)]);
    let error = attach(disk(), script([look(), steps])).unwrap_err();
    assert!(
        error.to_string().contains("left is 'qplug exec device_del id=qplug.scsi.0'"),
        "{error}"
    );
}

#[test]
fn a_disk_whose_name_ends_like_a_usb_device_is_not_cleared_away() {
    let named = Disk::named("data").unwrap().format(Some(Format::raw()));
    let disk = named.bus(Some(Bus::VirtioScsi)).remote_image("/a").unwrap();
    let devices = r#"[{"name": "data.uas", "type": "child<virtio-blk-pci>"},
        {"name": "scsi0", "type": "child<virtio-scsi-pci>"}]"#;
    let steps = vec![
        Answer("qom-list", "/machine/peripheral", Ok(devices)),
        Answer("qom-list", "/objects", Ok("[]")),
        Answer("qom-list", "/scsi0.0", Ok("[]")),
        open(),
        plug("scsi0.0", Ok("{}")),
    ];
    attach(disk, script([look(Q35, "[]"), steps])).unwrap();
}

#[test]
fn a_controller_that_somebody_unplugged_is_no_lack_of_room() {
    let named = Disk::named("data").unwrap().format(Some(Format::raw()));
    let disk = named.bus(Some(Bus::VirtioScsi)).remote_image("/a").unwrap();
    let there = r#"[{"name": "qplug.scsi.0", "type": "child<virtio-scsi-pci>"}]"#;
    let mut steps = look(Q35, "[]");
    steps.extend([
        Answer("qom-list", "/machine/peripheral", Ok(there)),
        Answer("qom-list", "/objects", Ok("[]")),
        Answer("qom-list", "/qplug.scsi.0.0", Ok("[]")),
        open(),
        plug("qplug.scsi.0.0", Err("Bus 'qplug.scsi.0.0' not found")),
        close(Ok("{}")),
    ]);
    let mut again = look(Q35, "[]");
    again.extend([
        Answer("qom-list", "/machine/peripheral", Ok(NO_DEVICES)),
        Answer("qom-list", "/objects", Ok("[]")),
        plug(r#""virtio-scsi-pci","id":"qplug.scsi.0""#, Ok("{}")),
        open(),
        plug("qplug.scsi.0.0", Ok("{}")),
    ]);
    again.extend(stays("[]", ON_CONTROLLER));
    attach(disk, script([steps, again])).unwrap();
}

/// Another client found the controller empty, and unplugs it: the disk of this attach, which came
/// meanwhile, is taken out again before the guest takes it along, and goes behind another one.
#[test]
fn a_disk_on_a_controller_that_somebody_unplugs_goes_elsewhere() {
    let disk = || {
        let named = Disk::named("data").unwrap().format(Some(Format::raw()));
        named.bus(Some(Bus::VirtioScsi)).remote_image("/a").unwrap()
    };
    let first = || {
        let mut steps = look(Q35, "[]");
        steps.extend([
            Answer("qom-list", "/machine/peripheral", Ok(CONTROLLER)),
            Answer("qom-list", "/objects", Ok("[]")),
            Answer("qom-list", "/qplug.scsi.0.0", Ok("[]")),
            open(),
            plug("qplug.scsi.0.0", Ok("{}")),
        ]);
        steps
    };
    let again = || {
        let mut steps = look(Q35, "[]");
        steps.extend([
            Answer("qom-list", "/machine/peripheral", Ok(CONTROLLER)),
            Answer("qom-list", "/objects", Ok(MARKED)),
            Answer("qom-list", "/qplug.scsi.0.0", Ok("[]")),
            plug(r#""virtio-scsi-pci","id":"qplug.scsi.1""#, Ok("{}")),
            open(),
            plug("qplug.scsi.1.0", Ok("{}")),
        ]);
        steps.extend(stays(MARKED, ON_CONTROLLER));
        steps
    };
    let detach = |block| {
        vec![
            Answer("query-block", "", Ok(block)),
            Answer("query-block-jobs", "", Ok("[]")),
            Answer("query-block-exports", "", Ok("[]")),
            Answer("qom-list", "/objects", Ok("[]")),
        ]
    };
    // The mark is seen.
    let mut steps = first();
    steps.extend(stays(MARKED, ON_CONTROLLER));
    steps.extend(detach(SCSI_BLOCK));
    steps.extend([
        Answer("qom-list", "/machine/peripheral", Ok(ON_CONTROLLER)),
        Answer("device_del", "data", Ok("{}")),
        Event("DEVICE_DELETED", r#"{"device": "data"}"#),
        close(Ok("{}")),
    ]);
    let attached = attach(disk(), script([steps, again()])).unwrap();
    assert_eq!(attached.port.as_deref(), Some("qplug.scsi.1"));
    // The controller is gone, with its mark and the disk.
    let mut steps = first();
    steps.extend(stays("[]", NO_DEVICES));
    steps.extend(detach("[]"));
    steps.extend([
        Answer("query-named-block-nodes", "", Ok(BOTH_NODES)),
        Answer("query-fdsets", "", Ok("[]")),
        Answer("qom-list", "/machine/peripheral", Ok(NO_DEVICES)),
        close(Ok("{}")),
    ]);
    let attached = attach(disk(), script([steps, again()])).unwrap();
    assert_eq!(attached.port.as_deref(), Some("qplug.scsi.1"));
    // A guest that does not let go: the disk is there, on a controller that may leave.
    let mut steps = first();
    steps.extend(stays(MARKED, ON_CONTROLLER));
    steps.extend(detach(SCSI_BLOCK));
    steps.extend([
        Answer("qom-list", "/machine/peripheral", Ok(ON_CONTROLLER)),
        Answer("device_del", "data", Ok("{}")),
        Event("DEVICE_UNPLUG_GUEST_ERROR", r#"{"device": "data"}"#),
    ]);
    let error = attach(disk(), steps).unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
}

#[test]
fn a_group_has_the_limits_that_every_disk_of_the_list_gives_it() {
    let in_group = |name: &str, limits: serde_json::Value| {
        let named = Disk::named(name).unwrap().format(Some(Format::raw()));
        let limits = limits.as_object().unwrap().clone();
        let throttle = Throttle::new(Some("gold".to_owned()), limits);
        named.remote_image(format!("/{name}")).unwrap().throttle(Some(throttle))
    };
    let (ten, five) = (serde_json::json!({"iops-total": 10}), serde_json::json!({"iops-total": 5}));
    let looks = || {
        let mut looks = look(Q35, "[]");
        looks.push(Answer("qom-list", "/objects", Ok("[]")));
        looks
    };
    let disks = vec![in_group("a", ten.clone()), in_group("b", five)];
    let outcomes = play(Attach::new(disks), looks());
    assert!(matches!(outcomes[1], Err(Error::GroupExists { .. })), "{outcomes:?}");
    let disks = ["a", "b"].map(|name| in_group(name, ten.clone()));
    let mut steps = looks();
    steps.push(Answer("object-add", "qplug.group.gold", Ok("{}")));
    steps.extend([open(), plug("", Ok("{}"))]);
    steps.extend([Answer("blockdev-add", "/b", Ok("{}")), plug("", Ok("{}"))]);
    assert!(play(Attach::new(disks.to_vec()), steps).iter().all(Result::is_ok));
}

#[test]
fn limits_are_made_before_the_nodes_and_go_after_them() {
    let limits = serde_json::json!({"iops-total": 100});
    let throttle = Throttle::new(None, limits.as_object().unwrap().clone());
    let disk = disk().throttle(Some(throttle));
    let steps = vec![
        Answer("qom-list", "/objects", Ok("[]")),
        Answer(
            "object-add",
            r#""throttle-group","id":"qplug.disk.data.throttle","limits":{"iops"#,
            Ok("{}"),
        ),
        Answer("blockdev-add", r#""driver":"throttle","node-name":"data.limits""#, Ok("{}")),
        plug(r#""drive":"data.limits""#, Err(LOCKED)),
        Answer("blockdev-del", "data.limits", Ok("{}")),
        Answer("object-del", "qplug.disk.data.throttle", Ok("{}")),
    ];
    let error = attach(disk, script([look(Q35, "[]"), steps])).unwrap_err();
    assert!(matches!(error, Error::Refused { after: After::Undone, .. }), "{error}");
}

#[test]
fn a_read_only_disk_is_so_where_its_limits_are_too() {
    let limits = serde_json::json!({"iops-total": 100});
    let throttle = Throttle::new(None, limits.as_object().unwrap().clone());
    let disk = disk().throttle(Some(throttle)).read_only(true);
    let steps = vec![
        Answer("qom-list", "/objects", Ok("[]")),
        Answer("object-add", "throttle-group", Ok("{}")),
        Answer("blockdev-add", r#"qplug.disk.data.throttle","read-only":true,"file":"#, Ok("{}")),
        plug("", Ok("{}")),
    ];
    attach(disk, script([look(Q35, "[]"), steps])).unwrap();
}

#[test]
fn an_image_that_was_left_open_with_limits_is_no_disk_without() {
    const LIMITED: &str = r#"[{"node-name": "data.limits", "drv": "throttle", "ro": false, "image": {"virtual-size": 1}, "file": "json:{}"},
        {"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}},
        {"node-name": "data.file", "drv": "file", "file": "/a", "ro": false, "image": {"virtual-size": 1}}]"#;
    let steps = closer_look("[]", Err("DeviceNotFound: Device 'data' not found"));
    let error = attach(disk(), script([look(Q35, LIMITED), steps])).unwrap_err();
    assert!(matches!(error, Error::NameHalfDone { .. }), "{error}");
}
