//! `qplug appliance`, as a user types it, with a real QEMU, kernel and agent.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod files;
mod shell;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use qplug_testbed::qemu::skip;
use qplug_testbed::{Qemu, boot_files::Kernel};

/// A runtime folder of its own. The appliances in it end with it, however a test ends.
struct Room {
    folder: tempfile::TempDir,
    kernel: Kernel,
}

impl Room {
    /// Nothing, after a loud line, where there is no QEMU that the command finds by itself.
    fn new(test: &str) -> Option<Self> {
        let kernel = Kernel::current().unwrap();
        if Qemu::under_test(test).is_empty() {
            return None;
        }
        if !kernel.is_there() {
            skip(test, "no kernel is set up for it; run: cargo xtask setup");
            return None;
        }
        Some(Self { folder: tempfile::tempdir().unwrap(), kernel })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qplug"));
        command.arg("appliance").args(words).env("XDG_RUNTIME_DIR", self.folder.path());
        if words[0] == "up" || words.contains(&"-a") {
            command.arg("--kernel").arg(&self.kernel.image);
            command.arg("--modules").arg(&self.kernel.modules);
        }
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs what has to end with this code; what it printed and complained of.
    fn ends(&self, code: i32, words: &[&str]) -> String {
        ended(self.run(words), code, words)
    }

    fn does(&self, words: &[&str]) -> String {
        self.ends(0, words)
    }

    /// All that there are, as `list` tells programs.
    fn listed(&self) -> serde_json::Value {
        serde_json::from_slice(&self.run(&["list", "--json"]).stdout).unwrap_or_default()
    }
}

/// Checks a command's exit code; what it printed and complained of.
fn ended(output: Output, code: i32, words: &[&str]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    said
}

impl Drop for Room {
    fn drop(&mut self) {
        for name in self.listed().as_array().into_iter().flatten() {
            let _ = self.run(&["down", name["name"].as_str().unwrap_or_default()]);
        }
    }
}

#[test]
fn disks_are_made_mounted_filled_and_taken_out() {
    let test = "disks_are_made_mounted_filled_and_taken_out";
    let Some(room) = Room::new(test) else { return };
    if !Path::new("/sbin/mkfs.ext4").exists() {
        return skip(test, "this host has no mkfs.ext4 to take along; install e2fsprogs");
    }
    for (name, mib) in [("a.img", 8), ("b.img", 32)] {
        fs::File::create(room.path(name)).unwrap().set_len(mib << 20).unwrap();
    }
    fs::write(room.path("notes"), "first\n").unwrap();
    let only_read = format!("{}:ro", room.path("a.img"));
    let up = room.does(&["up", "--name", "work", "--with", "mkfs.ext4", &only_read]);
    assert!(up.contains("work is up") && up.contains("disk1"), "{up}");
    assert!(room.ends(6, &["up", "--name", "work"]).contains("is running already"));
    assert!(room.does(&["list"]).contains("running"));
    room.does(&["add", "work", &room.path("b.img"), "--label", "data"]);
    let made = room.does(&["sh", "work", "mkfs.ext4 -q /dev/disk/qplug/data && echo made"]);
    assert_eq!(made, "made\n");
    assert!(room.does(&["list-filesystems", "work"]).contains("ext4"));
    room.does(&["mount", "work", "data", "/"]);
    room.does(&["cp", &room.path("notes"), "work:/notes"]);
    room.does(&["mkdir", "work", "/some/folder"]);
    assert_eq!(room.does(&["cat", "work", "/notes"]), "first\n");
    assert!(room.does(&["find", "work", "/"]).contains("/some/folder"));
    room.does(&["cp", "work:/notes", &room.path("copy")]);
    assert_eq!(fs::read(room.path("copy")).unwrap(), b"first\n");
    files::copies_and_programs(&room);
    assert!(room.ends(4, &["remove", "work", "data"]).contains("is mounted on /"));
    room.does(&["remove", "work", "data", "--force"]);
    let left = room.does(&["list-devices", "work"]);
    assert!(left.contains("disk1") && left.contains("ro") && !left.contains("data"), "{left}");
    room.does(&["down", "work"]);
    assert!(room.does(&["list"]).contains("no appliances"));
    assert!(room.ends(6, &["list-devices", "work"]).contains("there is no appliance"));
    // The bytes are in the image.
    let image = fs::read(room.path("b.img")).unwrap();
    assert!(image.windows(6).any(|window| window == b"first\n"));
}
