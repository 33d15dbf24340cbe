//! Labels stay where the kernel's names move.

use super::room::{Room, content, disk, label, labels, run};

/// A process that has a device open keeps its kernel's name from being given away, and gives it free
/// when it ends.
#[tokio::test]
async fn labels_and_links_stay_right_while_the_kernels_names_are_shuffled() {
    let test = "labels_and_links_stay_right_while_the_kernels_names_are_shuffled";
    for room in Room::each(test) {
        let appliance = room.launched().await;
        let image = |name: &str| room.image(name, name.as_bytes(), 4096);
        for name in ["a", "b", "c"] {
            appliance.add_disk(disk(Some(name), &image(name))).await.unwrap();
        }
        let kernel_name = async |name: &str| -> String {
            let devices = appliance.list_devices().await.unwrap();
            let found = devices.into_iter().find(|it| it.label.as_deref() == Some(name));
            found.unwrap().kernel_name
        };
        let (first, held) = (kernel_name("a").await, kernel_name("b").await);
        let hold = "sleep 1000 </dev/disk/qplug/b >/dev/null 2>&1 & echo $!";
        let holder = run(&appliance, hold).await;
        let refused = appliance.remove_disk(&label("b"), false).await.unwrap_err().to_string();
        assert!(refused.contains("has b open"), "{refused}");
        appliance.remove_disk(&label("b"), true).await.unwrap();
        appliance.remove_disk(&label("a"), false).await.unwrap();
        assert_eq!(labels(&appliance).await, ["c"]);

        // The name that is free is given to the next, the one that is held to none.
        appliance.add_disk(disk(Some("d"), &image("d"))).await.unwrap();
        appliance.add_disk(disk(Some("b"), &image("e"))).await.unwrap();
        assert_eq!(labels(&appliance).await, ["c", "d", "b"]);
        assert_eq!(kernel_name("d").await, first);
        assert_ne!(kernel_name("b").await, held);
        run(&appliance, &format!("kill {}", holder.trim())).await;
        appliance.add_disk(disk(Some("a"), &image("f"))).await.unwrap();
        assert_eq!(labels(&appliance).await, ["c", "d", "b", "a"]);

        for (name, byte) in [("c", b'c'), ("d", b'd'), ("b", b'e'), ("a", b'f')] {
            assert_eq!(content(&appliance, name).await[0], byte, "{name}");
            let linked = run(&appliance, &format!("head -c 1 /dev/disk/qplug/{name}")).await;
            assert_eq!(linked.as_bytes(), [byte], "{name}");
        }
        let links = run(&appliance, "cd /dev/disk/qplug && echo *").await;
        assert_eq!(links.trim(), "a b c d");
        appliance.down().await.unwrap();
    }
}

#[tokio::test]
async fn disks_that_come_and_go_before_between_and_after_leave_the_others_alone() {
    let test = "disks_that_come_and_go_before_between_and_after_leave_the_others_alone";
    for room in Room::each(test) {
        let appliance = room.launched().await;
        let image = |name: &str| room.image(name, name.as_bytes(), 4096);
        for name in ["a", "b", "c", "d", "e"] {
            appliance.add_disk(disk(Some(name), &image(name))).await.unwrap();
        }
        let left = [("a", "bcde"), ("c", "bde"), ("e", "bd")];
        for (name, left) in left {
            appliance.remove_disk(&label(name), false).await.unwrap();
            assert_eq!(labels(&appliance).await.concat(), left);
        }
        for (name, all) in [("e", "bde"), ("a", "bdea"), ("c", "bdeac")] {
            appliance.add_disk(disk(Some(name), &image(name))).await.unwrap();
            assert_eq!(labels(&appliance).await.concat(), all);
        }
        for name in ["a", "b", "c", "d", "e"] {
            assert_eq!(content(&appliance, name).await[0], name.as_bytes()[0], "{name}");
        }
        appliance.down().await.unwrap();
    }
}

#[tokio::test]
async fn a_disk_without_a_label_gets_one_and_a_label_is_free_once_its_disk_is_gone() {
    let test = "a_disk_without_a_label_gets_one_and_a_label_is_free_once_its_disk_is_gone";
    for room in Room::each(test) {
        let appliance = room.launched().await;
        let image = |name: &str| room.image(name, name.as_bytes(), 4096);
        let wish = |name: Option<&str>, file: &str| disk(name, &image(file));
        let data = appliance.add_disk(wish(Some("data"), "a")).await.unwrap();
        assert_eq!((data.label.as_deref(), data.bytes), (Some("data"), 4096));
        let others = vec![wish(None, "b"), wish(Some("zero"), "c"), wish(None, "d")];
        for added in appliance.add_disks(others).await.unwrap() {
            added.unwrap();
        }
        assert_eq!(labels(&appliance).await, ["data", "disk1", "zero", "disk2"]);
        appliance.remove_disk(&label("zero"), false).await.unwrap();
        assert_eq!(labels(&appliance).await, ["data", "disk1", "disk2"]);
        // The label and the image are free the moment it has gone.
        appliance.add_disk(wish(Some("zero"), "c")).await.unwrap();
        assert_eq!(labels(&appliance).await, ["data", "disk1", "disk2", "zero"]);
        appliance.down().await.unwrap();
    }
}
