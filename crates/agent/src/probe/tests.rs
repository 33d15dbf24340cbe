use super::*;

const ID: [u8; 16] = [
    0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0x00,
];
const UUID: &str = "123e4567-e89b-12d3-a456-426614174000";

/// What a disk has where; zeros elsewhere.
type Parts<'a> = &'a [(usize, &'a [u8])];

fn disk(parts: Parts<'_>) -> Vec<u8> {
    let mut disk = vec![0; HEAD_BYTES];
    for (at, bytes) in parts {
        disk[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    disk
}

fn told(parts: Parts<'_>) -> Option<(&'static str, Option<String>, Option<String>)> {
    let content = recognize(&disk(parts), &[])?;
    Some((content.kind, content.uuid, content.label.map(|label| label.display())))
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn each_kind_by_its_superblock() {
    let ext = |compatible: u8, incompatible: u8, read_only: u8| {
        let parts: Parts<'_> = &[
            (0x438, &[0x53, 0xef]),
            (0x45c, &[compatible]),
            (0x460, &[incompatible]),
            (0x464, &[read_only]),
            (0x468, &ID),
            (0x478, b"root\0rubbish"),
        ];
        told(parts)
    };
    assert_eq!(ext(0x38, 0x02, 0x03), Some(("ext2", text(UUID), text("root"))));
    assert_eq!(ext(0x3c, 0x02, 0x03), Some(("ext3", text(UUID), text("root"))));
    assert_eq!(ext(0x3c, 0x42, 0x6b), Some(("ext4", text(UUID), text("root"))));
    assert_eq!(ext(0x00, 0x08, 0x00), Some(("jbd", text(UUID), text("root"))));
    let cases: &[(Parts<'_>, _)] = &[
        (&[(0, b"XFSB"), (32, &ID), (108, b"twelve bytes")], ("xfs", UUID, "twelve bytes")),
        (&[(0x1_0040, b"_BHRfS_M"), (0x1_0020, &ID), (0x1_012b, b"b")], ("btrfs", UUID, "b")),
        (&[(4086, b"SWAPSPACE2"), (1036, &ID), (1052, b"s")], ("swap", UUID, "s")),
        (
            &[(0, &[0xfc, 0x4e, 0x2b, 0xa9, 1]), (16, &ID), (32, b"h:0")],
            ("linux_raid_member", UUID, "h:0"),
        ),
        (&[(4096, &[0xfc, 0x4e, 0x2b, 0xa9, 1]), (4112, &ID)], ("linux_raid_member", UUID, "")),
        (&[(1024, &[0xe2, 0xe1, 0xf5, 0xe0]), (1072, &ID), (1088, b"e")], ("erofs", UUID, "e")),
        (&[(1024, &[0x10, 0x20, 0xf5, 0xf2]), (1132, &ID)], ("f2fs", UUID, "")),
        (&[(0, b"hsqs")], ("squashfs", "", "")),
        (&[(3, b"NTFS    "), (72, &[8, 7, 6, 5, 4, 3, 2, 1])], ("ntfs", "0102030405060708", "")),
        (&[(3, b"EXFAT   "), (100, &[4, 3, 2, 1])], ("exfat", "0102-0304", "")),
    ];
    for (parts, (kind, uuid, label)) in cases {
        let some = |it: &str| (!it.is_empty()).then(|| it.to_owned());
        assert_eq!(told(parts), Some((*kind, some(uuid), some(label))), "{kind}");
    }
}

#[test]
fn fat_needs_its_name_besides_its_boot_mark() {
    let boot: Parts<'_> = &[(510, &[0x55, 0xaa])];
    assert_eq!(told(boot), None, "a boot sector of any kind");
    let fat = [boot, &[(82, b"FAT32   "), (67, &[0xef, 0xbe, 0xad, 0xde]), (71, b"EFI        ")]];
    assert_eq!(told(&fat.concat()), Some(("vfat", text("DEAD-BEEF"), text("EFI"))));
    let unnamed = [boot, &[(54, b"FAT16   "), (39, &[1, 0, 0, 0]), (43, b"NO NAME    ")]];
    assert_eq!(told(&unnamed.concat()), Some(("vfat", text("0000-0001"), None)));
}

#[test]
fn containers_and_media() {
    let luks: Parts<'_> = &[(0, b"LUKS\xba\xbe\0\x02"), (24, b"vault"), (168, UUID.as_bytes())];
    assert_eq!(told(luks), Some(("crypto_LUKS", text(UUID), text("vault"))));
    let lvm: Parts<'_> = &[
        (512, b"LABELONE"),
        (532, &[32, 0, 0, 0]),
        (536, b"LVM2 001"),
        (544, b"abcdef0123456789ABCDEFGHIJKLMNOP"),
    ];
    assert_eq!(told(lvm).unwrap().1, text("abcdef-0123-4567-89AB-CDEF-GHIJ-KLMNOP"));
    let iso: Parts<'_> =
        &[(0x8001, b"CD001"), (0x8028, b"DEBIAN   "), (0x8000 + 830, b"2026112302154500")];
    assert_eq!(told(iso), Some(("iso9660", text("2026-11-23-02-15-45-00"), text("DEBIAN"))));
}

#[test]
fn a_member_of_a_mirror_is_not_taken_for_the_file_system_in_it() {
    let head = disk(&[(0, b"XFSB")]);
    let mut tail = vec![0; TAIL_BYTES];
    tail[..4].copy_from_slice(&[0xfc, 0x4e, 0x2b, 0xa9]);
    tail[20..24].copy_from_slice(&ID[..4]);
    tail[52..64].copy_from_slice(&ID[4..]);
    let found = recognize(&head, &[tail]).unwrap();
    assert_eq!((found.kind, found.uuid.as_deref()), ("linux_raid_member", Some(UUID)));
    assert_eq!(tails(1 << 20), [0xf_0000, 0xf_e000]);
    assert!(tails(512).is_empty());
}

#[test]
fn nothing_is_recognized_in_what_is_empty_short_or_odd() {
    assert_eq!(recognize(&[], &[]), None);
    assert_eq!(recognize(&[0; 700], &[Vec::new()]), None);
    assert_eq!(recognize(&[0xff; HEAD_BYTES], &[vec![0xff; TAIL_BYTES]]), None);
    // A label of LVM that points behind the end.
    let odd: Parts<'_> = &[(0, b"LABELONE"), (20, &[0xff; 4]), (24, b"LVM2 001")];
    assert_eq!(told(odd), Some(("LVM2_member", None, None)));
}
