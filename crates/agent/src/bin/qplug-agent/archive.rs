//! Tar archives, made and unpacked by a process of their own.
//!
//! It is this program once more, with the tree as its root: so no link in an archive or on a disk leads out
//! of the tree, and what an archive does to the one who reads it, it does not do to PID 1.

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;

use qplug_agent::Name;
use qplug_agent::wire::{Done, TarIn, TarOut};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use tar::{Archive, Builder, Entry, EntryType};

use crate::lanes::Lanes;
use crate::refusal::{Result, cannot, refuse};
use crate::transfer::{PassError, pass_on};
use crate::tree::{self, SYSROOT};

/// The longest complaint that is passed on, in bytes.
const MAX_COMPLAINT: u64 = 4096;

const BUFFER: usize = 64 << 10;

/// Unpacks an archive.
pub(crate) fn unpack(wish: &TarIn, lanes: &Lanes) -> Result<Done> {
    let mut lane = lanes.open(wish.stream)?;
    let outcome = tree::require_mounted(&wish.path).and_then(|()| {
        with_child("tar-in", &wish.path, |child| {
            let mut input = child.stdin.take().ok_or_else(|| refuse("tar has no input"))?;
            passed(pass_on(&mut lane, &mut input), "receive the archive", "unpack the archive")
        })
    });
    lane.end(&outcome);
    outcome
}

/// Makes an archive.
pub(crate) fn pack(wish: &TarOut, lanes: &Lanes) -> Result<Done> {
    let mut lane = lanes.open(wish.stream)?;
    // Before the first byte goes: tar itself does not say which folder is missing.
    let folder = tree::open(&wish.path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty());
    let outcome = folder.and_then(|_| {
        with_child("tar-out", &wish.path, |child| {
            let mut output = child.stdout.take().ok_or_else(|| refuse("tar has no output"))?;
            passed(pass_on(&mut output, &mut lane), "make the archive", "send the archive")
        })
    });
    lane.end(&outcome);
    outcome
}

fn passed(outcome: Result<u64, PassError>, from: &str, to: &str) -> Result<()> {
    match outcome {
        Ok(_) => Ok(()),
        Err(PassError::From(error)) => Err(cannot(from)(error)),
        Err(PassError::To(error)) => Err(cannot(to)(error)),
    }
}

/// What the child complains of comes before what the pipe to it says.
fn with_child(
    role: &str,
    path: &Name,
    feed: impl FnOnce(&mut Child) -> Result<()>,
) -> Result<Done> {
    let mut child = Command::new("/proc/self/exe")
        .arg(role)
        .arg(path.as_path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(cannot("begin tar"))?;
    let complaint = child.stderr.take().map(|pipe| {
        thread::spawn(move || {
            let mut text = Vec::new();
            // A complaint that cannot be read is none.
            let _ = pipe.take(MAX_COMPLAINT).read_to_end(&mut text);
            String::from_utf8_lossy(&text).trim().to_owned()
        })
    });
    let fed = feed(&mut child);
    if fed.is_err() {
        // It may wait for more of the archive for ever; one that has ended is not harmed.
        drop(child.stdin.take());
        drop(child.stdout.take());
        if !has_ended(&mut child) {
            let _ = child.kill();
        }
    }
    let status = child.wait().map_err(cannot("wait for tar"))?;
    let complaint = complaint.and_then(|thread| thread.join().ok()).unwrap_or_default();
    if !complaint.is_empty() {
        return Err(refuse(complaint));
    }
    fed?;
    match status.success() {
        true => Ok(Done {}),
        false => Err(refuse(format!("tar ended early, with {status}"))),
    }
}

/// How long a child may take to say why it ended.
const END_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

fn has_ended(child: &mut Child) -> bool {
    let deadline = std::time::Instant::now() + END_WITHIN;
    while std::time::Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        thread::sleep(std::time::Duration::from_millis(10));
    }
    false
}

/// The child's part: its role, then a path.
pub(crate) fn main(words: &mut dyn Iterator<Item = OsString>) -> ExitCode {
    let (Some(role), Some(path)) = (words.next(), words.next()) else {
        eprintln!("qplug-agent is PID 1 of an appliance, and of no use to people");
        return ExitCode::FAILURE;
    };
    let path = Path::new("/").join(PathBuf::from(path));
    let outcome = enter().and_then(|()| match role.to_str() {
        Some("tar-in") => read_archive(io::stdin().lock(), &path),
        Some("tar-out") => write_archive(io::stdout().lock(), &path),
        _ => Err(io::Error::other("no such role")),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What tar says is what it did; why it failed is behind that.
            let mut words = error.to_string();
            let mut reason = error.source();
            while let Some(behind) = reason {
                words = format!("{words}: {behind}");
                reason = behind.source();
            }
            eprintln!("{words}");
            ExitCode::FAILURE
        }
    }
}

fn enter() -> io::Result<()> {
    rustix::process::chroot(SYSROOT)?;
    rustix::process::chdir("/")?;
    rustix::process::umask(Mode::empty());
    Ok(())
}

fn write_archive(out: impl Write, folder: &Path) -> io::Result<()> {
    let mut builder = Builder::new(BufWriter::with_capacity(BUFFER, out));
    builder.follow_symlinks(false);
    builder.append_dir_all("", folder)?;
    builder.into_inner()?.flush()
}

fn read_archive(input: impl Read, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut archive = Archive::new(BufReader::with_capacity(BUFFER, input));
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    archive.set_preserve_mtime(true);
    // Last, and the deepest first: what is made in a folder changes its time.
    let mut folders = Vec::new();
    let unread = |error| io::Error::other(format!("cannot read the archive: {error}"));
    for entry in archive.entries()? {
        let mut entry = entry.map_err(unread)?;
        match entry.header().entry_type() {
            EntryType::Directory => {
                let made = folder.join(relative(&entry)?);
                std::fs::create_dir_all(&made)?;
                folders.push(entry);
            }
            EntryType::Fifo => make_node(&entry, folder, FileType::Fifo)?,
            EntryType::Char => make_node(&entry, folder, FileType::CharacterDevice)?,
            EntryType::Block => make_node(&entry, folder, FileType::BlockDevice)?,
            _ => {
                entry.unpack_in(folder)?;
            }
        }
    }
    folders.sort_by(|one, other| other.path_bytes().cmp(&one.path_bytes()));
    for mut entry in folders {
        entry.unpack_in(folder)?;
    }
    // What is beyond the archive's end: whoever sends it must not find the pipe closed.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(())
}

/// The entry's path below the folder.
fn relative<R: Read>(entry: &Entry<'_, R>) -> io::Result<PathBuf> {
    use std::path::Component;
    let path = PathBuf::from(OsString::from_vec(entry.path_bytes().into_owned()));
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::other(format!(
                    "{} leads out of the folder",
                    path.display()
                )));
            }
        }
    }
    Ok(plain)
}

fn make_node<R: Read>(entry: &Entry<'_, R>, folder: &Path, kind: FileType) -> io::Result<()> {
    let header = entry.header();
    let path = folder.join(relative(entry)?);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let number = |field: Option<u32>| field.unwrap_or(0);
    let (major, minor) = (header.device_major()?, header.device_minor()?);
    let device = rustix::fs::makedev(number(major), number(minor));
    let mode = Mode::from_raw_mode(header.mode()? & 0o7777);
    mknodat(CWD, &path, kind, mode, device)?;
    let id = |id: u64| u32::try_from(id).ok();
    std::os::unix::fs::lchown(&path, id(header.uid()?), id(header.gid()?))
}
