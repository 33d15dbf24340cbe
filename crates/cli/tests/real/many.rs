//! Many disks at once, and lists of them.

use qplug_testbed::Machine;
use qplug_testbed::image::Format;
use serde_json::Value;

use crate::run::{
    GUEST_WITHIN, image, on_every_machine, on_machines_of_all_ages, path, qplug, state,
};

/// The members of this name, of each disk that was told of.
fn each(told: &Value, member: &str) -> Vec<String> {
    let disks = told["disks"].as_array().unwrap();
    disks.iter().map(|disk| disk[member].as_str().unwrap_or_default().to_owned()).collect()
}

fn wait_added(machine: &mut Machine, names: &[&str]) {
    for name in names {
        machine.guest.wait_added(name, GUEST_WITHIN).unwrap();
    }
}

#[test]
fn three_disks_come_at_once_and_all_leave_together() {
    on_machines_of_all_ages("many", |machine| {
        let before = state(machine);
        let images = ["a", "b", "c"].map(|name| image(machine, name, Format::Raw));
        let qmp = machine.qmp_path();
        let paths: Vec<_> = images.iter().map(path).collect();
        let attach = [&["attach", "--json"], &*paths].concat();
        let told = qplug(&qmp, &attach).exits(0).json();
        assert_eq!(each(&told, "name"), ["a", "b", "c"], "{told}");
        assert!(told["traffic"]["commands"].as_u64().unwrap() <= 10, "{told}");
        wait_added(machine, &["a", "b", "c"]);
        let again = qplug(&qmp, &attach).exits(0).json();
        assert!(again["disks"].as_array().unwrap().iter().all(|it| it["already"] == true));
        qplug(&qmp, &["detach", "a", "nosuch"])
            .exits(6)
            .says("a detached")
            .says("nosuch: there is no disk called nosuch")
            .says("1 of 2 disks");
        let told = qplug(&qmp, &["detach", "--all", "--json"]).exits(0).json();
        assert_eq!(each(&told, "result"), ["removed", "removed"], "{told}");
        assert_eq!(state(machine), before);
        qplug(&qmp, &["detach", "--all"]).exits(0).says("0 of 0 disks");
        qplug(&qmp, &["detach", "a", "b", "--missing-ok"]).exits(0).says("nothing to do");
    });
}

#[test]
fn one_that_cannot_be_attached_keeps_all_out() {
    on_every_machine("all or none", |machine| {
        let before = state(machine);
        let images = ["a", "b"].map(|name| image(machine, name, Format::Raw));
        let qmp = machine.qmp_path();
        let port = ["--port", "nosuch"];
        qplug(&qmp, &[&["attach", path(&images[0]), path(&images[1])], &port[..]].concat())
            .exits(6)
            .says("a: there is no port nosuch")
            .says("0 of 2 disks");
        let list = machine.folder().join("disks.json");
        let text = format!(
            r#"{{"disk": [{{"image": "{}"}}, {{"image": "{}", "port": "nosuch"}}]}}"#,
            path(&images[0]),
            path(&images[1])
        );
        std::fs::write(&list, text).unwrap();
        let list = list.to_str().unwrap();
        let told = qplug(&qmp, &["attach", "--list", list, "--json"]).exits(6).json();
        let errors: Vec<_> =
            told["disks"].as_array().unwrap().iter().map(|it| &it["error"]).collect();
        assert!(errors[0]["message"].as_str().unwrap().contains("another disk"), "{told}");
        assert_eq!(errors[1]["exit_code"], 6, "{told}");
        assert_eq!(state(machine), before);
    });
}

#[test]
fn a_list_has_the_words_of_the_command_line() {
    on_every_machine("list", |machine| {
        let before = state(machine);
        let _images = ["a", "b"].map(|name| image(machine, name, Format::Qcow2));
        let list = machine.folder().join("disks.toml");
        let text = "[[disk]]\nimage = 'a.qcow2'\nread-only = true\n\
                    [[disk]]\nimage = 'b.qcow2'\nname = 'second'\nserial = 'two'\n";
        std::fs::write(&list, text).unwrap();
        let qmp = machine.qmp_path();
        let list = list.to_str().unwrap();
        let told = qplug(&qmp, &["attach", "--list", list, "--json"]).exits(0).json();
        assert_eq!(each(&told, "name"), ["a", "second"]);
        assert!(machine.guest.wait_added("a", GUEST_WITHIN).unwrap().read_only);
        assert!(!machine.guest.wait_added("two", GUEST_WITHIN).unwrap().read_only);
        qplug(&qmp, &["detach", "a", "second"]).exits(0).says("2 of 2 disks");
        assert_eq!(state(machine), before);
        std::fs::write(list, format!("{text}speed = 1\n")).unwrap();
        qplug(&qmp, &["attach", "--list", list]).exits(2).says("line 8").says("speed");
    });
}

/// More than the eight events that a virtio-scsi driver has room for at once.
const A_BURST: usize = 60;

#[test]
fn a_burst_of_disks_on_one_controller_all_come_to_the_guest() {
    on_every_machine("burst", |machine| {
        let before = state(machine);
        let names: Vec<String> = (0..A_BURST).map(|number| format!("d{number}")).collect();
        let images: Vec<_> = names.iter().map(|name| image(machine, name, Format::Raw)).collect();
        let qmp = machine.qmp_path();
        let mut attach = vec!["attach", "--bus", "virtio-scsi", "--wait", "guest"];
        attach.extend(images.iter().map(path));
        qplug(&qmp, &attach).exits(0);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        wait_added(machine, &names);
        qplug(&qmp, &["detach", "--all"]).exits(0);
        assert_eq!(state(machine), before);
    });
}
