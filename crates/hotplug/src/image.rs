//! Looking at images before QEMU opens them. The only file of this crate that opens files.

mod error;
mod header;
mod locks;
mod overlay;

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::command::Descriptor;
use crate::format::{Distrust, Format, HEADER_BYTES};
use crate::storage::{
    Handed, Layer, Location, Place, Protocol, Storage, StorageBuilder, may_have_backing,
};

pub use error::ImageError;
use header::{Encryption, Header};
pub(crate) use locks::{Locks, READ, RESIZE, WRITE};
use overlay::Overlay;

/// What is known of a layer before it is looked at.
#[derive(Debug, Clone, Copy)]
struct Wish {
    writes: bool,
    remote: bool,
    hand_over: bool,
    /// Whether it was said what lies below, so that the header need not be believed there.
    backing_is_given: bool,
    has_passphrase: bool,
}

/// An open image, and what it is called.
struct Opened {
    file: File,
    label: PathBuf,
    is_device: bool,
}

impl StorageBuilder {
    /// Looks whether it is so, here and now: what the images are, what their headers say, how long
    /// they are, and who has them open. Files that are to be handed over are opened.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn look(mut self) -> Result<Storage, ImageError> {
        let layers = self.look_at_layers()?;
        let mut storage = Storage {
            layers,
            no_backing: self.no_backing,
            overlay: None,
            passphrase: self.passphrase.take(),
            password: self.password.take(),
            certificates: None,
            read_only: self.read_only,
        };
        check_secrets(&storage)?;
        storage.certificates = certificates(&storage, self.certificates.take())?;
        if self.snapshot {
            let folder = self.snapshot_folder.take().unwrap_or_else(std::env::temp_dir);
            storage.overlay = Some(make_overlay(&storage, &folder)?);
        }
        Ok(storage)
    }

    fn look_at_layers(&mut self) -> Result<Vec<Layer>, ImageError> {
        let mut sources = vec![(self.place.clone(), self.format.take())];
        sources.extend(self.backing.drain(..).map(|layer| (layer.place, layer.format)));
        let last = sources.len() - 1;
        let mut layers: Vec<Layer> = Vec::new();
        for (at, (place, format)) in sources.into_iter().enumerate() {
            let wish = Wish {
                writes: at == 0 && !self.read_only && !self.snapshot,
                remote: self.remote,
                hand_over: self.hand_over,
                backing_is_given: at < last || self.no_backing,
                has_passphrase: self.passphrase.is_some(),
            };
            let layer = look_at(place, format, wish)?;
            if at < last && !may_have_backing(Some(layer.format.as_str())) {
                let (image, format) = (layer.protocol.label(), layer.format);
                return Err(ImageError::NoBacking { image, format });
            }
            layers.push(layer);
        }
        Ok(layers)
    }
}

/// The folder with certificates, where one is needed.
fn certificates(storage: &Storage, folder: Option<PathBuf>) -> Result<Option<String>, ImageError> {
    let is_tls = |layer: &&Layer| {
        matches!(&layer.protocol, Protocol::Served(Location::Nbd { tls: true, .. }))
    };
    match (storage.layers.iter().find(is_tls), folder) {
        (None, None) => Ok(None),
        (Some(_), Some(folder)) => remote_path(folder).map(Some),
        (Some(layer), None) => Err(ImageError::NoCertificates { image: layer.protocol.label() }),
        (None, Some(_)) => Err(ImageError::Unused { what: "a folder of certificates is" }),
    }
}

/// Whether secrets are there where they are needed, and are needed where they are there.
fn check_secrets(storage: &Storage) -> Result<(), ImageError> {
    let is_encrypted = storage.layers.iter().any(|layer| layer.is_encrypted);
    if storage.passphrase.is_some() && !is_encrypted {
        return Err(ImageError::Unused { what: "a passphrase is" });
    }
    let mut taking = storage.layers.iter().filter_map(|layer| match &layer.protocol {
        Protocol::Served(location) if location.takes_password() => Some(location),
        _ => None,
    });
    match (&storage.password, taking.next()) {
        (Some(_), None) => Err(ImageError::Unused { what: "a password is" }),
        (Some(password), Some(Location::Rbd(_))) if !password.is_encoded() => {
            Err(ImageError::NotEncoded)
        }
        _ => Ok(()),
    }
}

/// Finds out what an image is. With a format given, an image may be one that only QEMU's user can
/// read.
fn look_at(place: Place, format: Option<Format>, wish: Wish) -> Result<Layer, ImageError> {
    let location = match place {
        Place::Open(descriptor) => return look_at_open(&descriptor, format, wish),
        Place::Named(location) => location,
    };
    match location {
        Location::Path(path) if wish.remote && !wish.hand_over => {
            let Some(format) = format else { return Err(ImageError::Unseen { path }) };
            unseen(Protocol::File(remote_path(path)?), format, wish)
        }
        Location::Path(path) => look_at_path(&path, format, wish),
        location => {
            let protocol = Protocol::Served(location);
            match format {
                Some(format) => unseen(protocol, format, wish),
                None => Err(ImageError::NoFormat { image: protocol.label() }),
            }
        }
    }
}

fn unseen(protocol: Protocol, format: Format, wish: Wish) -> Result<Layer, ImageError> {
    let takes_passphrase = format == Format::luks() || format == Format::qcow2();
    if format == Format::luks() && !wish.has_passphrase {
        return Err(ImageError::NoPassphrase { image: protocol.label(), format });
    }
    let is_encrypted = takes_passphrase && wish.has_passphrase;
    Ok(Layer { is_encrypted, ..Layer::unseen(protocol, format) })
}

fn look_at_path(path: &Path, format: Option<Format>, wish: Wish) -> Result<Layer, ImageError> {
    let unreadable = |source| ImageError::Unreadable { path: path.to_owned(), source };
    // QEMU has a current folder of its own.
    let absolute = std::path::absolute(path).map_err(unreadable)?;
    let opened = kind_of(path).and_then(|kind| {
        let file = OpenOptions::new().read(true).write(wish.hand_over && wish.writes).open(path)?;
        Ok((file, kind))
    });
    let (file, kind) = match opened {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return Err(ImageError::NotAnImage { path: path.to_owned() });
        }
        // QEMU's user may see what ours may not; it is a file then, for all we know.
        Err(error) => match format {
            Some(format) if error.kind() == io::ErrorKind::PermissionDenied && !wish.hand_over => {
                let is_device = kind_of(path).is_ok_and(|kind| kind.is_block_device());
                return unseen(by_path(utf8(absolute)?, is_device), format, wish);
            }
            _ => return Err(unreadable(error)),
        },
    };
    let opened = Opened { file, label: absolute, is_device: kind.is_block_device() };
    let layer = look_into(&opened, format, wish)?;
    if wish.hand_over {
        return Ok(hand_over(layer, opened.file.into(), wish.writes));
    }
    Ok(layer)
}

/// A socket or a pipe is not even opened.
fn kind_of(path: &Path) -> io::Result<FileType> {
    let kind = fs::metadata(path)?.file_type();
    match kind.is_file() || kind.is_block_device() {
        true => Ok(kind),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn by_path(path: String, is_device: bool) -> Protocol {
    if is_device { Protocol::HostDevice(path) } else { Protocol::File(path) }
}

fn look_at_open(
    descriptor: &Arc<OwnedFd>,
    format: Option<Format>,
    wish: Wish,
) -> Result<Layer, ImageError> {
    use std::os::fd::AsRawFd as _;
    let link = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    let label = fs::read_link(&link).unwrap_or_else(|_| link.into());
    let unreadable = |source| ImageError::Unreadable { path: label.clone(), source };
    let file = File::from(descriptor.try_clone().map_err(unreadable)?);
    let kind = file.metadata().map_err(unreadable)?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(ImageError::NotAnImage { path: label });
    }
    let flags = fcntl(file.as_fd(), FcntlArg::F_GETFL).map_err(|it| unreadable(it.into()))?;
    let mode = OFlag::from_bits_truncate(flags) & OFlag::O_ACCMODE;
    let is_writable = match mode {
        mode if mode == OFlag::O_RDWR => true,
        mode if mode == OFlag::O_RDONLY => false,
        _ => return Err(ImageError::WriteOnly { image: label.display().to_string() }),
    };
    if is_writable != wish.writes {
        let (image, writes) = (label.display().to_string(), wish.writes);
        return Err(ImageError::AccessMode { image, writes });
    }
    let opened = Opened { file, label, is_device: kind.is_block_device() };
    let layer = look_into(&opened, format, wish)?;
    Ok(hand_over(layer, opened.file.into(), is_writable))
}

/// Looks into an open image: its format, when none is given, its length, its locks.
fn look_into(opened: &Opened, format: Option<Format>, wish: Wish) -> Result<Layer, ImageError> {
    let Opened { file, label, is_device } = opened;
    let unreadable = |source| ImageError::Unreadable { path: label.clone(), source };
    let start = start_of(file).map_err(unreadable)?;
    let format = match format {
        Some(format) => format,
        None => believed(&start, wish)
            .map_err(|distrust| ImageError::Distrusted { path: label.clone(), distrust })?,
    };
    let metadata = file.metadata().map_err(unreadable)?;
    let length = match is_device {
        true => end_of(file).map_err(unreadable)?,
        false => metadata.len(),
    };
    let header = Header::of(&format, &start, length);
    let image = || label.display().to_string();
    if header.bytes == Some(0) {
        return Err(ImageError::Empty { image: image() });
    }
    let is_encrypted = match header.encryption {
        Encryption::None => false,
        Encryption::Luks if wish.has_passphrase => true,
        Encryption::Luks => return Err(ImageError::NoPassphrase { image: image(), format }),
        Encryption::Aes => return Err(ImageError::OldEncryption { image: image() }),
        Encryption::OtherLuks => return Err(ImageError::OtherLuks { image: image() }),
    };
    let device = if *is_device { metadata.rdev() } else { metadata.dev() };
    let inode = if *is_device { 0 } else { metadata.ino() };
    // Only a path that QEMU is given must be text.
    let protocol = match wish.hand_over {
        false => by_path(utf8(label.clone())?, *is_device),
        true => by_path(image(), *is_device),
    };
    Ok(Layer {
        is_encrypted,
        bytes: header.bytes,
        locks: Locks::of(file),
        identity: Some(format!("{device}:{inode}")),
        ..Layer::unseen(protocol, format)
    })
}

/// The format that the header tells, where it may be believed.
fn believed(start: &[u8], wish: Wish) -> Result<Format, Distrust> {
    match Format::of_header(start) {
        Err(Distrust::BackingFile(format)) if wish.backing_is_given => Ok(format),
        // It refers to nothing, and whoever has a passphrase means it.
        Err(Distrust::Unchecked(format)) if format == Format::luks() && wish.has_passphrase => {
            Ok(format)
        }
        told => told,
    }
}

fn hand_over(layer: Layer, file: OwnedFd, is_writable: bool) -> Layer {
    let mark = layer.identity.clone().unwrap_or_default();
    let handed = Handed {
        descriptor: Descriptor(Arc::new(file)),
        set: 0,
        content: mark.clone(),
        mark,
        is_device: matches!(layer.protocol, Protocol::HostDevice(_)),
        label: layer.protocol.label(),
    };
    Layer { protocol: Protocol::Handed(handed), is_writable: Some(is_writable), ..layer }
}

/// Makes the throw-away overlay: a file with no name, which is gone when nobody has it open.
fn make_overlay(storage: &Storage, folder: &Path) -> Result<Handed, ImageError> {
    let Some(base) = storage.layers.first() else { return Err(ImageError::NotEncoded) };
    let image = base.protocol.label();
    let Some(bytes) = base.bytes else {
        return Err(ImageError::UnknownSize { image, format: base.format.clone() });
    };
    let Some(overlay) = Overlay::new(bytes) else {
        return Err(ImageError::TooLarge { image, bytes });
    };
    let failed = |source| ImageError::NoOverlay { folder: folder.to_owned(), source };
    let file = tempfile::tempfile_in(folder).map_err(failed)?;
    file.set_len(overlay.length).map_err(failed)?;
    for (at, bytes) in &overlay.pieces {
        file.write_all_at(bytes, *at).map_err(failed)?;
    }
    let metadata = file.metadata().map_err(failed)?;
    Ok(Handed {
        descriptor: Descriptor(Arc::new(file.into())),
        set: 0,
        mark: "overlay".to_owned(),
        content: format!("{}:{}", metadata.dev(), metadata.ino()),
        is_device: false,
        label: format!("a throw-away overlay over {image}"),
    })
}

/// Checks a path that is valid where QEMU runs.
pub(crate) fn remote_path(path: PathBuf) -> Result<String, ImageError> {
    if path.is_relative() {
        return Err(ImageError::Relative { path });
    }
    utf8(path)
}

fn utf8(path: PathBuf) -> Result<String, ImageError> {
    path.into_os_string().into_string().map_err(|path| ImageError::NotUtf8 { path: path.into() })
}

/// How long a device is, in bytes. A descriptor that was passed in keeps its position.
fn end_of(mut device: &File) -> io::Result<u64> {
    let position = device.stream_position()?;
    let end = device.seek(SeekFrom::End(0))?;
    device.seek(SeekFrom::Start(position))?;
    Ok(end)
}

fn start_of(file: &File) -> io::Result<Vec<u8>> {
    let mut start = vec![0; HEADER_BYTES];
    let mut length = 0;
    while length < start.len() {
        match file.read_at(&mut start[length..], length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    start.truncate(length);
    Ok(start)
}

#[cfg(test)]
mod tests;
