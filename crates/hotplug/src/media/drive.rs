//! CD and floppy drives: which one is meant, and what its media are called.

use qplug_proto::Event;
use serde::Deserialize;

use crate::error::Error;
use crate::inventory::{Blocks, DeviceDisk};
use crate::name::DiskName;

/// The drive of this id, path or old-style name.
pub(super) fn find<'a>(blocks: &'a Blocks, drive: &str) -> Result<DeviceDisk<'a>, Error> {
    let is_it = |it: &DeviceDisk<'_>| it.id == drive || it.old_name == drive;
    match blocks.devices().find(is_it) {
        Some(found) if found.removable => Ok(found),
        Some(_) => Err(Error::NotRemovable { drive: drive.to_owned() }),
        None => {
            let removable = blocks.devices().filter(|it| it.removable);
            let name = |it: DeviceDisk<'_>| match it.old_name {
                "" => it.id.to_owned(),
                name => name.to_owned(),
            };
            let known = removable.map(name).collect();
            Err(Error::NoSuchDrive { drive: drive.to_owned(), known })
        }
    }
}

/// What a medium in a drive is called; nothing where no name can be made of the drive's.
pub(super) fn medium_name(drive: &DeviceDisk<'_>, letter: char) -> Option<DiskName> {
    let suffix = format!(".medium-{letter}");
    let base = if drive.id.contains('/') { drive.old_name } else { drive.id };
    let fits = crate::MAX_NAME_BYTES - suffix.len();
    let base = base.get(..base.len().min(fits)).filter(|base| !base.is_empty()).unwrap_or("drive");
    DiskName::new(&format!("{base}{suffix}")).ok()
}

/// Whether the event says that this drive's tray is open now.
pub(super) fn opens(event: &Event, id: &str) -> bool {
    #[derive(Deserialize)]
    struct Data {
        id: String,
        #[serde(rename = "tray-open")]
        tray_open: bool,
    }
    let data = event.data.as_ref().filter(|_| event.name == "DEVICE_TRAY_MOVED");
    let data = data.and_then(|data| serde_json::from_str::<Data>(data.get()).ok());
    data.is_some_and(|data| data.id == id && data.tray_open)
}
