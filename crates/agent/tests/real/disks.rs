//! Disks: seen, named, mounted, in use, released.

use qplug_agent::wire::{
    DISK_CHANGED, Download, ListDevices, ListFileSystems, ListMounts, ListUses, Mount, Mounted,
    Place, Release, Umount, Use, UseKind,
};
use qplug_testbed::image::Image;
use serde_json::json;

use super::room::Room;

/// Writes a table of one Linux partition that begins at 1 MiB.
fn partition(image: &Image) {
    let sectors = u32::try_from(image.bytes / 512).unwrap() - 2048;
    let mut entry = vec![0_u8; 8];
    entry[4] = 0x83;
    entry.extend(2048_u32.to_le_bytes());
    entry.extend(sectors.to_le_bytes());
    image.write(446, &entry).unwrap();
    image.write(510, &[0x55, 0xaa]).unwrap();
}

async fn uses(room: &Room) -> Vec<(UseKind, String)> {
    let uses = room.ask(&ListUses { device: "data".to_owned() }).await;
    uses.into_iter().map(|it| (it.kind, it.by.display())).collect()
}

pub(crate) fn mount(device: &str, path: &str) -> Mount {
    Mount {
        device: device.to_owned(),
        path: path.into(),
        kind: None,
        read_only: false,
        allow: Vec::new(),
        data: None,
    }
}

#[tokio::test]
async fn a_disk_is_partitioned_formatted_mounted_and_taken_out() {
    for room in Room::each("a_disk_is_partitioned_formatted_mounted_and_taken_out").await {
        let files = room.files().await;
        assert!(room.ask(&ListDevices {}).await.is_empty());
        let (data, plain) = (room.image("data.img", 64), room.image("plain.img", 8));
        partition(&data);
        let device = room.add("data", &data.path, false).await;
        assert_eq!(device.bytes, 64 << 20);
        assert_eq!(device.partitions[0].start_bytes, 1 << 20);
        let second = room.add("plain", &plain.path, true).await;
        assert!(second.read_only && second.sequence > device.sequence);
        assert_eq!(room.ask(&ListDevices {}).await, [device.clone(), second]);

        room.run(&files, 1, "mkfs.ext4 -q -L root /dev/disk/qplug/data:1").await;
        let found = room.ask(&ListFileSystems::default()).await;
        let told = |at: usize| (found[at].device.as_str(), found[at].kind.as_deref());
        assert_eq!((told(0), told(1)), (("data:1", Some("ext4")), ("plain", None)));
        assert_eq!(found[0].label, Some("root".into()));
        assert!(found[0].uuid.is_some());

        let expected = Mounted {
            path: "/".into(),
            device: "data:1".to_owned(),
            kind: "ext4".to_owned(),
            options: "rw,nosuid,nodev,noexec,relatime".to_owned(),
        };
        assert_eq!(room.ask(&mount("data:1", "/")).await, expected);
        assert_eq!(room.ask(&ListMounts {}).await, [expected]);

        let used = Use { kind: UseKind::Mount, device: "data:1".to_owned(), by: "/".into() };
        let uses = room.ask(&ListUses { device: "data".to_owned() }).await;
        assert_eq!(uses, std::slice::from_ref(&used));
        let release = |force| Release { device: "data".to_owned(), force };
        assert_eq!(room.ask(&release(false)).await, [used]);
        assert!(room.remove("data", false).await.is_err());
        room.ask(&Umount { path: Some("/".into()), force: false }).await;
        assert!(room.ask(&release(false)).await.is_empty());
        room.remove("data", false).await.unwrap();
        room.remove("plain", false).await.unwrap();
        assert!(room.ask(&ListDevices {}).await.is_empty());
        let links = room.run(&files, 2, "echo /dev/disk/qplug/*").await;
        assert_eq!(links.trim(), "/dev/disk/qplug/*", "no link is left");
        // What was written before the disk left is in the image.
        assert_eq!(data.read((1 << 20) + 0x438, 2).unwrap(), [0x53, 0xef]);
    }
}

#[tokio::test]
async fn each_use_of_a_disk_is_told_and_a_mounted_one_can_be_forced_out() {
    for room in Room::each("each_use_of_a_disk_is_told_and_a_mounted_one_can_be_forced_out").await {
        let files = room.files().await;
        let image = room.image("data.img", 64);
        image.make_ext4().unwrap();
        room.add("data", &image.path, false).await;
        assert!(uses(&room).await.is_empty());

        // A process has it open, and is not waited for.
        let stream = files.open(1);
        let command = "sleep() { read -r line; }; exec 3</dev/disk/qplug/data; echo open; sleep";
        let wish = qplug_agent::wire::Run {
            command: qplug_agent::wire::Line::Shell(command.to_owned()),
            stdout: 1,
            stderr: None,
            stdin: Some(2),
        };
        let input = files.open(2);
        let agent = room.appliance().agent().await.unwrap().clone();
        let options = Some(&wish);
        let running = agent.client().execute_oob("run", options);
        let watching = async {
            let stream = tokio::task::spawn_blocking(move || {
                let mut stream = stream;
                std::io::Read::read_exact(&mut stream, &mut [0; 5]).unwrap();
                stream
            });
            let stream = stream.await.unwrap();
            let found = uses(&room).await;
            assert!(
                matches!(&found[..], [(UseKind::Open, by)] if by.starts_with("sh (process ")),
                "{found:?}"
            );
            tokio::task::spawn_blocking(move || input.send(b"done\n")).await.unwrap();
            stream
        };
        let (ended, _) = tokio::join!(running, watching);
        assert_eq!(ended.unwrap().get(), r#"{"status":0}"#);
        assert!(uses(&room).await.is_empty());

        room.ask(&mount("data", "/mnt/a")).await;
        room.ask(&mount("data", "/mnt/b c")).await;
        let mounts = ["/mnt/a", "/mnt/b c"].map(|path| (UseKind::Mount, path.to_owned()));
        assert_eq!(uses(&room).await, mounts);
        room.remove("data", true).await.unwrap();
        assert!(room.ask(&ListMounts {}).await.is_empty());
        assert!(room.ask(&ListDevices {}).await.is_empty());
    }
}

#[tokio::test]
async fn swap_and_what_lies_on_a_disk_keep_it_in() {
    for room in Room::each("swap_and_what_lies_on_a_disk_keep_it_in").await {
        let files = room.files().await;
        let image = room.image("data.img", 64);
        partition(&image);
        room.add("data", &image.path, false).await;
        room.run(&files, 1, "mkswap -L s /dev/disk/qplug/data:1").await;
        let found = room.ask(&ListFileSystems { device: Some("data:1".to_owned()) }).await;
        assert_eq!((found[0].kind.as_deref(), &found[0].label), (Some("swap"), &Some("s".into())));
        room.run(&files, 2, "swapon /dev/disk/qplug/data:1").await;
        let swaps = uses(&room).await;
        assert!(matches!(&swaps[..], [(UseKind::Swap, _)]), "{swaps:?}");
        assert!(room.remove("data", false).await.is_err());
        room.run(&files, 3, "swapoff /dev/disk/qplug/data:1").await;
        assert!(uses(&room).await.is_empty());

        // The driver is loaded because somebody wants it.
        let create = "dmsetup create top \
            --table '0 40960 linear /dev/disk/qplug/data:1 0'";
        room.run(&files, 4, create).await;
        assert_eq!(uses(&room).await, [(UseKind::Dm, "/dev/mapper/top".to_owned())]);
        room.run(&files, 5, "mkfs.ext4 -q /dev/mapper/top").await;
        let found = room.ask(&ListFileSystems::default()).await;
        assert!(
            found
                .iter()
                .any(|it| it.device == "/dev/mapper/top" && it.kind.as_deref() == Some("ext4"))
        );
        assert_eq!(room.ask(&mount("/dev/mapper/top", "/")).await.device, "/dev/mapper/top");
        let both = [(UseKind::Mount, "/".to_owned()), (UseKind::Dm, "/dev/mapper/top".to_owned())];
        assert_eq!(uses(&room).await, both);
        room.ask(&Umount { path: None, force: false }).await;
        room.run(&files, 6, "dmsetup remove top").await;
        assert!(uses(&room).await.is_empty());

        // A mirror with one side, made through sysfs, as a program for these may not be on this host.
        let create = "set -e; modprobe raid1; cd /sys
            echo md_top > module/md_mod/parameters/new_array
            for part in class/block/sd?1; do read -r numbers < $part/dev; done
            cd block/md_top/md
            echo none > metadata_version; echo raid1 > level; echo 2 > raid_disks
            echo $numbers > new_dev; echo 0 > dev-${part##*/}/slot
            echo 10240 > component_size; echo active > array_state";
        room.run(&files, 7, create).await;
        assert_eq!(uses(&room).await, [(UseKind::Md, "/dev/md_top".to_owned())]);
        assert!(room.remove("data", false).await.is_err());
        room.run(&files, 8, "echo clear > /sys/block/md_top/md/array_state").await;
        room.remove("data", false).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_host_changes_is_told() {
    for room in Room::each("what_the_host_changes_is_told").await {
        let image = room.image("data.img", 8);
        room.add("data", &image.path, false).await;
        let mut events = room.appliance().agent().await.unwrap().events();
        let machine = room.appliance().machine().await.unwrap();
        let arguments = json!({"node-name": "data.format", "size": 16 << 20});
        machine.client().execute("block_resize", Some(&arguments)).await.unwrap();
        let changed = async {
            loop {
                let event = events.next().await.unwrap();
                if event.name == DISK_CHANGED {
                    return event.data.as_ref().unwrap().get().to_owned();
                }
            }
        };
        let data = tokio::time::timeout(std::time::Duration::from_secs(20), changed).await.unwrap();
        assert!(data.contains("\"bytes\":16777216"), "{data}");
        assert_eq!(room.ask(&ListDevices {}).await[0].bytes, 16 << 20);
    }
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_its_own_command_only() {
    for room in Room::each("a_disk_that_hangs_holds_up_its_own_command_only").await {
        let files = room.files().await;
        let image = room.image("data.img", 64);
        image.make_ext4().unwrap();
        room.add("data", &image.path, false).await;
        room.ask(&mount("data", "/")).await;
        // The second disk of a controller makes Linux wait for all that is under way on the first.
        let second = room.image("second.img", 8);
        room.add("second", &second.path, false).await;
        let machine = room.appliance().machine().await.unwrap();
        let throttle = async |bytes_per_second: u64| {
            let none =
                ["bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"].map(|name| (name, json!(0)));
            let mut wish: serde_json::Map<_, _> =
                none.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            wish.insert("id".to_owned(), json!("data"));
            wish.insert("bps".to_owned(), json!(bytes_per_second));
            machine.client().execute("block_set_io_throttle", Some(&wish)).await.unwrap();
        };
        // A byte a second is as good as none, and can be ended.
        throttle(1).await;
        let stream = files.open(1);
        let wish = Download {
            from: Place::Device("data".to_owned()),
            stream: 1,
            offset: Some(40 << 20),
            bytes: Some(1 << 20),
        };
        let agent = room.appliance().agent().await.unwrap().clone();
        let hanging = tokio::spawn(async move {
            agent.client().execute_oob("download", Some(&wish)).await.unwrap();
        });
        assert_eq!(room.ask(&ListDevices {}).await.len(), 2);
        assert_eq!(room.ask(&ListMounts {}).await.len(), 1);
        assert_eq!(room.run(&files, 2, "echo alive").await, "alive\n");
        let open = uses(&room).await;
        assert!(open.iter().any(|(kind, _)| *kind == UseKind::Open), "{open:?}");
        // Another disk comes and goes meanwhile.
        let other = room.image("other.img", 8);
        room.add("other", &other.path, false).await;
        room.remove("other", false).await.unwrap();
        assert!(!hanging.is_finished());
        throttle(0).await;
        let content = tokio::task::spawn_blocking(move || stream.receive().unwrap());
        assert_eq!(content.await.unwrap().len(), 1 << 20);
        hanging.await.unwrap();
    }
}

#[tokio::test]
async fn names_do_not_move_with_the_kernels_and_the_appliances_own_disks_have_none() {
    for room in
        Room::each("names_do_not_move_with_the_kernels_and_the_appliances_own_disks_have_none")
            .await
    {
        let files = room.files().await;
        let machine = room.appliance().machine().await.unwrap();
        let own = room.image("root.img", 8);
        room.plug_in(&machine, "qplug.root", &own.path).await;
        for label in ["a", "b", "c"] {
            let image = room.image(label, 8);
            image.write(0, label.as_bytes()).unwrap();
            room.add(label, &image.path, false).await;
        }
        let labels = async || -> Vec<String> {
            let devices = room.ask(&ListDevices {}).await;
            devices.into_iter().map(|device| device.label.unwrap()).collect()
        };
        assert_eq!(labels().await, ["a", "b", "c"]);
        // The kernel gives the names that are free to the next that comes.
        room.remove("a", false).await.unwrap();
        let again = room.folder.path().join("a");
        room.add("d", &again, false).await;
        room.remove("b", false).await.unwrap();
        room.add("a", &room.folder.path().join("b"), false).await;
        assert_eq!(labels().await, ["c", "d", "a"]);
        let links = room.run(&files, 1, "echo /dev/disk/qplug/*").await;
        let expected = ["a", "c", "d"].map(|label| format!("/dev/disk/qplug/{label}"));
        assert_eq!(links.split_whitespace().collect::<Vec<_>>(), expected);
        for (number, (label, byte)) in (10..).zip([("c", b'c'), ("d", b'a'), ("a", b'b')]) {
            let stream = files.open(number);
            let wish = Download {
                from: Place::Device(label.to_owned()),
                stream: number,
                offset: None,
                bytes: Some(1),
            };
            let content = tokio::task::spawn_blocking(move || stream.receive().unwrap());
            room.ask(&wish).await;
            assert_eq!(content.await.unwrap(), [byte], "{label}");
        }
    }
}
