//! QEMU's guest agent and its libraries, for the test guest: it has no other file than these.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use qplug_testbed::boot_files::agent_folder;
use qplug_testbed::initramfs::AGENT;
use qplug_testbed::{Error, Result, cache};

use super::apt::{Packages, PrivateApt};
use super::tool;

/// The package.
const PACKAGE: &str = "qemu-guest-agent";

/// Where it has the program.
const PROGRAM: &str = "usr/sbin/qemu-ga";

/// The program's interpreter, which also lists and finds its libraries. The guest is a PC.
const INTERPRETER: &str = "ld-linux-x86-64.so.2";

/// The folder with the agent, its libraries and its interpreter, fetched when it is not there yet.
pub(super) fn set_up(packages: &mut Packages) -> Result<PathBuf> {
    let folder = agent_folder()?;
    if folder.join(AGENT).is_file() {
        return Ok(folder);
    }
    let apt = packages.fetched()?;
    println!("fetching the guest agent");
    cache::install(&folder, |made| fetch(apt, made)).map_err(|error| {
        Error::not_set_up(format!(
            "the guest agent cannot be fetched, so no test runs it: {error}\n  \
             Try again with: cargo xtask setup"
        ))
    })?;
    Ok(folder)
}

fn fetch(apt: &PrivateApt, made: &Path) -> Result<()> {
    let root = made.with_extension("unpacked");
    for folder in [made, &root] {
        fs::create_dir_all(folder).map_err(Error::file("make the folder", folder))?;
    }
    // The host's own libraries may be of another release than the agent.
    apt.unpack_with_all_needs(&[PACKAGE], &root)?;
    let program = root.join(PROGRAM);
    copy(&program, &made.join(AGENT))?;
    for (name, path) in libraries(&root, &program)? {
        copy(&path, &made.join(name))?;
    }
    fs::remove_dir_all(&root).map_err(Error::file("remove", &root))
}

/// What the program's own interpreter finds for it below `root`, and the interpreter itself.
fn libraries(root: &Path, program: &Path) -> Result<Vec<(String, PathBuf)>> {
    let triplet = "x86_64-linux-gnu";
    let folders = [root.join("lib").join(triplet), root.join("usr/lib").join(triplet)];
    let interpreter = folders
        .iter()
        .map(|folder| folder.join(INTERPRETER))
        .find(|path| path.is_file())
        .ok_or_else(|| Error::failed(format!("no {INTERPRETER} came with {PACKAGE}")))?;
    let paths = folders.map(|folder| folder.display().to_string()).join(":");
    let mut listing = Command::new(&interpreter);
    listing.args(["--inhibit-cache", "--library-path", &paths, "--list"]).arg(program);
    let text = tool::run(&mut listing)?;
    let mut found = vec![(INTERPRETER.to_owned(), interpreter)];
    // libfoo.so.1 => /somewhere/libfoo.so.1 (0x00007f…)
    for (name, rest) in text.lines().filter_map(|line| line.trim().split_once(" => ")) {
        let path = rest.split(" (").next().unwrap_or(rest);
        if !Path::new(path).starts_with(root) {
            return Err(Error::failed(format!(
                "{name}, which {AGENT} needs, did not come with it"
            )));
        }
        found.push((name.to_owned(), PathBuf::from(path)));
    }
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).map_err(Error::file("copy", from))
}
