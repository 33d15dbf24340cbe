//! The files that images are in, as a machine finds them.

use std::collections::BTreeMap;
use std::fmt;

/// Where images are looked up. The simulated ones are [`Images`]; a program may look at real files.
pub trait Files: Send {
    /// What opening this path finds.
    ///
    /// # Errors
    /// Why it cannot be opened.
    fn look(&self, path: &str) -> Result<Image, OpenError>;
}

/// Why a file cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// There is none.
    Missing,
    /// It may not be read, or not be written.
    Denied,
    /// It is a folder.
    Folder,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "No such file or directory",
            Self::Denied => "Permission denied",
            Self::Folder => "Is a directory",
        })
    }
}

/// The size of the file of an image that nothing was written to (a qcow2 of some MiB).
const EMPTY_IMAGE: u64 = 197_120;

/// A file with an image in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The format that its header shows, as QEMU calls it; `raw` for all that has none.
    pub format: String,
    /// The size that a guest sees, in bytes.
    pub bytes: u64,
    /// The size of the file.
    pub file_bytes: u64,
    /// The image it lies on, with its format.
    pub backing: Option<(String, String)>,
    /// Whether this is a block device, which `host_device` opens and `file` does not.
    pub is_device: bool,
    /// Whether another process holds it open for writing, as another QEMU would.
    pub is_locked: bool,
    /// Whether it may only be read.
    pub is_read_only: bool,
}

impl Image {
    /// An image of this format and size.
    #[must_use]
    pub fn new(format: &str, bytes: u64) -> Self {
        Self {
            format: format.to_owned(),
            bytes,
            file_bytes: if format == "raw" { bytes } else { EMPTY_IMAGE },
            backing: None,
            is_device: false,
            is_locked: false,
            is_read_only: false,
        }
    }

    /// A raw image.
    #[must_use]
    pub fn raw(bytes: u64) -> Self {
        Self::new("raw", bytes)
    }

    /// A qcow2 image.
    #[must_use]
    pub fn qcow2(bytes: u64) -> Self {
        Self::new("qcow2", bytes)
    }

    /// Over another image.
    #[must_use]
    pub fn over(mut self, path: &str, format: &str) -> Self {
        self.backing = Some((path.to_owned(), format.to_owned()));
        self
    }

    /// In use by another process, which writes.
    #[must_use]
    pub fn locked(mut self) -> Self {
        self.is_locked = true;
        self
    }

    /// A block device in place of a file.
    #[must_use]
    pub fn device(mut self) -> Self {
        self.is_device = true;
        self
    }

    /// One that may only be read.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.is_read_only = true;
        self
    }
}

/// Images that exist only here, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Images(BTreeMap<String, Result<Image, OpenError>>);

impl Images {
    /// Puts an image, or what prevents it from being opened, at this path.
    pub fn put(&mut self, path: &str, image: Result<Image, OpenError>) {
        self.0.insert(path.to_owned(), image);
    }
}

impl Files for Images {
    fn look(&self, path: &str) -> Result<Image, OpenError> {
        self.0.get(path).cloned().unwrap_or(Err(OpenError::Missing))
    }
}
