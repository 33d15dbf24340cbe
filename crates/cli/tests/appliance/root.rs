//! `qplug appliance up --root`: programs come from an image that is nobody's disk.

use std::fs;

use super::Room;

#[test]
fn programs_come_from_an_image_that_is_none_of_the_disks() {
    let test = "programs_come_from_an_image_that_is_none_of_the_disks";
    let Some(room) = Room::with_mkfs(test) else { return };
    let image = room.path("root.img");
    for (name, mib) in [("root.img", 64), ("a.img", 8), ("empty.img", 8)] {
        fs::File::create(room.path(name)).unwrap().set_len(mib << 20).unwrap();
    }
    room.does(&["up", "--with", "mkfs.ext4,cp,cat", &image]);
    room.does(&["sh", "work", "mkfs.ext4 -q /dev/disk/qplug/disk1"]);
    room.does(&["mount", "work", "disk1", "/"]);
    let copy = "cp -a /usr /bin /sbin /lib /lib64 /sysroot/ && echo small >/sysroot/flavour";
    room.does(&["sh", "work", copy]);
    room.does(&["down", "work"]);
    let before = fs::read(&image).unwrap();

    room.does(&["up", "--root", &image, &room.path("a.img")]);
    assert_eq!(room.does(&["sh", "work", "cat /flavour; echo mine >/flavour"]), "small\n");
    let listed: serde_json::Value =
        serde_json::from_slice(&room.run(&["list-devices", "work", "--json"]).stdout).unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed[0]["label"], "disk1");
    for name in ["qplug.root", "root", "/dev/sda"] {
        let refused = room.ends(4, &["mount", "work", name, "/"]);
        assert!(refused.contains("no such device"), "{name}: {refused}");
    }
    room.does(&["down", "work"]);
    assert!(fs::read(&image).unwrap() == before, "the root was written to");

    let missing = room.ends(6, &["up", "--root", &room.path("nosuch.img")]);
    assert!(missing.contains("nosuch.img"), "{missing}");
    let empty = room.ends(4, &["up", "--root", &room.path("empty.img")]);
    assert!(empty.contains("no file system is recognized"), "{empty}");
    let none = room.ends(4, &["up", "--root", &image, "--root-partition", "3"]);
    assert!(none.contains("no partition 3"), "{none}");
    room.ends(2, &["up", "--root-partition", "1"]);
    room.ends(2, &["up", "--root", &image, "--with", "cat"]);
    assert!(room.does(&["list"]).contains("no appliances"));
}
