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

/// What a medium in a drive is called.
pub(super) fn medium_name(drive: &DeviceDisk<'_>, letter: char) -> Option<DiskName> {
    let suffix = format!(".medium-{letter}");
    let base = if drive.id.contains('/') { drive.old_name } else { drive.id };
    let fits = crate::MAX_NAME_BYTES - suffix.len();
    let base = base.get(..base.len().min(fits)).unwrap_or_default();
    // People and other programs have names for drives that are none for nodes.
    let name = DiskName::new(&format!("{base}{suffix}"));
    name.or_else(|_| DiskName::new(&format!("drive{suffix}"))).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_medium_has_a_name_whatever_the_drive_is_called() {
        let name = |qdev: &str, device: &str| {
            let blocks =
                format!(r#"[{{"device": "{device}", "qdev": "{qdev}", "removable": true}}]"#);
            let blocks: Blocks = serde_json::from_str(&blocks).unwrap();
            let drive = blocks.devices().next().unwrap();
            medium_name(&drive, 'a').unwrap().to_string()
        };
        assert_eq!(name("cd0", ""), "cd0.medium-a");
        assert_eq!(name("/machine/unattached/device[7]", "ide1-cd0"), "ide1-cd0.medium-a");
        assert_eq!(name("/machine/unattached/device[7]", ""), "drive.medium-a");
        assert_eq!(name("a-drive-of-a-very-long-name", ""), "a-drive-of-a-ve.medium-a");
        for odd in ["1st", "my drive", "äöüäöüäöüäöü", "qplug.cd"] {
            assert_eq!(name(odd, ""), "drive.medium-a", "{odd}");
        }
    }
}
