//! What shells and `man` are told of the command.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

fn qplug(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_qplug")).args(arguments).output().unwrap()
}

fn text(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The files, in a folder that goes with what is returned.
fn pages() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let listed = text(qplug(&["pages", folder.path().to_str().unwrap()]));
    assert!(listed.lines().all(|line| Path::new(line).is_file()), "{listed}");
    let (completions, man) = (folder.path().join("completions"), folder.path().join("man"));
    (folder, completions, man)
}

/// Whether a program is there; what is not installed is not tried.
fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("{program} is not installed: nothing is tried with it");
    }
    found
}

/// All commands, each as its words, from what `--help` lists.
fn commands() -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    let mut next = 0;
    while let Some(words) = found.get(next).cloned() {
        let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = text(qplug(&arguments));
        let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
        let listed = listed.split("\n\n").next().unwrap_or_default();
        // A command stands two columns in, what is said of it further.
        let names = listed.lines().filter_map(|line| line.strip_prefix("  "));
        let names = names.filter(|line| !line.starts_with(' '));
        let names = names.filter_map(|line| line.split_whitespace().next());
        for name in names.filter(|name| *name != "help") {
            found.push([&words[..], &[name.to_owned()]].concat());
        }
        next += 1;
    }
    found
}

#[test]
fn every_command_and_option_has_its_place_in_a_page() {
    let (_folder, _, man) = pages();
    let commands = commands();
    assert!(commands.len() > 20, "{commands:?}");
    for words in &commands {
        let name = [&["qplug".to_owned()], &words[..]].concat().join("-");
        let page = fs::read_to_string(man.join(format!("{name}.1"))).unwrap();
        let page = page.replace("\\-", "-");
        let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = text(qplug(&arguments));
        let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        let words = lines.flat_map(|line| line.split([' ', ',', '=']));
        let options: Vec<_> = words.filter(|word| word.starts_with("--")).collect();
        assert!(options.contains(&"--help"), "{name}: {help}");
        for option in options {
            assert!(page.contains(&format!("\\fB{option}\\fR")), "{name}: {option}");
        }
    }
    // And none of a command that nobody is told of.
    assert_eq!(fs::read_dir(&man).unwrap().count(), commands.len());
}

#[test]
fn pages_parse_without_a_warning() {
    let (_folder, _, man) = pages();
    if !is_installed("groff") {
        return;
    }
    for page in fs::read_dir(man).unwrap() {
        let path = page.unwrap().path();
        let mut groff = Command::new("groff");
        groff.args(["-K", "utf8", "-man", "-T", "utf8", "-ww", "-z"]).arg(&path);
        let output = groff.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{path:?}: {output:?}");
    }
}

#[test]
fn shells_take_their_files() {
    let (_folder, completions, _) = pages();
    for (shell, file) in [("bash", "qplug.bash"), ("zsh", "_qplug"), ("fish", "qplug.fish")] {
        let path = completions.join(file);
        let printed = text(qplug(&["completions", shell]));
        assert_eq!(printed, fs::read_to_string(&path).unwrap(), "{shell}");
        if is_installed(shell) {
            let output = Command::new(shell).arg("-n").arg(&path).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
        }
    }
}

#[test]
fn bash_completes_what_is_typed() {
    let (_folder, completions, _) = pages();
    let file = completions.join("qplug.bash");
    let script = r#"
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _qplug qplug "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let completed = |words: &[&str]| -> Vec<String> {
        let mut bash = Command::new("bash");
        bash.args(["-c", script, "bash"]).arg(&file).args(words);
        text(bash.output().unwrap()).lines().map(str::to_owned).collect()
    };
    assert_eq!(completed(&["qplug", "att"]), ["attach"]);
    assert_eq!(completed(&["qplug", "attach", "--dry"]), ["--dry-run"]);
    assert_eq!(completed(&["qplug", "schema", "dev"]), ["device"]);
    assert_eq!(completed(&["qplug", "completions", "fi"]), ["fish"]);
    assert_eq!(completed(&["qplug", "appliance", "shell", "--ad"]), ["--add"]);
    assert!(completed(&["qplug", "list", "--"]).contains(&"--socket".to_owned()));
}
