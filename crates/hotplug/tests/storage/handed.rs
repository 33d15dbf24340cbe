//! Open files that are handed over.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt;

use qplug_hotplug::{Disk, Error, ImageError, Machine, Storage};
use qplug_qmp::{Address, Client};
use qplug_testbed::{Board, Machine as Real, Qemu};
use serde_json::json;

use crate::bench::{Bench, can_be_opened, make};

#[tokio::test]
async fn open_files_and_paths_that_are_opened_here() {
    for version in Qemu::of_all_ages("descriptors") {
        let mut bench = Bench::new(&version).await;
        for format in ["raw", "qcow2"] {
            let path = bench.path(&format!("{format}.img"));
            make(&path, format, &[]);
            for read_only in [false, true] {
                let what = format!("{format} {read_only}");
                let look =
                    || Ok(Storage::path(&path).hand_over(true).read_only(read_only).look()?);
                bench.round(&what, look).await;
                let open = || {
                    let file = OpenOptions::new().read(true).write(!read_only).open(&path).unwrap();
                    Ok(Storage::descriptor(file.into()).read_only(read_only).look()?)
                };
                bench.round(&what, open).await;
            }
            can_be_opened(&path);
        }
    }
}

#[tokio::test]
async fn qemu_need_not_be_able_to_open_the_path() {
    for version in Qemu::of_all_ages("hidden path") {
        let mut bench = Bench::new(&version).await;
        let hidden = bench.path("hidden");
        fs::create_dir(&hidden).unwrap();
        let path = hidden.join("a.img");
        make(&path, "raw", &[]);
        let open = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        // A name that is gone is as good as one that may not be opened, and holds for root too.
        fs::remove_file(&path).unwrap();
        let look = || Ok(Storage::descriptor(open.try_clone().unwrap().into()).look()?);
        bench.round("no path", look).await;
    }
}

#[tokio::test]
async fn the_same_file_is_known_and_another_is_refused() {
    for version in Qemu::of_all_ages("same file") {
        let mut bench = Bench::new(&version).await;
        let [one, other] = ["one.img", "other.img"].map(|name| bench.path(name));
        make(&one, "raw", &[]);
        make(&other, "raw", &[]);
        let handed = |path| Storage::path(path).hand_over(true).look().unwrap();
        bench.attach(handed(&one)).await.unwrap();
        let error = bench.attach(handed(&other)).await.unwrap_err();
        assert!(matches!(error, Error::NameTaken { .. }), "{error}");
        let second = Disk::named("second").unwrap().storage(handed(&one)).unwrap();
        let error = bench.machine.attach(second).await.unwrap_err();
        assert!(matches!(error, Error::ImageInUse { .. }), "{error}");
        bench.detach("same file").await;
        let twice =
            ["x", "y"].map(|name| Disk::named(name).unwrap().storage(handed(&one)).unwrap());
        let outcomes = bench.machine.attach_all(twice.into()).await;
        assert!(outcomes.iter().all(Result::is_err));
        bench.is_clean("twice in a list");
    }
}

/// What a client left that died between handing over and opening.
#[tokio::test]
async fn a_set_that_nobody_came_to_use_is_removed_by_the_next_attach() {
    for version in Qemu::of_all_ages("left set") {
        let mut bench = Bench::new(&version).await;
        let path = bench.path("a.img");
        make(&path, "raw", &[]);
        let handed = || Storage::path(&path).hand_over(true).look().unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let arguments = json!({"fdset-id": 5, "opaque": "qplug data 1:1"});
        let client = bench.machine.client();
        client.execute_with_fds("add-fd", Some(&arguments), vec![file.into()]).await.unwrap();
        bench.attach(handed()).await.unwrap();
        bench.detach("left set").await;
    }
}

/// A client that died after it had opened the image, and before it plugged the device.
#[tokio::test]
async fn what_was_opened_from_a_set_is_gone_on_with() {
    for version in Qemu::of_all_ages("resumed set") {
        let mut bench = Bench::new(&version).await;
        let [path, other] = ["a.img", "b.img"].map(|name| bench.path(name));
        make(&path, "raw", &[]);
        make(&other, "raw", &[]);
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let seen = file.metadata().unwrap();
        let owner = format!("qplug data {}:{}", seen.dev(), seen.ino());
        let client = bench.machine.client();
        let arguments = json!({"fdset-id": 5, "opaque": owner});
        client.execute_with_fds("add-fd", Some(&arguments), vec![file.into()]).await.unwrap();
        let nodes = json!({
            "driver": "raw", "node-name": "data.format",
            "file": {"driver": "file", "node-name": "data.file", "filename": "/dev/fdset/5"},
        });
        client.execute("blockdev-add", Some(&nodes)).await.unwrap();
        let handed = |path| Storage::path(path).hand_over(true).look().unwrap();
        let error = bench.attach(handed(&other)).await.unwrap_err();
        assert!(matches!(error, Error::NameHalfDone { .. }), "{error}");
        assert!(!bench.attach(handed(&path)).await.unwrap().already);
        bench.detach("resumed set").await;
    }
}

#[tokio::test]
async fn only_a_unix_socket_carries_them() {
    let Some(version) = Qemu::of_all_ages("tcp").into_iter().next() else { return };
    let port = qplug_testbed::nbd::free_port().unwrap();
    let monitor = format!("tcp:127.0.0.1:{port},server=on,wait=off");
    let real = Real::builder(&version, Board::Pc).arguments(["-qmp".to_owned(), monitor]);
    let real = real.halted().unwrap();
    let path = real.folder().join("a.img");
    make(&path, "raw", &[]);
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port };
    let machine = Machine::new(Client::connect(&address).await.unwrap());
    let storage = Storage::path(&path).hand_over(true).look().unwrap();
    let error = machine.attach(Disk::named("data").unwrap().storage(storage).unwrap()).await;
    let error = error.unwrap_err();
    let expected = matches!(
        &error,
        Error::Disk(qplug_hotplug::DiskError::Image(ImageError::NoDescriptors { .. }))
    );
    assert!(expected, "{error}");
}
