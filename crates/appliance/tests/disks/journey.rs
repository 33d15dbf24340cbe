//! The whole way: disks made, filled and taken out, and what is in their images then.

use std::fs;
use std::process::Command;

use qplug_appliance::wire::{Mount, Place, Umount};
use qplug_appliance::{Appliance, Format, NewDisk, Storage};
use qplug_testbed::image::{run as run_tool, tool};

use super::room::{Room, content, disk, has, label, labels, run};

/// Formats, each with a label of its own.
const DISKS: [(&str, &str); 3] = [("plain", "raw"), ("layered", "qcow2"), ("foreign", "vmdk")];

const MIB: usize = 1 << 20;

/// What is written to each: longer than what a file system keeps beside a file's name.
fn written(name: &str) -> String {
    format!("what was written to the disk {name}\n").repeat(20)
}

/// One partition of type Linux, from 1 MiB to the end.
async fn partition(appliance: &Appliance, name: &str, bytes: u64) {
    if has("sfdisk") {
        run(appliance, &format!("echo 2048,,L | sfdisk -q /dev/disk/qplug/{name}")).await;
        return;
    }
    let sectors = u32::try_from(bytes / 512).unwrap() - 2048;
    let mut table = vec![0; 512];
    table[450] = 0x83;
    table[454..458].copy_from_slice(&2048_u32.to_le_bytes());
    table[458..462].copy_from_slice(&sectors.to_le_bytes());
    table[510..].copy_from_slice(&[0x55, 0xaa]);
    let device = Place::Device(name.to_owned());
    appliance.upload(&mut &table[..], device, None).await.unwrap();
    run(appliance, &format!("blockdev --rereadpt /dev/disk/qplug/{name}")).await;
}

#[tokio::test]
async fn disks_of_three_formats_are_filled_and_their_images_hold_it() {
    for room in Room::each("disks_of_three_formats_are_filled_and_their_images_hold_it") {
        let appliance = room.launched().await;
        assert!(labels(&appliance).await.is_empty());
        for (name, format) in DISKS {
            let path = room.path(&format!("{name}.{format}"));
            let mut create = tool("qemu-img").unwrap();
            run_tool(create.args(["create", "-q", "-f", format]).arg(&path).arg("48M")).unwrap();
            let format: Format = format.parse().unwrap();
            let storage = Storage::path(&path).format(Some(format)).look().unwrap();
            let disk = NewDisk { label: Some(label(name)), storage, read_only: false };
            let device = appliance.add_disk(disk).await.unwrap();
            assert_eq!(device.bytes, 48 * MIB as u64, "{name}");
        }
        assert_eq!(labels(&appliance).await, DISKS.map(|(name, _)| name));
        for (name, _) in DISKS {
            partition(&appliance, name, 48 * MIB as u64).await;
            // The next command knows what the last program has changed.
            run(&appliance, &format!("mkfs.ext4 -q /dev/disk/qplug/{name}:1")).await;
            let (device, path) = (format!("{name}:1"), format!("/{name}").as_str().into());
            let (kind, allow, data) = (None, Vec::new(), None);
            let mount = Mount { device, path, kind, read_only: false, allow, data };
            assert_eq!(appliance.ask(&mount).await.unwrap().kind, "ext4");
            let place = Place::Path(format!("/{name}/file").as_str().into());
            appliance.upload(&mut written(name).as_bytes(), place, None).await.unwrap();
        }
        let refused = appliance.remove_disk(&label("layered"), false).await.unwrap_err();
        assert!(refused.to_string().contains("layered:1 is mounted on /layered"), "{refused}");
        appliance.ask(&Umount { path: None, force: false }).await.unwrap();
        for (name, _) in DISKS {
            appliance.remove_disk(&label(name), false).await.unwrap();
        }
        assert!(labels(&appliance).await.is_empty());
        // The images are whole while the machine still runs.
        for (name, format) in DISKS {
            holds(&room, name, format);
        }
        appliance.down().await.unwrap();
    }
}

/// Looks into an image without qplug.
fn holds(room: &Room, name: &str, format: &str) {
    let (image, raw) = (room.path(&format!("{name}.{format}")), room.path("raw"));
    let mut convert = tool("qemu-img").unwrap();
    run_tool(convert.args(["convert", "-O", "raw", "-f", format]).args([&image, &raw])).unwrap();
    let bytes = fs::read(&raw).unwrap();
    let partition = &bytes[MIB..];
    assert_eq!(partition[0x438..0x43a], [0x53, 0xef], "{name} has no ext4");
    let text = written(name);
    assert!(partition.windows(text.len()).any(|it| it == text.as_bytes()), "{name} lacks it");
    if has("debugfs") {
        fs::write(room.path("partition"), partition).unwrap();
        let mut debugfs = Command::new("/usr/sbin/debugfs");
        let read = debugfs.args(["-R", "cat /file"]).arg(room.path("partition")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&read.stdout), text, "{name}");
    }
}

#[tokio::test]
async fn bytes_go_onto_a_device_and_come_back() {
    for room in Room::each("bytes_go_onto_a_device_and_come_back") {
        let appliance = room.launched().await;
        let image = room.image("data.img", &[], 16 * MIB as u64);
        appliance.add_disk(disk(Some("data"), &image)).await.unwrap();
        let sent: Vec<u8> = (0..16 * MIB).map(|at| (at / 7) as u8).collect();
        let device = || Place::Device("data".to_owned());
        let count = appliance.upload(&mut &sent[..], device(), None).await.unwrap();
        assert_eq!(count, sent.len() as u64);
        assert!(content(&appliance, "data").await == sent, "what came back is something else");
        let absent = Place::Path("/absent".into());
        assert!(appliance.download(absent, &mut Vec::new()).await.is_err());
        // A failure does not spoil what comes next.
        assert!(content(&appliance, "data").await == sent, "it was well before");
        appliance.remove_disk(&label("data"), false).await.unwrap();
        assert!(fs::read(&image).unwrap() == sent, "the image holds something else");
        appliance.down().await.unwrap();
    }
}
