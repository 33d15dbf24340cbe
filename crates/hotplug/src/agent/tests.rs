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
            disks: recorded(include_str!(concat!(
                "../../tests/agent/guest-get-disks-",
                $machine,
                ".json"
            ))),
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
    Identity { name, bus: Some(bus), serial, pci }
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
        GuestView { disks: serde_json::from_value(disks).unwrap(), file_systems: Vec::new() };
    let data = identity("data", Bus::VirtioBlk, Some((1, 0)));
    assert_eq!(used(&view, &data), Some((vec!["held by vg-root".to_owned()], true)));
    // Partitions alone hold nothing.
    let view = GuestView { disks: view.disks.into_iter().skip(1).collect(), ..view };
    assert_eq!(used(&view, &data), None);
}
