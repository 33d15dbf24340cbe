//! Previews, played against scripts.

use super::*;
use crate::format::Format;
use crate::name::DiskName;
use crate::operation::script::Happens::{self, Answer};
use crate::operation::script::play;

const Q35: &str = r#"[{"bus": 0, "devices": [
    {"slot": 0, "id": {"vendor": 32902, "device": 10688}, "class_info": {"class": 1536}, "qdev_id": ""},
    {"slot": 1, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "rp0",
     "pci_bridge": {"bus": {"secondary": 1}}}]}]"#;
const BLOCK: &str = r#"[{"qdev": "/machine/peripheral/data/virtio-backend", "inserted":
    {"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}}]"#;

fn words(planned: &Planned) -> Vec<String> {
    let steps = planned.steps.as_ref().unwrap().iter();
    steps
        .map(|step| {
            format!("{} / {}", step.command.name, step.undo.as_ref().map_or("-", |it| it.name))
        })
        .collect()
}

fn disk(name: &str) -> Disk {
    Disk::named(name).unwrap().format(Some(Format::raw())).remote_image(format!("/{name}")).unwrap()
}

fn look() -> Vec<Happens> {
    vec![
        Answer("query-pci", "", Ok(Q35)),
        Answer("query-named-block-nodes", "", Ok("[]")),
        Answer("query-migrate", "", Ok("{}")),
    ]
}

#[test]
fn an_attach_shows_each_step_with_its_undo() {
    let plans = play(Preview::attach(vec![disk("data")]), look()).unwrap();
    assert_eq!(words(&plans.disks[0]), ["blockdev-add / blockdev-del", "device_add / device_del"]);
    let steps = plans.disks[0].steps.as_ref().unwrap();
    let shown = steps[1].command.to_string();
    assert!(shown.contains("bus=rp0") && shown.contains("addr='\"0\"'"), "{shown}");
}

#[test]
fn a_list_of_which_one_cannot_has_no_steps_at_all() {
    let mut script = look();
    script.push(Answer("qom-list", "/machine/peripheral", Ok("[]")));
    script.push(Answer("qom-list", "/objects", Ok("[]")));
    let disks = vec![disk("a"), disk("a")];
    let plans = play(Preview::attach(disks), script).unwrap();
    assert!(plans.disks.iter().all(|planned| planned.steps.is_err()), "{plans:?}");
}

#[test]
fn a_detach_shows_what_it_waits_for() {
    let script = vec![
        Answer("query-block", "", Ok(BLOCK)),
        Answer("query-block-jobs", "", Ok("[]")),
        Answer("query-block-exports", "", Ok("[]")),
        Answer("qom-list", "/objects", Ok("[]")),
    ];
    let which = Which::Named(vec![DiskName::new("data").unwrap()]);
    let plans = play(Preview::detach(which, Duration::from_secs(30)), script).unwrap();
    assert_eq!(words(&plans.disks[0]), ["device_del / -", "blockdev-del / -"]);
    let steps = plans.disks[0].steps.as_ref().unwrap();
    assert_eq!(steps[0].awaits.as_deref(), Some("DEVICE_DELETED of data, at most 30 s"));
    assert_eq!(steps[1].awaits, None);
}
