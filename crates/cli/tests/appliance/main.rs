//! `qplug appliance`, as a user types it, with a real QEMU, kernel and agent.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod files;
mod root;
mod shell;
mod user;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use qplug_appliance::Identity;
use qplug_testbed::qemu::skip;
use qplug_testbed::{Qemu, boot_files::Kernel};

/// How long a fact may take to become true.
const WITHIN: Duration = Duration::from_secs(20);

/// Waits for a fact.
fn eventually<T>(what: &str, fact: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + WITHIN;
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A runtime folder of its own. The appliances in it end with it, however a test ends.
struct Room {
    folder: tempfile::TempDir,
    kernel: Kernel,
    qplug: PathBuf,
    /// As which user and group the command runs, where not as who runs the tests.
    user: Option<u32>,
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
        let qplug = env!("CARGO_BIN_EXE_qplug").into();
        Some(Self { folder: tempfile::tempdir().unwrap(), kernel, qplug, user: None })
    }

    /// Where the host has a mkfs.ext4 to take along, too.
    fn with_mkfs(test: &str) -> Option<Self> {
        if !Path::new("/sbin/mkfs.ext4").exists() {
            skip(test, "this host has no mkfs.ext4 to take along; install e2fsprogs");
            return None;
        }
        Self::new(test)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.qplug);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
            command.env("HOME", self.folder.path()).env("QPLUG_CACHE", self.path("cache"));
        }
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
    let Some(room) = Room::with_mkfs(test) else { return };
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
    let absent = room.run(&["tar-out", "work", "/absent"]);
    assert!(absent.stdout.is_empty(), "an archive of nothing came");
    assert!(ended(absent, 4, &["tar-out"]).contains("cannot open /absent"));
    let none = room.ends(4, &["tar-in", "work", "/", &room.path("notes")]);
    assert!(none.contains("cannot read the archive"), "{none}");
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

#[test]
fn who_interrupts_up_has_no_machine() {
    let Some(room) = Room::new("who_interrupts_up_has_no_machine") else { return };
    let mut up = room.command(&["up", "--name", "work", "--cold"]).spawn().unwrap();
    let pid_file = room.folder.path().join("qplug/work/qemu.pid");
    let pid = eventually("QEMU starts", || fs::read_to_string(&pid_file).ok()?.trim().parse().ok());
    let interrupt = Command::new("kill").args(["-INT", &up.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    assert_eq!(up.wait().unwrap().code(), Some(130));
    assert!(room.does(&["list"]).contains("no appliances"));
    eventually("QEMU ends", || Identity::of(pid).is_none().then_some(()));
}

#[test]
fn what_fails_of_several_disks_stands_with_its_disk() {
    let Some(room) = Room::new("what_fails_of_several_disks_stands_with_its_disk") else { return };
    for name in ["a.img", "b.img"] {
        fs::File::create(room.path(name)).unwrap().set_len(1 << 20).unwrap();
    }
    let (a, b) = (room.path("a.img"), room.path("b.img"));
    let missing = room.ends(6, &["up", "--with", "/nosuch/program"]);
    assert!(missing.contains("/nosuch/program"), "{missing}");
    room.does(&["up", "--name", "work", &a]);
    room.ends(6, &["cp", "/nosuch/file", "work:/file"]);
    let json = |words: &[&str]| -> serde_json::Value {
        serde_json::from_slice(&room.run(words).stdout).unwrap()
    };
    let added = json(&["add", "work", "--json", "--format", "raw", &b, &a, "--label", "b"]);
    assert_eq!(added[0]["error"]["kind"], "impossible", "{added}");
    assert_eq!(
        (&added[1]["image"], &added[1]["error"]["exit_code"]),
        (&a.as_str().into(), &6.into())
    );
    let taken = room.ends(6, &["add", "work", &b, "--label", "disk1"]);
    assert!(taken.contains("the label disk1 is taken") && taken.contains("--label"), "{taken}");
    let twice = room.ends(6, &["add", "work", &a, "--format", "raw", "--label", "b"]);
    assert!(twice.contains("in this appliance already") && twice.contains(":ro"), "{twice}");
    room.does(&["add", "work", &b, "--label", "b"]);
    let removed = json(&["remove", "work", "--json", "b", "nosuch"]);
    assert_eq!(removed["removed"], serde_json::json!(["b"]));
    assert_eq!(removed["failed"][0]["label"], "nosuch");
    assert_eq!(removed["failed"][0]["error"]["kind"], "refused");
    let absent = room.ends(4, &["remove", "work", "nosuch"]);
    assert_eq!(absent, "error: nosuch: no such device; list-devices shows the disks there are\n");
    room.does(&["down", "work"]);
}
