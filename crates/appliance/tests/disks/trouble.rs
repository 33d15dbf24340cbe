//! What goes wrong: machines that end or stand still, hosts without room, clients that come at once.

use std::fs;
use std::time::Instant;

use qplug_appliance::wire::{ListMounts, Mount, Place};
use qplug_appliance::{Appliance, Error, State, down};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::room::{Room, disk, ended, kill, label, labels, run, text, try_run};

#[tokio::test]
async fn a_machine_that_panics_is_told_with_its_last_words() {
    for room in Room::each("a_machine_that_panics_is_told_with_its_last_words") {
        let appliance = room.launched().await;
        // The kernel keeps the agent from being killed.
        run(&appliance, "kill -9 1").await;
        assert!(labels(&appliance).await.is_empty());
        let error = try_run(&appliance, "echo c >/proc/sysrq-trigger").await.unwrap_err();
        assert!(matches!(error, Error::Died { .. }), "{error}");
        assert!(text(&error).contains("Kernel panic"), "{error}");
        let identity = appliance.record().identity;
        drop(appliance);
        ended(identity).await;
        let dead = Appliance::open(&room.registry, &Room::name()).unwrap_err();
        assert!(matches!(dead, Error::Dead { .. }), "{dead}");
        assert!(text(&dead).contains("Kernel panic"), "{dead}");
        let was = down(&room.registry, &Room::name()).await.unwrap();
        assert_eq!(was, Some(State::Dead));
    }
}

#[tokio::test]
async fn a_machine_that_was_paused_says_so_and_still_ends_well() {
    for room in Room::each("a_machine_that_was_paused_says_so_and_still_ends_well") {
        let appliance = room.launched().await;
        let machine = appliance.machine().await.unwrap();
        machine.client().execute("stop", None::<&()>).await.unwrap();
        let start = Instant::now();
        let stands = appliance.ask(&ListMounts {}).await.unwrap_err();
        assert!(start.elapsed().as_secs() < 10, "it took {:?} to tell", start.elapsed());
        assert!(matches!(stands, Error::Stands { .. }), "{stands}");
        assert!(text(&stands).contains("somebody has paused it"), "{stands}");
        assert!(text(&stands).contains("exec cont"), "{stands}");
        drop((appliance, machine));
        // So it is for a client that comes later.
        let found = Appliance::open(&room.registry, &Room::name()).unwrap();
        let stands = found.list_devices().await.unwrap_err();
        assert!(matches!(stands, Error::Stands { .. }), "{stands}");
        found.down().await.unwrap();
        assert!(room.registry.list().unwrap().is_empty());
    }
}

/// QEMU is made to find no room, once, for what a guest writes: no file system of the host is needed.
#[tokio::test]
async fn a_host_without_room_is_told_and_the_machine_goes_on_when_there_is_some() {
    let test = "a_host_without_room_is_told_and_the_machine_goes_on_when_there_is_some";
    for room in Room::each(test) {
        let appliance = room.launched().await;
        let image = room.image("full.img", &[], 32 << 20);
        let machine = appliance.machine().await.unwrap();
        let client = machine.client();
        const NO_SPACE: u32 = 28;
        let node = json!({
            "driver": "raw", "node-name": "full.format", "file": {
                "driver": "blkdebug", "image": {"driver": "file", "filename": image},
                "inject-error": [{"event": "pwritev", "errno": NO_SPACE, "once": true}],
            },
        });
        client.execute("blockdev-add", Some(&node)).await.unwrap();
        let device = json!({"driver": "scsi-hd", "bus": "disks.0", "drive": "full.format",
            "id": "full", "serial": "full"});
        client.execute("device_add", Some(&device)).await.unwrap();
        super::room::eventually("the disk is seen", async || labels(&appliance).await == ["full"])
            .await;
        let bytes = vec![7; 1 << 20];
        let to = || Place::Device("full".to_owned());
        let stands = appliance.upload(&mut &bytes[..], to(), None).await.unwrap_err();
        assert!(matches!(stands, Error::Stands { .. }), "{stands}");
        assert!(text(&stands).contains("no room for what is written to full"), "{stands}");
        client.execute("cont", None::<&()>).await.unwrap();
        appliance.upload(&mut &bytes[..], to(), None).await.unwrap();
        appliance.remove_disk(&label("full"), false).await.unwrap();
        assert!(fs::read(&image).unwrap().starts_with(&bytes));
        appliance.down().await.unwrap();
    }
}

#[tokio::test]
async fn a_qemu_that_dies_while_a_disk_is_added_is_told_and_leaves_the_name_free() {
    let test = "a_qemu_that_dies_while_a_disk_is_added_is_told_and_leaves_the_name_free";
    for room in Room::each(test) {
        let appliance = room.launched().await;
        let identity = appliance.record().identity;
        let new = disk(None, &room.image("a.img", &[], 4096));
        let (added, ()) = tokio::join!(appliance.add_disk(new), async { kill(identity) });
        let died = added.unwrap_err();
        assert!(matches!(died, Error::Died { .. }), "{died}");
        drop(appliance);
        ended(identity).await;
        let appliance = room.launched().await;
        assert!(labels(&appliance).await.is_empty());
        appliance.down().await.unwrap();
    }
}

#[tokio::test]
async fn a_machine_whose_folder_was_removed_is_ended_all_the_same() {
    for room in Room::each("a_machine_whose_folder_was_removed_is_ended_all_the_same") {
        let appliance = room.launched().await;
        let identity = appliance.record().identity;
        let folder = room.registry.place(&Room::name()).folder().to_owned();
        drop(appliance);
        fs::remove_dir_all(folder).unwrap();
        let absent = Appliance::open(&room.registry, &Room::name()).unwrap_err();
        assert!(matches!(absent, Error::Absent { .. }), "{absent}");
        let was = down(&room.registry, &Room::name()).await.unwrap();
        assert_eq!(was, Some(State::Running));
        ended(identity).await;
        assert_eq!(down(&room.registry, &Room::name()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn of_two_that_come_at_once_each_is_told_what_it_got() {
    for room in Room::each("of_two_that_come_at_once_each_is_told_what_it_got") {
        room.launched().await.down().await.unwrap();
        let launch = || Appliance::launch(room.wish());
        let (one, other) = tokio::join!(launch(), launch());
        let (Ok(running), Err(error)) = (if one.is_ok() { (one, other) } else { (other, one) })
        else {
            panic!("not one of the two");
        };
        assert!(matches!(error, Error::Exists { .. }), "{error}");
        drop(running);

        let client = || Appliance::open(&room.registry, &Room::name()).unwrap();
        let image = |name: &str| room.image(name, name.as_bytes(), 4096);
        let add = async |label: Option<&str>, name: &str| {
            // Each with connections of its own, as processes have.
            client().add_disk(disk(label, &image(name))).await.map(|device| device.label.unwrap())
        };
        let (one, other) = tokio::join!(add(Some("a"), "a"), add(Some("b"), "b"));
        assert_eq!((one.unwrap(), other.unwrap()), ("a".to_owned(), "b".to_owned()));
        let (one, other) = tokio::join!(add(None, "c"), add(None, "d"));
        let mut names = [one.unwrap(), other.unwrap()];
        names.sort();
        assert_eq!(names, ["disk1", "disk2"]);
        let (one, other) = tokio::join!(add(Some("e"), "e"), add(Some("e"), "f"));
        let (Ok(_), Err(error)) = (if one.is_ok() { (one, other) } else { (other, one) }) else {
            panic!("not one of the two");
        };
        assert!(text(&error).contains("the name e is taken"), "{error}");
        assert_eq!(labels(&client()).await.len(), 5);
        client().down().await.unwrap();
    }
}

#[tokio::test]
async fn what_waits_to_be_written_is_written_out_at_the_end() {
    for room in Room::each("what_waits_to_be_written_is_written_out_at_the_end") {
        let appliance = room.launched().await;
        let image = room.image("data.img", &[], 16 << 20);
        appliance.add_disk(disk(Some("data"), &image)).await.unwrap();
        run(&appliance, "mkfs.ext4 -q /dev/disk/qplug/data").await;
        let (kind, allow, data) = (None, Vec::new(), None);
        let (device, path) = ("data".to_owned(), "/".into());
        let mount = Mount { device, path, kind, read_only: false, allow, data };
        appliance.ask(&mount).await.unwrap();
        run(&appliance, "echo kept >/sysroot/kept").await;
        appliance.down().await.unwrap();
        let bytes = fs::read(&image).unwrap();
        assert!(bytes.windows(5).any(|it| it == b"kept\n"), "it was not written out");
    }
}

#[tokio::test]
async fn an_appliance_goes_down_while_a_copy_runs_and_the_copy_is_told() {
    for room in Room::each("an_appliance_goes_down_while_a_copy_runs_and_the_copy_is_told") {
        let appliance = room.launched().await;
        let image = room.image("data.img", &[], 16 << 20);
        appliance.add_disk(disk(Some("data"), &image)).await.unwrap();
        // A source that never ends.
        let (mut source, mut feed) = tokio::io::duplex(4096);
        let copy = async {
            let to = Place::Device("data".to_owned());
            appliance.upload(&mut source, to, None).await
        };
        let end = async {
            feed.write_all(&[7; 64 << 10]).await.unwrap();
            let found = Appliance::open(&room.registry, &Room::name()).unwrap();
            found.down().await
        };
        let start = Instant::now();
        let (copied, ended) = tokio::join!(copy, end);
        ended.unwrap();
        let died = copied.unwrap_err();
        assert!(matches!(died, Error::Died { .. }), "{died}");
        assert!(start.elapsed().as_secs() < 20, "it took {:?}", start.elapsed());
        assert!(room.registry.list().unwrap().is_empty());
    }
}
