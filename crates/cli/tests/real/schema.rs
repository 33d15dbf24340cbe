//! What a machine says that it can do: shown, compared, and held against what is about to be sent.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::run::{Ran, on_every_qemu, qplug, start_with};

#[test]
fn a_schema_is_listed_and_told_as_trees() {
    on_every_qemu("schema", &[], |machine| {
        let qmp = machine.qmp_path();
        qplug(&qmp, &["schema"]).exits(0).says("blockdev-add\n").says("DEVICE_DELETED\n");
        let all = qplug(&qmp, &["schema", "--json"]).exits(0).json();
        assert!(all["commands"].as_array().unwrap().len() > 150);
        let tree = qplug(&qmp, &["schema", "device_del"]).exits(0);
        assert_eq!(tree.stdout, "command device_del\n  takes:\n    id: str\n  returns nothing\n");
        let tree = qplug(&qmp, &["schema", "blockdev-add", "--json"]).exits(0).json();
        let lines = tree["lines"].as_array().unwrap();
        assert!(lines.contains(&json!({"depth": 2, "text": "node-name?: str"})), "{tree}");
        qplug(&qmp, &["schema", "blockdev-ad"]).exits(6).says("did you mean blockdev-add");
    });
}

#[test]
fn arguments_are_checked_before_they_are_sent() {
    on_every_qemu("checked", &[], |machine| {
        let qmp = machine.qmp_path();
        // A name that looks like a number, and a size as people write it.
        let add = ["blockdev-add", "driver=null-co", "node-name=n", "size=1G", "read-zeroes=on"];
        qplug(&qmp, &[&["exec"], &add[..]].concat()).exits(0);
        let nodes = machine.oracle.demand("query-named-block-nodes", json!({})).unwrap();
        assert_eq!(nodes[0]["image"]["virtual-size"], 1 << 30);

        let wrong = ["exec", "block_resize", "nodename=n", "size=much"];
        let refused = qplug(&qmp, &wrong).exits(6);
        refused.says("nodename: there is no such argument; did you mean node-name?");
        qplug(&qmp, &wrong).exits(6).says("size: cannot be the string \"much\"; it takes int");
        let json = r#"{"driver": "null-co", "node-name": "m", "discard": "unmpa"}"#;
        qplug(&qmp, &["exec", "blockdev-add", json]).exits(6).says("did you mean unmap?");
        qplug(&qmp, &["exec", "--raw", "blockdev-add", json]).exits(4).says("unmpa");
        qplug(&qmp, &["exec", "qeury-block"]).exits(4).says("did you mean query-block");
        qplug(&qmp, &["exec", "device_del"]).exits(4).says("id: is missing; it takes str");
        let secret = ["exec", "object-add", "qom-type=secret", "id=s", "data=hush", "format=plain"];
        // Before 6.0 objects were in no schema either.
        let code = if machine.qemu.version.major < 6 { 4 } else { 6 };
        let told = qplug(&qmp, &secret).exits(code);
        assert!(!told.stderr.contains("hush"), "{}", told.stderr);
    });
}

#[test]
fn two_qemus_are_compared_and_made_types_of() {
    on_every_qemu("schema diff", &[], |machine| {
        let qmp = machine.qmp_path();
        let file = machine.folder().join("saved.json");
        let saved = qplug(&qmp, &["exec", "query-qmp-schema", "--json"]).exits(0).stdout;
        fs::write(&file, &saved).unwrap();
        let (file, qmp_word) = (file.to_str().unwrap(), qmp.to_str().unwrap());
        let same = qplug(&qmp, &["schema", "diff", file, qmp_word]).exits(0);
        assert_eq!(same.stdout, "no difference\n");

        let mut less: Vec<Value> = serde_json::from_str(&saved).unwrap();
        less.retain(|entity| entity["name"] != "device_del");
        let less_file = machine.folder().join("less.json");
        fs::write(&less_file, Value::from(less).to_string()).unwrap();
        let diff = ["schema", "diff", less_file.to_str().unwrap(), file];
        assert_eq!(qplug(&qmp, &diff).exits(0).stdout, "device_del: came\n");

        // A QEMU that needs another loader is not one that a path names.
        if machine.qemu.command().get_program() == machine.qemu.path {
            let environment = machine.qemu.environment();
            let environment: Vec<_> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
            let diff = ["schema", "diff", machine.qemu.path.to_str().unwrap(), file];
            let same = start_with(&qmp, &diff, &environment).finish().exits(0);
            assert_eq!(same.stdout, "no difference\n");
        }

        let types = machine.folder().join("types.rs");
        let made = ["codegen", "--qemu", file, "-o", types.to_str().unwrap()];
        qplug(&qmp, &made).exits(0).says("of QEMU saved");
        let text = fs::read_to_string(types).unwrap();
        assert!(text.contains("impl Command for DeviceDel {"), "{}", text.len());
    });
}

#[test]
fn what_devices_take_is_asked_and_checked() {
    let arguments = ["-object", "iothread,id=true"];
    on_every_qemu("devices' properties", &arguments, |machine| {
        let qmp = machine.qmp_path();
        let major = machine.qemu.version.major;
        qplug(&qmp, &["schema", "device"]).exits(0).says("\nvirtio-blk-pci\n");
        let told = qplug(&qmp, &["schema", "device", "virtio-blk-pci", "--json"]).exits(0).json();
        let properties = told["properties"].as_array().unwrap();
        let property = |name: &str| properties.iter().find(|it| it["name"] == name).unwrap();
        assert_eq!(property("share-rw")["type"], "bool");
        assert_eq!(property("share-rw")["default"], false);
        assert!(property("addr")["description"].as_str().unwrap().starts_with("Slot"));
        assert_eq!(property("iothread").get("default"), None);
        qplug(&qmp, &["schema", "device", "virtio-blk"]).exits(0).says("share-rw");
        qplug(&qmp, &["schema", "device", "virtio-blk-cpi"]).exits(6).says("mean virtio-blk-pci");
        // Some QEMUs end when they are asked about these.
        for fragile in ["colo-compare", "x-remote-object"] {
            let code = qplug(&qmp, &["schema", "object", fragile]).code;
            assert!(code == Some(0) || code == Some(6), "{fragile}: {code:?}");
        }
        qplug(&qmp, &["schema", "device", "virtio-vga-gl"]).exits(6).says("not asked");
        qplug(&qmp, &["schema", "object"]).exits(0).says("throttle-group\n");
        let told = qplug(&qmp, &["schema", "object", "iothread", "--json"]).exits(0).json();
        let poll =
            told["properties"].as_array().unwrap().iter().find(|it| it["name"] == "poll-grow");
        assert_eq!(poll.unwrap()["type"], "int");
        assert_eq!(poll.unwrap().get("required"), (major >= 6).then_some(&json!(false)));
        qplug(&qmp, &["schema", "object", "iothraed"]).exits(6).says("did you mean iothread?");
        // QEMU would make one to tell, of any type that it has.
        qplug(&qmp, &["schema", "object", "virtio-blk-device"]).exits(6).says("no such type");

        let node = ["exec", "blockdev-add", "driver=null-co", "node-name=n", "read-zeroes=on"];
        qplug(&qmp, &node).exits(0);
        let add = ["exec", "device_add", "driver=virtio-blk-pci", "drive=n", "id=d", "bus=rp1"];
        let with = |more: &[&'static str]| qplug(&qmp, &[&add[..], more].concat());
        with(&["share_rw=on"])
            .exits(6)
            .says("share_rw: there is no such argument; did you mean share-rw?");
        with(&["share_rw=on", "--raw"]).exits(4).says("share_rw");
        with(&["num-queues=four"])
            .exits(4)
            .says("num-queues: cannot be the string \"four\"; it takes uint16");
        with(&["rerror=stopp"]).exits(4).says("did you mean stop?");
        // QEMU 10 insists on JSON's types, and 7.2 takes a string for anything. A slot is none of its
        // numbers: 10 is 0x10.
        let typed = [
            "share-rw=on",
            "serial=5",
            "bootindex=1",
            "addr=0",
            "iothread=true",
            "num-queues=2",
            "logical_block_size=4k",
            "physical_block_size=4k",
        ];
        with(&typed).exits(0);
        let mut get = |property| {
            let arguments = json!({"path": "/machine/peripheral/d", "property": property});
            machine.oracle.demand("qom-get", arguments)
        };
        assert_eq!(get("serial").unwrap(), "5");
        assert_eq!(get("logical_block_size").unwrap(), 4096);
        assert_eq!(get("share-rw").unwrap(), true);
        qplug(&qmp, &["exec", "device_add", "driver=virtio-blk-cpi"])
            .exits(4)
            .says("mean virtio-blk-pci");
        qplug(&qmp, &["exec", "device_add", "driver=virtio-net", "nosuch=1"])
            .exits(6)
            .says("nosuch");
        let json = r#"{"driver": "virtio-net-pci", "id": "net", "nettdev": "x"}"#;
        qplug(&qmp, &["exec", "device_add", json]).exits(6).says("did you mean netdev?");

        let object = ["exec", "object-add", "qom-type=iothread", "id=io", "poll-grwo=2"];
        qplug(&qmp, &object)
            .exits(6)
            .says("poll-grwo: there is no such argument; did you mean poll-grow?");
        qplug(&qmp, &["exec", "object-add", "qom-type=iothread", "id=io", "poll-grow=2"]).exits(0);
        qplug(&qmp, &["exec", "query-status"]).exits(0);
    });
}

#[test]
fn a_schema_that_is_kept_is_no_ground_to_refuse() {
    on_every_qemu("schema cache", &[], |machine| {
        let qmp = machine.qmp_path();
        let folder = machine.folder().join("caches");
        let kept = || -> Vec<PathBuf> {
            let files = fs::read_dir(folder.join("qplug/schemas")).unwrap();
            files.map(|file| file.unwrap().path()).collect()
        };
        let environment = [("XDG_CACHE_HOME", folder.to_str().unwrap())];
        let run = |arguments: &[&str]| start_with(&qmp, arguments, &environment).finish();
        let asked = |ran: &Ran| ran.stderr.matches("query-qmp-schema").count();
        let status = ["exec", "--verbose", "query-block-jobs", "x=1"];

        let first = run(&status).exits(6).says("x: there is no such argument");
        assert!(asked(&first) > 0, "{}", first.stderr);
        let files = kept();
        assert_eq!(files.len(), 1, "{files:?}");
        let whole = fs::read_to_string(&files[0]).unwrap();

        // What it would let through is not asked again.
        let resize = ["exec", "--verbose", "block_resize", "node-name=n", "size=1"];
        assert_eq!(asked(&run(&resize).exits(4)), 0);
        // A build that looks the same has one more argument.
        let less = whole.replace("\"node-name\"", "\"nodename\"");
        assert_ne!(less, whole);
        fs::write(&files[0], less).unwrap();
        let again = run(&resize).exits(4);
        assert!(asked(&again) > 0, "{}", again.stderr);
        assert_eq!(fs::read_to_string(&files[0]).unwrap(), whole);

        // A file that somebody spoiled is made anew, with no word of it.
        fs::write(&files[0], &whole[..whole.len() / 2]).unwrap();
        let spoiled = run(&["exec", "block_resize", "node-name=n", "size=1"]).exits(4);
        assert!(!spoiled.stderr.contains("cache"), "{}", spoiled.stderr);
        assert_eq!(fs::read_to_string(&files[0]).unwrap(), whole);
        assert!(!whole.contains("size=1"));

        // Where nothing can be kept, all else goes on.
        let nowhere = [("XDG_CACHE_HOME", "/proc/1/nowhere")];
        let ran = start_with(&qmp, &resize, &nowhere).finish().exits(4);
        assert!(asked(&ran) > 0);
        ran.says("not kept");
        let homeless = [("XDG_CACHE_HOME", ""), ("HOME", "")];
        start_with(&qmp, &["exec", "block_resize", "node-name=n", "size=1"], &homeless)
            .finish()
            .exits(4);
    });
}
