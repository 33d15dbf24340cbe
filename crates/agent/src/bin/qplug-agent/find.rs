//! Everything below a folder.

use std::io::{BufWriter, Write};

use qplug_agent::Name;
use qplug_agent::wire::{Find, Found};
use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::lanes::{Lane, Lanes};
use crate::refusal::{Result, cannot};
use crate::tree;

/// How many folders that cannot be read are told.
const MAX_UNREADABLE: usize = 100;

/// How many bytes the paths of folders may have that were found and not looked into yet. Those of a
/// tree of a million folders have some 50 MB; more are told as unreadable.
const MAX_PENDING: usize = 32 << 20;

const BUFFER: usize = 64 << 10;

/// Sends all paths.
pub(crate) fn find(wish: &Find, lanes: &Lanes) -> Result<Found> {
    let mut lane = lanes.open(wish.stream)?;
    let outcome = walk(&wish.path, &mut lane);
    lane.end(&outcome);
    outcome
}

fn walk(root: &Name, lane: &mut Lane) -> Result<Found> {
    let mut out = BufWriter::with_capacity(BUFFER, lane);
    let mut found = Found { count: 0, unreadable: Vec::new() };
    // Fails at once where there is no such path.
    drop(tree::find(root)?);
    tell(&mut out, root.as_bytes(), &mut found)?;
    let mut pending = vec![root.as_bytes().to_owned()];
    let mut pending_bytes = 0;
    while let Some(folder) = pending.pop() {
        pending_bytes -= folder.len().min(pending_bytes);
        let path = Name::from(folder);
        let outcome = look_into(&path, &mut |child: Vec<u8>, is_folder: bool| {
            tell(&mut out, &child, &mut found)?;
            if is_folder && pending_bytes + child.len() > MAX_PENDING {
                complain(&mut found, Name::from(child), Errno::NOMEM);
            } else if is_folder {
                pending_bytes += child.len();
                pending.push(child);
            }
            Ok(())
        })?;
        match outcome {
            // The root may be a file; anything may have left or changed meanwhile.
            Ok(()) | Err(Errno::NOTDIR | Errno::NOENT | Errno::LOOP) => {}
            Err(errno) => complain(&mut found, path, errno),
        }
    }
    out.flush().map_err(cannot("send what was found"))?;
    Ok(found)
}

fn complain(found: &mut Found, path: Name, errno: Errno) {
    if found.unreadable.len() < MAX_UNREADABLE {
        found.unreadable.push((path, errno.to_string()));
    }
}

fn tell(out: &mut impl Write, path: &[u8], found: &mut Found) -> Result<()> {
    found.count += 1;
    let sent = out.write_all(path).and_then(|()| out.write_all(&[0]));
    sent.map_err(cannot("send what was found"))
}

/// Reads one folder. The outer result is the stream's, the inner one the folder's.
fn look_into(
    path: &Name,
    each: &mut dyn FnMut(Vec<u8>, bool) -> Result<()>,
) -> Result<Result<(), Errno>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let opened = tree::try_open(path, flags, Mode::empty());
    let mut dir = match opened.and_then(Dir::read_from) {
        Ok(dir) => dir,
        Err(errno) => return Ok(Err(errno)),
    };
    while let Some(entry) = dir.read() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(errno) => return Ok(Err(errno)),
        };
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let mut child = path.as_bytes().to_owned();
        if !child.ends_with(b"/") && !child.is_empty() {
            child.push(b'/');
        }
        child.extend_from_slice(name);
        // Where the folder does not tell, trying does.
        let may_be_folder = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
        each(child, may_be_folder)?;
    }
    Ok(Ok(()))
}
