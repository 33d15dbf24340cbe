//! Describing where a disk's bytes are, before anything is looked at.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use crate::format::Format;
use crate::secret::Secret;

use super::Storage;
use super::location::{Location, LocationError};

/// Where a disk's bytes are, as the caller says; [`StorageBuilder::look`] looks whether it is so.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use qplug_hotplug::{Disk, Format, Storage};
/// let storage = Storage::parse("nbd://host/export")?.format(Some(Format::raw())).look()?;
/// let disk = Disk::named("data")?.storage(storage)?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is looked at before look()"]
pub struct StorageBuilder {
    pub(crate) place: Place,
    pub(crate) format: Option<Format>,
    pub(crate) read_only: bool,
    pub(crate) remote: bool,
    pub(crate) hand_over: bool,
    pub(crate) passphrase: Option<Secret>,
    pub(crate) password: Option<Secret>,
    pub(crate) certificates: Option<PathBuf>,
    pub(crate) backing: Vec<StorageBuilder>,
    pub(crate) no_backing: bool,
    pub(crate) snapshot: bool,
    pub(crate) snapshot_folder: Option<PathBuf>,
}

/// What the caller gave.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Named(Location),
    Open(Arc<OwnedFd>),
}

impl Storage {
    /// Begins with what a user calls it: a path, or one of
    /// `nbd://HOST[:PORT][/EXPORT]` (`nbds://` for TLS), `nbd+unix:///[EXPORT]?socket=PATH`,
    /// `http://…`, `https://…`, `ssh://[USER@]HOST[:PORT]/PATH`,
    /// `iscsi://[USER@]HOST[:PORT]/TARGET/LUN`,
    /// `rbd:POOL/[NAMESPACE/]IMAGE[@SNAPSHOT][:id=USER][:conf=PATH]`.
    ///
    /// # Errors
    /// When a text that looks like a URI is none of these.
    pub fn parse(text: &str) -> Result<StorageBuilder, LocationError> {
        Location::parse(text).map(|location| StorageBuilder::new(Place::Named(location)))
    }

    /// Begins with a path, whatever it looks like.
    pub fn path(path: impl Into<PathBuf>) -> StorageBuilder {
        StorageBuilder::new(Place::Named(Location::Path(path.into())))
    }

    /// Begins with an open file or block device, which is handed over to QEMU. It must be open for
    /// writing just when the disk is to be written.
    pub fn descriptor(descriptor: OwnedFd) -> StorageBuilder {
        StorageBuilder::new(Place::Open(Arc::new(descriptor)))
    }

    /// Begins with an open file that this process inherited under this number. It stays open.
    ///
    /// # Errors
    /// When there is none.
    pub fn inherited(number: i32) -> io::Result<StorageBuilder> {
        qplug_qmp::fds::adopt(number).map(Self::descriptor)
    }
}

impl StorageBuilder {
    fn new(place: Place) -> Self {
        Self {
            place,
            format: None,
            read_only: false,
            remote: false,
            hand_over: false,
            passphrase: None,
            password: None,
            certificates: None,
            backing: Vec::new(),
            no_backing: false,
            snapshot: false,
            snapshot_folder: None,
        }
    }

    /// The image's format. It must be given where the image cannot be looked at from here, which is
    /// everything but files and block devices of this machine; elsewhere it is taken instead of
    /// what the header says.
    pub fn format(mut self, format: Option<Format>) -> Self {
        self.format = format;
        self
    }

    /// Whether the guest may only read the disk.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Whether paths are those of another machine or folder tree, where QEMU runs, so that nothing
    /// is looked at.
    pub fn remote(mut self, remote: bool) -> Self {
        self.remote = remote;
        self
    }

    /// Whether files are opened here and handed over, so that QEMU need not be able to open their
    /// paths. The monitor must be a unix socket of this machine.
    pub fn hand_over(mut self, hand_over: bool) -> Self {
        self.hand_over = hand_over;
        self
    }

    /// What encrypted images are unlocked with: one passphrase for all layers.
    pub fn passphrase(mut self, passphrase: Option<Secret>) -> Self {
        self.passphrase = passphrase;
        self
    }

    /// What the server is given to let us in: the password of the user that the URI names, or the
    /// key of an rbd user, in base64 as Ceph has it.
    pub fn password(mut self, password: Option<Secret>) -> Self {
        self.password = password;
        self
    }

    /// The folder, where QEMU runs, with the certificates for `nbds://`, by the names that QEMU
    /// looks for: `ca-cert.pem`, and `client-cert.pem` with `client-key.pem` where the server wants
    /// to see one.
    pub fn certificates(mut self, folder: Option<PathBuf>) -> Self {
        self.certificates = folder;
        self
    }

    /// The images that lie below, top first. Of these only places and formats count: what belongs
    /// to all layers is said here. Whatever the headers name is not opened then.
    pub fn backing(mut self, layers: Vec<StorageBuilder>) -> Self {
        self.backing = layers;
        self
    }

    /// Whether nothing lies below the lowest layer, whatever its header says.
    pub fn no_backing(mut self, no_backing: bool) -> Self {
        self.no_backing = no_backing;
        self
    }

    /// Whether the image is only read, and what the guest writes goes into a file that vanishes
    /// with the disk. The monitor must be a unix socket of this machine.
    pub fn snapshot(mut self, snapshot: bool) -> Self {
        self.snapshot = snapshot;
        self
    }

    /// The folder for that file, which must have room for all that the guest writes; the system's
    /// for temporary files, unless given.
    pub fn snapshot_folder(mut self, folder: Option<PathBuf>) -> Self {
        self.snapshot_folder = folder;
        self
    }

    /// A proposal for the disk's name; it need not be a good one.
    #[must_use]
    pub fn stem(&self) -> Option<String> {
        match &self.place {
            Place::Named(location) => location.stem(),
            Place::Open(_) => None,
        }
    }
}
