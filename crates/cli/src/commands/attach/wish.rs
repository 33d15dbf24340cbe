//! From words to disks. All that can be known without a machine is checked here.

use std::path::Path;

use qplug_hotplug::{Access, Bus, BusError, DeviceOptions, Disk, Limits, Throttle};
use qplug_qmp::Address;
use serde_json::Value;

use super::{list, secret};
use crate::args::{Attach, DiskWords, amount};
use crate::failure::{Exit, Failure};
use crate::key_values;

/// The disks that are wanted.
pub(super) struct Wish {
    pub(super) disks: Vec<Disk>,
    /// Whether it is about one disk by its nature, and not a list of one.
    pub(super) is_single: bool,
}

/// Variables of the environment that hold secrets.
const PASSPHRASE: &str = "QPLUG_PASSPHRASE";
const PASSWORD: &str = "QPLUG_PASSWORD";

/// Reads what is asked for.
pub(super) fn read(args: &Attach, address: &Address) -> Result<Wish, Failure> {
    let is_elsewhere = is_elsewhere(address);
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
    let image = folder.join(words.image.as_deref().unwrap_or_default());
    let passphrase = secret::read(words.secret_file.as_deref(), PASSPHRASE)?;
    let password = secret::read(words.password_file.as_deref(), PASSWORD)?;
    let _ = (passphrase, password);
    let name = match &words.name {
        Some(name) => name,
        None => name_of_image(&image)?,
    };
    let builder =
        Disk::named(name)?.serial(words.serial.as_deref()).format(words.format.clone()).bus(bus);
    let disk = if words.remote || is_elsewhere {
        builder.remote_image(image)?
    } else {
        builder.image(image)?
    };
    Ok(disk.read_only(words.read_only))
}

fn name_of_image(image: &Path) -> Result<&str, Failure> {
    let name = image.file_stem().and_then(|stem| stem.to_str());
    name.filter(|name| qplug_hotplug::DiskName::new(name).is_ok()).ok_or_else(|| {
        let image = image.display();
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
    let mut limits = Limits::new();
    for text in words.throttle.iter().flat_map(|text| text.split(',')) {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--throttle {text}: give KEY=VALUE")))?;
        let value = amount(value).map_err(Failure::usage)?;
        if limits.insert(key.to_owned(), value.into()).is_some() {
            return Err(Failure::usage(format!("--throttle: {key} is given twice")));
        }
    }
    let group = words.throttle_group.clone();
    Ok((group.is_some() || !limits.is_empty()).then(|| Throttle::new(group, limits)))
}

/// Whether QEMU runs on another machine, so that its files are not here.
fn is_elsewhere(address: &Address) -> bool {
    let (Address::Tcp { host, .. } | Address::Tls { host, .. }) = address else {
        return matches!(address, Address::Vsock { .. });
    };
    let ip = host.parse::<std::net::IpAddr>();
    host != "localhost" && !ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests;
