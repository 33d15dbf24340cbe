//! What is wrong with an image; found before anything was sent.

use std::io;
use std::path::PathBuf;

use crate::format::{Distrust, Format};

/// An image that cannot be attached; found before anything was sent.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file is missing, or may not be read.
    #[error("cannot read the image {}: {source}{}", path.display(), hint(source))]
    Unreadable {
        /// The image.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The path is a folder, a socket or the like.
    #[error("{} is neither a file nor a block device", path.display())]
    NotAnImage {
        /// The image.
        path: PathBuf,
    },
    /// QMP is JSON, which cannot carry the path.
    #[error("the path {} is not UTF-8, and QMP cannot carry it: rename the image, or link to it", path.display())]
    NotUtf8 {
        /// The image.
        path: PathBuf,
    },
    /// The header may not be believed.
    #[error("{} is refused: {distrust}, and a guest can write such a header into a raw disk. If you trust it, say what it is: --format {}{}; if it is a raw disk: --format raw", path.display(), distrust.format(), instead(distrust))]
    Distrusted {
        /// The image.
        path: PathBuf,
        /// Why.
        distrust: Distrust,
    },
    /// The image is where QEMU runs, which is elsewhere, so its header cannot be read.
    #[error("the image {} is opened where QEMU runs, and cannot be looked at from here: give its --format", path.display())]
    Unseen {
        /// The image.
        path: PathBuf,
    },
    /// The image is no file, so its header cannot be read.
    #[error(
        "{image} is opened by QEMU, and cannot be looked at from here: give the --format of what is served there (raw, where the server shows a disk's bytes as they are)"
    )]
    NoFormat {
        /// The image.
        image: String,
    },
    /// QEMU's current folder is unknown, so the path must be absolute.
    #[error("{} is opened where QEMU runs: give its absolute path there", path.display())]
    Relative {
        /// The image, or the folder of certificates.
        path: PathBuf,
    },
    /// The image has no bytes, so that a guest would see a disk of no size.
    #[error("{image} is empty, and a disk of no size is of no use to a guest")]
    Empty {
        /// The image.
        image: String,
    },
    /// The guest would see a disk whose last block is cut.
    #[error(
        "{image} has {bytes} bytes, which is no multiple of the disk's block size of {block} bytes: the guest would lose its end"
    )]
    CutBlock {
        /// The image.
        image: String,
        /// Its length.
        bytes: u64,
        /// The block size, in bytes.
        block: u32,
    },
    /// Another process has the image open in a way that leaves no room for this disk.
    #[error("{image} is open elsewhere{}, in another process or under another name in this machine: close it there{}", by(*holder), if holder.is_none() { " ('lslocks' and 'qplug list' tell)" } else { "" })]
    Locked {
        /// The image.
        image: String,
        /// The process, where the system tells.
        holder: Option<i32>,
    },
    /// The image is encrypted, and there is nothing to unlock it with.
    #[error(
        "{image} is encrypted ({format}): give its passphrase with --secret-file; --format raw shows the guest the encrypted bytes"
    )]
    NoPassphrase {
        /// The image.
        image: String,
        /// Its format.
        format: Format,
    },
    /// The image is encrypted in the way that qcow2 had before LUKS.
    #[error(
        "{image} is encrypted with qcow2's old method, which QEMU opens only to convert it: 'qemu-img convert' makes a new image of it"
    )]
    OldEncryption {
        /// The image.
        image: String,
    },
    /// The image is of a LUKS version that QEMU does not know.
    #[error(
        "{image} is LUKS, of a version that QEMU does not know (it knows 1): attach it with --format raw, and have the guest unlock it"
    )]
    OtherLuks {
        /// The image.
        image: String,
    },
    /// A secret or a folder was given, and nothing needs it.
    #[error("{what} given, and no image of this disk takes it: leave it out, or check the image")]
    Unused {
        /// What was given, with its verb.
        what: &'static str,
    },
    /// The password is that of a Ceph user, and no key.
    #[error("the key of an rbd image is base64, as 'ceph auth get-key' prints it; this is not")]
    NotEncoded,
    /// The server speaks TLS, which needs certificates.
    #[error(
        "{image} speaks TLS: give the folder with its certificates (ca-cert.pem) with --tls-dir"
    )]
    NoCertificates {
        /// The image.
        image: String,
    },
    /// Images of this format lie on no others.
    #[error("{image} is {format}, which lies on no other image: leave out what comes below it")]
    NoBacking {
        /// The image.
        image: String,
        /// Its format.
        format: Format,
    },
    /// A disk that forgets what is written, and takes no writes.
    #[error(
        "a throw-away overlay over {image} is for writing: leave out --read-only or --snapshot"
    )]
    ReadOnlyOverlay {
        /// The image.
        image: String,
    },
    /// The overlay must be as large as the image, and only QEMU could tell how large that is.
    #[error(
        "how large {image} ({format}) is cannot be told from here, so no throw-away overlay can be made for it: make one with 'qemu-img create', or convert the image to qcow2"
    )]
    UnknownSize {
        /// The image.
        image: String,
        /// Its format.
        format: Format,
    },
    /// No qcow2 image is as large.
    #[error("{image} has {bytes} bytes, and a throw-away overlay is at most 2 PiB")]
    TooLarge {
        /// The image.
        image: String,
        /// Its size.
        bytes: u64,
    },
    /// The overlay cannot be made.
    #[error("cannot make a throw-away overlay in {}: {source}; name another folder with --snapshot-dir", folder.display())]
    NoOverlay {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// An open file that can be written for a disk that is only read, or the other way around. QEMU
    /// opens a descriptor only in the way it is open already.
    #[error("{image} is open {}, and the disk {}: {}", if *writes { "only for reading" } else { "for writing" }, if *writes { "is to be written" } else { "only reads it" }, if *writes { "open it for both, or attach with --read-only" } else { "open it only for reading" })]
    AccessMode {
        /// The image.
        image: String,
        /// Whether the disk writes to it.
        writes: bool,
    },
    /// An open file that cannot be read.
    #[error("{image} is open only for writing: open it for both")]
    WriteOnly {
        /// The image.
        image: String,
    },
    /// A web server's file is only read.
    #[error("{image} can only be read: attach it with --read-only, or with --snapshot over a copy")]
    OnlyRead {
        /// The image.
        image: String,
    },
    /// Only files and devices are read in one way or another.
    #[error("{image} is no file or device of the host, and --aio is for these: leave it out")]
    NoAio {
        /// The image.
        image: String,
    },
    /// The connection carries no descriptors.
    #[error(
        "{image} is handed over to QEMU, and only a unix socket of this machine carries open files: connect through one"
    )]
    NoDescriptors {
        /// The image.
        image: String,
    },
}

impl Distrust {
    fn format(&self) -> &Format {
        match self {
            Self::BackingFile(f) | Self::DataFile(f) | Self::Unchecked(f) | Self::Damaged(f) => f,
        }
    }
}

fn instead(distrust: &Distrust) -> &'static str {
    match distrust {
        Distrust::BackingFile(_) => ", or (with attach) what lies below it: --backing IMAGE",
        Distrust::Unchecked(format) if *format == Format::luks() => ", with --secret-file",
        _ => "",
    }
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "; where only QEMU may read it, give its --format, and it is not looked at"
        }
        _ => "",
    }
}

fn by(holder: Option<i32>) -> String {
    holder.map(|pid| format!(" (by process {pid})")).unwrap_or_default()
}
