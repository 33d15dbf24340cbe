//! Boards and ports, read from `query-pci`.

use super::*;

const BOOTED_Q35: &str = r#"[{"bus": 0, "devices": [
    {"slot": 0, "id": {"vendor": 32902, "device": 10688}, "class_info": {"class": 1536, "desc": "Host bridge"}, "qdev_id": ""},
    {"slot": 1, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "rp0",
     "pci_bridge": {"bus": {"secondary": 1}, "devices": [
        {"slot": 0, "id": {"vendor": 6900, "device": 4162}, "class_info": {"class": 256}, "qdev_id": "data"}]}},
    {"slot": 2, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "rp1",
     "pci_bridge": {"bus": {"secondary": 2}, "devices": []}},
    {"slot": 3, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "",
     "pci_bridge": {"bus": {"secondary": 3}}},
    {"slot": 4, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "rp2",
     "pci_bridge": {"bus": {"secondary": 0}}}]}]"#;

const PC: &str = r#"[{"bus": 0, "devices": [
    {"slot": 0, "id": {"vendor": 32902, "device": 4663}, "class_info": {"class": 1536, "desc": "Host bridge"}, "qdev_id": ""},
    {"slot": 1, "id": {"vendor": 32902, "device": 28672}, "class_info": {"class": 1537, "desc": "ISA bridge"}, "qdev_id": ""},
    {"slot": 1, "id": {"vendor": 32902, "device": 28688}, "class_info": {"class": 257}, "qdev_id": ""},
    {"slot": 3, "id": {"vendor": 6900, "device": 4096}, "class_info": {"class": 512}, "qdev_id": "net0"}]}]"#;

#[test]
fn root_ports_are_free_taken_or_not_yet_known() {
    let pci: Pci = serde_json::from_str(BOOTED_Q35).unwrap();
    assert_eq!(pci.board(), Board::Q35);
    let root = |id: &str| Port::Root(id.to_owned());
    let expected = [
        (root("rp0"), Occupancy::Taken("data".to_owned())),
        (root("rp1"), Occupancy::Free),
        (root("rp2"), Occupancy::Unknown),
    ];
    assert_eq!(pci.ports(), expected);
    assert_eq!(pci.unnamed_ports(), 1);
    assert_eq!(pci.port_of("data"), Some(root("rp0")));
    assert_eq!(pci.port_of("rp1"), None);
}

#[test]
fn a_pc_has_32_slots_some_of_them_taken() {
    let pci: Pci = serde_json::from_str(PC).unwrap();
    assert_eq!(pci.board(), Board::Pc);
    let ports = pci.ports();
    assert_eq!(ports.len(), 32);
    let free = ports.iter().filter(|(_, occupancy)| *occupancy == Occupancy::Free).count();
    assert_eq!(free, 29);
    assert_eq!(ports[3].1, Occupancy::Taken("net0".to_owned()));
    assert_eq!(pci.port_of("net0").unwrap().to_string(), "pci.0/3");
}

#[test]
fn a_machine_without_pci_has_no_ports() {
    for none in ["[]", r#"[{"bus": 0, "devices": []}]"#] {
        let pci: Pci = serde_json::from_str(none).unwrap();
        assert_eq!((pci.board(), pci.ports()), (Board::Unknown, &[][..]));
    }
}

const BRIDGED: &str = r#"[{"bus": 64, "devices": [
    {"slot": 0, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "far",
     "pci_bridge": {"bus": {"secondary": 65}}}]},
    {"bus": 0, "devices": [
    {"slot": 0, "id": {"vendor": 32902, "device": 10688}, "class_info": {"class": 1536}, "qdev_id": ""},
    {"slot": 1, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "rp0",
     "pci_bridge": {"bus": {"secondary": 1}, "devices": [
        {"slot": 0, "id": {"vendor": 6966, "device": 14}, "class_info": {"class": 1540}, "qdev_id": "br0",
         "pci_bridge": {"bus": {"secondary": 2}, "devices": [
            {"slot": 3, "id": {"vendor": 6900, "device": 4097}, "class_info": {"class": 256}, "qdev_id": "data"}]}}]}},
    {"slot": 2, "id": {"vendor": 32902, "device": 28704}, "class_info": {"class": 3075}, "qdev_id": "old"},
    {"slot": 3, "id": {"vendor": 6966, "device": 13}, "class_info": {"class": 3075}, "qdev_id": "xhci"}]}]"#;

#[test]
fn slots_behind_a_bridge_come_last_and_begin_with_1() {
    let pci: Pci = serde_json::from_str(BRIDGED).unwrap();
    let names: Vec<_> = pci.ports().iter().map(|(port, _)| port.to_string()).collect();
    assert_eq!(names[..4], ["far", "rp0", "br0/1", "br0/2"]);
    assert_eq!((names.len(), names[32].as_str()), (2 + 31, "br0/31"));
    assert_eq!(pci.ports()[1].1, Occupancy::Taken("br0".to_owned()));
    assert_eq!(pci.port_of("data").unwrap().to_string(), "br0/3");
}

#[test]
fn fast_usb_buses_come_first() {
    let pci: Pci = serde_json::from_str(BRIDGED).unwrap();
    let buses: Vec<_> = pci.usb_buses().iter().map(|it| (it.name.as_str(), it.is_slow)).collect();
    assert_eq!(buses, [("xhci.0", false), ("old.0", true)]);
}
