//! Programs of the host that an appliance takes along, with the libraries they need.

use std::collections::{BTreeMap, VecDeque};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use object::Endianness;
use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, FileHeader64, PT_INTERP};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};

use crate::cache::Key;
use crate::cpio::Archive;
use crate::error::{Error, Result};

/// Folders of programs that are looked through behind the user's own: those that make file systems
/// are often in none of a user's.
const PROGRAM_FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// Where loaders look without being told, on the distributions there are.
const LIBRARY_FOLDERS: [&str; 6] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

/// Folders that are links on systems of today, to those of the same name in `usr`.
pub(crate) const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// The library that every dynamic program has. It is in a folder that its loader looks in.
const C_LIBRARY: &str = "libc.so.6";

/// All of a program's libraries are fewer.
const MAX_FILES: usize = 512;

/// One of them is smaller, in bytes.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// The shell, which goes along as soon as any program does, so that lines of commands can be run.
const SHELL: &str = "sh";

/// Programs and their libraries: what goes where.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Programs {
    /// Paths in the appliance, and the host's files that go there.
    files: BTreeMap<String, PathBuf>,
}

impl Programs {
    /// Finds programs by name or by path, and all that they need.
    pub(crate) fn find(names: &[String]) -> Result<Self> {
        let mut programs = Self::default();
        if names.is_empty() {
            return Ok(programs);
        }
        let mut found = Vec::new();
        for name in names.iter().map(String::as_str).chain([SHELL]) {
            found.push((name, find_program(name)?));
        }
        let mut libraries = BTreeMap::new();
        for (name, path) in &found {
            let elf = Elf::read(path)?;
            if let Some(loader) = &elf.loader {
                programs.files.insert(usual(loader), PathBuf::from(loader));
            }
            add_libraries(path, elf, &mut libraries)?;
            let folder =
                if path.parent().is_some_and(|it| it.ends_with("sbin")) { "sbin" } else { "bin" };
            // As it was asked for: mkfs.ext4 is a link to mke2fs, and goes by its name.
            let name = Path::new(name).file_name().unwrap_or_default().to_string_lossy();
            programs.files.insert(format!("usr/{folder}/{name}"), path.clone());
        }
        // Those that were found where a loader looks only if it is told are put where it looks anyway.
        let usual_place = libraries.get(C_LIBRARY).and_then(|path: &PathBuf| path.parent());
        let usual_place = usual_place.unwrap_or(Path::new("/lib64")).to_owned();
        for (name, path) in libraries {
            let place = usual_place.join(&name);
            programs.files.insert(usual(&place.to_string_lossy()), path);
        }
        Ok(programs)
    }

    /// Adds to a key what these files are.
    pub(crate) fn key(&self, key: Key) -> Result<Key> {
        self.files.iter().try_fold(key, |key, (place, path)| key.with(place).with_file(path))
    }

    /// Puts them in an archive.
    pub(crate) fn put_in(&self, archive: &mut Archive) -> Result<()> {
        for (place, path) in &self.files {
            archive.program(place, read(path)?);
        }
        Ok(())
    }
}

/// A path of the host as one of the appliance, where `/lib` is `/usr/lib`.
fn usual(path: &str) -> String {
    let path = path.trim_start_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    if MERGED.contains(&first) { format!("usr/{path}") } else { path.to_owned() }
}

fn find_program(name: &str) -> Result<PathBuf> {
    if name.contains('/') {
        return std::path::absolute(name).map_err(Error::file("find", Path::new(name)));
    }
    let own = env::var_os("PATH").unwrap_or_default();
    let own: Vec<_> = env::split_paths(&own).filter(|folder| folder.is_absolute()).collect();
    let folders = own.into_iter().chain(PROGRAM_FOLDERS.map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let what = format!("there is no program {name:?} on this host to take along");
        Error::missing(what, "install it, or name it by its path")
    })
}

/// Adds the libraries that a file needs, and those that they need.
fn add_libraries(
    program: &Path,
    elf: Elf,
    libraries: &mut BTreeMap<String, PathBuf>,
) -> Result<()> {
    let mut waiting: VecDeque<(PathBuf, Elf)> = VecDeque::from([(program.to_owned(), elf)]);
    while let Some((path, elf)) = waiting.pop_front() {
        let told = elf.told_folders(&path);
        for name in elf.needs {
            if libraries.contains_key(&name) {
                continue;
            }
            if libraries.len() == MAX_FILES {
                return Err(Error::content(program, "needs more libraries than can be"));
            }
            let folders = told.iter().cloned().chain(library_folders());
            let Some(found) = folders.map(|folder| folder.join(&name)).find(|it| it.is_file())
            else {
                let what = format!("needs {name}, which is in no folder of libraries");
                return Err(Error::content(&path, what));
            };
            let elf = Elf::read(&found)?;
            libraries.insert(name, found.clone());
            waiting.push_back((found, elf));
        }
    }
    Ok(())
}

/// Where loaders look, and where this system tells them to look.
fn library_folders() -> impl Iterator<Item = PathBuf> {
    let told = fs::read_dir("/etc/ld.so.conf.d").into_iter().flatten().flatten();
    let told = told.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let told: Vec<_> = told
        .flat_map(|text| text.lines().map(str::trim).map(PathBuf::from).collect::<Vec<_>>())
        .filter(|folder| folder.is_absolute())
        .collect();
    LIBRARY_FOLDERS.map(PathBuf::from).into_iter().chain(told)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let length = fs::metadata(path).map_err(Error::file("look at", path))?.len();
    if length > MAX_FILE_BYTES {
        return Err(Error::content(path, "is too large to be taken along"));
    }
    fs::read(path).map_err(Error::file("read", path))
}

/// What a program's file says of what it needs.
#[derive(Debug)]
struct Elf {
    loader: Option<String>,
    needs: Vec<String>,
    /// Where to look for them first, with `$ORIGIN` in it.
    folders: Vec<String>,
}

impl Elf {
    fn read(path: &Path) -> Result<Self> {
        let bytes = read(path)?;
        if bytes.starts_with(b"#!") {
            return Err(Error::content(path, "is a script; only programs can be taken along"));
        }
        let parsed = Self::parse(&bytes);
        parsed.map_err(|_| Error::content(path, "is no program or library for x86-64"))
    }

    fn parse(bytes: &[u8]) -> object::read::Result<Self> {
        let header = FileHeader64::<Endianness>::parse(bytes)?;
        let endian = header.endian()?;
        let mut elf = Self { loader: None, needs: Vec::new(), folders: Vec::new() };
        for segment in header.program_headers(endian, bytes)? {
            if segment.p_type(endian) == PT_INTERP
                && let Ok(text) = segment.data(endian, bytes)
            {
                let text = String::from_utf8_lossy(text);
                elf.loader = Some(text.trim_end_matches('\0').to_owned());
            }
        }
        let sections = header.sections(endian, bytes)?;
        let Some((entries, strings)) = sections.dynamic(endian, bytes)? else {
            return Ok(elf);
        };
        let strings = sections.strings(endian, bytes, strings)?;
        for entry in entries {
            let tag = entry.d_tag(endian);
            let text = || entry.string(endian, strings).map(String::from_utf8_lossy);
            if tag == DT_NEEDED {
                elf.needs.push(text()?.into_owned());
            } else if tag == DT_RPATH || tag == DT_RUNPATH {
                elf.folders.extend(text()?.split(':').map(ToOwned::to_owned));
            }
        }
        Ok(elf)
    }

    fn told_folders(&self, path: &Path) -> Vec<PathBuf> {
        let origin = path.parent().unwrap_or(path).to_string_lossy();
        let folders = self.folders.iter();
        folders
            .map(|it| it.replace("$ORIGIN", &origin).replace("${ORIGIN}", &origin).into())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

    use super::*;

    #[test]
    fn a_program_comes_with_its_loader_its_libraries_and_a_shell() {
        let programs = Programs::find(&["ls".to_owned()]).unwrap();
        let places: Vec<_> = programs.files.keys().map(String::as_str).collect();
        for wanted in ["usr/bin/ls", "usr/bin/sh"] {
            assert!(places.contains(&wanted), "{places:?}");
        }
        assert!(places.iter().any(|place| place.ends_with("/libc.so.6")), "{places:?}");
        assert!(places.iter().any(|place| place.contains("/ld-linux")), "{places:?}");
        assert!(places.iter().all(|place| place.starts_with("usr/")), "{places:?}");
        let mut archive = Archive::default();
        programs.put_in(&mut archive).unwrap();
        assert!(archive.has("usr/bin/ls"));
    }

    #[test]
    fn nothing_is_taken_where_nothing_is_asked_for() {
        assert_eq!(Programs::find(&[]).unwrap(), Programs::default());
    }

    #[test]
    fn what_cannot_be_taken_is_named() {
        let refused = |name: &str| Programs::find(&[name.to_owned()]).unwrap_err().to_string();
        assert!(refused("no-such-program").contains("no-such-program"));
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        assert!(refused(script.to_str().unwrap()).contains("script"));
        fs::write(&script, "text").unwrap();
        assert!(refused(script.to_str().unwrap()).contains("x86-64"));
    }

    #[test]
    fn paths_are_those_of_a_merged_system() {
        assert_eq!(usual("/lib64/ld-linux-x86-64.so.2"), "usr/lib64/ld-linux-x86-64.so.2");
        assert_eq!(usual("/usr/lib/x.so"), "usr/lib/x.so");
        assert_eq!(usual("/opt/lib/x.so"), "opt/lib/x.so");
    }
}
