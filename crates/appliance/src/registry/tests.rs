#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn registry() -> (tempfile::TempDir, Registry) {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::at(&folder.path().join("qplug")).unwrap();
    (folder, registry)
}

fn record(identity: Identity) -> Record {
    Record { identity, command: vec!["qemu".into()], restored: false }
}

#[test]
fn names_are_names_of_folders_and_nothing_more() {
    for name in ["work", "a", "Build-7.x_86"] {
        assert_eq!(ApplianceName::new(name).unwrap().as_str(), name);
    }
    for name in ["", ".", "..", "-x", "a/b", "a b", "ä", &"x".repeat(33)] {
        assert!(ApplianceName::new(name).is_err(), "{name}");
    }
}

#[test]
fn an_appliance_changes_while_it_is_held_then_runs_then_is_dead() {
    let (_folder, registry) = registry();
    let place = registry.place(&ApplianceName::new("work").unwrap());
    assert_eq!(place.state(), None);
    assert!(matches!(place.require_running(), Err(Error::Absent { .. })));
    let held = place.claim().unwrap();
    let mode = fs::metadata(place.folder()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(place.state(), Some(State::Changing));
    assert!(matches!(place.require_running(), Err(Error::Starting { .. })));
    assert!(matches!(place.claim(), Err(Error::Exists { .. })));
    let us = Identity::of(std::process::id()).unwrap();
    held.write(&record(us)).unwrap();
    drop(held);
    assert_eq!(place.state(), Some(State::Running));
    assert_eq!(place.require_running().unwrap(), record(us));
    assert!(matches!(place.claim(), Err(Error::Exists { .. })));
    // Another process that has the number of one that ended.
    let Hold::Ours(held) = place.try_hold().unwrap() else { panic!("it was left") };
    held.write(&record(Identity { started: us.started + 1, ..us })).unwrap();
    fs::write(place.file(Place::LOG), "out of memory\n").unwrap();
    drop(held);
    assert_eq!(place.state(), Some(State::Dead));
    let dead = place.require_running().unwrap_err().to_string();
    assert!(dead.contains("out of memory"), "{dead}");
    let listed = registry.list().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].1, State::Dead);
}

#[test]
fn what_a_dead_one_left_is_cleared_away() {
    let (_folder, registry) = registry();
    let place = registry.place(&ApplianceName::new("work").unwrap());
    drop(place.claim().unwrap());
    for name in [Place::MONITOR, Place::LOG] {
        fs::write(place.file(name), "old").unwrap();
    }
    // No process of ours: it does not work in that folder.
    fs::write(place.file(Place::PID), std::process::id().to_string()).unwrap();
    let held = place.claim().unwrap();
    assert!(!place.file(Place::LOG).exists());
    held.remove().unwrap();
    assert_eq!(place.state(), None);
    assert!(registry.list().unwrap().is_empty());
}

#[test]
fn a_half_started_qemu_is_ended() {
    let (_folder, registry) = registry();
    let place = registry.place(&ApplianceName::new("work").unwrap());
    drop(place.claim().unwrap());
    let mut child =
        std::process::Command::new("sleep").arg("60").current_dir(place.folder()).spawn().unwrap();
    fs::write(place.file(Place::PID), child.id().to_string()).unwrap();
    drop(place.claim().unwrap());
    assert!(!child.wait().unwrap().success());
}

#[test]
fn a_path_too_long_for_a_socket_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::at(&folder.path().join("x".repeat(90))).unwrap();
    let refused = registry.place(&ApplianceName::new("work").unwrap()).claim().unwrap_err();
    assert!(refused.to_string().contains("socket"), "{refused}");
}
