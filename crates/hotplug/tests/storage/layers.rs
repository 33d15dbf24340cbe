//! Images on images, and overlays that are forgotten.

use std::path::Path;

use qplug_hotplug::{Error, Format, Secret, Storage};
use qplug_testbed::Qemu;
use qplug_testbed::image::{run, tool};

use crate::bench::{Bench, can_be_opened, make};

/// Fills the start of an image with a byte.
fn fill(path: &Path, format: &str, byte: u8) {
    let mut command = tool("qemu-io").unwrap();
    let request = format!("write -P {byte} 0 64k");
    run(command.args(["-f", format, "-c", &request]).arg(path)).unwrap();
}

#[tokio::test]
async fn three_layers() {
    for version in Qemu::of_all_ages("layers") {
        let mut bench = Bench::new(&version).await;
        let [top, middle, base, other] =
            ["top.img", "middle.img", "base.img", "other.img"].map(|name| bench.path(name));
        make(&base, "raw", &[]);
        make(&other, "raw", &[]);
        make(&middle, "qcow2", &[]);
        // Its header names an image that is not the one that it will lie on.
        make(&top, "qcow2", &["-F", "raw", "-b", other.to_str().unwrap()]);
        fill(&base, "raw", 7);
        let over = |base: &Path| {
            let below =
                vec![Storage::path(&middle).format(Some(Format::qcow2())), Storage::path(base)];
            Storage::path(&top).backing(below)
        };
        bench.attach(over(&base).look().unwrap()).await.unwrap();
        assert!(bench.has(7, "0", "64k") && !bench.has(8, "0", "64k"));
        let error = bench.attach(over(&other).look().unwrap()).await.unwrap_err();
        assert!(matches!(error, Error::NameTaken { .. }), "{error}");
        let middle_alone = Storage::path(&top).no_backing(true).look().unwrap();
        let error = bench.attach(middle_alone).await.unwrap_err();
        assert!(matches!(error, Error::NameTaken { .. }), "{error}");
        bench.detach("three layers").await;
        bench.round("three layers", || Ok(over(&base).look()?)).await;
        bench.round("no layers", || Ok(Storage::path(&top).no_backing(true).look()?)).await;
        let handed = || Ok(over(&base).hand_over(true).look()?);
        bench.round("layers handed over", handed).await;
        [top, middle, base].iter().for_each(|path| can_be_opened(path));
    }
}

#[tokio::test]
async fn an_overlay_forgets_and_the_base_stays_as_it_was() {
    for version in Qemu::of_all_ages("overlay") {
        let mut bench = Bench::new(&version).await;
        let [raw, qcow2, luks] = ["raw.img", "qcow2.img", "luks.img"].map(|name| bench.path(name));
        make(&raw, "raw", &[]);
        fill(&raw, "raw", 7);
        make(&qcow2, "qcow2", &[]);
        fill(&qcow2, "qcow2", 7);
        make(&luks, "luks", &crate::LUKS);
        for path in [&raw, &qcow2, &luks] {
            let before = std::fs::read(path).unwrap();
            let secret = (path == &luks).then(|| Secret::new("hunter2"));
            let snapshot = || Storage::path(path).passphrase(secret.clone()).snapshot(true);
            for hand_over in [false, true] {
                let what = format!("{} {hand_over}", path.display());
                let look = || Ok(snapshot().hand_over(hand_over).look()?);
                bench
                    .attach(look().unwrap())
                    .await
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                if secret.is_none() {
                    assert!(bench.has(7, "0", "64k"), "{what}");
                }
                bench.write(9, "0", "2M");
                bench.detach(&what).await;
                bench.round(&what, look).await;
                assert!(std::fs::read(path).unwrap() == before, "{what}: the base was written");
            }
            can_be_opened(path);
        }
    }
}

/// What qplug makes is an image as `qemu-img` would make it.
#[tokio::test]
async fn an_overlay_is_a_sound_image() {
    for version in Qemu::of_all_ages("overlay's image") {
        let mut bench = Bench::new(&version).await;
        let base = bench.path("base.img");
        make(&base, "raw", &[]);
        bench.attach(Storage::path(&base).snapshot(true).look().unwrap()).await.unwrap();
        bench.write(9, "1M", "2M");
        let folder = format!("/proc/{}/fd", bench.qemu.pid());
        let overlays: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .flatten()
            .filter(|link| {
                let target = std::fs::read_link(link.path()).unwrap_or_default();
                let target = target.to_string_lossy();
                target.ends_with("(deleted)") && !target.starts_with("/memfd")
            })
            .collect();
        let copy = bench.path("copy.qcow2");
        std::fs::copy(overlays.first().unwrap().path(), &copy).unwrap();
        let mut command = tool("qemu-img").unwrap();
        run(command.args(["check", "-f", "qcow2"]).arg(&copy)).unwrap();
        bench.detach("overlay").await;
    }
}
