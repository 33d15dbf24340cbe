//! Images of the real file system, as a simulated machine sees them: their size and their header.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use qplug_hotplug::{Distrust, Format};
use qplug_sim::{Descriptor, Files, Image, OpenError};

/// As much as a header needs.
const HEADER_BYTES: u64 = 512;

/// The longest name of a backing image that a header may hold (QEMU's `docs/interop/qcow2.rst`).
const MAX_BACKING_NAME: u32 = 1023;

/// Looks at real files, and never changes one.
#[derive(Debug)]
pub(super) struct RealFiles;

impl Files for RealFiles {
    fn look(&self, path: &str) -> Result<Image, OpenError> {
        look(Path::new(path)).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => OpenError::Denied,
            ErrorKind::IsADirectory => OpenError::Folder,
            _ => OpenError::Missing,
        })
    }
}

fn look(path: &Path) -> io::Result<Image> {
    let mut file = File::open(path)?;
    let about = file.metadata()?;
    if about.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    let mut header = Vec::new();
    (&file).take(HEADER_BYTES).read_to_end(&mut header)?;
    let size = file.seek(SeekFrom::End(0))?;
    let format = match Format::of_header(&header) {
        Ok(format)
        | Err(
            Distrust::BackingFile(format)
            | Distrust::DataFile(format)
            | Distrust::Unchecked(format)
            | Distrust::Damaged(format),
        ) => format,
    };
    let mut image = Image::new(format.as_str(), size);
    image.file_bytes = size;
    image.is_device = about.file_type().is_block_device();
    image.is_read_only = about.permissions().readonly();
    if format.as_str() == "qcow2" {
        image.bytes = number(&header, 24).unwrap_or(size);
        image.backing = backing(&mut file, &header);
    }
    Ok(image)
}

/// Eight bytes of a header, the greatest first.
fn number(header: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(header.get(at..at + 8)?.try_into().ok()?))
}

/// The backing image that a qcow2 header names. Its format is taken off its own header.
fn backing(file: &mut File, header: &[u8]) -> Option<(String, String)> {
    let at = number(header, 8).filter(|at| *at != 0)?;
    let length = u32::from_be_bytes(header.get(16..20)?.try_into().ok()?);
    let mut name = String::new();
    file.seek(SeekFrom::Start(at)).ok()?;
    file.take(length.min(MAX_BACKING_NAME).into()).read_to_string(&mut name).ok()?;
    let format = look(Path::new(&name)).map_or_else(|_| "raw".to_owned(), |image| image.format);
    Some((name, format))
}

/// What a descriptor that a client passed is open on.
pub(super) fn descriptor(fd: &OwnedFd) -> Option<Descriptor> {
    let number = fd.as_raw_fd();
    let path = fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    let flags = about.lines().find_map(|line| line.strip_prefix("flags:"))?.trim();
    // In octal; the last two bits are the way it was opened, and 0 is for reading.
    let is_read_only = u32::from_str_radix(flags, 8).ok()? & 3 == 0;
    Some(Descriptor { path: path.to_str()?.to_owned(), is_read_only })
}

/// A script of faults.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}

/// A socket's name.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}
