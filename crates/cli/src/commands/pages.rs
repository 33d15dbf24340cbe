//! `qplug completions`, and `qplug pages` for packagers: what shells and `man` know of the command.

mod manual;

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;
use serde_json::json;

use crate::args::{self, Args, Pages};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// What the program is called, and so its pages.
const PROGRAM: &str = "qplug";

/// The shells that there are files for.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

pub(super) async fn completions(args: args::Completions, output: &Output) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), PROGRAM, &mut script);
    let script = String::from_utf8_lossy(&script);
    let value = json!({"shell": args.shell.to_string(), "script": script});
    output.result(&value, |out| write!(out, "{script}")).await?;
    Ok(Exit::Done)
}

pub(super) async fn run(args: Pages, output: &Output) -> Result<Exit, Failure> {
    let written = write(&args.folder);
    let files =
        written.map_err(|error| Failure::usage(format!("{}: {error}", args.folder.display())))?;
    output.result(&files, |out| files.iter().try_for_each(|file| writeln!(out, "{file}"))).await?;
    Ok(Exit::Done)
}

/// Writes all files, and names them.
fn write(folder: &Path) -> io::Result<Vec<String>> {
    let (completions, man) = (folder.join("completions"), folder.join("man"));
    fs::create_dir_all(&completions)?;
    fs::create_dir_all(&man)?;
    let mut written = Vec::new();
    for shell in SHELLS {
        let path = clap_complete::generate_to(shell, &mut Args::command(), PROGRAM, &completions)?;
        written.push(path.display().to_string());
    }
    // A page for `help` would say nothing.
    let mut command = Args::command().disable_help_subcommand(true);
    command.build();
    pages(&command, &man, &mut written)?;
    Ok(written)
}

/// The page of a command, and of those below it.
fn pages(command: &clap::Command, folder: &Path, written: &mut Vec<String>) -> io::Result<()> {
    let (name, text) = manual::page(command)?;
    let path = folder.join(name);
    fs::write(&path, text)?;
    written.push(path.display().to_string());
    let mut below = command.get_subcommands().filter(|command| !command.is_hide_set());
    below.try_for_each(|command| pages(command, folder, written))
}
