//! What a machine says that it can do: shown, compared, and held against what is about to be sent.

use std::fs;

use serde_json::{Value, json};

use crate::run::{on_every_qemu, qplug, start_with};

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
        // No schema knows what a device takes.
        let device = ["exec", "device_add", "driver=virtio-rng-pci", "id=r", "bus=rp0", "x-y=1"];
        qplug(&qmp, &device).exits(4).says("x-y");
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
