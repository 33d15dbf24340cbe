//! An appliance of a user who is not root, and has nothing but images.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::process::Command;

use qplug_testbed::cache::folder as set_up;

use super::Room;

/// Linux's user, and group, that nothing belongs to.
const NOBODY: u32 = 65534;

impl Room {
    /// Where the tests run as root, the command runs as nobody, who can read only what is in this folder.
    /// Where they do not, they show what is shown here, all of them.
    fn of_a_user(test: &str) -> Option<Self> {
        let mut room = Self::with_mkfs(test)?;
        let folder = room.folder.path();
        if fs::metadata(folder).unwrap().uid() != 0 {
            return Some(room);
        }
        let cache = folder.join("cache");
        fs::create_dir(&cache).unwrap();
        let set_up = fs::read_dir(set_up().unwrap()).unwrap().flatten();
        let qemus = set_up.filter(|it| it.file_name().to_string_lossy().starts_with("qemu-"));
        // One is enough: they are large.
        if let Some(qemu) = qemus.min_by_key(fs::DirEntry::file_name) {
            copy(&qemu.path(), &cache.join(qemu.file_name()));
        }
        for (from, name) in [
            (&mut room.qplug, "program"),
            (&mut room.kernel.image, "image"),
            (&mut room.kernel.modules, "modules"),
        ] {
            let to = folder.join(name);
            copy(from, &to);
            *from = to;
        }
        for folder in [folder, &cache] {
            chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        room.user = Some(NOBODY);
        Some(room)
    }
}

/// No link: that would change what the keys of the saved machines are made of, at the place it links to.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).output().unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
}

#[test]
fn who_is_not_root_has_an_appliance_of_their_own_images() {
    let test = "who_is_not_root_has_an_appliance_of_their_own_images";
    let Some(room) = Room::of_a_user(test) else { return };
    for name in ["own.img", "foreign.img"] {
        fs::File::create(room.path(name)).unwrap().set_len(16 << 20).unwrap();
    }
    let (own, foreign) = (room.path("own.img"), room.path("foreign.img"));
    chown(&own, room.user, room.user).unwrap();

    room.does(&["up", "--with", "mkfs.ext4", &own]);
    room.does(&["sh", "work", "mkfs.ext4 -q /dev/disk/qplug/disk1"]);
    room.does(&["mount", "work", "disk1", "/"]);
    room.does(&["cp", "/proc/self/status", "work:/status"]);
    let status = room.does(&["cat", "work", "/status"]);
    if let Some(user) = room.user {
        assert!(status.contains(&format!("Uid:\t{user}\t{user}")), "it ran as root: {status}");
        let refused = room.ends(4, &["add", "work", &foreign]);
        assert!(refused.contains("IMAGE:ro"), "{refused}");
    }
    room.does(&["add", "work", &format!("{foreign}:ro")]);
    room.does(&["down", "work"]);
    let again = room.does(&["up", "--with", "mkfs.ext4", &own]);
    assert!(again.contains("restored"), "{again}");
    room.does(&["mount", "work", "disk1", "/"]);
    assert_eq!(room.does(&["cat", "work", "/status"]), status);
    room.does(&["down", "work"]);
}
