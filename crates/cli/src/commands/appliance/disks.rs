//! `qplug appliance add`, `remove`, `list-devices` and `list-filesystems`

use std::io::{self, Write};

use qplug_appliance::wire::{Device, FileSystem};
use qplug_appliance::{Appliance, ApplianceName, DiskName, Format, NewDisk, Root, Storage};
use qplug_hotplug::DiskError;

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

/// Plugs disks in. Those that fail are complained of, and the rest stay.
pub(super) async fn plug_in(
    appliance: &Appliance,
    disks: Vec<NewDisk>,
    output: &Output,
) -> Result<(Vec<Device>, Exit), Failure> {
    if disks.is_empty() {
        return Ok((Vec::new(), Exit::Done));
    }
    let (mut devices, mut exit) = (Vec::new(), Exit::Done);
    for (number, added) in appliance.add_disks(disks).await?.into_iter().enumerate() {
        match added {
            Ok(device) => devices.push(device),
            Err(error) => {
                let failure = Failure::from(error);
                output.complain(&format!("image {}", number + 1), &failure);
                exit = exit.worse(failure.exit);
            }
        }
    }
    Ok((devices, exit))
}

/// Says which disks came.
pub(super) fn tell(out: &mut dyn Write, devices: &[Device]) -> io::Result<()> {
    for device in devices {
        writeln!(out, "{}: {}", label(device), size(device.bytes))?;
    }
    Ok(())
}

fn label(device: &Device) -> String {
    device.label.clone().unwrap_or_else(|| "-".to_owned())
}

pub(super) async fn add(args: Add, output: &Output) -> Result<Exit, Failure> {
    let disks = described(&args.images, &args.label, args.format.as_ref(), args.snapshot)?;
    let appliance = open(&args.appliance.name)?;
    let (devices, exit) = plug_in(&appliance, disks, output).await?;
    drop(appliance);
    output.result(&devices, |out| tell(out, &devices)).await?;
    Ok(exit)
}

pub(super) async fn remove(args: Remove, output: &Output) -> Result<Exit, Failure> {
    let appliance = open(&args.appliance.name)?;
    let (mut removed, mut exit) = (Vec::new(), Exit::Done);
    for text in &args.labels {
        // What cannot be a label is none.
        let outcome = match DiskName::new(text) {
            Ok(label) => appliance.remove_disk(&label, args.force).await.map_err(Failure::from),
            Err(_) => Err(Failure {
                exit: Exit::Refused,
                message: format!("no such device: {text}; list-devices shows the disks there are"),
            }),
        };
        match outcome {
            Ok(()) => removed.push(text),
            Err(failure) => {
                output.complain(text, &failure);
                exit = exit.worse(failure.exit);
            }
        }
    }
    drop(appliance);
    output
        .result(&serde_json::json!({"removed": removed}), |out| {
            removed.iter().try_for_each(|label| writeln!(out, "{label} is removed"))
        })
        .await?;
    Ok(exit)
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
