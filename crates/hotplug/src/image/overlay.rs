//! An empty qcow2 image, made from nothing: the throw-away overlay of a snapshot.
//!
//! ```text
//!  cluster 0   header
//!  cluster 1   refcount table: one entry, the block
//!  cluster 2   refcount block: 1 for each cluster of this file
//!  cluster 3…  L1 table: all zero, so that everything is read from what lies below
//! ```
//!
//! After QEMU's `docs/interop/qcow2.rst`. The header names no backing file: that is given when the
//! image is opened.

/// In bytes; QEMU's default.
const CLUSTER: u64 = 1 << CLUSTER_BITS;
const CLUSTER_BITS: u32 = 16;

/// How many of a guest's bytes an entry of the L1 table stands for: a cluster of 8-byte entries, each
/// for a cluster.
const L1_ENTRY_COVERS: u64 = CLUSTER / 8 * CLUSTER;

/// The largest L1 table that QEMU takes (`QCOW_MAX_L1_SIZE`), in bytes: 2 PiB of disk.
const MAX_L1_BYTES: u64 = 32 << 20;

/// The start of an empty image: bytes with their places, and how long all of it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overlay {
    pub(crate) pieces: Vec<(u64, Vec<u8>)>,
    pub(crate) length: u64,
}

impl Overlay {
    /// An empty image of this size, in bytes, as the guest sees it; nothing for one that no qcow2
    /// can have.
    pub(crate) fn new(bytes: u64) -> Option<Self> {
        let entries = bytes.div_ceil(L1_ENTRY_COVERS).max(1);
        let l1_bytes = entries.checked_mul(8).filter(|size| *size <= MAX_L1_BYTES)?;
        let clusters = 3 + l1_bytes.div_ceil(CLUSTER);
        let mut header = Vec::new();
        let mut write = |bytes: &[u8]| header.extend_from_slice(bytes);
        write(b"QFI\xfb");
        write(&3_u32.to_be_bytes());
        // No backing file: where its name is, and how long that is.
        write(&[0; 12]);
        write(&CLUSTER_BITS.to_be_bytes());
        write(&bytes.to_be_bytes());
        // No encryption.
        write(&[0; 4]);
        write(&u32::try_from(entries).ok()?.to_be_bytes());
        write(&(3 * CLUSTER).to_be_bytes());
        // The refcount table, and its clusters.
        write(&CLUSTER.to_be_bytes());
        write(&1_u32.to_be_bytes());
        // No snapshots, and no features.
        write(&[0; 4 + 8 + 3 * 8]);
        // Counts of 16 bits, and the header's own length; then no extensions.
        write(&4_u32.to_be_bytes());
        write(&104_u32.to_be_bytes());
        write(&[0; 8]);
        let counts = 1_u16.to_be_bytes().repeat(usize::try_from(clusters).ok()?);
        let table = (2 * CLUSTER).to_be_bytes().to_vec();
        let pieces = vec![(0, header), (CLUSTER, table), (2 * CLUSTER, counts)];
        Some(Self { pieces, length: clusters * CLUSTER })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_its_length_and_all_tables_have_room() {
        for bytes in [512, 1 << 30, 5 << 40, 2 << 50] {
            let overlay = Overlay::new(bytes).unwrap();
            let [(0, header), (_, table), (_, counts)] = &*overlay.pieces else { panic!() };
            assert_eq!(header.len(), 112);
            assert_eq!(table.len(), 8);
            assert!(counts.len() as u64 <= CLUSTER);
            assert_eq!(counts.len() as u64 / 2 * CLUSTER, overlay.length);
        }
        assert_eq!(Overlay::new((2 << 50) + 1), None);
        assert_eq!(Overlay::new(u64::MAX), None);
    }
}
