//! What agents said on real machines (`tests/agent`), and what they say of volumes.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::name::DiskName;

fn recorded<T: DeserializeOwned>(text: &str) -> T {
    let answer: Value = serde_json::from_str(text).unwrap();
    serde_json::from_value(answer["return"].clone()).unwrap()
}

macro_rules! view {
    ($machine:literal) => {
        GuestView {
            disks: Some(recorded(include_str!(concat!(
                "../../tests/agent/guest-get-disks-",
                $machine,
                ".json"
            )))),
            file_systems: recorded(include_str!(concat!(
                "../../tests/agent/guest-get-fsinfo-",
                $machine,
                ".json"
            ))),
        }
    };
}

fn identity(name: &str, bus: Bus, pci: Option<(u32, u8)>) -> Identity {
    let (name, serial) = (DiskName::new(name).unwrap(), Some(name.to_owned()));
    Identity { name, bus: Some(bus), serial, pci, lun: None }
}

fn used(view: &GuestView, identity: &Identity) -> Option<(Vec<String>, bool)> {
    view.use_of(identity).map(|used| (used.by, used.is_certain))
}

#[test]
fn a_virtio_blk_disk_is_found_by_its_address_and_by_its_serial() {
    for (view, place) in [
        (view!("q35"), (1, 0)),
        (view!("q35-udev"), (1, 0)),
        (view!("pc"), (0, 5)),
        (view!("pc-udev"), (0, 5)),
    ] {
        let data = identity("data", Bus::VirtioBlk, Some(place));
        assert_eq!(view.device(&data), Some("/dev/vda"));
        assert_eq!(used(&view, &data), Some((vec!["mounted at /mnt/data".to_owned()], true)));
    }
    // One that has not reached the guest yet.
    let other = identity("other", Bus::VirtioBlk, Some((2, 0)));
    assert_eq!(view!("q35").device(&other), None);
    assert_eq!(used(&view!("q35"), &other), None);
}

#[test]
fn a_scsi_disk_is_found_by_its_serial_and_else_may_be_any_without() {
    let disk = identity("disk", Bus::VirtioScsi, None);
    let mounted = vec!["mounted at /mnt/disk".to_owned()];
    assert_eq!(used(&view!("pc-udev"), &disk), Some((mounted, true)));
    let (by, is_certain) = used(&view!("pc"), &disk).unwrap();
    assert_eq!(
        (by, is_certain),
        (vec!["mounted at /mnt/stick".into(), "mounted at /mnt/disk".into()], false)
    );
    // The one with a serial is known to be another.
    let (by, _) = used(&view!("pc-udev"), &identity("x", Bus::VirtioScsi, None)).unwrap();
    assert_eq!(by, ["mounted at /mnt/stick"]);
}

#[test]
fn an_nvme_disk_may_be_any_of_that_kind() {
    let quick = identity("quick", Bus::Nvme, Some((2, 0)));
    assert_eq!(
        used(&view!("q35"), &quick),
        Some((vec!["mounted at /mnt/quick".to_owned()], false))
    );
    assert_eq!(view!("q35").device(&quick), None);
}

#[test]
fn what_lies_on_a_disk_holds_it() {
    let address = json!({"serial": "data", "bus-type": "virtio", "bus": 0, "unit": 0, "target": 0, "dev": "/dev/vda",
                         "pci-controller": {"bus": 1, "slot": 0, "domain": 0, "function": 0}});
    let disks = json!([
        {"name": "/dev/dm-0", "partition": false, "alias": "vg-root", "dependencies": ["/dev/vda1"]},
        {"name": "/dev/vda1", "partition": true, "dependencies": ["/dev/vda"]},
        {"name": "/dev/vda", "partition": false, "dependencies": [], "address": address}]);
    let view =
        GuestView { disks: Some(serde_json::from_value(disks).unwrap()), file_systems: Vec::new() };
    let data = identity("data", Bus::VirtioBlk, Some((1, 0)));
    assert_eq!(used(&view, &data), Some((vec!["held by vg-root".to_owned()], true)));
    // Partitions alone hold nothing.
    let view = GuestView { disks: view.disks.map(|it| it.into_iter().skip(1).collect()), ..view };
    assert_eq!(used(&view, &data), None);
}

fn found(view: &GuestView, disks: Vec<Identity>) -> Vec<Option<(Option<String>, Vec<String>)>> {
    let disks = Identities { each: disks.into_iter().map(Some).collect(), are_complete: true };
    view.find(&disks).into_iter().map(|it| it.map(|it| (it.device, it.mounts))).collect()
}

fn here(device: &str, mount: &str) -> Option<(Option<String>, Vec<String>)> {
    Some((Some(device.to_owned()), vec![mount.to_owned()]))
}

#[test]
fn disks_are_listed_with_their_names_and_mounts() {
    for (view, data, scsi) in [
        (view!("q35"), (1, 0), (0, 5)),
        (view!("q35-udev"), (1, 0), (0, 5)),
        (view!("pc"), (0, 5), (0, 2)),
        (view!("pc-udev"), (0, 5), (0, 2)),
    ] {
        let on_scsi = |lun| Identity { lun, ..identity("disk", Bus::VirtioScsi, Some(scsi)) };
        let disks = |lun| {
            let nvme = identity("quick", Bus::Nvme, Some((3, 0)));
            vec![identity("data", Bus::VirtioBlk, Some(data)), on_scsi(lun), nvme]
        };
        let disk = here("/dev/sda", "/mnt/disk");
        let vda = here("/dev/vda", "/mnt/data");
        // The agent does not say where an NVMe disk is.
        assert_eq!(found(&view, disks(Some(0))), [vda.clone(), disk, None]);
    }
}

#[test]
fn of_two_disks_in_one_place_none_is_taken_for_the_other() {
    let there = |name| Identity { lun: Some(0), ..identity(name, Bus::VirtioScsi, Some((0, 5))) };
    assert_eq!(found(&view!("q35"), vec![there("disk"), there("other")]), [None, None]);
    // The one with a serial is known, and the other has not come yet.
    let disk = here("/dev/sda", "/mnt/disk");
    assert_eq!(found(&view!("q35-udev"), vec![there("disk"), there("other")]), [disk, None]);
    let elsewhere = Identity { lun: Some(1), ..there("disk") };
    assert_eq!(found(&view!("q35"), vec![elsewhere]), [None]);
    // A disk that cannot be told from others may be the one.
    let disks = Identities { each: vec![Some(there("disk"))], are_complete: false };
    assert_eq!(view!("q35").find(&disks), [None]);
}

#[test]
fn an_agent_of_before_5_2_tells_mounts_alone() {
    let view = GuestView { disks: None, ..view!("q35") };
    let data = identity("data", Bus::VirtioBlk, Some((1, 0)));
    assert_eq!(found(&view, vec![data]), [Some((None, vec!["/mnt/data".to_owned()]))]);
    assert!(!view.names_devices());
}

#[test]
fn windows_tells_serials_or_addresses_and_names_of_its_own() {
    // As the agent's schema has it: a virtio-blk disk is SCSI's there.
    let disk = |name: &str, serial: Option<&str>, slot: i64| {
        json!({"name": name, "partition": false, "address": {
            "serial": serial, "bus-type": "scsi", "bus": 0, "unit": 0, "target": 0, "dev": name,
            "pci-controller": {"bus": if slot < 0 { -1 } else { 0 }, "slot": slot, "domain": 0, "function": 0}}})
    };
    let name = r"\\.\PHYSICALDRIVE1";
    let view = |disk: Value| GuestView {
        disks: Some(serde_json::from_value(json!([disk])).unwrap()),
        file_systems: Vec::new(),
    };
    let data = || identity("data", Bus::VirtioBlk, Some((0, 5)));
    assert_eq!(view(disk(name, Some("data"), -1)).device(&data()), Some(name));
    assert_eq!(view(disk(name, None, 5)).device(&data()), Some(name));
    assert_eq!(view(disk(name, None, 6)).device(&data()), None);
    assert_eq!(view(disk(name, None, -1)).device(&data()), None);
}
