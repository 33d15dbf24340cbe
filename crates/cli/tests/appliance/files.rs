//! Files in and out, and programs, as a user types them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use qplug_testbed::terminal::Terminal;

use super::{Room, ended};

/// How long a program may go on that nobody waits for any more.
const ENDED_WITHIN: Duration = Duration::from_secs(20);

/// With an appliance `work` that has a file system on `/` and a shell.
pub(super) fn copies_and_programs(room: &Room) {
    several_files_and_standard_input(room);
    names_of_any_bytes(room);
    programs_have_input_and_exit_codes(room);
    an_interrupted_program_ends(room);
    a_copy_at_a_terminal_shows_how_far_it_is(room);
}

/// Runs a command with this on its standard input; what it printed.
fn fed(room: &Room, words: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = room.command(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let printed = output.stdout.clone();
    ended(output, 0, words);
    printed
}

fn several_files_and_standard_input(room: &Room) {
    for name in ["one", "two"] {
        fs::write(room.path(name), name).unwrap();
    }
    room.does(&["mkdir", "work", "/several"]);
    room.does(&["cp", &room.path("one"), &room.path("two"), "work:/several"]);
    let back = room.path("back");
    fs::create_dir(&back).unwrap();
    room.does(&["cp", "work:/several/one", "work:/several/two", &back]);
    assert_eq!(fs::read(room.path("back/two")).unwrap(), b"two");
    let said = room.ends(2, &["cp", &room.path("one"), &room.path("two"), "work:/several/one"]);
    assert!(said.contains("is no folder"), "{said}");
    let said = room.ends(6, &["cp", &back, "work:/several"]);
    assert!(said.contains("is a folder") && said.contains("tar-in"), "{said}");
    // One that fails does not keep the others.
    let said = room.ends(6, &["cp", &room.path("none"), &room.path("two"), "work:/"]);
    assert!(said.contains("No such file"), "{said}");
    assert_eq!(room.does(&["cat", "work", "/two"]), "two");
    fed(room, &["cp", "-", "work:/several/input"], b"from a pipe");
    assert_eq!(fed(room, &["cp", "work:/several/input", "-"], b""), b"from a pipe");
}

fn names_of_any_bytes(room: &Room) {
    let name = OsStr::from_bytes(b" -\xff\n\x1b[31m'\"*:");
    let here = room.folder.path().join(name);
    fs::write(&here, "odd").unwrap();
    let mut there = OsString::from("work:/several/");
    there.push(name);
    let cp = |from: &OsStr, to: &OsStr| {
        let output = room.command(&["cp"]).arg(from).arg(to).output().unwrap();
        ended(output, 0, &["cp", "an odd name"]);
    };
    cp(here.as_os_str(), &there);
    fs::remove_file(&here).unwrap();
    cp(&there, here.as_os_str());
    assert_eq!(fs::read(&here).unwrap(), b"odd");
}

fn programs_have_input_and_exit_codes(room: &Room) {
    assert_eq!(room.ends(3, &["sh", "work", "exit 3"]), "");
    assert!(room.ends(137, &["sh", "work", "kill -9 $$"]).contains("signal 9"));
    assert!(room.ends(125, &["sh", "work", "no-such-program", "x"]).contains("no program"));
    assert!(room.ends(125, &["sh", "nobody", "true"]).contains("there is no appliance"));
    let line = "while read -r line; do echo \"<$line>\"; done";
    assert_eq!(fed(room, &["sh", "-i", "work", line], b"a\nb\n"), b"<a>\n<b>\n");
    assert_eq!(fed(room, &["sh", "work", line], b"a\n"), b"");
}

fn a_copy_at_a_terminal_shows_how_far_it_is(room: &Room) {
    let large = room.path("large");
    fs::File::create(&large).unwrap().set_len(8 << 20).unwrap();
    let command = room.command(&["cp", &large, "work:/large"]);
    let mut terminal = Terminal::spawn(&command, 24, 160).unwrap();
    assert_eq!(terminal.exit_code().unwrap(), 0, "{}", terminal.screen());
    let drawn = String::from_utf8_lossy(&terminal.raw()).into_owned();
    assert!(drawn.contains("large [") && drawn.contains("/8.00 MiB"), "{drawn:?}");
    assert_eq!(terminal.screen().trim(), "", "nothing of it is left");
    room.does(&["rm", "work", "/large"]);
}

fn an_interrupted_program_ends(room: &Room) {
    let words = ["sh", "work", "echo begun; while :; do :; done"];
    let mut child = room.command(&words).stdout(Stdio::piped()).spawn().unwrap();
    let mut begun = String::new();
    // What it prints comes while it runs.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut begun).unwrap();
    assert_eq!(begun, "begun\n");
    let pid = child.id().to_string();
    // It ends qplug as Ctrl-C does, which tests that run in the background ignore.
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    child.wait().unwrap();
    let deadline = Instant::now() + ENDED_WITHIN;
    let shells =
        "for p in /proc/[0-9]*/comm; do read -r name < $p && echo $name; done 2>/dev/null; true";
    while room.does(&["sh", "work", shells]).lines().filter(|name| *name == "sh").count() > 1 {
        assert!(Instant::now() < deadline, "the program goes on");
    }
}
