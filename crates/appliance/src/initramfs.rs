//! The appliance's first file system, made by qplug itself, without a tool of the host:
//!
//! ```text
//! /init            the agent, static
//! /modules/NAME.ko drivers that it boots with, unpacked
//! /modules/NAME.ko.lz4   drivers and file systems that are loaded later: their length (4 bytes, little-endian) and
//!                  an LZ4 block. Every boot copies all of the archive, and few need any of these
//! /modules/boot    file names in /modules, one a line: load them in this order, first of all
//! /modules/later   lines 'ext4: crc16.ko.lz4 mbcache.ko.lz4 jbd2.ko.lz4 ext4.ko.lz4': to load, in this
//!                  order, when ext4 is wanted for the first time
//! /usr/…           programs of the host and their libraries, at --with's wish
//! /bin /sbin /lib /lib64   links into /usr
//! /dev /proc /sys /run /tmp /sysroot   empty, for the agent to mount on
//! ```
//!
//! What the agent's ports are called: [`port_of_lane`](qplug_agent::wire::port_of_lane).

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use crate::cache::{Cache, Key, Shelf};
use crate::cpio::Archive;
use crate::error::{Error, Result};
use crate::init::Init;
use crate::kernel::Kernel;
use crate::modules::Modules;
use crate::programs::{MERGED, Programs};

/// Initramfs archives, 5 to 15 MB each.
const ARCHIVES: Shelf = Shelf { name: "initramfs", most: 8 };

/// Changes when the layout of an archive does.
const LAYOUT: &str = "3";

/// Folders that the agent mounts something on.
const EMPTY: [&str; 6] = ["dev", "proc", "sys", "run", "tmp", "sysroot"];

/// An archive in the cache.
#[derive(Debug, Clone)]
pub(crate) struct Initramfs {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What it is made of.
    pub(crate) key: Key,
}

impl Initramfs {
    /// The archive of these parts, built if it is not there yet.
    pub(crate) fn of(
        init: &Init,
        kernel: &Kernel,
        programs: &Programs,
        cache: &Cache,
    ) -> Result<Self> {
        let key = init.key(Modules::key(Key::default().with("initramfs").with(LAYOUT)));
        let key = programs.key(kernel.key(key)?)?;
        let path = cache.made(ARCHIVES, &key, |file| {
            let archive = archive(init, &Modules::read(&kernel.modules)?, programs)?;
            let mut output = BufWriter::new(file);
            let written = archive.write(&mut output).and_then(|()| output.flush());
            written.map_err(Error::file("write", &cache.place(ARCHIVES, &key)))
        })?;
        Ok(Self { path, key })
    }
}

fn archive(init: &Init, modules: &Modules, programs: &Programs) -> Result<Archive> {
    let mut archive = Archive::default();
    for folder in EMPTY {
        archive.folder(folder);
    }
    for name in MERGED {
        archive.folder(&format!("usr/{name}"));
        archive.link(name, &format!("usr/{name}"));
    }
    archive.program("init", init.program()?);
    for (name, content) in &modules.content {
        match modules.boot.contains(name) {
            true => archive.file(&format!("modules/{name}.ko"), content.clone()),
            false => archive.file(
                &format!("modules/{name}.ko.lz4"),
                lz4_flex::block::compress_prepend_size(content),
            ),
        }
    }
    let boot: String = modules.boot.iter().map(|name| format!("{name}.ko\n")).collect();
    archive.file("modules/boot", boot.into_bytes());
    let mut later = String::new();
    for (name, needs) in &modules.later {
        let needs: String = needs.iter().map(|name| format!(" {name}.ko.lz4")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(later, "{name}:{needs}");
    }
    archive.file("modules/later", later.into_bytes());
    programs.put_in(&mut archive)?;
    Ok(archive)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

    use super::*;

    #[test]
    fn the_lists_tell_what_to_load_and_when() {
        let module = |name: &str| (name.to_owned(), name.as_bytes().to_vec());
        let modules = Modules {
            content: ["virtio", "virtio_pci", "jbd2", "ext4"].map(module).to_vec(),
            boot: vec!["virtio".into(), "virtio_pci".into()],
            later: vec![("ext4".into(), vec!["jbd2".into(), "ext4".into()])],
        };
        let init = Init::of_bytes(b"static");
        let archive = archive(&init, &modules, &Programs::default()).unwrap();
        let mut bytes = Vec::new();
        archive.write(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("virtio.ko\nvirtio_pci.ko\n"));
        assert!(text.contains("ext4: jbd2.ko.lz4 ext4.ko.lz4\n"));
        for path in
            ["init", "sysroot", "usr/lib64", "lib64", "modules/virtio.ko", "modules/jbd2.ko.lz4"]
        {
            assert!(archive.has(path), "{path}");
        }
    }
}
