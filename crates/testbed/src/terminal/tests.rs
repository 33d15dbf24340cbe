//! The terminal, tried with programs that every system has.

use super::*;

fn shell(script: &str, rows: u16, columns: u16) -> Terminal {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    Terminal::spawn(&command, rows, columns).unwrap()
}

#[test]
fn what_is_typed_is_shown_and_reaches_the_program() {
    let mut terminal = Terminal::spawn(&Command::new("cat"), 24, 80).unwrap();
    terminal.type_text("hello\n").unwrap();
    terminal.wait_for("echo and output", |screen| rows_of(screen) == "hello\nhello").unwrap();
    assert_eq!(terminal.cursor(), (2, 0));
    terminal.press(Key::Ctrl('d')).unwrap();
    assert_eq!(terminal.exit_code().unwrap(), 0);
}

#[test]
fn exit_codes_signals_and_silence_are_told_apart() {
    assert_eq!(shell("exit 3", 24, 80).exit_code().unwrap(), 3);
    let mut terminal = shell("echo ready; exec cat", 24, 80);
    terminal.wait_for_text("ready").unwrap();
    terminal.press(Key::Ctrl('c')).unwrap();
    assert!(terminal.exit_code().unwrap_err().to_string().contains("signal"));
    let text = shell("echo last words", 24, 80).wait_for_text("first").unwrap_err().to_string();
    assert!(text.contains("| last words"), "{text}");
}

#[test]
fn the_cursor_is_told_to_who_asks() {
    // `read` has no terminator that is not a line end in every shell, so the answer is read by `dd`.
    let ask = r"stty raw -echo; printf 'ab\033[6n'; dd bs=1 count=6 2>/dev/null | od -c";
    let terminal = shell(ask, 24, 80);
    terminal.wait_for_text("033   [   1   ;   3   R").unwrap();
}

#[test]
fn the_window_has_the_size_it_is_given() {
    let mut terminal =
        shell("trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done", 24, 80);
    terminal.wait_for_text("24 80").unwrap();
    terminal.resize(40, 120).unwrap();
    terminal.wait_for_text("40 120").unwrap();
}

#[test]
fn lines_that_scrolled_off_are_kept() {
    let mut terminal = shell("seq 1 100", 10, 80);
    terminal.exit_code().unwrap();
    let expected: Vec<_> = (1..=100).map(|line| line.to_string()).collect();
    assert_eq!(terminal.all_lines(), expected);
    assert!(!terminal.screen().contains("90\n"));
    terminal.wait_for_line("42").unwrap();
}

#[test]
fn the_home_is_nobodys() {
    let terminal = shell("echo home=$HOME=$TERM=$NO_COLOR=", 24, 200);
    terminal.wait_for_text("=xterm-256color==").unwrap();
    let real = std::env::var("HOME").unwrap_or_default();
    assert!(!terminal.screen().contains(&format!("home={real}=")));
}

#[test]
fn a_terminal_that_stands_still_holds_up_who_writes_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let done = folder.path().join("done");
    let script = format!("echo ready; read a; seq 1 100000; touch '{}'; echo two", done.display());
    let mut terminal = shell(&script, 24, 80);
    terminal.wait_for_text("ready").unwrap();
    terminal.hold();
    terminal.type_text("\n").unwrap();
    assert_eq!(terminal.screen(), "ready");
    assert!(!done.exists());
    terminal.go_on();
    terminal.wait_for_text("two").unwrap();
    assert!(done.exists());
}

#[test]
fn colour_is_told_from_other_attributes() {
    for (bytes, expected) in [
        (&b"\x1b[1;7mbold\x1b[0m"[..], false),
        (b"\x1b[39;49m", false),
        (b"\x1b[31mred", true),
        (b"\x1b[1;38;5;4mblue", true),
        (b"\x1b[103m", true),
        (b"\x1b[31;2H", false),
        (b"31m", false),
    ] {
        assert_eq!(answer::names_colour(bytes), expected, "{bytes:?}");
    }
}
