//! From words to disks. All that can be known without a machine is checked here.

use std::path::{Path, PathBuf};

use qplug_hotplug::{
    Access, Bus, BusError, DeviceOptions, Disk, DiskError, DiskName, Format, ImageError, Storage,
    StorageBuilder, Throttle,
};
use serde_json::Value;

use super::{list, secret};
use crate::args::{Attach, DiskWords};
use crate::commands::limits;
use crate::failure::{Exit, Failure};
use crate::key_values;

/// The disks that are wanted.
pub(super) struct Wish {
    pub(super) disks: Vec<Disk>,
    /// Whether it is about one disk by its nature, and not a list of one.
    pub(super) is_single: bool,
}

/// Reads what is asked for.
pub(super) fn read(args: &Attach, is_elsewhere: bool) -> Result<Wish, Failure> {
    if let Some(path) = &args.list {
        if args.disk != DiskWords::default() {
            let text = "with --list, options of a disk go into the list";
            return Err(Failure::usage(text));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let words = list::read(path)?;
        let disks = words.iter().map(|words| disk(words, folder, is_elsewhere));
        return Ok(Wish { disks: disks.collect::<Result<_, _>>()?, is_single: false });
    }
    let is_single = args.images.len() <= 1;
    if !is_single && let Some(option) = args.disk.only_of_one() {
        let text = format!("{option} is of one disk: give one image, or a --list");
        return Err(Failure::usage(text));
    }
    let mut all = vec![args.disk.clone()];
    if !args.images.is_empty() {
        let image = |image: &String| DiskWords { image: Some(image.clone()), ..args.disk.clone() };
        all = args.images.iter().map(image).collect();
    }
    let disks = all.iter().map(|words| disk(words, Path::new(""), is_elsewhere));
    Ok(Wish { disks: disks.collect::<Result<_, _>>()?, is_single })
}

/// One disk; relative paths are taken from this folder.
fn disk(words: &DiskWords, folder: &Path, is_elsewhere: bool) -> Result<Disk, Failure> {
    let bus = bus(words.bus.as_deref())?;
    let disk = open(words, folder, is_elsewhere, bus)?
        .port(words.port.clone())
        .access(access(words)?)
        .device(device(words)?)
        .throttle(throttle(words)?)
        .iothread(words.iothread.clone());
    disk.check()?;
    Ok(disk)
}

/// What is refused is refused before any machine is looked at.
fn bus(word: Option<&str>) -> Result<Option<Bus>, Failure> {
    match word {
        None | Some("auto") => Ok(None),
        Some(word) => word.parse().map(Some).map_err(|error: BusError| Failure {
            exit: match error {
                BusError::NotHotpluggable { .. } => Exit::Impossible,
                BusError::Unknown(_) => Exit::Usage,
            },
            message: error.to_string(),
        }),
    }
}

fn open(
    words: &DiskWords,
    folder: &Path,
    is_elsewhere: bool,
    bus: Option<Bus>,
) -> Result<Disk, Failure> {
    let builder = source(words, folder)?;
    let name = match &words.name {
        Some(name) => name.clone(),
        None => name_of(&builder, words)?,
    };
    let disk = Disk::named(&name)?.serial(words.serial.as_deref()).bus(bus);
    let layer = |text: &String| layer(text, folder);
    let builder = builder
        .format(words.format.clone())
        .read_only(words.read_only)
        .remote(words.remote || is_elsewhere)
        .hand_over(words.pass_fd)
        .passphrase(in_folder(words.secret_file.as_ref(), folder).map(secret::read).transpose()?)
        .password(in_folder(words.password_file.as_ref(), folder).map(secret::read).transpose()?)
        .certificates(words.image_tls_creds.clone())
        .backing(words.backing.iter().map(layer).collect::<Result<_, _>>()?)
        .no_backing(words.no_backing)
        .snapshot(words.snapshot)
        .snapshot_folder(in_folder(words.snapshot_folder.as_ref(), folder));
    let storage = match (builder.clone().look(), secret::passphrase()) {
        // The environment's is for those that need one, and there may be others in the list.
        (Err(ImageError::NoPassphrase { .. }), Some(secret)) => {
            builder.passphrase(Some(secret)).look()
        }
        (looked, _) => looked,
    };
    let storage = storage.map_err(DiskError::from)?;
    Ok(disk.storage(storage)?)
}

/// Where the bytes are, by whichever word says so.
fn source(words: &DiskWords, folder: &Path) -> Result<StorageBuilder, Failure> {
    if let Some(number) = words.fd {
        return Storage::inherited(number)
            .map_err(|error| Failure::usage(format!("--fd {number}: {error}")));
    }
    located(words.image.as_deref().unwrap_or_default(), folder)
}

/// An image's location; a path that is relative is taken from the folder.
fn located(text: &str, folder: &Path) -> Result<StorageBuilder, Failure> {
    if text.contains("://") || text.starts_with("rbd:") {
        return Ok(Storage::parse(text).map_err(DiskError::from)?);
    }
    Ok(Storage::path(folder.join(text)))
}

/// A layer below: `PATH[,format=FORMAT]`.
fn layer(text: &str, folder: &Path) -> Result<StorageBuilder, Failure> {
    let (place, format) = match text.rsplit_once(",format=") {
        Some((place, format)) => (place, Some(format)),
        None => (text, None),
    };
    let format = format.map(str::parse::<Format>).transpose();
    let format = format.map_err(|error| Failure::usage(format!("--backing {text}: {error}")))?;
    Ok(located(place, folder)?.format(format))
}

fn in_folder(path: Option<&PathBuf>, folder: &Path) -> Option<PathBuf> {
    // Standard input is in no folder.
    path.map(|path| if path == Path::new("-") { path.clone() } else { folder.join(path) })
}

fn name_of(builder: &StorageBuilder, words: &DiskWords) -> Result<String, Failure> {
    let name = builder.stem().filter(|name| DiskName::new(name).is_ok());
    name.ok_or_else(|| {
        let image = words.image.as_deref().unwrap_or("a descriptor");
        Failure::usage(format!("no name can be made of {image}: give one with --name"))
    })
}

fn access(words: &DiskWords) -> Result<Access, Failure> {
    let discard = match words.discard.as_deref() {
        None => None,
        Some("unmap" | "on") => Some(true),
        Some("ignore" | "off") => Some(false),
        Some(word) => {
            return Err(Failure::usage(format!("--discard is unmap or ignore, not {word:?}")));
        }
    };
    Ok(Access {
        cache: words.cache,
        aio: words.aio,
        discard,
        detect_zeroes: words.detect_zeroes,
        set: set(words, "node")?,
    })
}

fn device(words: &DiskWords) -> Result<DeviceOptions, Failure> {
    Ok(DeviceOptions {
        wwn: words.wwn.map(|wwn| wwn.0),
        logical_block_size: words.logical_block_size,
        physical_block_size: words.physical_block_size,
        boot_index: words.bootindex,
        share_rw: words.share_rw,
        write_cache: words.write_cache.map(|cache| cache.0),
        read_error: words.rerror,
        write_error: words.werror,
        queues: words.queues,
        set: set(words, "device")?,
    })
}

/// What is set for the node or for the device, without that word.
fn set(words: &DiskWords, what: &str) -> Result<Vec<(String, Value)>, Failure> {
    let mut found = Vec::new();
    for text in &words.set {
        let (key, value) = key_values::pair(text).map_err(Failure::usage)?;
        match key.split_once('.') {
            Some((of, key)) if of == what && !key.is_empty() => found.push((key.to_owned(), value)),
            Some(("node" | "device", key)) if !key.is_empty() => {}
            _ => {
                let text = format!("--set {text}: the key begins with device. or node.");
                return Err(Failure::usage(text));
            }
        }
    }
    Ok(found)
}

fn throttle(words: &DiskWords) -> Result<Option<Throttle>, Failure> {
    let limits = limits(&words.throttle)?;
    let group = words.throttle_group.clone();
    Ok((group.is_some() || !limits.is_empty()).then(|| Throttle::new(group, limits)))
}

#[cfg(test)]
mod tests;
