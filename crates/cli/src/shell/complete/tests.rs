use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use qplug_qapi::introspection::Schema;

use super::*;
use crate::shell::vocabulary::Vocabulary;

/// The schema that a QEMU of this version gave.
pub(in crate::shell) fn schema(version: &str) -> Schema {
    Schema::parse(match version {
        "7.2" => include_str!("../../../../qapi/schemas/7.2.json"),
        "10.0" => include_str!("../../../../qapi/schemas/10.0.json"),
        _ => include_str!("../../../../qapi/schemas/11.1.json"),
    })
    .unwrap()
}

/// A world of names that are written down.
pub(in crate::shell) struct Written {
    schema: Option<Arc<Schema>>,
    names: HashMap<Kind, Arc<Names>>,
}

impl Written {
    pub(in crate::shell) fn new(version: &str) -> Self {
        let mut world = Self { schema: Some(Arc::new(schema(version))), names: HashMap::new() };
        world.add(Kind::Nodes, &["data.format", "data.file", "#block123"]);
        world.add(Kind::BlockDevices, &["data.format", "ide1-cd0"]);
        world.add(Kind::Devices, &["data", "rp0"]);
        world.add(Kind::Disks, &["data", "logs"]);
        world.add(Kind::Drives, &["ide1-cd0"]);
        world.add(Kind::Ports, &["rp0", "rp1"]);
        world.add(Kind::Jobs, &["mirror0"]);
        world.add(Kind::Objects, &["io0", "sec0"]);
        world.add(Kind::Bitmaps("data.format".to_owned()), &["nightly"]);
        world.add(Kind::QomChildren("/".to_owned()), &["machine/", "objects/", "type"]);
        world.add(Kind::QomChildren("/machine".to_owned()), &["peripheral/", "q35/"]);
        world.add(Kind::QomProperties("/machine".to_owned()), &["accel", "kernel"]);
        world.add(Kind::DeviceTypes, &["virtio-blk-pci", "virtio-net-pci", "nvme"]);
        world.add(Kind::HumanCommands, &["info", "commit"]);
        world.add(Kind::HumanInfo, &["qtree", "block"]);
        let files = ["a.img", "b c.qcow2", ".hidden", "images/", "it's", "two\nlines"];
        world.add(Kind::Files(String::new()), &files);
        world.add(Kind::Files("images/".to_owned()), &["x.img", "y z/"]);
        world.add(Kind::Files("b d/".to_owned()), &["e f"]);
        world.add(Kind::HostCommands, &["jq", "less", "grep"]);
        let properties = ["drive", "serial", "bootindex", "write-cache", "id", "share-rw"];
        let notes =
            ["str: Node name or ID", "str", "int32", "OnOffAuto: on/off/auto", "str", "bool"];
        let names = properties.iter().zip(notes).map(|(text, note)| Name::new(*text, note));
        let names = Names { names: names.collect(), left_out: 0 };
        world.names.insert(Kind::Properties("virtio-blk-pci".to_owned()), Arc::new(names));
        world
    }

    fn add(&mut self, kind: Kind, names: &[&str]) {
        let names = names.iter().map(|name| Name::new(*name, "")).collect();
        self.names.insert(kind, Arc::new(Names { names, left_out: 0 }));
    }
}

impl World for Written {
    fn vocabulary(&self) -> &'static Vocabulary {
        &crate::shell::verb::QPLUG
    }

    fn schema(&self) -> Option<Arc<Schema>> {
        self.schema.clone()
    }

    fn names(&self, kind: &Kind) -> Arc<Names> {
        let kind = match kind {
            Kind::MachineFiles(folder) => &Kind::Files(folder.clone()),
            kind => kind,
        };
        self.names.get(kind).cloned().unwrap_or_default()
    }
}

/// What the line becomes with each candidate; ‸ is the cursor.
fn lines(marked: &str, world: &dyn World, in_transaction: bool) -> Vec<String> {
    let cursor = marked.find('‸').unwrap();
    let line = marked.replacen('‸', "", 1);
    let found = complete(&line, cursor, in_transaction, world);
    let line = |it: &Candidate| {
        let space = if it.ends_word { " " } else { "" };
        format!("{}{}{space}{}", &line[..found.span.start], it.insert, &line[found.span.end..])
    };
    found.candidates.iter().map(line).collect()
}

/// The candidates alone, without what is typed before them.
fn texts(marked: &str, world: &dyn World) -> Vec<String> {
    let cursor = marked.find('‸').unwrap();
    let line = marked.replacen('‸', "", 1);
    let found = complete(&line, cursor, false, world);
    found.candidates.into_iter().map(|it| it.insert).collect()
}

#[test]
fn a_line_has_one_end() {
    let world = Written::new("10.0");
    for (marked, expected) in [
        // Commands.
        ("detac‸", vec!["detach "]),
        ("his‸", vec!["history "]),
        ("query-named‸", vec!["query-named-block-nodes "]),
        ("device-add‸", vec!["device_add "]),
        ("  -device-d‸", vec!["  -device_del "]),
        ("exec block_res‸", vec!["exec block_resize "]),
        ("exec --ra‸", vec!["exec --raw "]),
        ("query-block --js‸", vec!["query-block --json "]),
        ("device_del --timeout 5 ‸", vec!["device_del --timeout 5 id="]),
        // Words of qplug's commands.
        ("detach ‸", vec!["detach data ", "detach logs "]),
        ("detach data ‸", vec!["detach data logs "]),
        ("detach data --t‸", vec!["detach data --timeout "]),
        ("attach --port ‸", vec!["attach --port rp0 ", "attach --port rp1 "]),
        ("attach --port=rp1‸", vec!["attach --port=rp1 "]),
        ("attach -p rp1‸", vec!["attach -p rp1 "]),
        ("attach --bus virtio-s‸", vec!["attach --bus virtio-scsi "]),
        ("attach --cache=wr‸", vec!["attach --cache=writeback ", "attach --cache=writethrough "]),
        ("throttle data iops-t‸", vec!["throttle data iops-total="]),
        (
            "attach a.img --throttle iops-size=5,bps-r‸",
            vec!["attach a.img --throttle iops-size=5,bps-read="],
        ),
        ("swap ide1-cd0 a.img -f ra‸", vec!["swap ide1-cd0 a.img -f raw "]),
        ("attach --timeout 5 im‸", vec!["attach --timeout 5 images/"]),
        ("attach a.img --wait ‸", vec!["attach a.img --wait guest "]),
        ("eject ‸", vec!["eject ide1-cd0 "]),
        ("insert ide1-cd0 a‸", vec!["insert ide1-cd0 a.img "]),
        ("hmp inf‸", vec!["hmp info "]),
        ("hmp info qt‸", vec!["hmp info qtree "]),
        ("hmp commit ‸", vec![]),
        ("schema device_d‸", vec!["schema device_del "]),
        ("schema DEVICE_UNPLUG‸", vec!["schema DEVICE_UNPLUG_GUEST_ERROR "]),
        ("schema diff a‸", vec!["schema diff a.img "]),
        ("help snapshot-l‸", vec!["help snapshot-load "]),
        ("events JOB‸", vec!["events JOB_STATUS_CHANGE "]),
        ("events no‸", vec!["events none "]),
        ("events JOB_* !JOB‸", vec!["events JOB_* !JOB_STATUS_CHANGE "]),
        ("transaction prop‸", vec!["transaction properties."]),
        // Arguments of QMP's.
        ("device_del ‸", vec!["device_del id="]),
        ("device_del id=‸", vec!["device_del id=data ", "device_del id=rp0 "]),
        (
            "blockdev-add driver=qco‸",
            vec!["blockdev-add driver=qcow ", "blockdev-add driver=qcow2 "],
        ),
        ("blockdev-add driver=file filena‸", vec!["blockdev-add driver=file filename="]),
        (
            "blockdev-add driver=qcow2 file‸",
            vec![
                "blockdev-add driver=qcow2 file.",
                "blockdev-add driver=qcow2 file=",
                "blockdev-add driver=qcow2 data-file.",
                "blockdev-add driver=qcow2 data-file=",
            ][..2]
                .to_vec(),
        ),
        (
            "blockdev-add driver=raw file=data.f‸",
            vec![
                "blockdev-add driver=raw file=data.file ",
                "blockdev-add driver=raw file=data.format ",
            ],
        ),
        ("blockdev-add file.driver=nbd file.exp‸", vec![]),
        (
            "blockdev-add driver=raw file.driver=nbd file.exp‸",
            vec!["blockdev-add driver=raw file.driver=nbd file.export="],
        ),
        (
            "blockdev-add driver=raw file.driver=nbd file.server.type=‸",
            vec!["fd", "inet", "unix", "vsock"],
        ),
        ("blockdev-add node-n‸ driver=raw", vec!["blockdev-add node-name= driver=raw"]),
        ("blockdev-add node-n‸=x driver=raw", vec!["blockdev-add node-name=x driver=raw"]),
        ("blockdev-add driver=raw read-only=t‸", vec!["blockdev-add driver=raw read-only=true "]),
        (
            "blockdev-add driver=raw read-only=o‸",
            vec!["blockdev-add driver=raw read-only=off ", "blockdev-add driver=raw read-only=on "],
        ),
        (
            "blockdev-add driver=raw cache.‸",
            vec![
                "blockdev-add driver=raw cache.direct=",
                "blockdev-add driver=raw cache.no-flush=",
            ],
        ),
        (
            "blockdev-add driver=raw cache.direct=on cache.‸",
            vec!["blockdev-add driver=raw cache.direct=on cache.no-flush="],
        ),
        ("exec blockdev-del ‸", vec!["exec blockdev-del node-name="]),
        ("exec blockdev-del node-name=#‸", vec!["exec blockdev-del node-name=#block123 "]),
        (
            "block-dirty-bitmap-clear node=data.format name=‸",
            vec!["block-dirty-bitmap-clear node=data.format name=nightly "],
        ),
        ("job-cancel id=‸", vec!["job-cancel id=mirror0 "]),
        ("qom-list path=‸", vec!["qom-list path=/"]),
        ("qom-list path=/m‸", vec!["qom-list path=/machine/"]),
        ("qom-list path=/machine/p‸", vec!["qom-list path=/machine/peripheral/"]),
        ("qom-get path=/machine property=a‸", vec!["qom-get path=/machine property=accel "]),
        ("device_add driver=nv‸", vec!["device_add driver=nvme "]),
        ("device_add driver=virtio-blk-pci ser‸", vec!["device_add driver=virtio-blk-pci serial="]),
        (
            "device_add driver=virtio-blk-pci drive=i‸",
            vec!["device_add driver=virtio-blk-pci drive=ide1-cd0 "],
        ),
        (
            "device_add driver=virtio-blk-pci write-cache=a‸",
            vec!["device_add driver=virtio-blk-pci write-cache=auto "],
        ),
        ("exec transaction actions.‸", vec!["exec transaction actions.0."]),
        (
            "exec transaction actions.0.type=block-dirty-bitmap-cl‸",
            vec!["exec transaction actions.0.type=block-dirty-bitmap-clear "],
        ),
        // Files and the host.
        (
            "attach ‸",
            vec![
                r"attach a.img ",
                r"attach b\ c.qcow2 ",
                "attach images/",
                r"attach it\'s ",
                "attach 'two\nlines' ",
            ],
        ),
        ("attach .‸", vec!["attach .hidden "]),
        ("attach images/‸", vec!["attach images/x.img ", r"attach images/y\ z/"]),
        ("attach 'b‸", vec!["attach 'b c.qcow2' "]),
        ("attach \"im‸", vec!["attach \"images/"]),
        (r"attach b\ d/‸", vec![r"attach b\ d/e\ f "]),
        ("attach 'b d/‸", vec!["attach 'b d/e f' "]),
        (
            "blockdev-add driver=file filename=images/x‸",
            vec!["blockdev-add driver=file filename=images/x.img "],
        ),
        ("query-block > a‸", vec!["query-block > a.img "]),
        ("query-block | j‸", vec!["query-block | jq "]),
        ("query-block | jq a‸", vec!["query-block | jq a.img "]),
        ("query-block | jq . | gr‸", vec!["query-block | jq . | grep "]),
        ("query-block # d‸", vec![]),
    ] {
        let found = lines(marked, &world, false);
        if marked.ends_with("server.type=‸") {
            assert_eq!(texts(marked, &world), expected);
            continue;
        }
        assert_eq!(found, expected, "{marked}");
    }
}

#[test]
fn json_is_completed_where_the_cursor_is() {
    let world = Written::new("10.0");
    for (marked, expected) in [
        ("{‸", vec![r#""execute": "#, r#""arguments": "#, r#""id": "#]),
        ("{\"ex‸", vec!["execute\": "]),
        ("{\"ex‸\"", vec!["execute"]),
        ("{\"execute\": \"device_d‸", vec!["device_del\""]),
        ("{'execute': 'device_d‸", vec!["device_del'"]),
        ("{\"execute\": \"device_del\", ‸", vec![r#""arguments": "#, r#""id": "#]),
        ("{\"execute\": \"device_del\", \"arguments\": ‸", vec!["{"]),
        ("{\"execute\": \"device_del\", \"arguments\": {‸", vec![r#""id": "#]),
        ("{\"execute\": \"device_del\", \"arguments\": {\"id\": \"d‸", vec!["data\""]),
        ("{\"execute\": \"device_del\"‸", vec![]),
        ("exec device_del {\"‸", vec!["id\": "]),
        ("blockdev-add {\"driver\": \"qcow‸", vec!["qcow\"", "qcow2\""]),
        ("blockdev-add driver=raw file={\"driver\": \"nbd\", \"exp‸", vec!["export\": "]),
        ("blockdev-add driver=raw read-only=true cache={\"direct\": ‸", vec!["false", "true"]),
        ("blockdev-add {\"driver\": \"raw\", \"cache\": ‸", vec!["{"]),
        ("exec transaction {\"actions\": ‸", vec!["["]),
        ("exec transaction {\"actions\": [‸", vec!["{"]),
        ("exec transaction {\"actions\": [{\"type\": \"ab‸", vec!["abort\""]),
        ("blockdev-add {\"driver\": \"file\", \"filename\": \"images/x‸", vec!["x.img\""]),
    ] {
        assert_eq!(texts(marked, &world), expected, "{marked}");
    }
}

#[test]
fn inside_a_transaction_lines_are_actions() {
    let world = Written::new("10.0");
    for (marked, expected) in [
        ("block-dirty-bitmap-cl‸", vec!["block-dirty-bitmap-clear "]),
        ("comm‸", vec!["commit "]),
        ("abo‸", vec!["abort "]),
        ("atta‸", vec![]),
        (
            "block-dirty-bitmap-clear ‸",
            vec!["block-dirty-bitmap-clear name=", "block-dirty-bitmap-clear node="],
        ),
        ("block-dirty-bitmap-clear node=#‸", vec!["block-dirty-bitmap-clear node=#block123 "]),
    ] {
        assert_eq!(lines(marked, &world, true), expected, "{marked}");
    }
}

#[test]
fn what_must_come_is_first_and_what_should_not_is_last() {
    let world = Written::new("10.0");
    let found = complete("blockdev-add ", 13, false, &world).candidates;
    assert_eq!(found[0].insert, "driver=");
    assert!(found[0].note.starts_with("required: "));
    assert!(found.iter().any(|it| it.insert == "cache." && !it.ends_word));
    let found = complete("", 0, false, &world).candidates;
    let last = found.last().unwrap();
    assert!(last.note.contains("unstable") || last.note.contains("deprecated"), "{last:?}");
}

#[test]
fn all_recorded_machines_complete_their_own() {
    for version in ["7.2", "10.0", "11.1"] {
        let world = Written::new(version);
        let schema = schema(version);
        for command in schema.commands() {
            let line = format!("exec {} ", command.name);
            let found = complete(&line, line.len(), false, &world);
            let members = schema.members(schema.arguments(&command.name).unwrap(), None);
            for member in members.iter().filter(|member| !member.optional) {
                let has = |mark: &str| {
                    let key = format!("{}{mark}", member.name);
                    found.candidates.iter().any(|it| it.insert == key)
                };
                assert!(has("=") || has("."), "{version}: {line}: {}", member.name);
            }
        }
        let found = texts("query-‸", &world);
        let expected = schema.commands().filter(|it| it.name.starts_with("query-")).count();
        assert_eq!(found.len(), expected);
    }
}

#[test]
fn a_machine_with_no_schema_has_its_commands() {
    let mut world = Written::new("10.0");
    world.schema = None;
    world.add(Kind::Commands, &["query-block", "device_add"]);
    assert_eq!(texts("query‸", &world), ["query-block"]);
    assert_eq!(texts("device_add driver=nv‸", &world), ["nvme"]);
    assert_eq!(texts("query-block ‸", &world), [""; 0]);
}

#[test]
fn too_many_are_a_number() {
    let mut world = Written::new("10.0");
    let names: Vec<String> = (0..1000).map(|number| format!("disk{number:04}")).collect();
    world.add(Kind::Disks, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let found = complete("detach disk", 11, false, &world);
    assert_eq!((found.candidates.len(), found.more), (candidate::MAX_CANDIDATES, 500));
    assert_eq!(complete("detach disk09", 13, false, &world).more, 0);
}

#[test]
fn what_a_machine_calls_things_cannot_reach_the_terminal() {
    let mut world = Written::new("10.0");
    let odd = Name::new("b", "note\u{1b}[31m");
    let names = vec![Name::new("a\u{1b}[31m", ""), odd, Name::new("c\nd", "")];
    world.names.insert(Kind::Disks, Arc::new(Names { names, left_out: 0 }));
    let found = complete("detach ", 7, false, &world).candidates;
    let shown: Vec<_> = found.iter().map(|it| (it.shown.as_str(), it.note.as_str())).collect();
    assert_eq!(shown, [("b", "note\\u{1b}[31m"), ("c\\nd", "")]);
}

#[test]
fn quotes_behind_a_message_are_none_of_its() {
    for line in ["{]#\né\"", "{a]b\né'c", "{driver=x]\n\\é"] {
        for cursor in 0..=line.len() {
            let found = complete(line, cursor, false, &Written::new("7.2"));
            assert!(line.get(found.span.clone()).is_some(), "{line:?} at {cursor}: {found:?}");
        }
    }
}

proptest! {
    #[test]
    fn no_line_is_too_odd(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "blockdev-add", "driver=raw", "file.", "file", "=", "{", "\"", "'", "\\", "é", " ", "|",
                ">", "#", "attach", "--bus", "exec", "transaction", "actions.0.", "[", "]", "}", ",",
                ":", "\"execute\"", "\"arguments\"", "device_add", "driver=virtio-blk-pci", "-", "\n",
                "/", ".", "help", "\u{1F600}",
            ]),
            0..12,
        ),
        cursor in 0_usize..120,
        in_transaction in any::<bool>(),
    ) {
        thread_local! {
            static WORLD: Written = Written::new("7.2");
        }
        let line: String = words.concat();
        let found = WORLD.with(|world| complete(&line, cursor, in_transaction, world));
        prop_assert!(line.get(found.span.clone()).is_some());
        prop_assert!(found.candidates.is_empty() || found.span.end == cursor);
        let _ = WORLD.with(|world| crate::shell::hint::hint(&line, in_transaction, world));
    }
}
