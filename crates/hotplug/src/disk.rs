//! A disk as the caller wants it.

use std::path::{Path, PathBuf};

use crate::bus::Bus;
use crate::format::Format;
use crate::image::{self, ImageError};
use crate::name::{DiskName, NameError, Serial};
use crate::options::{Access, DeviceOptions, OptionError};
use crate::storage::{LocationError, Protocol, Storage};
use crate::throttle::{self, LimitError, Throttle};

/// A disk to attach: an image, and what the guest and the machine shall call it.
///
/// ```no_run
/// # fn main() -> Result<(), qplug_hotplug::DiskError> {
/// use qplug_hotplug::Disk;
/// let disk = Disk::named("data")?.image("data.qcow2")?.read_only(true);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Disk {
    pub(crate) name: DiskName,
    pub(crate) serial: Serial,
    pub(crate) bus: Option<Bus>,
    pub(crate) storage: Storage,
    pub(crate) read_only: bool,
    pub(crate) port: Option<String>,
    pub(crate) access: Access,
    pub(crate) device: DeviceOptions,
    pub(crate) throttle: Option<Throttle>,
    pub(crate) iothread: Option<String>,
}

/// A disk that has a name and lacks an image.
#[derive(Debug, Clone)]
pub struct DiskBuilder {
    name: DiskName,
    serial: Option<String>,
    format: Option<Format>,
    bus: Option<Bus>,
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
    /// The text that says where the image is.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// An option.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// A limit to the disk's speed.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

impl Disk {
    /// Begins a disk with its name.
    ///
    /// # Errors
    /// When QEMU would refuse or change the name.
    pub fn named(name: &str) -> Result<DiskBuilder, DiskError> {
        Ok(Self::of(DiskName::new(name)?))
    }

    /// The same with a name that was checked.
    #[must_use]
    pub fn of(name: DiskName) -> DiskBuilder {
        DiskBuilder { name, serial: None, format: None, bus: None }
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

    /// How the image is accessed.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// What the device is told.
    #[must_use]
    pub fn device(mut self, options: DeviceOptions) -> Self {
        self.device = options;
        self
    }

    /// Limits the disk's speed.
    #[must_use]
    pub fn throttle(mut self, throttle: Option<Throttle>) -> Self {
        self.throttle = throttle;
        self
    }

    /// Has this I/O thread serve the disk. One that is not there is made, and stays.
    #[must_use]
    pub fn iothread(mut self, iothread: Option<String>) -> Self {
        self.iothread = iothread;
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

    /// Checks what can be checked without a machine. An attach does it too.
    ///
    /// # Errors
    /// When options contradict each other, or the bus has no such option.
    pub fn check(&self) -> Result<(), DiskError> {
        self.check_options()?;
        self.tree()?;
        Ok(())
    }

    /// Checks all but the nodes, which a plan makes anyway.
    pub(crate) fn check_options(&self) -> Result<(), DiskError> {
        self.access.check()?;
        self.device.check()?;
        self.storage.check(self.read_only, &self.access, self.device.logical_block_size)?;
        if let Some(throttle) = &self.throttle {
            throttle::check(&throttle.limits)?;
        }
        if let Some(bus) = self.bus {
            self.check_on(bus)?;
        }
        Ok(())
    }

    /// Checks the options that only some buses have (`device-list-properties`, QEMU 7.2 and 10.0).
    pub(crate) fn check_on(&self, bus: Bus) -> Result<(), OptionError> {
        let queues = self.device.queues.is_some() && !bus.is_pci();
        let iothread = self.iothread.is_some() && bus != Bus::VirtioBlk;
        let has_wwn = matches!(bus, Bus::VirtioScsi | Bus::UsbUas);
        let wwn = self.device.wwn.is_some() && !has_wwn;
        let policy = self.device.read_error.is_some() || self.device.write_error.is_some();
        let missing = [
            (queues, "queues"),
            (iothread, "iothread"),
            (wwn, "wwn"),
            (policy && bus == Bus::Nvme, "error policy"),
        ];
        match missing.into_iter().find(|(is_missing, _)| *is_missing) {
            Some((_, option)) => Err(OptionError::NotOnBus { bus, option }),
            None => Ok(()),
        }
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

    /// The bus, when it is not to be the best that has room.
    #[must_use]
    pub fn bus(mut self, bus: Option<Bus>) -> Self {
        self.bus = bus;
        self
    }

    /// The image, by its path on this machine. A relative one is taken from the current folder.
    /// It is looked at here and now: what it is, and what its header says.
    ///
    /// # Errors
    /// See [`ImageError`]; or the serial cannot be one.
    pub fn image(self, path: impl AsRef<Path>) -> Result<Disk, DiskError> {
        let storage = Storage::path(path.as_ref()).format(self.format.clone()).look()?;
        self.storage(storage)
    }

    /// The image, by its path where QEMU runs, when that is another machine or folder tree than
    /// this one. It is not looked at: the format must be given, and must be right.
    ///
    /// # Errors
    /// See [`ImageError`]; or the serial cannot be one.
    pub fn remote_image(self, path: impl Into<PathBuf>) -> Result<Disk, DiskError> {
        let path = path.into();
        let Some(format) = self.format.clone() else {
            return Err(ImageError::Unseen { path }.into());
        };
        let protocol = Protocol::File(image::remote_path(path)?);
        self.storage(Storage::of(protocol, format))
    }

    /// Where the disk's bytes are. The disk is read-only when that was looked at as what is only
    /// read; a format given to this builder does not count.
    ///
    /// # Errors
    /// When the serial cannot be one.
    pub fn storage(self, storage: Storage) -> Result<Disk, DiskError> {
        let serial = self.serial.as_deref().unwrap_or(self.name.as_str());
        Ok(Disk {
            serial: Serial::new(serial, self.bus.unwrap_or(Bus::VirtioBlk))?,
            name: self.name,
            bus: self.bus,
            read_only: storage.read_only,
            storage,
            port: None,
            access: Access::default(),
            device: DeviceOptions::default(),
            throttle: None,
            iothread: None,
        })
    }
}
