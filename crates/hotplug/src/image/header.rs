//! What the header of an image of a known format says besides its format. Pure.

use crate::format::{Format, HEADER_BYTES};

/// Disks have sectors of this size, in bytes, as far as QEMU counts: a raw image is rounded up.
const SECTOR: u64 = 512;

/// What an image is encrypted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encryption {
    None,
    /// qcow2's own, which QEMU reads only to convert it.
    Aes,
    /// LUKS, version 1.
    Luks,
    /// LUKS of another version, which QEMU does not know.
    OtherLuks,
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) encryption: Encryption,
    /// The size that a guest sees, in bytes, where this can tell.
    pub(crate) bytes: Option<u64>,
}

impl Header {
    /// Reads the start of an image of this format; `length` is all of its bytes.
    pub(crate) fn of(format: &Format, start: &[u8], length: u64) -> Self {
        match format.as_str() {
            "raw" => Self {
                encryption: Encryption::None,
                bytes: length.checked_next_multiple_of(SECTOR),
            },
            "qcow2" => qcow2(start),
            "luks" => luks(start, length),
            _ => Self { encryption: Encryption::None, bytes: None },
        }
    }
}

/// QEMU's `docs/interop/qcow2.rst`: the size at 24, the encryption method at 32.
fn qcow2(start: &[u8]) -> Header {
    let encryption = match number(start, 32) {
        Some(1) => Encryption::Aes,
        Some(2) => Encryption::Luks,
        _ => Encryption::None,
    };
    let high = number(start, 24).map(u64::from);
    let low = number(start, 28).map(u64::from);
    Header { encryption, bytes: high.zip(low).map(|(high, low)| high << 32 | low) }
}

/// The LUKS1 on-disk format: the version at 6, the payload's first sector at 104.
fn luks(start: &[u8], length: u64) -> Header {
    if start.get(6..8) != Some(&[0, 1]) {
        return Header { encryption: Encryption::OtherLuks, bytes: None };
    }
    let payload = number(start, 104).map(|sector| u64::from(sector) * SECTOR);
    let bytes = payload.and_then(|payload| length.checked_sub(payload));
    Header { encryption: Encryption::Luks, bytes }
}

fn number(start: &[u8], at: usize) -> Option<u32> {
    start.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

const _: () = assert!(HEADER_BYTES >= 108);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_encryption_are_read() {
        let mut start = vec![0; HEADER_BYTES];
        start[24..32].copy_from_slice(&(5_u64 << 32 | 7).to_be_bytes());
        let header = |start: &[u8], format| Header::of(&format, start, 4096);
        let plain = Header { encryption: Encryption::None, bytes: Some(5 << 32 | 7) };
        assert_eq!(header(&start, Format::qcow2()), plain);
        start[35] = 2;
        assert_eq!(header(&start, Format::qcow2()).encryption, Encryption::Luks);
        start[..8].copy_from_slice(b"LUKS\xba\xbe\0\x01");
        start[104..108].copy_from_slice(&4_u32.to_be_bytes());
        let luks = Header { encryption: Encryption::Luks, bytes: Some(2048) };
        assert_eq!(header(&start, Format::luks()), luks);
        start[7] = 2;
        assert_eq!(header(&start, Format::luks()).encryption, Encryption::OtherLuks);
        let vdi = "vdi".parse().unwrap();
        assert_eq!(header(&start, vdi).bytes, None);
    }

    #[test]
    fn a_raw_image_is_rounded_up_to_whole_sectors() {
        for (length, bytes) in [(0, 0), (1, 512), (512, 512), (513, 1024)] {
            assert_eq!(Header::of(&Format::raw(), &[], length).bytes, Some(bytes));
        }
    }
}
