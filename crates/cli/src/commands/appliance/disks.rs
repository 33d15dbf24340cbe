//! `qplug appliance add`, `remove`, `list-devices` and `list-filesystems`

use std::io::{self, Write};

use qplug_appliance::wire::{DEVICE_NOT_FOUND, Device, FileSystem};
use qplug_appliance::{Appliance, ApplianceName, DiskName, Error, Format, NewDisk, Root, Storage};
use qplug_hotplug::DiskError;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::open;
use crate::args::appliance::{Add, Remove};
use crate::failure::{Exit, Failure};
use crate::output::{Output, size, table};

/// Disks as the command line describes them.
pub(super) fn described(
    images: &[String],
    labels: &[String],
    format: Option<&Format>,
    snapshot: bool,
) -> Result<Vec<NewDisk>, Failure> {
    if labels.len() > images.len() {
        return Err(Failure::usage("there are more labels than images"));
    }
    let labels = labels.iter().map(Some).chain(std::iter::repeat(None));
    let images = images.iter().zip(labels);
    images.map(|(image, label)| one(image, label, format, snapshot)).collect()
}

fn one(
    image: &str,
    label: Option<&String>,
    format: Option<&Format>,
    snapshot: bool,
) -> Result<NewDisk, Failure> {
    let (place, read_only) = match image.strip_suffix(":ro") {
        Some(place) => (place, true),
        None => (image, false),
    };
    let storage = Storage::parse(place).map_err(DiskError::from)?;
    let storage = storage.format(format.cloned()).read_only(read_only).snapshot(snapshot).look();
    let label = label.map(|label| DiskName::new(label)).transpose();
    Ok(NewDisk {
        label: label.map_err(DiskError::from)?,
        storage: storage.map_err(DiskError::from)?,
        read_only,
    })
}

/// The disk that programs come from.
pub(super) fn root(image: &str) -> Result<Root, Failure> {
    let storage = Storage::parse(image).map_err(DiskError::from)?;
    Ok(Root::new(storage.read_only(true).look().map_err(DiskError::from)?))
}

/// An image, and the disk that it became.
pub(super) struct Added {
    image: String,
    outcome: Result<Device, Failure>,
}

impl Serialize for Added {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.outcome {
            Ok(device) => device.serialize(serializer),
            Err(failure) => {
                json!({"image": self.image, "error": failure.to_json()}).serialize(serializer)
            }
        }
    }
}

/// Plugs disks in. Those that fail stand for themselves, and the rest stay.
pub(super) async fn plug_in(
    appliance: &Appliance,
    images: &[String],
    disks: Vec<NewDisk>,
) -> Result<Vec<Added>, Failure> {
    if disks.is_empty() {
        return Ok(Vec::new());
    }
    let outcomes = appliance.add_disks(disks).await?.into_iter();
    let added = images.iter().zip(outcomes).map(|(image, outcome)| Added {
        image: image.clone(),
        outcome: outcome.map_err(Failure::from),
    });
    Ok(added.collect())
}

/// Says which disks came.
pub(super) fn tell(out: &mut dyn Write, added: &[Added]) -> io::Result<()> {
    let devices = added.iter().filter_map(|added| added.outcome.as_ref().ok());
    for device in devices {
        writeln!(out, "{}: {}", label(device), size(device.bytes))?;
    }
    Ok(())
}

/// Complains of those that did not come.
pub(super) fn complain(added: &[Added], output: &Output) -> Exit {
    let failed =
        added.iter().filter_map(|added| Some((&added.image, added.outcome.as_ref().err()?)));
    failed.fold(Exit::Done, |exit, (image, failure)| {
        output.complain(image, failure);
        exit.worse(failure.exit)
    })
}

fn label(device: &Device) -> String {
    device.label.clone().unwrap_or_else(|| "-".to_owned())
}

pub(super) async fn add(args: Add, output: &Output) -> Result<Exit, Failure> {
    let disks = described(&args.images, &args.label, args.format.as_ref(), args.snapshot)?;
    let appliance = open(&args.appliance.name)?;
    let added = plug_in(&appliance, &args.images, disks).await?;
    drop(appliance);
    if let [Added { outcome: Err(_), .. }] = &added[..] {
        let failure = added.into_iter().find_map(|added| added.outcome.err());
        return failure.map_or(Ok(Exit::Done), Err);
    }
    output.result(&added, |out| tell(out, &added)).await?;
    Ok(complain(&added, output))
}

pub(super) async fn remove(args: Remove, output: &Output) -> Result<Exit, Failure> {
    let appliance = open(&args.appliance.name)?;
    let (mut removed, mut failed) = (Vec::new(), Vec::new());
    for text in &args.labels {
        // What cannot be a label is none.
        let outcome = match DiskName::new(text) {
            Ok(label) => appliance.remove_disk(&label, args.force).await.map_err(left_in),
            Err(_) => Err(no_such_device()),
        };
        match outcome {
            Ok(()) => removed.push(text),
            Err(failure) => failed.push((text, failure)),
        }
    }
    drop(appliance);
    if let (1, Some((label, Failure { exit, message }))) = (args.labels.len(), failed.first()) {
        return Err(Failure { exit: *exit, message: format!("{label}: {message}") });
    }
    let told: Vec<_> = failed
        .iter()
        .map(|(label, failure)| json!({"label": label, "error": failure.to_json()}))
        .collect();
    output
        .result(&json!({"removed": removed, "failed": told}), |out| {
            removed.iter().try_for_each(|label| writeln!(out, "{label} is removed"))
        })
        .await?;
    let complain = |exit: Exit, (label, failure): &(&String, Failure)| {
        output.complain(label, failure);
        exit.worse(failure.exit)
    };
    Ok(failed.iter().fold(Exit::Done, complain))
}

/// Why a disk stays, without its label: that is said before.
fn left_in(error: Error) -> Failure {
    let message = match &error {
        Error::InUse { uses, .. } => {
            format!("in use: {uses}; unmount it, or remove it with --force")
        }
        Error::Command(error)
            if error.refusal().is_some_and(|reply| reply.class == DEVICE_NOT_FOUND) =>
        {
            return no_such_device();
        }
        _ => return error.into(),
    };
    Failure { message, ..error.into() }
}

fn no_such_device() -> Failure {
    let message = "no such device; list-devices shows the disks there are".to_owned();
    Failure { exit: Exit::Refused, message }
}

pub(super) async fn list_devices(name: &ApplianceName, output: &Output) -> Result<Exit, Failure> {
    let devices = open(name)?.list_devices().await?;
    output
        .result(&devices, |out| {
            if devices.is_empty() {
                return writeln!(out, "no disks");
            }
            let rows = devices.iter().map(|device| {
                let access = if device.read_only { "ro" } else { "rw" };
                let partitions = device.partitions.len().to_string();
                [
                    label(device),
                    size(device.bytes),
                    access.to_owned(),
                    partitions,
                    device.kernel_name.clone(),
                ]
            });
            table(out, ["LABEL", "SIZE", "ACCESS", "PARTITIONS", "KERNEL"], rows)
        })
        .await?;
    Ok(Exit::Done)
}

pub(super) async fn list_filesystems(
    name: &ApplianceName,
    output: &Output,
) -> Result<Exit, Failure> {
    let found = open(name)?.list_filesystems().await?;
    output
        .result(&found, |out| {
            if found.is_empty() {
                return writeln!(out, "no disks");
            }
            table(out, ["DEVICE", "TYPE", "SIZE", "LABEL", "UUID"], found.iter().map(row))
        })
        .await?;
    Ok(Exit::Done)
}

fn row(found: &FileSystem) -> [String; 5] {
    let text = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let kind = found.kind.clone().or_else(|| found.error.clone());
    let label = found.label.as_ref().map(qplug_appliance::Name::display);
    [found.device.clone(), text(kind), size(found.bytes), text(label), text(found.uuid.clone())]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

    use super::*;

    #[test]
    fn images_have_labels_in_their_order_and_may_be_read_only() {
        let folder = tempfile::tempdir().unwrap();
        let image = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, [0; 512]).unwrap();
            path.display().to_string()
        };
        let images = [image("a.img"), format!("{}:ro", image("b.img"))];
        let disks = described(&images, &["data".to_owned()], None, false).unwrap();
        assert_eq!(disks[0].label.as_ref().unwrap().as_str(), "data");
        assert!(disks[1].label.is_none());
        assert!(disks[1].read_only && !disks[0].read_only);
        let labels = ["a", "b", "c"].map(String::from);
        assert!(described(&images, &labels, None, false).is_err());
        assert!(described(&["/absent".to_owned()], &[], None, false).is_err());
    }
}
