//! Media of machines that cannot put a node into a drive (before QEMU 2.12).

use super::{PUT_IN, TAKE_OUT};
use crate::command;
use crate::dialect::{Ability, Features};
use crate::error::Error;
use crate::inventory::DeviceDisk;
use crate::step::Step;
use crate::storage::Storage;

/// What changes the medium: the old one is taken out first, so that it can be put back. `change`
/// alone would leave the drive empty when it cannot open the new one (QEMU 1.2).
pub(super) fn steps(
    drive: &DeviceDisk<'_>,
    image: Option<&Storage>,
    force: bool,
    features: &Features,
) -> Result<Vec<Step>, Error> {
    let name = drive.old_name;
    let put = |path: &str, format: &str| match name {
        "" => command::change_medium(drive.id, path, format, true),
        name => command::change(name, path, format),
    };
    let mut steps = Vec::new();
    if let Some(node) = drive.node {
        let eject = match name {
            "" => command::eject_device(drive.id, force),
            name => command::eject(name, force),
        };
        steps.push(Step::new(TAKE_OUT, eject, Some(put(&node.path, &node.driver))));
    }
    if let Some(storage) = image {
        let path = storage.plain_path().ok_or_else(|| features.lacks(Ability::Media))?;
        steps.push(Step::new(PUT_IN, put(path, &storage.format()), None));
    }
    Ok(steps)
}
