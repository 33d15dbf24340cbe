//! Files in and out of appliances of real QEMUs, several at once, and what becomes of those that do not arrive.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use qplug_appliance::{Appliance, Counted, Error, MAX_CLIENTS, Name, down, wire};
use qplug_testbed::image::{Format, Image};
use tokio::io::{AsyncWriteExt as _, DuplexStream};

use super::room::{Room, disk};

/// How long what goes on beside a stalled copy may take.
const AT_ONCE: Duration = Duration::from_secs(20);

/// Nobody looks how far it is.
fn unwatched(_: u64, _: Option<u64>) {}

/// Bytes that no other block of the file has.
fn content(bytes: usize) -> Vec<u8> {
    let words = (0..bytes.div_ceil(4) as u32).map(|at| at.wrapping_mul(2_654_435_761));
    let mut content: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
    content.truncate(bytes);
    content
}

/// An appliance with a file system of so many MiB on `/`.
async fn with_file_system(room: &Room, mib: u64) -> Appliance {
    let appliance = room.launched().await;
    let image = Image::create(room.folder.path(), "data.img", Format::Raw, mib << 20).unwrap();
    image.make_ext4().unwrap();
    appliance.add_disk(disk(Some("data"), &image.path)).await.unwrap();
    mount(&appliance).await;
    appliance
}

async fn mount(appliance: &Appliance) {
    let wish = wire::Mount {
        device: "data".to_owned(),
        path: "/".into(),
        kind: None,
        read_only: false,
        allow: Vec::new(),
        data: None,
    };
    appliance.agent().await.unwrap().run(&wish).await.unwrap();
}

async fn names(appliance: &Appliance) -> Vec<Name> {
    let wish = wire::Ls { path: "/".into(), from: None, limit: None, long: false };
    let listing = appliance.agent().await.unwrap().run(&wish).await.unwrap();
    let names = listing.entries.into_iter().map(|entry| entry.name);
    names.filter(|name| name.as_bytes() != b"lost+found").collect()
}

/// Whether QEMU and the agent know no disk but the user's.
async fn only_the_users_disk(appliance: &Appliance) {
    let devices = appliance.list_devices().await.unwrap();
    assert_eq!(devices.len(), 1, "{devices:?}");
    let listed = appliance.machine().await.unwrap().list().await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
}

/// Copies in and out, and tells how long each took.
async fn there_and_back(appliance: &Appliance, folder: &Path, sent: &[u8], name: &[u8]) -> String {
    let (from, to) = (folder.join(OsStr::from_bytes(name)), folder.join("back"));
    fs::write(&from, sent).unwrap();
    let inside = Name::from([b"/", name].concat());
    let start = Instant::now();
    let moved = appliance.copy_in(&from, inside.clone(), &unwatched).await.unwrap();
    let up = start.elapsed();
    assert_eq!(moved, sent.len() as u64);
    let start = Instant::now();
    assert_eq!(appliance.copy_out(inside, &to, &unwatched).await.unwrap(), moved);
    assert!(fs::read(&to).unwrap() == sent, "something else came back");
    format!("{} bytes up in {up:?}, down in {:?}", sent.len(), start.elapsed())
}

#[tokio::test]
async fn files_of_any_size_and_name_come_back_as_they_were() {
    for room in Room::each("files_of_any_size_and_name_come_back_as_they_were") {
        let appliance = with_file_system(&room, 96).await;
        let folder = room.folder.path();
        let longest: Vec<u8> = (1..=u8::MAX).filter(|byte| *byte != b'/').chain([b'x']).collect();
        assert_eq!(longest.len(), 255);
        let large = content((64 << 20) + 777);
        println!("{}", there_and_back(&appliance, folder, &large, &longest).await);
        only_the_users_disk(&appliance).await;
        // Through the port, which takes what is small.
        println!("{}", there_and_back(&appliance, folder, &large[..8 << 20], b"small").await);
        there_and_back(&appliance, folder, b"", b" -\\n\xff ").await;
        let found = names(&appliance).await;
        assert!(found.contains(&Name::from(longest)) && found.len() == 3, "{found:?}");
        what_does_not_fit_leaves_nothing(&appliance, folder).await;
        a_new_file_takes_after_the_old_one(&appliance, folder).await;
        appliance.down().await.unwrap();
    }
}

async fn what_does_not_fit_leaves_nothing(appliance: &Appliance, folder: &Path) {
    let before = names(appliance).await;
    let from = folder.join("too large");
    fs::write(&from, content(100 << 20)).unwrap();
    let refused = appliance.copy_in(&from, "/small".into(), &unwatched).await.unwrap_err();
    assert!(refused.to_string().contains("No space left"), "{refused}");
    let to = wire::Place::Path("/other".into());
    let mut endless = tokio::io::repeat(7);
    let refused = appliance.upload(&mut endless, to, None).await.unwrap_err();
    assert!(refused.to_string().contains("No space left"), "{refused}");
    assert_eq!(names(appliance).await, before);
    only_the_users_disk(appliance).await;
    // The old file is still there.
    let back = folder.join("back");
    appliance.copy_out("/small".into(), &back, &unwatched).await.unwrap();
    assert_eq!(fs::metadata(&back).unwrap().len(), 8 << 20);
    // A host without room.
    let full = appliance.copy_out("/small".into(), Path::new("/dev/full"), &unwatched).await;
    let full = full.unwrap_err().to_string();
    assert!(full.contains("No space left"), "{full}");
    let refused = appliance.copy_in(folder, "/folder".into(), &unwatched).await.unwrap_err();
    assert!(refused.to_string().contains("is a folder"), "{refused}");
    let refused = appliance.copy_out("/lost+found".into(), &back, &unwatched).await.unwrap_err();
    assert!(refused.to_string().contains("is a folder"), "{refused}");
    let drafts = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name());
    let drafts: Vec<_> = drafts.filter(|name| name.as_bytes().starts_with(b".qplug")).collect();
    assert!(drafts.is_empty(), "{drafts:?}");
}

async fn a_new_file_takes_after_the_old_one(appliance: &Appliance, folder: &Path) {
    let agent = appliance.agent().await.unwrap();
    let stat = || wire::Stat { path: "/mode".into(), link: false };
    let from = folder.join("mode");
    fs::write(&from, "one").unwrap();
    fs::set_permissions(&from, fs::Permissions::from_mode(0o750)).unwrap();
    appliance.copy_in(&from, "/mode".into(), &unwatched).await.unwrap();
    assert_eq!(agent.run(&stat()).await.unwrap().mode, 0o750);
    agent.run(&wire::Chmod { path: "/mode".into(), mode: 0o4711 }).await.unwrap();
    fs::write(&from, "two!").unwrap();
    appliance.copy_in(&from, "/mode".into(), &unwatched).await.unwrap();
    let status = agent.run(&stat()).await.unwrap();
    assert_eq!((status.mode, status.bytes), (0o4711, 4));
    let to = folder.join("kept");
    fs::write(&to, "old").unwrap();
    fs::set_permissions(&to, fs::Permissions::from_mode(0o604)).unwrap();
    let link = folder.join("link");
    std::os::unix::fs::symlink(&to, &link).unwrap();
    appliance.copy_out("/mode".into(), &link, &unwatched).await.unwrap();
    assert_eq!(fs::read(&to).unwrap(), b"two!");
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o604);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

/// A client with a copy under way that does not get on: nobody reads, or writes, the other end.
async fn stalled_upload(
    room: &Room,
) -> (tokio::task::JoinHandle<Result<u64, Error>>, DuplexStream) {
    let (mut ours, mut theirs) = tokio::io::duplex(64 << 10);
    let appliance = Appliance::open(&room.registry, &Room::name()).unwrap();
    let (started, has_started) = tokio::sync::oneshot::channel();
    let started = std::sync::Mutex::new(Some(started));
    let copy = tokio::spawn(async move {
        let tell = |moved: u64, _: Option<u64>| {
            if moved >= 1 << 20
                && let Some(started) = started.lock().unwrap().take()
            {
                started.send(()).unwrap();
            }
        };
        let mut source = Counted::new(&mut theirs, None, &tell);
        let to = wire::Place::Path("/stalled".into());
        appliance.upload(&mut source, to, None).await
    });
    ours.write_all(&vec![1; (1 << 20) + (64 << 10)]).await.unwrap();
    tokio::time::timeout(AT_ONCE, has_started).await.unwrap().unwrap();
    (copy, ours)
}

#[tokio::test]
async fn a_copy_that_stalls_holds_up_nobody_and_one_that_is_killed_leaves_nothing() {
    let test = "a_copy_that_stalls_holds_up_nobody_and_one_that_is_killed_leaves_nothing";
    for room in Room::each(test) {
        drop(with_file_system(&room, 64).await);
        let mut stalled = Vec::new();
        for _ in 1..MAX_CLIENTS {
            stalled.push(stalled_upload(&room).await);
        }
        let beside = async {
            let appliance = Appliance::open(&room.registry, &Room::name()).unwrap();
            assert_eq!(names_without_drafts(&appliance).await, Vec::<Name>::new());
            assert_eq!(appliance.list_devices().await.unwrap().len(), 1);
            there_and_back(&appliance, room.folder.path(), &content(20 << 20), b"beside").await
        };
        tokio::time::timeout(AT_ONCE, beside).await.expect("a stalled copy holds others up");
        // Each of them dies as a process does: with its connections.
        for (copy, _) in &stalled {
            copy.abort();
        }
        drop(stalled);
        let appliance = Appliance::open(&room.registry, &Room::name()).unwrap();
        let deadline = Instant::now() + AT_ONCE;
        let agent = appliance.agent().await.unwrap();
        while names(&appliance).await != [Name::from("beside")] {
            assert!(Instant::now() < deadline, "{:?}", names(&appliance).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Their files are closed, too.
        while let Err(busy) = agent.run(&wire::Umount { path: None, force: false }).await {
            assert!(Instant::now() < deadline, "{busy}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        mount(&appliance).await;
        drop(appliance);
        // All lanes are free again, and the last is not for them.
        let all: Vec<_> = (0..MAX_CLIENTS)
            .map(|_| Appliance::open(&room.registry, &Room::name()).unwrap())
            .collect();
        for appliance in &all {
            tokio::time::timeout(AT_ONCE, appliance.agent()).await.unwrap().unwrap();
        }
        let start = Instant::now();
        down(&room.registry, &Room::name()).await.unwrap();
        assert!(start.elapsed() < AT_ONCE, "who takes it down waits for others");
    }
}

async fn names_without_drafts(appliance: &Appliance) -> Vec<Name> {
    let mut found = names(appliance).await;
    found.retain(|name| !name.as_bytes().starts_with(b".qplug-draft-"));
    found
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_gibibyte_goes_in_and_out_of_an_appliance() {
    const BYTES: usize = 1 << 30;
    for room in Room::each("a_gibibyte_goes_in_and_out_of_an_appliance") {
        let appliance = with_file_system(&room, 2560).await;
        println!(
            "{}",
            there_and_back(&appliance, room.folder.path(), &content(BYTES), b"big").await
        );
        // Through the port.
        let (from, to) = (room.folder.path().join("big"), room.folder.path().join("back"));
        let place = || wire::Place::Path("/port".into());
        let mut source = tokio::fs::File::open(&from).await.unwrap();
        let start = Instant::now();
        appliance.upload(&mut source, place(), None).await.unwrap();
        let up = start.elapsed();
        let mut sink = tokio::fs::File::create(&to).await.unwrap();
        let start = Instant::now();
        appliance.download(place(), &mut sink).await.unwrap();
        sink.flush().await.unwrap();
        println!("through the port: up in {up:?}, down in {:?}", start.elapsed());
        assert!(fs::read(&to).unwrap() == fs::read(&from).unwrap(), "something else came back");
        appliance.down().await.unwrap();
    }
}
