//! Looking at an image before QEMU opens it. The only file of this crate that opens files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::format::{Distrust, Format, HEADER_BYTES};
use crate::storage::{Protocol, Storage};

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
    #[error("{} is refused: {distrust}, and a guest can write such a header into a raw disk. If you trust it, say what it is: --format {}; if it is a raw disk: --format raw", path.display(), distrust.format())]
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
    /// QEMU's current folder is unknown, so the path must be absolute.
    #[error("the image {} is opened where QEMU runs: give its absolute path there", path.display())]
    Relative {
        /// The image.
        path: PathBuf,
    },
}

impl Distrust {
    fn format(&self) -> &Format {
        match self {
            Self::BackingFile(f) | Self::DataFile(f) | Self::Unchecked(f) | Self::Damaged(f) => f,
        }
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

/// Finds out what an image is. With a format given, its header is not read, so that the image may
/// be one that only QEMU's user can read.
pub(crate) fn inspect(path: &Path, format: Option<Format>) -> Result<Storage, ImageError> {
    let unreadable = |source| ImageError::Unreadable { path: path.to_owned(), source };
    let kind = match fs::metadata(path) {
        Ok(metadata) => metadata.file_type(),
        // QEMU's user may see what ours may not; it is a file then, for all we know.
        Err(error) => match format {
            Some(format) if error.kind() == io::ErrorKind::PermissionDenied => {
                let absolute = std::path::absolute(path).map_err(unreadable)?;
                return Ok(Storage { protocol: Protocol::File(utf8(absolute)?), format });
            }
            _ => return Err(unreadable(error)),
        },
    };
    if !kind.is_file() && !kind.is_block_device() {
        return Err(ImageError::NotAnImage { path: path.to_owned() });
    }
    let format = match format {
        Some(format) => format,
        None => Format::of_header(&header(path).map_err(unreadable)?)
            .map_err(|distrust| ImageError::Distrusted { path: path.to_owned(), distrust })?,
    };
    // QEMU has a current folder of its own.
    let absolute = utf8(std::path::absolute(path).map_err(unreadable)?)?;
    let protocol = match kind.is_file() {
        true => Protocol::File(absolute),
        false => Protocol::HostDevice(absolute),
    };
    Ok(Storage { protocol, format })
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

fn header(path: &Path) -> io::Result<Vec<u8>> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    File::open(path)?.take(HEADER_BYTES as u64).read_to_end(&mut header)?;
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_image_and_a_folder_are_told_apart() {
        let missing = inspect(Path::new("/no/such/image"), None).unwrap_err().to_string();
        assert!(
            missing.contains("/no/such/image") && missing.contains("No such file"),
            "{missing}"
        );
        let folder = inspect(Path::new("/"), None).unwrap_err().to_string();
        assert!(folder.contains("neither a file nor a block device"), "{folder}");
    }

    #[test]
    fn a_relative_path_becomes_absolute_and_a_format_is_taken_as_given() {
        let image = inspect(Path::new("Cargo.toml"), Some(Format::qcow2())).unwrap();
        let path = image.shown().unwrap();
        assert!(path.starts_with('/') && path.ends_with("/Cargo.toml"));
        assert_eq!(image.format, Format::qcow2());
        assert_eq!(inspect(Path::new("Cargo.toml"), None).unwrap().format, Format::raw());
    }
}
