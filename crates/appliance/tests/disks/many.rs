//! Many disks, and one many times.

use std::time::Instant;

use super::room::{Room, content, disk, label, labels};

async fn listed_in_order(room: &Room, count: usize) {
    let appliance = room.launched().await;
    let image = |index: usize| {
        let path = room.image(&format!("{index}.img"), &index.to_le_bytes(), 4096);
        disk(None, &path)
    };
    let start = Instant::now();
    for added in appliance.add_disks((1..=count).map(image).collect()).await.unwrap() {
        added.unwrap();
    }
    println!("{count} disks added and seen in {:?}", start.elapsed());
    let expected: Vec<_> = (1..=count).map(|index| format!("disk{index}")).collect();
    assert_eq!(labels(&appliance).await, expected);
    let found = appliance.list_filesystems().await.unwrap();
    assert_eq!(found.into_iter().map(|found| found.device).collect::<Vec<_>>(), expected);
    for (index, label) in (1..=count).zip(&expected) {
        let content = content(&appliance, label).await;
        assert_eq!(content.len(), 4096, "{label}");
        assert_eq!(content[..8], index.to_le_bytes(), "{label}");
    }
    println!("and read in {:?}", start.elapsed());
    appliance.down().await.unwrap();
}

#[tokio::test]
async fn a_hundred_disks_are_listed_in_the_order_in_which_they_came() {
    for room in Room::each("a_hundred_disks_are_listed_in_the_order_in_which_they_came") {
        listed_in_order(&room, 100).await;
    }
}

#[tokio::test]
#[ignore = "slow: two machines with 255 disks each"]
async fn as_many_disks_as_a_controller_has_targets_for_are_listed_in_order() {
    for room in Room::each("as_many_disks_as_a_controller_has_targets_for_are_listed_in_order") {
        listed_in_order(&room, 255).await;
    }
}

#[tokio::test]
async fn the_same_label_and_image_come_and_go_fifty_times() {
    for room in Room::each("the_same_label_and_image_come_and_go_fifty_times") {
        let appliance = room.launched().await;
        let start = Instant::now();
        for round in 0..50_u64 {
            let image = room.image("data.img", &round.to_le_bytes(), 4096);
            let mut disk = disk(Some("data"), &image);
            disk.read_only = round % 2 == 1;
            let device = appliance.add_disk(disk).await.unwrap();
            assert_eq!(device.read_only, round % 2 == 1);
            assert_eq!(content(&appliance, "data").await[..8], round.to_le_bytes());
            appliance.remove_disk(&label("data"), false).await.unwrap();
            assert!(labels(&appliance).await.is_empty());
        }
        println!("50 rounds in {:?}", start.elapsed());
        appliance.down().await.unwrap();
    }
}
