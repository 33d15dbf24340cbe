//! A disk that is in use stays, and what uses it is told.

use qplug_appliance::wire::{Mkdir, Mount, Place, Umount};
use qplug_appliance::{Appliance, Error};

use super::room::{Room, disk, has, label, labels, run};

/// Tries to take the disk out, in vain; why.
async fn refused(appliance: &Appliance) -> String {
    let error = appliance.remove_disk(&label("data"), false).await.unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    assert_eq!(labels(appliance).await, ["data"]);
    error.to_string()
}

async fn forced(appliance: &Appliance) {
    appliance.remove_disk(&label("data"), true).await.unwrap();
    assert!(labels(appliance).await.is_empty());
}

fn mount_at(path: &str) -> Mount {
    let (device, path) = ("data".to_owned(), path.into());
    Mount { device, path, kind: None, read_only: false, allow: Vec::new(), data: None }
}

#[tokio::test]
async fn nothing_is_written_where_no_disk_is_mounted() {
    for room in Room::each("nothing_is_written_where_no_disk_is_mounted") {
        let appliance = room.launched().await;
        let image = room.image("data.img", &[], 32 << 20);
        appliance.add_disk(disk(Some("data"), &image)).await.unwrap();
        run(&appliance, "mkfs.ext4 -q /dev/disk/qplug/data").await;
        let upload = async |path: &str| {
            appliance.upload(&mut &b"it"[..], Place::Path(path.into()), None).await
        };
        let mkdir =
            async |path: &str| appliance.ask(&Mkdir { path: path.into(), mode: None }).await;
        let lost = |error: Error| {
            assert!(error.to_string().contains("would be lost"), "{error}");
        };
        lost(upload("/file").await.unwrap_err());
        lost(upload("/some/where/file").await.unwrap_err());
        lost(mkdir("/folder/below").await.unwrap_err());
        lost(appliance.tar_in(&mut &[0; 1024][..], "/".into()).await.unwrap_err());
        // A mount makes its folder itself.
        appliance.ask(&mount_at("/mnt/data")).await.unwrap();
        mkdir("/mnt/data/folder").await.unwrap();
        upload("/mnt/data/folder/file").await.unwrap();
        lost(upload("/mnt/file").await.unwrap_err());
        lost(mkdir("/mnt/other").await.unwrap_err());
        appliance.ask(&Umount { path: None, force: false }).await.unwrap();
        lost(upload("/mnt/data/file").await.unwrap_err());
        appliance.ask(&mount_at("/")).await.unwrap();
        for error in [
            upload("/none/file").await.unwrap_err(),
            appliance.ask(&mount_at("/none")).await.unwrap_err(),
        ] {
            assert!(error.to_string().contains("there is no folder /none"), "{error}");
        }
        upload("/folder/file").await.unwrap();
        appliance.down().await.unwrap();
    }
}

#[tokio::test]
async fn each_use_keeps_a_disk_in_and_force_takes_it_out() {
    for room in Room::each("each_use_keeps_a_disk_in_and_force_takes_it_out") {
        let appliance = room.launched().await;
        let image = room.image("data.img", &[], 32 << 20);
        let add = async || appliance.add_disk(disk(Some("data"), &image)).await.unwrap();
        let swaps = async || run(&appliance, "cat /proc/swaps").await.lines().count() - 1;
        let mount = |device: &str| {
            let (device, path) = (device.to_owned(), "/".into());
            Mount { device, path, kind: None, read_only: false, allow: Vec::new(), data: None }
        };

        // A file system, with a file in it that the kernel swaps to.
        add().await;
        run(&appliance, "mkfs.ext4 -q /dev/disk/qplug/data").await;
        appliance.ask(&mount("data")).await.unwrap();
        let why = refused(&appliance).await;
        assert!(why.contains("data is mounted on /; unmount it"), "{why}");
        let swap = "head -c 1048576 /dev/zero >/sysroot/swap && mkswap -q /sysroot/swap && \
            swapon /sysroot/swap";
        run(&appliance, swap).await;
        let why = refused(&appliance).await;
        assert!(why.contains("the kernel swaps to /sysroot/swap"), "{why}");
        assert_eq!(swaps().await, 1);
        forced(&appliance).await;
        assert_eq!(swaps().await, 0);

        // The disk itself.
        add().await;
        run(&appliance, "mkswap -q /dev/disk/qplug/data && swapon /dev/disk/qplug/data").await;
        let why = refused(&appliance).await;
        assert!(why.contains("the kernel swaps to /dev/"), "{why}");
        forced(&appliance).await;
        assert_eq!(swaps().await, 0);

        // A device on top, and what is mounted from there.
        add().await;
        let table = "dmsetup create top --table '0 40960 linear /dev/disk/qplug/data 0'";
        run(&appliance, &format!("{table} && mkfs.ext4 -q /dev/mapper/top")).await;
        let why = refused(&appliance).await;
        assert!(why.contains("/dev/mapper/top lies on data"), "{why}");
        appliance.ask(&mount("/dev/mapper/top")).await.unwrap();
        let why = refused(&appliance).await;
        assert!(why.contains("/dev/mapper/top is mounted on /"), "{why}");
        appliance.ask(&Umount { path: None, force: false }).await.unwrap();
        run(&appliance, "dmsetup remove top").await;
        appliance.remove_disk(&label("data"), false).await.unwrap();

        // A process.
        add().await;
        let hold = "sleep 1000 </dev/disk/qplug/data >/dev/null 2>&1 & echo $!";
        let holder = run(&appliance, hold).await;
        let why = refused(&appliance).await;
        let sleep = format!("sleep (process {}) has data open", holder.trim());
        assert!(why.contains(&sleep), "{why}");
        forced(&appliance).await;

        if has("mdadm") {
            add().await;
            let create = "mdadm --create /dev/md0 --run --force --level=1 --raid-devices=1 \
                /dev/disk/qplug/data";
            run(&appliance, create).await;
            let why = refused(&appliance).await;
            assert!(why.contains("/dev/md0 lies on data"), "{why}");
            run(&appliance, "mdadm --stop /dev/md0").await;
            appliance.remove_disk(&label("data"), false).await.unwrap();
        } else {
            println!("RAID was not tried: this host has no mdadm");
        }
        appliance.down().await.unwrap();
    }
}
