//! A program out of unpacked packages, with its libraries and its interpreter, all in one folder: it
//! runs on a system of any release.

use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use qplug_testbed::qemu::releases::{self, LOADER};
use qplug_testbed::{Error, Result};

use super::tool;

/// Copies a program of the packages below `root`, and all it is linked with, into a folder.
pub(super) fn take(root: &Path, program: &Path, folder: &Path, name: &str) -> Result<()> {
    copy(program, folder, name)?;
    for (name, path) in libraries(root, program)? {
        copy(&path, folder, &name)?;
    }
    Ok(())
}

/// What the program's own interpreter finds for it below `root`, and the interpreter itself.
fn libraries(root: &Path, program: &Path) -> Result<Vec<(String, PathBuf)>> {
    let triplet = "x86_64-linux-gnu";
    let folders = [root.join("lib").join(triplet), root.join("usr/lib").join(triplet)];
    // It also lists and finds libraries.
    let interpreter = releases::loader(root)
        .ok_or_else(|| Error::failed(format!("no {LOADER} came with {}", program.display())))?;
    let paths = folders.map(|folder| folder.display().to_string()).join(":");
    let mut listing = Command::new(&interpreter);
    listing.args(["--inhibit-cache", "--library-path", &paths, "--list"]).arg(program);
    let text = tool::run(&mut listing)?;
    let mut found = vec![(LOADER.to_owned(), interpreter)];
    for (name, path) in listed(&text) {
        if !path.starts_with(root) {
            return Err(Error::failed(format!(
                "{name}, which {} needs, did not come with it",
                program.display()
            )));
        }
        found.push((name.to_owned(), path));
    }
    Ok(found)
}

/// Reads `libfoo.so.1 => /somewhere/libfoo.so.1 (0x00007f…)`. The interpreter is listed too, under
/// its full path on any system: joined to a folder, that path is the system's own interpreter, which
/// must never be written to. So only plain names are taken.
fn listed(text: &str) -> Vec<(&str, PathBuf)> {
    text.lines()
        .filter_map(|line| line.trim().split_once(" => "))
        .filter(|(name, _)| is_plain(name))
        .map(|(name, rest)| (name, PathBuf::from(rest.split(" (").next().unwrap_or(rest))))
        .collect()
}

/// Whether a name stays in the folder it is joined to.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
}

/// Makes a new file of this name in the folder, and touches nothing that is there already.
fn copy(from: &Path, folder: &Path, name: &str) -> Result<()> {
    if !is_plain(name) {
        return Err(Error::failed(format!("'{name}' is no name for a file in a folder")));
    }
    let to = folder.join(name);
    let mode = fs::metadata(from).map_err(Error::file("look at", from))?.permissions();
    let mut source = File::open(from).map_err(Error::file("read", from))?;
    let mut target = File::create_new(&to).map_err(Error::file("make", &to))?;
    std::io::copy(&mut source, &mut target)
        .and_then(|_| target.set_permissions(mode))
        .map_err(Error::file("write", &to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_interpreter_is_not_taken_for_a_library() {
        let text = "\tlinux-vdso.so.1 (0x00007f4379abf000)\n\
            \tlibm.so.6 => /opt/lib/libm.so.6 (0x00007f437975d000)\n\
            \t/lib64/ld-linux-x86-64.so.2 => /opt/lib/ld-linux-x86-64.so.2 (0x00007f4379ac1000)\n\
            \t../up.so => /opt/lib/up.so (0x00007f4379ac1000)\n";
        assert_eq!(listed(text), [("libm.so.6", PathBuf::from("/opt/lib/libm.so.6"))]);
    }

    #[test]
    fn a_copy_stays_in_its_folder_and_replaces_nothing() {
        let outer = tempfile::tempdir().unwrap();
        let (from, folder) = (outer.path().join("from"), outer.path().join("in"));
        let outside = outer.path().join("outside");
        fs::write(&from, "new").unwrap();
        fs::write(&outside, "kept").unwrap();
        fs::create_dir(&folder).unwrap();
        for name in [outside.to_str().unwrap(), "../outside", "", ".", "a/b"] {
            assert!(copy(&from, &folder, name).is_err(), "{name}");
        }
        assert_eq!(fs::read_to_string(&outside).unwrap(), "kept");
        copy(&from, &folder, "a.so").unwrap();
        assert!(copy(&from, &folder, "a.so").is_err());
        assert_eq!(fs::read_to_string(folder.join("a.so")).unwrap(), "new");
    }
}
