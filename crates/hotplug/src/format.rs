//! What an image's header says of its format, and when that may be believed.
//!
//! A guest can write any header into a raw disk. Had it written one that names other files, an
//! image that is opened by what its header says would hand those files to the guest. So a header
//! is believed only when the worst it can do is to confuse its own guest.

use std::fmt;
use std::str::FromStr;

/// How much of an image's start is enough to tell its format, in bytes.
pub(crate) const HEADER_BYTES: usize = 512;

/// The format of an image, in QEMU's word for its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format(String);

/// The formats that a user may name; QEMU says itself when it was built without one.
const KNOWN: [&str; 13] = [
    "raw",
    "qcow2",
    "qcow",
    "qed",
    "vdi",
    "vhdx",
    "vmdk",
    "vpc",
    "parallels",
    "luks",
    "dmg",
    "bochs",
    "cloop",
];

/// A text that is no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no image format; one of {known}", known = KNOWN.join(", "))]
pub struct UnknownFormat(String);

/// Why a header is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// The header names a backing file.
    #[error("its {0} header names a backing file")]
    BackingFile(Format),
    /// The header names an external data file.
    #[error("its {0} header names an external data file")]
    DataFile(Format),
    /// The header is of a format whose references to other files are not checked.
    #[error("its header looks like {0}, which is not believed unasked")]
    Unchecked(Format),
    /// The header begins like one, and is cut short or of an unknown version.
    #[error("its {0} header is damaged or of an unknown version")]
    Damaged(Format),
}

impl Format {
    /// The formats that may be named.
    pub const WORDS: &[&str] = &KNOWN;

    /// A disk's bytes as they are.
    #[must_use]
    pub fn raw() -> Self {
        Self("raw".to_owned())
    }

    /// QEMU's own format.
    #[must_use]
    pub fn qcow2() -> Self {
        Self("qcow2".to_owned())
    }

    /// Linux's way of encrypting disks.
    #[must_use]
    pub fn luks() -> Self {
        Self("luks".to_owned())
    }

    /// QEMU's word for the format's driver.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the format off the first 512 bytes of an image (all of a shorter one).
    ///
    /// # Errors
    /// When the header may not be believed.
    pub fn of_header(header: &[u8]) -> Result<Self, Distrust> {
        if header.starts_with(b"QFI\xfb") {
            return of_qcow_header(header);
        }
        let others: [(&str, usize, &[u8]); 11] = [
            ("qed", 0, b"QED\0"),
            ("vmdk", 0, b"KDMV"),
            ("vmdk", 0, b"COWD"),
            ("vmdk", 0, b"# Disk DescriptorFile"),
            ("vdi", 64, &[0x7f, 0x10, 0xda, 0xbe]),
            ("vhdx", 0, b"vhdxfile"),
            ("vpc", 0, b"conectix"),
            ("luks", 0, b"LUKS\xba\xbe"),
            ("parallels", 0, b"WithoutFreeSpace"),
            ("parallels", 0, b"WithouFreSpacExt"),
            ("bochs", 0, b"Bochs Virtual HD Image"),
        ];
        for (name, offset, magic) in others {
            if header.get(offset..).is_some_and(|rest| rest.starts_with(magic)) {
                return Err(Distrust::Unchecked(Self(name.to_owned())));
            }
        }
        Ok(Self::raw())
    }
}

/// QEMU's `docs/interop/qcow2.rst`: version at 4, backing file at 8, feature bits at 72.
fn of_qcow_header(header: &[u8]) -> Result<Format, Distrust> {
    const EXTERNAL_DATA_FILE: u64 = 1 << 2;
    let damaged = || Distrust::Damaged(Format::qcow2());
    let version = header.get(4..8).ok_or_else(damaged)?;
    let number = |at: usize| {
        let bytes = header.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_be_bytes).ok_or_else(damaged)
    };
    let incompatible_features = match version {
        [0, 0, 0, 1] => return Err(Distrust::Unchecked(Format("qcow".to_owned()))),
        [0, 0, 0, 2] => 0,
        [0, 0, 0, 3] => number(72)?,
        _ => return Err(damaged()),
    };
    // First: a backing file that is given in place of the header's makes up for the other only.
    if incompatible_features & EXTERNAL_DATA_FILE != 0 {
        return Err(Distrust::DataFile(Format::qcow2()));
    }
    if number(8)? != 0 {
        return Err(Distrust::BackingFile(Format::qcow2()));
    }
    Ok(Format::qcow2())
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = KNOWN.contains(&text);
        known.then(|| Self(text.to_owned())).ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qcow2(version: u8, backing: u64, features: u64) -> Vec<u8> {
        let mut header = vec![0; HEADER_BYTES];
        header[..8].copy_from_slice(&[b'Q', b'F', b'I', 0xfb, 0, 0, 0, version]);
        header[8..16].copy_from_slice(&backing.to_be_bytes());
        header[72..80].copy_from_slice(&features.to_be_bytes());
        header
    }

    #[test]
    fn a_qcow2_that_stands_alone_is_believed() {
        assert_eq!(Format::of_header(&qcow2(3, 0, 0)), Ok(Format::qcow2()));
        assert_eq!(Format::of_header(&qcow2(3, 0, 1)), Ok(Format::qcow2()));
        // Version 2 has no feature bits: what stands there means nothing.
        assert_eq!(Format::of_header(&qcow2(2, 0, 4)), Ok(Format::qcow2()));
    }

    #[test]
    fn a_qcow2_that_names_other_files_is_not() {
        let qcow = Format::qcow2;
        assert_eq!(Format::of_header(&qcow2(3, 512, 0)), Err(Distrust::BackingFile(qcow())));
        assert_eq!(Format::of_header(&qcow2(2, 512, 0)), Err(Distrust::BackingFile(qcow())));
        assert_eq!(Format::of_header(&qcow2(3, 0, 4)), Err(Distrust::DataFile(qcow())));
        assert_eq!(Format::of_header(&qcow2(9, 0, 0)), Err(Distrust::Damaged(qcow())));
        for length in 4..80 {
            let cut = &qcow2(3, 512, 4)[..length];
            assert!(Format::of_header(cut).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn other_formats_must_be_named() {
        let vmdk = Format("vmdk".to_owned());
        assert_eq!(Format::of_header(b"KDMV\x01"), Err(Distrust::Unchecked(vmdk)));
        let mut vdi = vec![0; HEADER_BYTES];
        vdi[64..68].copy_from_slice(&0xbeda_107f_u32.to_le_bytes());
        assert!(
            matches!(Format::of_header(&vdi), Err(Distrust::Unchecked(f)) if f.as_str() == "vdi")
        );
    }

    #[test]
    fn anything_else_is_raw() {
        for header in [&b""[..], b"QFI", b"\xeb\x63\x90", &[0; HEADER_BYTES]] {
            assert_eq!(Format::of_header(header), Ok(Format::raw()));
        }
    }
}
