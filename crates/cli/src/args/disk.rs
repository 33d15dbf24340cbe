//! The words that describe a disk: options on the command line, keys of a table in a list.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use qplug_hotplug::{Aio, Bus, Cache, DetectZeroes, Format, OnError};
use serde::Deserialize;

use super::word::{self, OnOff, OneOf, Wwn};

const NAME: &str = "What it is called";
const PLACE: &str = "Where it is plugged in";
const IMAGE: &str = "What it lies on";
const ACCESS: &str = "How the image is accessed";
const SPEED: &str = "How fast it may be";
const DEVICE: &str = "What the guest sees";

/// A disk in words.
#[derive(Debug, Clone, Default, PartialEq, ClapArgs, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct DiskWords {
    /// On the command line it stands alone.
    #[arg(skip)]
    pub(crate) image: Option<String>,

    /// The disk's name in the machine. Default: the image's file name without its extension.
    #[arg(long, short, help_heading = NAME)]
    #[serde(deserialize_with = "word::one")]
    pub(crate) name: Option<String>,
    /// The serial that the guest sees: at most 20 characters, 36 for SCSI. Default: the name.
    #[arg(long, help_heading = NAME)]
    #[serde(deserialize_with = "word::one")]
    pub(crate) serial: Option<String>,
    /// The World Wide Name that the guest sees (virtio-scsi), such as 0x5000c50015ea71aa.
    #[arg(long, help_heading = NAME)]
    #[serde(deserialize_with = "word::one")]
    pub(crate) wwn: Option<Wwn>,

    /// auto, virtio-blk, virtio-scsi, nvme, usb-storage or usb-uas. Default: auto, the best that has
    /// room.
    #[arg(long, short, help_heading = PLACE)]
    #[arg(value_parser = OneOf::<String>::of(&buses()), hide_possible_values = true)]
    #[serde(deserialize_with = "word::one")]
    pub(crate) bus: Option<String>,
    /// The port, as 'qplug ports' names it. Default: the first free one.
    #[arg(long, short, help_heading = PLACE)]
    #[serde(deserialize_with = "word::one")]
    pub(crate) port: Option<String>,

    /// The image's format, such as qcow2 or raw. Default: what its header says, where that is safe.
    #[arg(long, short, help_heading = IMAGE)]
    #[arg(value_parser = OneOf::<Format>::of(Format::WORDS), hide_possible_values = true)]
    #[serde(deserialize_with = "word::one")]
    pub(crate) format: Option<Format>,
    /// The image's path is one where QEMU runs, not here: do not look at it (needs --format).
    #[arg(long, help_heading = IMAGE)]
    pub(crate) remote: bool,
    /// An image under this one, PATH[,format=FORMAT]; again for the one under that. Overrides what
    /// the header says.
    #[arg(long, value_name = "LAYER", help_heading = IMAGE)]
    #[serde(deserialize_with = "word::several")]
    pub(crate) backing: Vec<String>,
    /// There is no image under this one, whatever its header says.
    #[arg(long, conflicts_with = "backing", help_heading = IMAGE)]
    pub(crate) no_backing: bool,
    /// Throw away what the guest writes when the disk is detached; the image is only read.
    #[arg(long, help_heading = IMAGE)]
    pub(crate) snapshot: bool,
    /// The folder for what the guest writes with --snapshot. Default: the system's temporary one.
    #[arg(long, value_name = "FOLDER", requires = "snapshot", help_heading = IMAGE)]
    pub(crate) snapshot_folder: Option<PathBuf>,
    /// The image is the open file that this process inherited under this number (needs --name).
    #[arg(long, value_name = "NUMBER", conflicts_with = "images", help_heading = IMAGE)]
    pub(crate) fd: Option<i32>,
    /// Open the image here and hand it to QEMU, which may not be allowed to open the path.
    #[arg(long, help_heading = IMAGE)]
    pub(crate) pass_fd: bool,
    /// The file that holds the passphrase of an encrypted image; - is standard input. Or put it into
    /// QPLUG_PASSPHRASE.
    #[arg(long, value_name = "FILE", help_heading = IMAGE)]
    pub(crate) secret_file: Option<PathBuf>,
    /// The file that holds the password of an image's server; - is standard input.
    #[arg(long, value_name = "FILE", help_heading = IMAGE)]
    pub(crate) password_file: Option<PathBuf>,
    /// The certificates for an image's server, as for QEMU's tls-creds-x509, where QEMU runs.
    #[arg(long, value_name = "FOLDER", help_heading = IMAGE)]
    pub(crate) image_tls_creds: Option<PathBuf>,

    /// Let the guest only read the disk.
    #[arg(long, short, help_heading = ACCESS)]
    pub(crate) read_only: bool,
    /// none, writeback, writethrough, directsync or unsafe, as in QEMU's -drive.
    #[arg(long, value_name = "MODE", help_heading = ACCESS)]
    #[arg(value_parser = OneOf::<Cache>::of(Cache::WORDS), hide_possible_values = true)]
    #[serde(deserialize_with = "word::one")]
    pub(crate) cache: Option<Cache>,
    /// threads, native (with --cache none or directsync) or io_uring.
    #[arg(long, value_name = "HOW", help_heading = ACCESS)]
    #[arg(value_parser = OneOf::<Aio>::of(Aio::WORDS), hide_possible_values = true)]
    #[serde(deserialize_with = "word::one")]
    pub(crate) aio: Option<Aio>,
    /// unmap: the guest's discards reach the image; ignore: they do not.
    #[arg(long, value_name = "HOW", help_heading = ACCESS)]
    #[arg(value_parser = OneOf::<String>::of(&["unmap", "ignore"]), hide_possible_values = true)]
    #[serde(deserialize_with = "word::one")]
    pub(crate) discard: Option<String>,
    /// off, on or unmap (with --discard unmap): what becomes of written zeroes.
    #[arg(long, value_name = "HOW", help_heading = ACCESS)]
    #[arg(value_parser = OneOf::<DetectZeroes>::of(DetectZeroes::WORDS))]
    #[arg(hide_possible_values = true)]
    #[serde(deserialize_with = "word::one")]
    pub(crate) detect_zeroes: Option<DetectZeroes>,
    /// The I/O thread that serves the disk (virtio-blk); made where it is not there.
    #[arg(long, value_name = "ID", help_heading = ACCESS)]
    #[serde(deserialize_with = "word::one")]
    pub(crate) iothread: Option<String>,

    /// Limits per second, KEY=VALUE[,…]: iops-total=100, bps-read=10M, bps-write-max=20M and so on.
    #[arg(long, value_name = "LIMITS", help_heading = SPEED)]
    #[serde(deserialize_with = "word::several")]
    pub(crate) throttle: Vec<String>,
    /// The group that shares the limits; made with --throttle, joined without.
    #[arg(long, value_name = "NAME", help_heading = SPEED)]
    #[serde(deserialize_with = "word::one")]
    pub(crate) throttle_group: Option<String>,

    /// How many queues the guest gets (virtio-blk, nvme).
    #[arg(long, value_name = "COUNT", help_heading = DEVICE)]
    pub(crate) queues: Option<u16>,
    /// In bytes, 512 to 2M.
    #[arg(long, value_name = "BYTES", value_parser = word::block_size, help_heading = DEVICE)]
    #[serde(deserialize_with = "word::one_size")]
    pub(crate) logical_block_size: Option<u32>,
    /// In bytes, 512 to 2M.
    #[arg(long, value_name = "BYTES", value_parser = word::block_size, help_heading = DEVICE)]
    #[serde(deserialize_with = "word::one_size")]
    pub(crate) physical_block_size: Option<u32>,
    /// Where the disk stands when firmware looks for a system to boot.
    #[arg(long, value_name = "NUMBER", help_heading = DEVICE)]
    pub(crate) bootindex: Option<i32>,
    /// Another device may write to the same image.
    #[arg(long, help_heading = DEVICE)]
    pub(crate) share_rw: bool,
    /// on or off: whether the guest sees a cache that it must flush. Default: as the cache mode.
    #[arg(long, value_name = "ON|OFF", help_heading = DEVICE)]
    #[arg(value_parser = OneOf::<OnOff>::of(&["on", "off"]), hide_possible_values = true)]
    #[serde(deserialize_with = "word::one")]
    pub(crate) write_cache: Option<OnOff>,
    /// report, ignore, stop, enospc or auto: what happens when the image cannot be read.
    #[arg(long, value_name = "WHAT", help_heading = DEVICE)]
    #[arg(value_parser = OneOf::<OnError>::of(OnError::WORDS), hide_possible_values = true)]
    #[serde(deserialize_with = "word::one")]
    pub(crate) rerror: Option<OnError>,
    /// The same when it cannot be written.
    #[arg(long, value_name = "WHAT", help_heading = DEVICE)]
    #[arg(value_parser = OneOf::<OnError>::of(OnError::WORDS), hide_possible_values = true)]
    #[serde(deserialize_with = "word::one")]
    pub(crate) werror: Option<OnError>,
    /// Anything else that QEMU knows: device.KEY=VALUE or node.KEY=VALUE, again for more.
    #[arg(long, value_name = "KEY=VALUE", help_heading = DEVICE)]
    #[serde(deserialize_with = "word::several")]
    pub(crate) set: Vec<String>,
}

/// What `--bus` takes.
fn buses() -> Vec<&'static str> {
    ["auto"].into_iter().chain(Bus::words()).collect()
}

impl DiskWords {
    /// An option that can be true of one disk only, if one is given.
    pub(crate) fn only_of_one(&self) -> Option<&'static str> {
        let given = [
            (self.name.is_some(), "--name"),
            (self.serial.is_some(), "--serial"),
            (self.wwn.is_some(), "--wwn"),
            (self.bootindex.is_some(), "--bootindex"),
            (!self.backing.is_empty(), "--backing"),
            (self.fd.is_some(), "--fd"),
        ];
        given.into_iter().find(|(is_given, _)| *is_given).map(|(_, option)| option)
    }
}
