//! Images that another process has open: found before anything is sent.

use qplug_hotplug::{DeviceOptions, Disk, DiskError, Error, ImageError, Meaning, Storage};
use qplug_testbed::Qemu;
use qplug_testbed::image::{Format, Image};

use crate::bench::{BYTES, Bench};

fn is_locked(error: &Error) -> bool {
    matches!(error, Error::Disk(DiskError::Image(ImageError::Locked { .. })))
}

#[tokio::test]
async fn a_writer_elsewhere_leaves_no_room() {
    for version in Qemu::of_all_ages("locks") {
        let mut bench = Bench::new(&version).await;
        for format in Format::ALL {
            let folder = bench.qemu.folder().to_owned();
            let image = Image::create(&folder, "a.img", format, BYTES).unwrap();
            let look = |read_only| Storage::path(&image.path).read_only(read_only).look().unwrap();
            let holder = image.lock().unwrap();
            for read_only in [false, true] {
                let error = bench.attach(look(read_only)).await.unwrap_err();
                assert!(is_locked(&error), "{format:?} {read_only}: {error}");
                bench.is_clean("locked");
            }
            let snapshot = Storage::path(&image.path).snapshot(true).look().unwrap();
            assert!(is_locked(&bench.attach(snapshot).await.unwrap_err()));
            let locked = look(false);
            drop(holder);
            // What was seen is what was there then.
            assert!(is_locked(&bench.attach(locked).await.unwrap_err()));
            bench.round("unlocked", || Ok(look(false))).await;
        }
    }
}

/// QEMU notices the lock of a qcow2 when it opens the image, and of a raw one only when the device
/// comes: by then the nodes are there, and must be taken back.
#[tokio::test]
async fn a_lock_that_only_qemu_sees_leaves_nothing_behind() {
    for version in Qemu::of_all_ages("unseen lock") {
        let mut bench = Bench::new(&version).await;
        for format in Format::ALL {
            let folder = bench.qemu.folder().to_owned();
            let image = Image::create(&folder, "a.img", format, BYTES).unwrap();
            let named = Some(format.name().parse().unwrap());
            let unseen = Storage::path(&image.path).remote(true).format(named).look().unwrap();
            let holder = image.lock().unwrap();
            let error = bench.attach(unseen.clone()).await.unwrap_err();
            let Error::Refused { meaning, .. } = &error else { panic!("{error}") };
            assert_eq!(*meaning, Some(Meaning::ImageLocked), "{error}");
            bench.is_clean("unseen lock");
            drop(holder);
            bench.round("unlocked", || Ok(unseen.clone())).await;
        }
    }
}

#[tokio::test]
async fn readers_share_and_a_writer_does_not() {
    for version in Qemu::of_all_ages("shared locks") {
        let (mut bench, mut other) = (Bench::new(&version).await, Bench::new(&version).await);
        let folder = bench.qemu.folder().to_owned();
        for format in Format::ALL {
            let image = Image::create(&folder, "a.img", format, BYTES).unwrap();
            let look = |read_only| Storage::path(&image.path).read_only(read_only).look().unwrap();
            other.attach(look(true)).await.unwrap();
            bench.round("a second reader", || Ok(look(true))).await;
            let error = bench.attach(look(false)).await.unwrap_err();
            assert!(is_locked(&error), "{error}");
            other.detach("the reader").await;
        }
        // Both say that they bear another writer: QEMU lets a raw image be shared so.
        let image = Image::create(&folder, "b.img", Format::Raw, BYTES).unwrap();
        let shared =
            |disk: Disk| disk.device(DeviceOptions { share_rw: true, ..DeviceOptions::default() });
        let look = || Storage::path(&image.path).look().unwrap();
        other.attach_with(look(), shared).await.unwrap();
        assert!(is_locked(&bench.attach(look()).await.unwrap_err()));
        bench.round_with("shared", || Ok(look()), shared).await;
        other.detach("shared").await;
    }
}
