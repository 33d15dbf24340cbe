//! The disk that programs come from, and that is nobody's.

use std::fs;
use std::path::{Path, PathBuf};

use qplug_appliance::wire::{Device, Df, ListMounts, ListUses, Mount, Place, Release, Umount};
use qplug_appliance::{Appliance, Error, Root, Storage};

use super::room::{Room, disk, label, run, text, try_run};

/// Names by which nobody reaches it.
const NAMES: [&str; 7] = [
    "qplug.root",
    "/dev/disk/qplug/qplug.root",
    "sda",
    "/dev/sda",
    "qplug.root:1",
    "/dev/disk/qplug/../../sda",
    "root",
];

/// An image with a small distribution on it: what the appliance itself is made of. And what is listed
/// where there is no root disk.
async fn made(room: &Room) -> (PathBuf, Vec<Device>) {
    let image = room.image("root.img", &[], 64 << 20);
    let appliance = room.launched().await;
    let listed = with_two_disks(room, &appliance).await;
    appliance.add_disk(disk(Some("image"), &image)).await.unwrap();
    run(&appliance, "mkfs.ext4 -q /dev/disk/qplug/image").await;
    appliance.ask(&mount("image", "/")).await.unwrap();
    run(&appliance, "cp -a /usr /bin /sbin /lib /lib64 /sysroot/ && echo small >/sysroot/flavour")
        .await;
    appliance.ask(&Umount { path: None, force: false }).await.unwrap();
    appliance.down().await.unwrap();
    (image, listed)
}

fn mount(device: &str, path: &str) -> Mount {
    let (kind, allow, data) = (None, Vec::new(), None);
    Mount { device: device.to_owned(), path: path.into(), kind, read_only: false, allow, data }
}

fn root(image: &Path) -> Root {
    Root::new(Storage::path(image).read_only(true).look().unwrap())
}

/// What does not depend on which names the kernel had to give.
fn told(devices: Vec<Device>) -> Vec<Device> {
    devices
        .into_iter()
        .map(|device| Device { kernel_name: String::new(), sequence: 0, ..device })
        .collect()
}

async fn with_two_disks(room: &Room, appliance: &Appliance) -> Vec<Device> {
    for (name, mib) in [("a", 8), ("b", 16)] {
        let image = room.image(&format!("{name}.img"), &[], mib << 20);
        appliance.add_disk(disk(Some(name), &image)).await.unwrap();
    }
    told(appliance.list_devices().await.unwrap())
}

#[tokio::test]
async fn programs_come_from_a_root_disk_that_nobody_sees() {
    for room in Room::each("programs_come_from_a_root_disk_that_nobody_sees") {
        let (image, without) = made(&room).await;
        let before = fs::read(&image).unwrap();

        // Its own machine is saved without the root, and fits every root.
        let appliance = Appliance::launch(room.bare().root(Some(root(&image)))).await.unwrap();
        appliance.down().await.unwrap();
        let appliance = Appliance::launch(room.bare().root(Some(root(&image)))).await.unwrap();
        assert!(appliance.record().restored);
        assert!(appliance.list_devices().await.unwrap().is_empty());
        assert!(appliance.list_filesystems().await.unwrap().is_empty());
        assert_eq!(run(&appliance, "cat /flavour").await, "small\n");
        assert_eq!(with_two_disks(&room, &appliance).await, without);
        let links = run(&appliance, "cd /dev/disk/qplug && echo *").await;
        assert_eq!(links.trim(), "a b");

        is_no_device(&appliance).await;
        run(&appliance, "echo mine >/flavour && mkdir /new").await;
        assert_eq!(run(&appliance, "cat /flavour").await, "mine\n");

        // What is mounted later is seen in the root, and keeps nothing in use.
        run(&appliance, "mkfs.ext4 -q /dev/disk/qplug/a").await;
        appliance.ask(&mount("a", "/data")).await.unwrap();
        assert_eq!(appliance.ask(&ListMounts {}).await.unwrap().len(), 1);
        assert_eq!(appliance.ask(&Df {}).await.unwrap().len(), 1);
        run(&appliance, "echo hello >/sysroot/data/hello").await;
        let mut content = Vec::new();
        let place = Place::Path("/data/hello".into());
        appliance.download(place, &mut content).await.unwrap();
        assert_eq!(content, b"hello\n");
        let (status, complaint) = try_run(&appliance, "no-such-program").await.unwrap();
        assert_eq!(status, Some(127), "{complaint}");
        appliance.ask(&Umount { path: Some("/data".into()), force: false }).await.unwrap();
        appliance.remove_disk(&label("a"), false).await.unwrap();
        appliance.remove_disk(&label("b"), false).await.unwrap();
        assert!(appliance.list_devices().await.unwrap().is_empty());
        appliance.down().await.unwrap();
        assert!(fs::read(&image).unwrap() == before, "the root was written to");
    }
}

async fn is_no_device(appliance: &Appliance) {
    for name in NAMES {
        let device = || name.to_owned();
        let from = Place::Device(device());
        let answers = [
            appliance.ask(&mount(name, "/")).await.map(drop),
            appliance.ask(&ListUses { device: device() }).await.map(drop),
            appliance.ask(&Release { device: device(), force: true }).await.map(drop),
            appliance.download(from, &mut Vec::new()).await.map(drop),
        ];
        for answer in answers {
            let refused = text(answer.unwrap_err());
            assert!(refused.contains("no such device"), "{name}: {refused}");
        }
    }
    let carried = Place::Own("qplug.root".to_owned());
    let refused = text(appliance.download(carried, &mut Vec::new()).await.unwrap_err());
    assert!(refused.contains("no such device"), "{refused}");
}

#[tokio::test]
async fn what_is_no_root_is_refused_and_leaves_nothing() {
    for room in Room::each("what_is_no_root_is_refused_and_leaves_nothing") {
        let empty = room.image("empty.img", &[], 1 << 20);
        let refused = Appliance::launch(room.wish().root(Some(root(&empty)))).await.unwrap_err();
        assert!(matches!(refused, Error::Wish(_)), "{refused}");
        let refused = Appliance::launch(room.bare().root(Some(root(&empty)))).await.unwrap_err();
        assert!(text(&refused).contains("no file system is recognized"), "{refused}");
        let missing = root(&empty).partition(Some(2));
        let refused = Appliance::launch(room.bare().root(Some(missing))).await.unwrap_err();
        assert!(text(&refused).contains("no partition 2"), "{refused}");
        assert!(room.registry.list().unwrap().is_empty());
    }
}
