//! Packed kernels and modules.

use std::io::{self, Read};

/// Nothing that an appliance is made of is larger unpacked, in bytes. Kernels are up to 80 MiB.
const MAX_UNPACKED_BYTES: u64 = 512 << 20;

/// How a file may be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Xz,
    Zstd,
}

impl Packing {
    /// What the first bytes say; nothing for what is not packed, or not in a way known here.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        const SIGNS: [(&[u8], Packing); 3] = [
            (b"\x1f\x8b", Packing::Gzip),
            (b"\xfd7zXZ\0", Packing::Xz),
            (b"\x28\xb5\x2f\xfd", Packing::Zstd),
        ];
        SIGNS.iter().find(|(sign, _)| bytes.starts_with(sign)).map(|(_, packing)| *packing)
    }
}

/// Unpacks a file that may be packed. What follows the first stream is passed over: a kernel's build
/// appends the unpacked size.
pub(crate) fn unpacked(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    match Packing::of(&bytes) {
        None => Ok(bytes),
        Some(Packing::Gzip) => read(flate2::read::GzDecoder::new(&bytes[..])),
        Some(Packing::Xz) => read(lzma_rust2::XzReader::new(&bytes[..], false)),
        Some(Packing::Zstd) => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(&bytes[..]);
            read(decoder.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?)
        }
    }
}

fn read(packed: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    packed.take(MAX_UNPACKED_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_UNPACKED_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large unpacked"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

    use super::*;

    // "qplug\n", as the usual programs pack it.
    const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03+,\xc8)M\xe7\x02\0vi\xcda\x06\0\0\0";
    const XZ: &[u8] =
        b"\xfd7zXZ\0\0\x01i\"\xde6\x02\0!\x01\x16\0\0\0t/\xe5\xa3\x01\0\x05qplug\n\0\0\0\
        vi\xcda\0\x01\x1a\x06\xc5\xea\xc8y\x90B\x99\r\x01\0\0\0\0\x01YZ";
    const ZSTD: &[u8] = b"(\xb5/\xfd\x04X1\0\0qplug\nr@\x1a\xc3";

    #[test]
    fn each_packing_is_known_by_its_first_bytes() {
        for packed in [GZIP, XZ, ZSTD] {
            assert!(Packing::of(packed).is_some());
            assert_eq!(unpacked(packed.to_vec()).unwrap(), b"qplug\n");
            let mut followed = packed.to_vec();
            followed.extend_from_slice(&[6, 0, 0, 0]);
            assert_eq!(unpacked(followed).unwrap(), b"qplug\n");
            assert!(unpacked(packed[..packed.len() / 2].to_vec()).is_err());
        }
        assert_eq!(unpacked(b"\x7fELF".to_vec()).unwrap(), b"\x7fELF");
    }
}
