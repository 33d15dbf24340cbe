//! Images that are not files: QEMU reads them from servers of the testbed's.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::fs;
use std::path::Path;

use qplug_testbed::https::Https;
use qplug_testbed::image::{Format, Image};
use qplug_testbed::nbd::{Nbd, Place};
use qplug_testbed::{Board, Machine, Qemu, certificates};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;
const WORDS: &[u8] = b"from far away";

fn image(folder: &Path) -> Image {
    let image = Image::create(folder, "far.img", Format::Raw, MIB).unwrap();
    image.write(4096, WORDS).unwrap();
    image
}

/// Opens the node and has QEMU read the image's words through it.
fn read_through(machine: &mut Machine, mut node: Value) {
    node["node-name"] = json!("far");
    machine.oracle.demand("blockdev-add", node).unwrap();
    let near = Image::create(machine.folder(), "near.img", Format::Raw, MIB).unwrap();
    let file = json!({"driver": "file", "filename": near.path});
    let target = json!({"driver": "raw", "node-name": "near", "file": file});
    machine.oracle.demand("blockdev-add", target).unwrap();
    let copy = json!({"job-id": "copy", "device": "far", "target": "near", "sync": "full"});
    machine.oracle.demand("blockdev-backup", copy).unwrap();
    let within = std::time::Duration::from_secs(20);
    let end = machine.oracle.wait_event("BLOCK_JOB_COMPLETED", within).unwrap();
    assert_eq!(end["data"].get("error"), None, "{end}");
    assert_eq!(near.read(4096, WORDS.len()).unwrap(), WORDS);
    for name in ["near", "far"] {
        machine.oracle.demand("blockdev-del", json!({"node-name": name})).unwrap();
    }
    fs::remove_file(near.path).unwrap();
}

#[test]
fn nbd_over_both_kinds_of_socket() {
    for qemu in Qemu::under_test("nbd") {
        let mut machine = Machine::builder(&qemu, Board::Pc).halted().unwrap();
        let image = image(machine.folder());
        let unix = Nbd::unix(&image, &machine.folder().join("nbd.sock")).unwrap();
        let server = json!({"type": "unix", "path": "nbd.sock"});
        read_through(&mut machine, json!({"driver": "nbd", "server": server}));
        drop(unix);
        let refused = json!({"driver": "nbd", "node-name": "gone", "server": server});
        assert!(machine.oracle.execute("blockdev-add", refused).is_err());

        let tcp = Nbd::tcp(&image, None).unwrap();
        read_through(&mut machine, json!({"driver": "nbd", "server": address(&tcp)}));
    }
}

fn address(nbd: &Nbd) -> Value {
    let Place::Tcp(port) = nbd.place else { panic!("{:?} is not TCP", nbd.place) };
    json!({"type": "inet", "host": "localhost", "port": port.to_string()})
}

#[test]
fn nbd_with_certificates_of_both_ends() {
    for qemu in Qemu::under_test("nbd and tls") {
        let mut machine = Machine::builder(&qemu, Board::Pc).halted().unwrap();
        certificates::make(machine.folder()).unwrap();
        let nbd = Nbd::tcp(&image(machine.folder()), Some(machine.folder())).unwrap();
        let node = json!({"driver": "nbd", "server": address(&nbd)});
        let mut plain = node.clone();
        plain["node-name"] = json!("plain");
        let refusal = machine.oracle.execute("blockdev-add", plain).unwrap_err();
        assert!(refusal["desc"].as_str().unwrap().contains("TLS"), "{refusal}");

        let credentials = json!({"qom-type": "tls-creds-x509", "id": "tls", "endpoint": "client",
            "dir": machine.folder()});
        machine.oracle.demand("object-add", credentials).unwrap();
        let mut node = node;
        node["tls-creds"] = json!("tls");
        read_through(&mut machine, node);
    }
}

#[test]
fn https_where_the_qemu_has_it() {
    for qemu in Qemu::under_test("https") {
        if qemu.root.is_none() {
            qplug_testbed::qemu::skip("https", "a QEMU of one's own may lack its curl module");
            continue;
        }
        let mut machine = Machine::builder(&qemu, Board::Pc).halted().unwrap();
        certificates::make(machine.folder()).unwrap();
        image(machine.folder());
        let server = Https::serve(machine.folder(), machine.folder()).unwrap();
        let node = |name: &str| {
            json!({"driver": "https", "url": server.url(name),
            "sslverify": false, "read-only": true})
        };
        read_through(&mut machine, node("far.img"));
        let mut missing = node("none.img");
        missing["node-name"] = json!("missing");
        let refusal = machine.oracle.execute("blockdev-add", missing).unwrap_err();
        println!("{} {refusal}", qemu.version);
        let mut checked = node("far.img");
        checked["sslverify"] = json!(true);
        checked["node-name"] = json!("checked");
        let refusal = machine.oracle.execute("blockdev-add", checked).unwrap_err();
        println!("{} {refusal}", qemu.version);
        assert!(refusal["desc"].as_str().unwrap().contains("certificate"), "{refusal}");
    }
}
