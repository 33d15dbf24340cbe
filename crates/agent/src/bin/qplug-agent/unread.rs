//! Disks whose size the kernel could not read.
//!
//! Each disk that QEMU plugs into a virtio-scsi controller has every other one there report once that the
//! reported LUNs have changed (`scsi_bus_set_ua` in QEMU's `hw/scsi/virtio-scsi.c`), and whatever it was asked
//! is refused with that. Linux asks three times how large a disk is (`read_capacity_10` in its
//! `drivers/scsi/sd.c`); a disk that is found while three more are plugged in has no bytes then, for ever, and
//! no partitions. So it is forgotten and found anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// How often a disk is found anew. One without an image has no bytes however often it is asked.
const MAX_TRIES: usize = 8;

/// How often each disk was found anew, by its address.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    tries: BTreeMap<Address, usize>,
}

/// Where a SCSI disk is: host, channel, target, LUN.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Address([u64; 4]);

impl Unread {
    /// Whether the disk was sent away because it has no size, to come again in a moment.
    pub(crate) fn send_back(&mut self, kernel_name: &str, bytes: Option<u64>) -> bool {
        let folder = Path::new("/sys/block").join(kernel_name).join("device");
        let Some(address) = address(&folder) else { return false };
        if bytes != Some(0) || !self.may_try(&address) {
            self.tries.remove(&address);
            return false;
        }
        let Address([host, place @ ..]) = &address;
        let scan = PathBuf::from(format!("/sys/class/scsi_host/host{host}/scan"));
        let place = place.map(|number| number.to_string()).join(" ");
        let done = fs::write(folder.join("delete"), "1").and_then(|()| fs::write(scan, place));
        if let Err(error) = &done {
            println!("agent: {kernel_name} has no size, and cannot be found anew: {error}");
        }
        done.is_ok()
    }

    fn may_try(&mut self, address: &Address) -> bool {
        let tries = self.tries.entry(address.clone()).or_default();
        *tries += 1;
        *tries <= MAX_TRIES
    }
}

fn address(device: &Path) -> Option<Address> {
    parse(fs::canonicalize(device).ok()?.file_name()?.to_str()?)
}

/// `0:0:5:0`; nothing where the disk is none of SCSI.
fn parse(name: &str) -> Option<Address> {
    let numbers: Result<Vec<_>, _> = name.split(':').map(str::parse).collect();
    numbers.ok()?.try_into().ok().map(Address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scsi_disks_have_addresses_and_others_have_none() {
        assert_eq!(parse("0:0:5:1"), Some(Address([0, 0, 5, 1])));
        for other in ["virtio3", "nvme0", "0:0:5", "0:0:5:x", ""] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_disk_without_an_image_is_let_be_in_the_end() {
        let mut unread = Unread::default();
        let disk = Address([0, 0, 1, 0]);
        for _ in 0..MAX_TRIES {
            assert!(unread.may_try(&disk));
        }
        assert!(!unread.may_try(&disk));
        assert!(unread.may_try(&Address([0, 0, 2, 0])));
    }
}
