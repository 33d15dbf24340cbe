//! Drives: images with a name that no device need have (QEMU's block backends). Old QEMUs know no
//! other way to a disk, and new ones keep it for the human monitor.
//!
//! | file | owns |
//! |---|---|
//! | `drives/blockdev.rs` | `blockdev-add` when it made drives |
//! | `drives/open.rs` | what a drive is asked to be, and opening its image |
//! | `drives/show.rs` | `query-block` and `query-blockstats` |

mod blockdev;
mod open;
mod show;

use crate::config::Version;
use crate::device::DeviceKey;
use crate::graph::UserId;

/// The longest name of a drive in QEMU before 2.2 (`char device_name[32]`): a longer one is cut off,
/// without a word.
const MAX_OLD_NAME: usize = 31;

/// The interfaces that `if=` names, by QEMU's numbers (`BlockInterfaceType`).
const INTERFACES: &[&str] =
    &["none", "ide", "scsi", "floppy", "pflash", "mtd", "sd", "virtio", "xen"];

/// Who made a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MadeBy {
    /// `drive_add` or `-drive`: it goes when its device does.
    Drive,
    /// `blockdev-add` with an id, as QEMU 2.5 has it: it stays until it is deleted.
    Blockdev,
    /// The board, for its firmware.
    Board,
}

/// An image with a name, or an empty drive.
#[derive(Debug)]
pub(crate) struct Drive {
    /// As it was asked for: nothing else may be called so. None was given where QEMU chose a name.
    pub(crate) id: Option<String>,
    /// As commands know it, and messages show it.
    pub(crate) name: String,
    pub(crate) made_by: MadeBy,
    /// Later drives have greater numbers.
    pub(crate) order: u64,
    /// Its use of its image, while no device has it: from then on the device has that too.
    pub(crate) user: Option<UserId>,
    pub(crate) device: Option<DeviceKey>,
    /// `drive_del` took its image and its name; the id is taken until its device is gone.
    pub(crate) is_dropped: bool,
    pub(crate) is_cd: bool,
    /// What a guest reads as the disk's serial, where no property of the device says so.
    pub(crate) serial: Option<String>,
    /// `bps`, `iops` and so on, as `query-block` shows them.
    pub(crate) limits: Vec<(String, u64)>,
    /// The number within its interface.
    pub(crate) unit: u32,
    /// Whether `query-block` tells of errors once it is plugged: where one may stop the machine.
    pub(crate) may_stop: bool,
    /// Whether a device had it.
    pub(crate) was_plugged: bool,
}

impl Drive {
    /// An empty drive that no device has.
    pub(crate) fn new(name: &str, made_by: MadeBy, order: u64) -> Self {
        Self {
            id: None,
            name: name.to_owned(),
            made_by,
            order,
            user: None,
            device: None,
            is_dropped: false,
            is_cd: false,
            serial: None,
            limits: Vec::new(),
            unit: u32::MAX,
            may_stop: true,
            was_plugged: false,
        }
    }
}

/// All drives, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Drives(Vec<Drive>);

impl Drives {
    pub(crate) fn add(&mut self, drive: Drive) {
        self.0.push(drive);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Drive> {
        self.0.iter()
    }

    /// The drive that commands know by this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Drive> {
        self.0.iter().find(|drive| !drive.is_dropped && drive.name == name)
    }

    pub(crate) fn find_mut(&mut self, name: &str) -> Option<&mut Drive> {
        self.0.iter_mut().find(|drive| !drive.is_dropped && drive.name == name)
    }

    /// Whether an id is taken, by one that was dropped too.
    pub(crate) fn is_taken(&self, id: &str) -> bool {
        self.0.iter().any(|drive| drive.id.as_deref() == Some(id))
    }

    /// The drive that a device has.
    pub(crate) fn of(&self, device: DeviceKey) -> Option<&Drive> {
        self.0.iter().find(|drive| drive.device == Some(device))
    }

    /// Takes a drive off the list.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Drive> {
        let at = self.0.iter().position(|drive| !drive.is_dropped && drive.name == name)?;
        Some(self.0.remove(at))
    }

    /// A device is gone, and its drive with it, but for one of `blockdev-add`. Whether that one
    /// takes the device's use of the image back.
    pub(crate) fn lose_device(&mut self, device: DeviceKey, user: Option<UserId>) -> bool {
        let Some(at) = self.0.iter().position(|drive| drive.device == Some(device)) else {
            return false;
        };
        let drive = &mut self.0[at];
        if drive.made_by == MadeBy::Drive {
            self.0.remove(at);
            return false;
        }
        drive.device = None;
        drive.user = user;
        true
    }

    /// The name of a drive that was given none.
    fn name_for(&self, id: Option<&str>, interface: &str, unit: u32, version: Version) -> String {
        match id {
            None => format!("{interface}{unit}"),
            Some(id) if version < Version::V2_5 => {
                id.char_indices().take_while(|(at, _)| *at < MAX_OLD_NAME).map(|(_, c)| c).collect()
            }
            Some(id) => id.to_owned(),
        }
    }

    fn free_unit(&self) -> u32 {
        let taken = |unit: u32| self.0.iter().any(|drive| drive.unit == unit);
        (0..).find(|unit| !taken(*unit)).unwrap_or_default()
    }
}
