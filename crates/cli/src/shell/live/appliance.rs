//! What an appliance is asked for names. Each question is a conversation of its own with the agent, so
//! that others may talk to it between two of them.

use qplug_appliance::{Name as FileName, wire};
use qplug_qapi::introspection::Schema;

use super::Source;
use crate::commands::appliance::ask;
use crate::failure::Failure;
use crate::output::size;
use crate::shell::appliance::{APPLIANCE, Site};
use crate::shell::complete::{Kind, Name};
use crate::shell::vocabulary::Vocabulary;

impl Source for Site {
    fn vocabulary(&self) -> &'static Vocabulary {
        &APPLIANCE
    }

    fn age(&self) -> u64 {
        Self::age(self)
    }

    async fn schema(self) -> Result<Option<Schema>, Failure> {
        Ok(None)
    }

    async fn names(self, kind: Kind) -> Option<Vec<Name>> {
        let name = self.name();
        Some(match kind {
            Kind::Labels => {
                let devices = ask(name, &wire::ListDevices {}).await.ok()?;
                devices
                    .into_iter()
                    .filter_map(|it| Some(Name::new(it.label?, size(it.bytes))))
                    .collect()
            }
            Kind::Links => {
                let devices = ask(name, &wire::ListDevices {}).await.ok()?;
                devices.iter().flat_map(links).collect()
            }
            Kind::Mountable => {
                let found = ask(name, &wire::ListFileSystems::default()).await.ok()?;
                found.into_iter().map(mountable).collect()
            }
            Kind::Mounts => {
                let mounts = ask(name, &wire::ListMounts {}).await.ok()?;
                mounts
                    .into_iter()
                    .filter_map(|it| Some(Name::new(text(&it.path)?, it.device)))
                    .collect()
            }
            Kind::Tree(folder) => self.entries(&folder).await?,
            _ => return None,
        })
    }

    fn on_change(&self, changed: impl Fn() + Send + 'static) {
        Self::on_change(self, changed);
    }

    fn redraw(&self) {
        Self::redraw(self);
    }
}

impl Site {
    /// The first entries of a folder: as many as come in one answer.
    async fn entries(&self, folder: &str) -> Option<Vec<Name>> {
        let path = FileName::from(folder.as_bytes());
        let part = wire::Ls { path, from: None, limit: None, long: false };
        let part = ask(self.name(), &part).await.ok()?;
        Some(part.entries.iter().filter_map(entry).collect())
    }
}

/// A disk, and its partitions.
fn links(device: &wire::Device) -> Vec<Name> {
    let Some(label) = &device.label else { return Vec::new() };
    let of_part =
        |part: &wire::Partition| Name::new(format!("{label}:{}", part.number), size(part.bytes));
    let disk = Name::new(label.as_str(), size(device.bytes));
    [disk].into_iter().chain(device.partitions.iter().map(of_part)).collect()
}

fn entry(entry: &wire::Entry) -> Option<Name> {
    let end = if entry.kind == wire::EntryKind::Folder { "/" } else { "" };
    Some(Name::new(text(&entry.name)? + end, ""))
}

fn mountable(found: wire::FileSystem) -> Name {
    let kind = found.kind.map(|kind| format!("{kind}, ")).unwrap_or_default();
    Name::new(found.device, format!("{kind}{}", size(found.bytes)))
}

/// What cannot be typed is left out: names that are no UTF-8.
fn text(name: &FileName) -> Option<String> {
    String::from_utf8(name.as_bytes().to_vec()).ok()
}
