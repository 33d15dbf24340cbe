//! The superblocks. Each function knows one kind; the places are those of the on-disk formats, as the
//! kernel's headers and the tools that make them have them.

use super::{Content, Superblock, uuid};
use crate::Name;

/// What can be recognized in the head of a device, in the order in which it is looked for.
pub(super) const KINDS: &[fn(Superblock<'_>) -> Option<Content>] =
    &[luks, lvm, raid, swap, xfs, btrfs, ext, squashfs, erofs, f2fs, iso9660, ntfs, exfat, fat];

fn content(kind: &'static str, uuid: Option<String>, label: Option<Name>) -> Option<Content> {
    Some(Content { kind, uuid, label })
}

fn luks(it: Superblock<'_>) -> Option<Content> {
    it.has(0, b"LUKS\xba\xbe")?;
    let is_second = it.has(6, &[0, 2]).is_some();
    let uuid = it.text(168, 40).map(|text| text.display());
    content("crypto_LUKS", uuid, if is_second { it.text(24, 48) } else { None })
}

fn lvm(it: Superblock<'_>) -> Option<Content> {
    // The label may be in any of the first four sectors.
    let at = (0..4)
        .map(|sector| sector * 512)
        .find(|at| it.has(*at, b"LABELONE").is_some() && it.has(at + 24, b"LVM2 001").is_some())?;
    let header = at.checked_add(it.u32(at + 20)? as usize)?;
    let id = it.bytes(header, 32).and_then(|id| std::str::from_utf8(id).ok());
    let id = id.filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let grouped = id.map(|id| {
        let groups = [0..6, 6..10, 10..14, 14..18, 18..22, 22..26, 26..32];
        groups.map(|group| &id[group]).join("-")
    });
    content("LVM2_member", grouped, None)
}

const RAID_MAGIC: &[u8] = &[0xfc, 0x4e, 0x2b, 0xa9];

/// Versions 1.1 and 1.2.
fn raid(it: Superblock<'_>) -> Option<Content> {
    [0, 4096].into_iter().find_map(|at| raid_since_1(it, at))
}

fn raid_since_1(it: Superblock<'_>, at: usize) -> Option<Content> {
    it.has(at, RAID_MAGIC)?;
    it.has(at + 4, &[1, 0, 0, 0])?;
    content("linux_raid_member", it.uuid(at + 16), it.text(at + 32, 32))
}

/// Versions 0.90 and 1.0.
pub(super) fn raid_at_end(it: Superblock<'_>) -> Option<Content> {
    if let Some(found) = raid_since_1(it, 0) {
        return Some(found);
    }
    it.has(0, RAID_MAGIC)?;
    it.has(4, &[0; 4])?;
    // Four words apart; mdadm and blkid show each as it is stored.
    let words = [20, 52, 56, 60].map(|at| it.bytes(at, 4).unwrap_or_default());
    content("linux_raid_member", uuid(&words.concat()), None)
}

fn swap(it: Superblock<'_>) -> Option<Content> {
    // The mark is at the end of the first page, whatever a page was where it was made.
    let is_there = |page: &usize| it.has(page - 10, b"SWAPSPACE2").is_some();
    [4096, 8192, 16384, 32768, 65536].iter().find(|page| is_there(page))?;
    content("swap", it.uuid(1036), it.text(1052, 16))
}

fn xfs(it: Superblock<'_>) -> Option<Content> {
    it.has(0, b"XFSB")?;
    content("xfs", it.uuid(32), it.text(108, 12))
}

fn btrfs(it: Superblock<'_>) -> Option<Content> {
    it.has(0x1_0040, b"_BHRfS_M")?;
    content("btrfs", it.uuid(0x1_0020), it.text(0x1_012b, 256))
}

fn ext(it: Superblock<'_>) -> Option<Content> {
    const JOURNAL: u32 = 0x4;
    const JOURNAL_DEVICE: u32 = 0x8;
    // What ext3 knows: anything more is ext4's (the kernel's fs/ext4/ext4.h, EXT3_FEATURE_*_SUPP).
    const INCOMPATIBLE_OF_3: u32 = 0x16;
    const READ_ONLY_OF_3: u32 = 0x7;
    it.has(0x438, &[0x53, 0xef])?;
    let (compatible, incompatible) = (it.u32(0x45c)?, it.u32(0x460)?);
    let read_only = it.u32(0x464)?;
    let is_old = incompatible & !INCOMPATIBLE_OF_3 == 0 && read_only & !READ_ONLY_OF_3 == 0;
    let kind = match (incompatible & JOURNAL_DEVICE != 0, is_old, compatible & JOURNAL != 0) {
        (true, _, _) => "jbd",
        (false, true, false) => "ext2",
        (false, true, true) => "ext3",
        (false, false, _) => "ext4",
    };
    content(kind, it.uuid(0x468), it.text(0x478, 16))
}

fn squashfs(it: Superblock<'_>) -> Option<Content> {
    it.has(0, b"hsqs")?;
    content("squashfs", None, None)
}

fn erofs(it: Superblock<'_>) -> Option<Content> {
    it.has(1024, &[0xe2, 0xe1, 0xf5, 0xe0])?;
    content("erofs", it.uuid(1024 + 48), it.text(1024 + 64, 16))
}

fn f2fs(it: Superblock<'_>) -> Option<Content> {
    it.has(1024, &[0x10, 0x20, 0xf5, 0xf2])?;
    content("f2fs", it.uuid(1024 + 108), None)
}

fn iso9660(it: Superblock<'_>) -> Option<Content> {
    const VOLUME: usize = 0x8000;
    it.has(VOLUME + 1, b"CD001")?;
    // The date of its last change, else of its making, stands in for a UUID.
    let date = [830, 813].into_iter().find_map(|at| iso_date(it.bytes(VOLUME + at, 16)?));
    content("iso9660", date, it.text(VOLUME + 40, 32))
}

fn iso_date(digits: &[u8]) -> Option<String> {
    if !digits.iter().all(u8::is_ascii_digit) || digits.iter().all(|digit| *digit == b'0') {
        return None;
    }
    let text = std::str::from_utf8(digits).ok()?;
    let parts = [0..4, 4..6, 6..8, 8..10, 10..12, 12..14, 14..16];
    Some(parts.map(|part| &text[part]).join("-"))
}

fn ntfs(it: Superblock<'_>) -> Option<Content> {
    it.has(3, b"NTFS    ")?;
    let serial = u64::from_le_bytes(it.bytes(72, 8)?.try_into().ok()?);
    content("ntfs", Some(format!("{serial:016X}")), None)
}

fn exfat(it: Superblock<'_>) -> Option<Content> {
    it.has(3, b"EXFAT   ")?;
    content("exfat", dos_serial(it.u32(100)?), None)
}

fn fat(it: Superblock<'_>) -> Option<Content> {
    it.has(510, &[0x55, 0xaa])?;
    let (serial, label) = if it.has(82, b"FAT32   ").is_some() {
        (67, 71)
    } else {
        it.has(54, b"FAT1")?;
        (39, 43)
    };
    let label = it.text(label, 11).filter(|label| label.as_bytes() != b"NO NAME");
    content("vfat", dos_serial(it.u32(serial)?), label)
}

fn dos_serial(serial: u32) -> Option<String> {
    (serial != 0).then(|| format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff))
}
