//! Media of machines that cannot put a node into a drive (before QEMU 2.12), or are not to.

use super::{PUT_IN, TAKE_OUT};
use crate::command::{self, Tray};
use crate::dialect::{Ability, Features};
use crate::error::Error;
use crate::inventory::DeviceDisk;
use crate::step::Step;
use crate::storage::Storage;

/// What changes the medium to this one, of which the guest may only read where that is said: the old
/// one is taken out first, so that it can be put back. `change` alone would leave the drive empty
/// when it cannot open the new one (QEMU 1.2).
///
/// # Errors
/// When the medium is more than a file.
pub(super) fn steps(
    drive: &DeviceDisk<'_>,
    medium: Option<(&Storage, bool)>,
    force: bool,
    features: &Features,
) -> Result<Vec<Step>, Error> {
    let tray = match drive.old_name {
        "" => Tray::Device(drive.qdev.unwrap_or(drive.id)),
        name => Tray::Drive(name),
    };
    let put = |path: &str, format: &str, read_only| match drive.old_name {
        // It knows neither devices nor who may write.
        name if !name.is_empty() && !features.has("blockdev-change-medium") => {
            command::change(name, path, format)
        }
        _ => command::change_medium(tray, path, format, read_only),
    };
    let mut steps = Vec::new();
    if let Some(node) = drive.node {
        let back = put(&node.path, &node.driver, node.read_only);
        steps.push(Step::new(TAKE_OUT, command::eject(tray, force), Some(back)));
    }
    if let Some((storage, read_only)) = medium {
        let path = storage.plain_path().ok_or_else(|| features.lacks(Ability::Media))?;
        steps.push(Step::new(PUT_IN, put(path, &storage.format(), read_only), None));
    }
    Ok(steps)
}
