//! A disk as the caller wants it.

use std::path::{Path, PathBuf};

use crate::format::Format;
use crate::image::{self, ImageError, Protocol};
use crate::name::{DiskName, NameError, Serial};

/// A disk to attach: an image, and what the guest and the machine shall call it.
///
/// ```no_run
/// # fn main() -> Result<(), qplug_hotplug::DiskError> {
/// use qplug_hotplug::Disk;
/// let disk = Disk::named("data")?.image("data.qcow2")?.read_only(true);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    pub(crate) name: DiskName,
    pub(crate) serial: Serial,
    pub(crate) path: String,
    pub(crate) protocol: Protocol,
    pub(crate) format: Format,
    pub(crate) read_only: bool,
    pub(crate) port: Option<String>,
}

/// A disk that has a name and lacks an image.
#[derive(Debug, Clone)]
pub struct DiskBuilder {
    name: DiskName,
    serial: Option<String>,
    format: Option<Format>,
}

/// Why a disk cannot be attached as it was described; found before anything is sent.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The name or the serial.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The image.
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl Disk {
    /// Begins a disk with its name.
    ///
    /// # Errors
    /// When QEMU would refuse or change the name.
    pub fn named(name: &str) -> Result<DiskBuilder, DiskError> {
        Ok(DiskBuilder { name: DiskName::new(name)?, serial: None, format: None })
    }

    /// Whether the guest may only read the disk.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Plugs the disk into this port, as `qplug ports` names it, instead of the first free one.
    #[must_use]
    pub fn port(mut self, port: Option<String>) -> Self {
        self.port = port;
        self
    }

    /// The disk's name.
    #[must_use]
    pub fn name(&self) -> &DiskName {
        &self.name
    }

    /// What the guest knows the disk by.
    #[must_use]
    pub fn serial(&self) -> &Serial {
        &self.serial
    }
}

impl DiskBuilder {
    /// The serial, when it is not to be the name.
    #[must_use]
    pub fn serial(mut self, serial: Option<&str>) -> Self {
        self.serial = serial.map(ToOwned::to_owned);
        self
    }

    /// The image's format, when its header is not to be read, or is not to be believed.
    #[must_use]
    pub fn format(mut self, format: Option<Format>) -> Self {
        self.format = format;
        self
    }

    /// The image, by its path on this machine. A relative one is taken from the current folder.
    /// It is looked at here and now: what it is, and what its header says.
    ///
    /// # Errors
    /// See [`ImageError`]; or the serial cannot be one.
    pub fn image(self, path: impl AsRef<Path>) -> Result<Disk, DiskError> {
        let image = image::inspect(path.as_ref(), self.format)?;
        Ok(Disk {
            serial: Serial::new(self.serial.as_deref().unwrap_or(self.name.as_str()))?,
            name: self.name,
            path: image.path,
            protocol: image.protocol,
            format: image.format,
            read_only: false,
            port: None,
        })
    }

    /// The image, by its path where QEMU runs, when that is another machine or folder tree than
    /// this one. It is not looked at: the format must be given, and must be right.
    ///
    /// # Errors
    /// See [`ImageError`]; or the serial cannot be one.
    pub fn remote_image(self, path: impl Into<PathBuf>) -> Result<Disk, DiskError> {
        let path = path.into();
        let Some(format) = self.format else { return Err(ImageError::Unseen { path }.into()) };
        Ok(Disk {
            serial: Serial::new(self.serial.as_deref().unwrap_or(self.name.as_str()))?,
            name: self.name,
            path: image::remote_path(path)?,
            protocol: Protocol::File,
            format,
            read_only: false,
            port: None,
        })
    }
}
