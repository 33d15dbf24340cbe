//! `qplug appliance shell`, by script and at a terminal.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use qplug_testbed::terminal::{Key, Terminal};

use crate::{Room, ended};

/// What is taken along, by each of these appliances: they are all restored from one file.
const PROGRAMS: &str = "mkfs.ext4";

/// A line that does not end by itself, of a program that says when it runs.
const STOPS: &str = "sh 'echo begun; kill -STOP $$'\n";

/// How often a completion is asked for: names that a busy host did not give in a moment are not there.
const TABS: u32 = 5;

/// The size of the image that is filled, in bytes.
const DATA_BYTES: u32 = 32 << 20;

/// A room with an image to fill, of one partition, where this host has a program for that.
fn room(test: &str) -> Option<Room> {
    let room = Room::with_mkfs(test)?;
    fs::File::create(room.path("a.img")).unwrap().set_len(8 << 20).unwrap();
    fs::write(room.path("data.img"), partition_table()).unwrap();
    let data = fs::OpenOptions::new().write(true).open(room.path("data.img")).unwrap();
    data.set_len(DATA_BYTES.into()).unwrap();
    fs::write(room.path("notes.txt"), "first\nsecond\n").unwrap();
    Some(room)
}

/// A sector with a partition table: one for Linux, from the first MiB on.
fn partition_table() -> [u8; 512] {
    let mut sector = [0; 512];
    sector[446 + 4] = 0x83;
    sector[446 + 8..446 + 12].copy_from_slice(&2048_u32.to_le_bytes());
    sector[446 + 12..446 + 16].copy_from_slice(&(DATA_BYTES / 512 - 2048).to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Runs a script in a shell with an appliance of its own, and expects this exit code.
fn script(room: &Room, text: &str, code: i32) -> String {
    let path = room.path("script");
    fs::write(&path, text).unwrap();
    let words = ["shell", "-a", &room.path("a.img"), "--with", PROGRAMS, "-x", &path];
    let output = room.command(&words).current_dir(room.folder.path()).output().unwrap();
    ended(output, code, &[text])
}

#[test]
fn a_script_fills_a_disk_in_an_appliance_of_its_own() {
    let Some(room) = room("a_script_fills_a_disk_in_an_appliance_of_its_own") else { return };
    let said = script(
        &room,
        r"# A disk is made, filled and taken out.
add data.img --label data
sh mkfs.ext4 -q /dev/disk/qplug/data:1
mount data:1 /
cp notes.txt :/notes
cat /notes | grep -c first > count
sh 'while :; do echo yes; done' | head -n 1 > yes
mkdir /some/folder
find / > found
tar-out /some > some.tar
tar-in /again some.tar
- rm /none
cp :/notes -
ls --json /again | grep -c folder
remove data --force
rm /none
list-devices
",
        4,
    );
    assert!(
        said.contains("script:12: cannot remove /none: No such") && said.contains("script:16: "),
        "{said}"
    );
    assert!(said.contains("first\nsecond\n") && said.contains("\n1\n"), "{said}");
    assert!(!said.contains("is up"), "{said}");
    assert!(said.contains("data is removed") && !said.contains("LABEL"), "{said}");
    assert_eq!(fs::read_to_string(room.path("count")).unwrap(), "1\n");
    // Who reads the first line alone ends the program that writes on.
    assert_eq!(fs::read_to_string(room.path("yes")).unwrap(), "yes\n");
    assert!(fs::read_to_string(room.path("found")).unwrap().contains("/some/folder\n"));
    let image = fs::read(room.path("data.img")).unwrap();
    assert!(image.windows(13).any(|window| window == b"first\nsecond\n"));
    // The appliance went with its shell.
    assert!(room.does(&["list"]).contains("no appliances"));
}

#[test]
fn an_appliance_of_a_shells_own_ends_however_the_shell_does() {
    let Some(room) = room("an_appliance_of_a_shells_own_ends_however_the_shell_does") else {
        return;
    };
    // The other one is saved by the time the terminal waits, and stays.
    room.does(&["up", "--name", "work", "--with", PROGRAMS]);
    let mut command = room.command(&["shell", "-a", &room.path("a.img"), "--with", PROGRAMS]);
    // A terminal has a home of its own.
    command.env("QPLUG_CACHE", qplug_testbed::cache::folder().unwrap());
    let mut terminal = Terminal::spawn(&command, 24, 80).unwrap();
    terminal.wait_for_text(" running>").unwrap();
    let listed = room.listed();
    assert!(listed[0]["name"].as_str().unwrap().starts_with("shell-"), "{listed}");
    assert!(room.ends(2, &["shell", "-x", "/dev/null"]).contains("These run: shell-"));
    // Who waits for a program in it is not left waiting.
    stops(&mut terminal);
    kill("-KILL", &listed[0]["pid"].to_string());
    terminal.wait_for_line("error: ").unwrap();
    terminal.wait_for_text(" dead>").unwrap();
    kill("-HUP", &terminal.id().unwrap().to_string());
    assert_eq!(terminal.exit_code().unwrap(), 130);
    let left = room.does(&["list"]);
    assert!(left.contains("\nwork") && !left.contains("shell-"), "{left}");
}

#[test]
fn lines_of_standard_input_are_a_script_too() {
    let Some(room) = room("lines_of_standard_input_are_a_script_too") else { return };
    assert!(room.ends(6, &["shell", "-x", "/dev/null"]).contains("no appliance runs"));
    let refused = room.ends(2, &["shell", "--with", PROGRAMS, "-x", "/dev/null"]);
    assert!(refused.contains("--add <IMAGE>"), "{refused}");
    room.does(&["up", "--name", "work", "--with", PROGRAMS, &room.path("a.img")]);
    let mut command = room.command(&["shell"]);
    let mut shell = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = "- cp - :/x\n- {\"execute\": \"x\"}\n- up\nlist-devices\ndown\nlist-devices\n";
    shell.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let said = ended(shell.wait_with_output().unwrap(), 0, &["shell"]);
    for part in
        ["input:1: standard input is where", "input:2: an appliance takes no", "input:3: 'qplug"]
    {
        assert!(said.contains(part), "{said}");
    }
    // What is behind 'down' is not done.
    assert!(said.contains("work is down") && said.matches("disk1").count() == 1, "{said}");
    assert!(room.does(&["list"]).contains("no appliances"));
}

fn kill(signal: &str, process: &str) {
    assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
}

/// Has a program run that does not end by itself: a key pressed before it runs would be the line's.
fn stops(terminal: &mut Terminal) {
    terminal.type_text(STOPS).unwrap();
    terminal.wait_for("a program", |screen| screen.contents().contains("\nbegun")).unwrap();
}

/// Types, presses Tab, and waits for the line to be so.
fn tab(terminal: &mut Terminal, typed: &str, becomes: &str) {
    for left in (0..TABS).rev() {
        terminal.type_text(typed).unwrap();
        terminal.wait_for_text(&format!("> {}", typed.trim_end())).unwrap();
        terminal.press(Key::Tab).unwrap();
        // What is typed behind it shows that the completion is through.
        terminal.type_text("~").unwrap();
        terminal.wait_for_text("~").unwrap();
        let is_there = terminal.screen().contains(&format!("> {becomes}~"));
        terminal.press(Key::Ctrl('u')).unwrap();
        terminal.wait_for_no("~").unwrap();
        if is_there {
            return;
        }
        assert!(left > 0, "{typed} did not become {becomes}:\n{}", terminal.screen());
        // Longer than what is known of an appliance is good for.
        std::thread::sleep(std::time::Duration::from_millis(2500));
    }
}

#[test]
fn a_person_at_a_terminal_completes_and_sees_the_appliance_die() {
    let test = "a_person_at_a_terminal_completes_and_sees_the_appliance_die";
    let Some(room) = room(test) else { return };
    room.does(&["up", "--name", "work", "--with", PROGRAMS, &room.path("a.img")]);
    room.does(&["add", "work", &room.path("data.img"), "--label", "data"]);
    room.does(&["sh", "work", "mkfs.ext4 -q /dev/disk/qplug/data:1"]);
    room.does(&["mount", "work", "data:1", "/"]);
    room.does(&["mkdir", "work", "/some folder/below"]);
    let mut command = room.command(&["shell"]);
    command.current_dir(room.folder.path());
    let mut terminal = Terminal::spawn(&command, 24, 100).unwrap();
    terminal.wait_for_text("work running>").unwrap();
    for (typed, becomes) in [
        ("list-d", "list-devices "),
        ("remove da", "remove data "),
        ("umount ", "umount / "),
        ("mount di", "mount disk1 "),
        ("mount data:", "mount data:1 "),
        ("ls /so", r"ls /some\ folder/"),
        (r"stat '/some folder/b", "stat '/some folder/below/"),
        ("cp not", "cp notes.txt "),
        ("cp notes.txt :/so", r"cp notes.txt :/some\ folder/"),
        ("mount --ty", "mount --type "),
        ("add dat", "add data.img "),
        ("sh cat /dev/disk/qplug/data:", "sh cat /dev/disk/qplug/data:1 "),
    ] {
        tab(&mut terminal, typed, becomes);
    }
    terminal.type_text("moutn data /\n").unwrap();
    terminal.wait_for_text("did you mean mount?").unwrap();
    terminal.type_text("cp notes.txt :/notes\n").unwrap();
    terminal.type_text("cat /notes | grep second\n").unwrap();
    terminal.wait_for("line", |screen| screen.contents().contains("\nsecond\n")).unwrap();
    // A program that is interrupted does not keep the appliance.
    stops(&mut terminal);
    terminal.press(Key::Ctrl('c')).unwrap();
    terminal.wait_for_text("interrupted").unwrap();
    terminal.type_text("df\n").unwrap();
    terminal.wait_for_text("AVAILABLE").unwrap();
    kill("-KILL", &room.listed()[0]["pid"].to_string());
    terminal.wait_for_line("work is dead").unwrap();
    terminal.wait_for_text("work dead>").unwrap();
    terminal.type_text("ls\n").unwrap();
    terminal.wait_for_line("error: ").unwrap();
    // Another one of its name is as good.
    room.does(&["up", "--name", "work", "--with", PROGRAMS, &room.path("data.img")]);
    terminal.wait_for_line("work is there again").unwrap();
    terminal.type_text("df --json\nlist-filesystems\n").unwrap();
    terminal.wait_for_text("disk1:1").unwrap();
    terminal.wait_for_text("work running>").unwrap();
    terminal.type_text("down\n").unwrap();
    assert_eq!(terminal.exit_code().unwrap(), 0);
    assert!(room.does(&["list"]).contains("no appliances"));
}
