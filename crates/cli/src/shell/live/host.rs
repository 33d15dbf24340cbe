//! Files and programs of the host's.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::MAX_NAMES;
use crate::shell::complete::Name;

/// How many folders programs are looked for in.
const MAX_FOLDERS: usize = 64;

/// The files in a folder, which is `/`-ended, or empty for the one that we are in. What cannot be typed
/// is left out: names that are no UTF-8.
pub(in crate::shell) fn files(folder: &str) -> Vec<Name> {
    let folder = if folder.is_empty() { "." } else { folder };
    let named = entries(Path::new(folder)).filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let end = if is_folder(&entry) { "/" } else { "" };
        Some(Name::new(name + end, ""))
    });
    named.collect()
}

/// What a shell would run by its name alone.
pub(super) fn programs() -> Vec<Name> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).take(MAX_FOLDERS).collect();
    let entries = folders.iter().flat_map(|folder| entries(folder));
    let programs = entries.filter(is_program).filter_map(|it| it.file_name().into_string().ok());
    let programs: BTreeSet<_> = programs.take(MAX_NAMES).collect();
    programs.into_iter().map(|name| Name::new(name, "")).collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = DirEntry> {
    // A folder that cannot be read has nothing to offer.
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.take(MAX_NAMES).filter_map(Result::ok)
}

fn is_folder(entry: &DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if kind.is_symlink() => fs::metadata(entry.path()).is_ok_and(|it| it.is_dir()),
        kind => kind.is_ok_and(|kind| kind.is_dir()),
    }
}

fn is_program(entry: &DirEntry) -> bool {
    let is_one = |it: fs::Metadata| it.is_file() && it.permissions().mode() & 0o111 != 0;
    fs::metadata(entry.path()).is_ok_and(is_one)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn files_that_can_be_typed_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a b.img", "two\nlines", "it's"] {
            fs::write(at(name), "").unwrap();
        }
        fs::write(folder.path().join(OsStr::from_bytes(b"\xff")), "").unwrap();
        fs::create_dir(at("images")).unwrap();
        std::os::unix::fs::symlink(at("images"), at("link")).unwrap();
        let mut found: Vec<_> = files(&format!("{}/", folder.path().display()))
            .into_iter()
            .map(|name| name.text)
            .collect();
        found.sort();
        assert_eq!(found, ["a b.img", "images/", "it's", "link/", "two\nlines"]);
        assert!(files("/no/such/folder/").is_empty());
    }

    #[test]
    fn programs_are_those_of_the_path() {
        let found = programs();
        assert!(found.iter().any(|name| name.text == "sh"));
        assert!(found.is_sorted_by_key(|name| name.text.clone()));
    }
}
