//! Places, on machines that are written down.

use super::*;
use crate::format::Format;

const RP: &str = r#""id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}"#;

/// A q35 with these devices besides its host bridge.
fn q35(devices: &[String]) -> Observed {
    let host = r#"{"slot": 0, "id": {"vendor": 32902, "device": 10688}, "class_info": {"class": 1536}, "qdev_id": ""}"#;
    let all: Vec<_> = std::iter::once(host.to_owned()).chain(devices.iter().cloned()).collect();
    let json = format!(r#"[{{"bus": 0, "devices": [{}]}}]"#, all.join(", "));
    Observed { pci: Some(serde_json::from_str(&json).unwrap()), ..Observed::default() }
}

fn root_port(id: &str, secondary: u8) -> String {
    let bridge = format!(r#""pci_bridge": {{"bus": {{"secondary": {secondary}}}}}"#);
    format!(r#"{{"slot": 1, {RP}, "qdev_id": "{id}", {bridge}}}"#)
}

fn bridge(id: &str) -> String {
    let kind = r#""id": {"vendor": 6966, "device": 14}, "class_info": {"class": 1540}"#;
    let bridge = r#""pci_bridge": {"bus": {"secondary": 5}}"#;
    format!(r#"{{"slot": 2, {kind}, "qdev_id": "{id}", {bridge}}}"#)
}

fn usb(id: &str, vendor: u16, device: u16) -> String {
    let ids = format!(r#""id": {{"vendor": {vendor}, "device": {device}}}"#);
    format!(r#"{{"slot": 3, {ids}, "class_info": {{"class": 3075}}, "qdev_id": "{id}"}}"#)
}

fn with_devices(mut observed: Observed, devices: &[(&str, &str)]) -> Observed {
    let child =
        |(id, kind): &(&str, &str)| format!(r#"{{"name": "{id}", "type": "child<{kind}>"}}"#);
    let json = format!("[{}]", devices.iter().map(child).collect::<Vec<_>>().join(", "));
    observed.devices = Some(serde_json::from_str(&json).unwrap());
    observed
}

fn disk(bus: Option<Bus>) -> Disk {
    let disk = Disk::named("data").unwrap().format(Some(Format::raw())).bus(bus);
    disk.remote_image("/a").unwrap()
}

/// Where so many disks go that say nothing but perhaps their bus.
fn taken(places: &mut Places, bus: Option<Bus>, disks: usize) -> Vec<String> {
    let place = |_| {
        let (bus, port) = places.take(&disk(bus)).unwrap();
        format!("{bus} {port}")
    };
    (0..disks).map(place).collect()
}

#[test]
fn the_best_port_comes_first_and_the_order_stays() {
    let observed = q35(&[bridge("br0"), root_port("rp0", 0), root_port("rp1", 2)]);
    for _ in 0..2 {
        let order = taken(&mut Places::of(&observed), None, 3);
        assert_eq!(order, ["virtio-blk rp1", "virtio-blk rp0", "virtio-blk br0/1"]);
    }
}

#[test]
fn more_disks_than_ports_share_a_controller_that_gets_the_first_port() {
    let mut places = Places::of(&q35(&[root_port("rp0", 1), root_port("rp1", 2)]));
    places.keep_room(4);
    let order = taken(&mut places, None, 4);
    let scsi = "virtio-scsi qplug.scsi.0";
    assert_eq!(order, ["virtio-blk rp1", scsi, scsi, scsi]);
    assert_eq!(places.into_parts().1, Some((0, Port::Root("rp0".to_owned()))));
}

#[test]
fn a_port_that_was_kept_in_vain_is_a_spare() {
    let mut places = Places::of(&q35(&[root_port("rp0", 1)]));
    places.keep_room(2);
    let (spares, controller) = places.into_parts();
    assert_eq!((spares.pci.len(), controller), (1, None));
    let mut places = Places::of(&q35(&[root_port("rp0", 1)]));
    places.keep_room(2);
    assert_eq!(taken(&mut places, Some(Bus::Nvme), 1), ["nvme rp0"]);
}

#[test]
fn the_257th_disk_of_a_controller_is_lun_1() {
    let observed = with_devices(q35(&[]), &[("scsi0", "virtio-scsi-pci")]);
    let mut places = Places::of(&observed);
    let ports: Vec<_> =
        (0..257).map(|_| places.take(&disk(Some(Bus::VirtioScsi))).unwrap().1).collect();
    let port = |lun| Port::Controller { id: "scsi0".to_owned(), lun };
    assert_eq!((&ports[255], &ports[256]), (&port(0), &port(1)));
}

#[test]
fn a_controller_that_is_being_unplugged_takes_nothing() {
    let mut observed =
        with_devices(q35(&[root_port("rp0", 1)]), &[("qplug.scsi.0", "virtio-scsi-pci")]);
    let mark = r#"[{"name": "qplug.scsi.0.pending", "type": "child<throttle-group>"}]"#;
    observed.objects = Some(serde_json::from_str(mark).unwrap());
    let order = taken(&mut Places::of(&observed), Some(Bus::VirtioScsi), 1);
    assert_eq!(order, ["virtio-scsi qplug.scsi.1"]);
    let error = Places::of(&observed).take_named(&disk(None), "qplug.scsi.0").unwrap_err();
    assert!(error.to_string().contains("it is being unplugged"), "{error}");
}

#[test]
fn a_port_is_given_once() {
    let mut places = Places::of(&q35(&[root_port("rp0", 1), root_port("rp1", 2)]));
    places.take_named(&disk(None), "rp0").unwrap();
    let error = places.take_named(&disk(None), "rp0").unwrap_err();
    assert!(error.to_string().contains("another disk of the list"), "{error}");
    assert_eq!(taken(&mut places, None, 1), ["virtio-blk rp1"]);
    assert!(matches!(places.take(&disk(None)), Err(Error::NoFreePort { .. })));
}

#[test]
fn a_port_takes_what_fits() {
    let observed = q35(&[root_port("rp0", 1), usb("xhci", 6966, 13), usb("old", 0x8086, 0x7020)]);
    let named = |bus, port: &str| Places::of(&observed).take_named(&disk(bus), port).is_ok();
    assert!(named(Some(Bus::Nvme), "rp0") && !named(Some(Bus::UsbUas), "rp0"));
    assert!(named(None, "xhci.0") && named(Some(Bus::UsbUas), "xhci.0"));
    assert!(named(None, "old.0") && !named(Some(Bus::UsbUas), "old.0"));
    assert!(!named(Some(Bus::VirtioBlk), "xhci.0"));
    let order = taken(&mut Places::of(&observed), Some(Bus::UsbUas), 1);
    assert_eq!(order, ["usb-uas xhci.0"]);
    let slow = q35(&[usb("old", 0x8086, 0x7020)]);
    let error = Places::of(&slow).take(&disk(Some(Bus::UsbUas))).unwrap_err();
    assert!(error.to_string().contains("USB 1"), "{error}");
}

#[test]
fn a_port_that_no_firmware_has_numbered_is_there_for_those_who_name_it() {
    let devices =
        [("rp0", "pcie-root-port"), ("down0", "xio3130-downstream"), ("br0", "pci-bridge")];
    let observed = with_devices(q35(&[root_port("rp0", 0)]), &devices);
    for port in ["rp0", "down0", "br0/1", "br0/31"] {
        let taken = Places::of(&observed).take_named(&disk(None), port).unwrap();
        assert_eq!(taken.1.to_string(), port);
    }
    assert!(Places::of(&observed).take_named(&disk(None), "br0/0").is_err());
}

#[test]
fn the_channel_subsystem_takes_as_many_as_come() {
    let json = r#"[{"bus": 0, "devices": []}]"#;
    let mut observed = Observed {
        pci: Some(serde_json::from_str(json).unwrap()),
        machine_type: Some("s390-ccw-virtio-10.0-machine".to_owned()),
        ..Observed::default()
    };
    let order = taken(&mut Places::of(&observed), None, 2);
    assert_eq!(order, ["virtio-blk css", "virtio-blk css"]);
    let mut places = Places::of(&observed);
    assert_eq!(taken(&mut places, Some(Bus::VirtioScsi), 1), ["virtio-scsi qplug.scsi.0"]);
    assert_eq!(places.into_parts().1, Some((0, Port::ChannelSubsystem)));
    observed.machine_type = Some("microvm-machine".to_owned());
    let error = Places::of(&observed).take(&disk(None)).unwrap_err();
    assert!(error.to_string().contains("from the start"), "{error}");
}
