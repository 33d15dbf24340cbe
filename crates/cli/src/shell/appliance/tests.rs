use std::sync::Arc;

use qplug_qapi::introspection::Schema;

use super::APPLIANCE;
use crate::shell::complete::{Kind, Name, Names, World, complete};
use crate::shell::help::help;
use crate::shell::hint::hint;
use crate::shell::vocabulary::Vocabulary;

/// An appliance with one disk, which is mounted.
struct Written;

impl World for Written {
    fn vocabulary(&self) -> &'static Vocabulary {
        &APPLIANCE
    }

    fn schema(&self) -> Option<Arc<Schema>> {
        None
    }

    fn names(&self, kind: &Kind) -> Arc<Names> {
        let texts: &[&str] = match kind {
            Kind::Labels => &["data", "disk1"],
            Kind::Links => &["data", "data:1"],
            Kind::Mountable => &["data:1", "data:2", "disk1"],
            Kind::Mounts => &["/", "/boot"],
            Kind::Tree(folder) if folder == "/" => &["etc/", "my file", ".hidden"],
            Kind::Tree(folder) if folder == "/etc/" => &["fstab"],
            Kind::Files(folder) if folder.is_empty() => &["a.img", "images/"],
            Kind::HostCommands => &["grep"],
            _ => &[],
        };
        let names = texts.iter().map(|text| Name::new(*text, "")).collect();
        Arc::new(Names { names, left_out: 0 })
    }
}

fn completed(line: &str) -> Vec<String> {
    let found = complete(line, line.len(), false, &Written);
    let candidates = found.candidates.into_iter();
    candidates.map(|it| format!("{}{}", &line[..found.span.start], it.insert)).collect()
}

#[test]
fn words_are_completed_from_what_is_in_the_appliance() {
    for (line, expected) in [
        ("list-", vec!["list-devices", "list-filesystems"]),
        ("u", vec!["umount"]),
        ("remove ", vec!["remove data", "remove disk1"]),
        ("remove data ", vec!["remove data disk1"]),
        ("mount data", vec!["mount data:1", "mount data:2"]),
        ("mount disk1 ", vec!["mount disk1 /"]),
        ("umount /b", vec!["umount /boot"]),
        ("ls -l /e", vec!["ls -l /etc/"]),
        ("cat /etc/", vec!["cat /etc/fstab"]),
        ("cat '/my", vec!["cat '/my file'"]),
        ("ls /.", vec!["ls /.hidden"]),
        ("add a", vec!["add a.img"]),
        ("cp ", vec!["cp :/", "cp a.img", "cp images/"]),
        ("cp :/m", vec![r"cp :/my\ file"]),
        ("cp a.img :", vec!["cp a.img :/"]),
        ("sh mkfs.ext4 /d", vec!["sh mkfs.ext4 /dev/disk/qplug/"]),
        ("sh mkfs.ext4 -q /dev/disk/qplug/data:", vec!["sh mkfs.ext4 -q /dev/disk/qplug/data:1"]),
        ("sh mkfs", vec![]),
        ("mount data:1 / --al", vec!["mount data:1 / --allow"]),
        ("ls --a", vec![]),
        ("cat /x | gr", vec!["cat /x | grep"]),
        ("help dow", vec!["help down"]),
        ("query-bl", vec![]),
        ("{\"exec", vec![]),
    ] {
        assert_eq!(completed(line), expected, "{line}");
    }
}

#[test]
fn what_is_missing_is_said_behind_the_cursor() {
    for (line, expected) in [("mount ", "DEVICE PATH"), ("cp a ", "TO"), ("x ", ""), ("ls ", "")] {
        assert_eq!(hint(line, false, &Written), expected, "{line}");
    }
}

#[test]
fn all_that_can_be_typed_has_a_help() {
    let overview = help(None, &APPLIANCE, None).unwrap();
    assert!(overview.lines().all(|line| line.chars().count() <= 110), "{overview}");
    for verb in APPLIANCE.verbs() {
        assert!(overview.contains(verb.get_name()));
        assert!(help(Some(verb.get_name()), &APPLIANCE, None).unwrap().contains("Usage: "));
    }
    assert!(help(Some("quit"), &APPLIANCE, None).is_ok());
    assert!(help(Some("attach"), &APPLIANCE, None).unwrap_err().contains("no command attach"));
}
