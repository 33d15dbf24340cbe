//! Nodes and what is known again.

use super::*;

fn name() -> DiskName {
    DiskName::new("d").unwrap()
}

fn file(path: &str) -> Protocol {
    Protocol::File(path.to_owned())
}

fn storage(layers: Vec<(Protocol, Format)>) -> Storage {
    let mut storage = Storage::of(file("/none"), Format::raw());
    storage.layers = layers.into_iter().map(|(at, format)| Layer::unseen(at, format)).collect();
    storage
}

fn tree(storage: &Storage) -> Value {
    storage.nodes(&name(), false, &Access::default())
}

fn handed(mark: &str, content: &str) -> Handed {
    let null = std::fs::File::open("/dev/null").unwrap();
    Handed {
        descriptor: Descriptor(std::sync::Arc::new(null.into())),
        set: 7,
        mark: mark.to_owned(),
        content: content.to_owned(),
        is_device: false,
        label: "/x".to_owned(),
    }
}

fn nodes(json: Value) -> Nodes {
    serde_json::from_value(json).unwrap()
}

fn sets(owner: &str) -> Fdsets {
    serde_json::from_value(json!([{"fdset-id": 7, "fds": [{"fd": 1, "opaque": owner}]}])).unwrap()
}

/// The nodes of the disk, over this file and these layers.
fn seen(driver: &str, path: &str, backing: Value) -> Nodes {
    let image = json!({"virtual-size": 1, "filename": path, "backing-image": backing});
    nodes(json!([
        {"node-name": "d.format", "drv": driver, "file": path, "ro": false, "image": image},
        {"node-name": "d.file", "drv": "file", "file": path, "ro": false, "image": {"virtual-size": 1}},
    ]))
}

#[test]
fn layers_lie_on_each_other_and_lower_ones_are_only_read() {
    let mut storage = storage(vec![
        (file("/top"), Format::qcow2()),
        (file("/mid"), Format::qcow2()),
        (file("/base"), Format::raw()),
    ]);
    storage.no_backing = true;
    assert_eq!(
        tree(&storage),
        json!({
            "driver": "qcow2", "node-name": "d.format",
            "file": {"driver": "file", "filename": "/top", "node-name": "d.file"},
            "backing": {
                "driver": "qcow2", "read-only": true,
                "file": {"driver": "file", "filename": "/mid", "read-only": true},
                "backing": {
                    "driver": "raw", "read-only": true,
                    "file": {"driver": "file", "filename": "/base", "read-only": true},
                },
            },
        })
    );
    let mut alone = self::storage(vec![(file("/top"), Format::qcow2())]);
    assert!(tree(&alone).get("backing").is_none());
    alone.no_backing = true;
    assert_eq!(tree(&alone)["backing"], Value::Null);
    assert!(tree(&alone).get("backing").is_some());
}

#[test]
fn an_overlay_lies_over_all_layers() {
    let mut storage = storage(vec![(file("/base"), Format::raw())]);
    storage.overlay = Some(handed("overlay", "1:2"));
    let expected = json!({
        "driver": "qcow2", "node-name": "d.format",
        "file": {"driver": "file", "filename": "/dev/fdset/7", "node-name": "d.file"},
        "backing": {
            "driver": "raw", "read-only": true,
            "file": {"driver": "file", "filename": "/base", "read-only": true},
        },
    });
    assert_eq!(tree(&storage), expected);
    assert_eq!(storage.format(), "raw");
    let base = json!({"filename": "/base", "format": "raw"});
    let is_under = |backing: &Value, owner: &str| {
        storage.is_under(
            &name(),
            &seen("qcow2", "/dev/fdset/7", backing.clone()),
            Some(&sets(owner)),
        )
    };
    assert!(is_under(&base, "qplug d overlay"));
    assert!(!is_under(&base, "qplug d 1:2"));
    assert!(!is_under(&json!({"filename": "/other", "format": "raw"}), "qplug d overlay"));
    assert!(!is_under(&Value::Null, "qplug d overlay"));
}

#[test]
fn secrets_are_objects_and_nodes_name_them() {
    let mut storage =
        storage(vec![(file("/top"), Format::qcow2()), (file("/base"), Format::luks())]);
    storage.passphrase = Some(Secret::new("hunter2"));
    storage.layers.iter_mut().for_each(|layer| layer.is_encrypted = true);
    let tree = tree(&storage);
    assert_eq!(tree["encrypt"], json!({"format": "luks", "key-secret": name().secret()}));
    assert_eq!(tree["backing"]["key-secret"], name().secret());
    let objects = storage.objects(&name());
    assert_eq!((objects.len(), &objects[0].id, objects[0].kind), (1, &name().secret(), "secret"));
    assert!(!format!("{storage:?}").contains("hunter2"));
}

#[test]
fn servers_get_passwords_and_certificates() {
    let served = |text: &str| Protocol::Served(Location::parse(text).unwrap());
    let mut https = storage(vec![(served("https://u@h/x"), Format::raw())]);
    https.password = Some(Secret::new("x"));
    assert_eq!(tree(&https)["file"]["password-secret"], name().auth());
    let mut rbd = storage(vec![(served("rbd:p/i"), Format::raw())]);
    rbd.password = Some(Secret::new("AQ=="));
    assert_eq!(tree(&rbd)["file"]["key-secret"], name().auth());
    assert_eq!(rbd.objects(&name())[0].properties["format"], "base64");
    let mut nbd = storage(vec![(served("nbds://h/x"), Format::raw())]);
    nbd.certificates = Some("/certs".to_owned());
    let objects = nbd.objects(&name());
    assert_eq!((&objects[0].id, objects[0].kind), (&name().tls(), "tls-creds-x509"));
    assert_eq!(objects[0].properties["dir"], "/certs");
}

#[test]
fn layers_are_known_again() {
    let given = storage(vec![(file("/top"), Format::qcow2()), (file("/base"), Format::raw())]);
    let is_under = |backing: Value| given.is_under(&name(), &seen("qcow2", "/top", backing), None);
    assert!(is_under(json!({"filename": "/base", "format": "raw"})));
    assert!(!is_under(json!({"filename": "/base", "format": "qcow2"})));
    assert!(!is_under(json!({"filename": "/else", "format": "raw"})));
    assert!(!is_under(Value::Null));
    let long = r#"json:{"driver":"raw","file":{"driver":"file","filename":"/base"}}"#;
    assert!(is_under(json!({"filename": long, "format": "raw"})));
    let alone = storage(vec![(file("/top"), Format::qcow2())]);
    let any = json!({"filename": "/any", "format": "raw"});
    assert!(alone.is_under(&name(), &seen("qcow2", "/top", any), None));
    assert!(!alone.is_under(&name(), &seen("raw", "/top", Value::Null), None));
    assert!(!alone.is_under(&name(), &seen("qcow2", "/else", Value::Null), None));
}

#[test]
fn sets_of_one_list_have_numbers_of_their_own() {
    let mut one = storage(vec![(Protocol::Handed(handed("1:2", "1:2")), Format::raw())]);
    let (mut two, mut taken) = (one.clone(), HashSet::new());
    one.number_descriptors(&name(), &mut taken);
    two.number_descriptors(&name(), &mut taken);
    let number = |storage: &Storage| storage.descriptors(&name())[0].0;
    assert_ne!(number(&one), number(&two));
    assert_eq!(taken.len(), 2);
    // Another client that hands over the same file for the same disk takes the same number.
    let mut again = one.clone();
    again.number_descriptors(&name(), &mut HashSet::new());
    assert_eq!(number(&again), number(&one));
    assert_eq!(one.descriptors(&name())[0].2, "qplug d 1:2");
}

#[test]
fn what_not_every_qemu_has_is_named() {
    let served = |text: &str| Protocol::Served(Location::parse(text).unwrap());
    assert!(storage(vec![(served("nbd://h"), Format::raw())]).rare_drivers().is_empty());
    let vdi = "vdi".parse().unwrap();
    assert_eq!(storage(vec![(served("ssh://h/x"), vdi)]).rare_drivers(), ["vdi", "ssh"]);
}

#[test]
fn what_cannot_be_is_refused() {
    let served = |text: &str| Protocol::Served(Location::parse(text).unwrap());
    let check = |storage: &Storage, read_only, block| {
        let access = Access::default();
        storage.check(read_only, &access, block).map_err(|error| error.to_string())
    };
    let https = storage(vec![(served("https://h/x"), Format::raw())]);
    assert!(check(&https, false, None).unwrap_err().contains("--read-only"));
    assert!(check(&https, true, None).is_ok());
    let mut raw = storage(vec![(file("/x"), Format::raw())]);
    raw.layers[0].bytes = Some(5 * 512);
    assert!(check(&raw, false, Some(512)).is_ok());
    assert!(check(&raw, false, Some(4096)).unwrap_err().contains("lose its end"));
    raw.overlay = Some(handed("overlay", "1:1"));
    assert!(check(&raw, true, None).unwrap_err().contains("overlay"));
}
