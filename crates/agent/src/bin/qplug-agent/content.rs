//! What is on the disks.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use qplug_agent::probe::{self, Content, HEAD_BYTES, TAIL_BYTES};
use qplug_agent::wire::FileSystem;

use crate::device::{self, Named};
use crate::disks::Disks;
use crate::refusal::{Result, cannot, refuse};
use crate::sysfs;

/// What is on all of the user's devices, or on one.
pub(crate) fn list(device: Option<&str>, disks: &Disks) -> Result<Vec<FileSystem>> {
    if let Some(name) = device {
        let found = device::find(name, disks)?;
        return Ok(vec![look(found.name, &found.kernel_name)]);
    }
    let mut list = Vec::new();
    for disk in disks.all() {
        let Some(label) = &disk.label else { continue };
        if disk.partitions.is_empty() {
            list.push(look(label.clone(), &disk.kernel_name));
        }
        for partition in &disk.partitions {
            list.push(look(format!("{label}:{}", partition.number), &partition.kernel_name));
        }
    }
    for name in sysfs::block_devices().iter().filter(|name| device::is_on_disks(name)) {
        list.push(look(sysfs::friendly_name(name), name));
    }
    Ok(list)
}

/// The kind of a device's file system, for the kernel.
pub(crate) fn mountable(device: &Named) -> Result<String> {
    let content = content(&device.kernel_name)
        .map_err(cannot(format!("read {}", device.name)))?
        .ok_or_else(|| refuse(format!("no file system is recognized on {}", device.name)))?;
    Ok(content.kind.to_owned())
}

fn look(name: String, kernel_name: &str) -> FileSystem {
    let (content, error) = match content(kernel_name) {
        Ok(content) => (content, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let (kind, uuid, label) = match content {
        Some(it) => (Some(it.kind.to_owned()), it.uuid, it.label),
        None => (None, None, None),
    };
    let bytes = sysfs::bytes(kernel_name).unwrap_or(0);
    FileSystem { device: name, kind, uuid, label, bytes, error }
}

fn content(kernel_name: &str) -> io::Result<Option<Content>> {
    let device = File::open(format!("/dev/{kernel_name}"))?;
    let head = read_at(&device, 0, HEAD_BYTES)?;
    let tails = probe::tails(sysfs::bytes(kernel_name).unwrap_or(0));
    let tails: io::Result<Vec<_>> =
        tails.into_iter().map(|at| read_at(&device, at, TAIL_BYTES)).collect();
    Ok(probe::recognize(&head, &tails?))
}

/// Reads up to the device's end.
fn read_at(device: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match device.read_at(&mut bytes[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
