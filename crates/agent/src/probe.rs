//! Which file system is on a device, by its superblock. Pure: bytes in, a name out.
//!
//! Names, UUIDs and labels are as udev and `blkid` show them. What contains other things comes first: a
//! member of a RAID array may begin with the file system of the whole array.

mod kinds;

use crate::Name;
use kinds::KINDS;

/// Where superblocks are, but for those at a device's end: so many bytes from its start are looked at.
pub const HEAD_BYTES: usize = 72 << 10;

/// What is on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Such as `ext4`.
    pub kind: &'static str,
    /// In the form that the kind has.
    pub uuid: Option<String>,
    /// Never empty.
    pub label: Option<Name>,
}

/// Where the superblock of an array of RAID may be that is not in the head, given a device's size: a
/// block of [`TAIL_BYTES`] at each place should be handed in.
#[must_use]
pub fn tails(bytes: u64) -> Vec<u64> {
    // Versions 0.90 and 1.0 of the kernel's `drivers/md`.
    let old = (bytes & !0xffff).checked_sub(0x1_0000);
    let new = bytes.checked_sub(0x2000).map(|at| at & !0xfff);
    let mut places: Vec<u64> = [old, new].into_iter().flatten().collect();
    places.dedup();
    places
}

/// How much is looked at in each of the places at a device's end.
pub const TAIL_BYTES: usize = 4096;

/// Recognizes a device by its first [`HEAD_BYTES`], or fewer where it is smaller, and the blocks at
/// [`tails`].
#[must_use]
pub fn recognize(head: &[u8], tails: &[Vec<u8>]) -> Option<Content> {
    let in_tail = tails.iter().find_map(|tail| kinds::raid_at_end(Superblock(tail)));
    in_tail.or_else(|| KINDS.iter().find_map(|kind| kind(Superblock(head))))
}

/// The bytes of a device, as far as they are known.
#[derive(Debug, Clone, Copy)]
struct Superblock<'a>(&'a [u8]);

impl<'a> Superblock<'a> {
    fn bytes(self, at: usize, length: usize) -> Option<&'a [u8]> {
        self.0.get(at..at.checked_add(length)?)
    }

    fn has(self, at: usize, magic: &[u8]) -> Option<()> {
        (self.bytes(at, magic.len())? == magic).then_some(())
    }

    fn u32(self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(at, 4)?.try_into().ok()?))
    }

    /// Sixteen bytes as a UUID; one of zeros is none.
    fn uuid(self, at: usize) -> Option<String> {
        uuid(self.bytes(at, 16)?)
    }

    /// Text up to a NUL, without white space at its end; none where nothing is left.
    fn text(self, at: usize, length: usize) -> Option<Name> {
        let field = self.bytes(at, length)?;
        let text = field.split(|byte| *byte == 0).next()?.trim_ascii_end();
        (!text.is_empty()).then(|| Name::from(text))
    }
}

fn uuid(bytes: &[u8]) -> Option<String> {
    if bytes.iter().all(|byte| *byte == 0) {
        return None;
    }
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    Some(text)
}

#[cfg(test)]
mod tests;
