//! Images that a server has.

use qplug_hotplug::{Access, Error, Format, Storage};
use qplug_testbed::https::Https;
use qplug_testbed::image::{Format as ImageFormat, Image};
use qplug_testbed::nbd::{Nbd, Place};
use qplug_testbed::{Qemu, certificates};

use crate::bench::{BYTES, Bench};

fn uri(nbd: &Nbd, scheme: &str) -> String {
    match &nbd.place {
        Place::Unix(path) => format!("nbd+unix:///?socket={}", path.display()),
        Place::Tcp(port) => format!("{scheme}://127.0.0.1:{port}"),
    }
}

#[tokio::test]
async fn exports_of_nbd_servers() {
    for version in Qemu::of_all_ages("nbd") {
        let mut bench = Bench::new(&version).await;
        let folder = bench.qemu.folder().to_owned();
        let image = Image::create(&folder, "a.raw", ImageFormat::Raw, BYTES).unwrap();
        let certificates = folder.join("certificates");
        std::fs::create_dir(&certificates).unwrap();
        certificates::make(&certificates).unwrap();
        let raw = || Some(Format::raw());

        let unix = Nbd::unix(&image, &folder.join("nbd.sock")).unwrap();
        let text = uri(&unix, "nbd");
        bench.round("unix", || Ok(Storage::parse(&text)?.format(raw()).look()?)).await;
        drop(unix);

        let tcp = Nbd::tcp(&image, None).unwrap();
        let text = uri(&tcp, "nbd");
        bench.round("tcp", || Ok(Storage::parse(&text)?.format(raw()).look()?)).await;
        drop(tcp);

        let tls = Nbd::tcp(&image, Some(&certificates)).unwrap();
        let text = uri(&tls, "nbds");
        let look = || {
            let storage = Storage::parse(&text)?.certificates(Some(certificates.clone()));
            Ok(storage.format(raw()).look()?)
        };
        bench.round("tls", look).await;
        assert_eq!(image.read(0, 2).unwrap(), [90, 90]);
    }
}

#[tokio::test]
async fn files_of_web_servers() {
    for version in Qemu::of_all_ages("https") {
        let mut bench = Bench::new(&version).await;
        let folder = bench.qemu.folder().to_owned();
        Image::create(&folder, "a.raw", ImageFormat::Raw, BYTES).unwrap();
        certificates::make(&folder).unwrap();
        let server = Https::serve(&folder, &folder).unwrap();
        let url = server.url("a.raw");
        let look = || {
            let storage = Storage::parse(&url)?.format(Some(Format::raw()));
            Ok(storage.read_only(true).look()?)
        };
        // Nobody in the system vouches for the server's certificate.
        let set = vec![("file.sslverify".to_owned(), false.into())];
        let access = Access { set, ..Access::default() };
        bench.round_with("https", look, |disk| disk.access(access.clone())).await;
        let written = Storage::parse(&url).unwrap().format(Some(Format::raw())).look().unwrap();
        let error = bench.attach(written).await.unwrap_err();
        assert!(matches!(error, Error::Disk(_)), "{error}");
        bench.is_clean("https for writing");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_leaves_nothing() {
    for version in Qemu::of_all_ages("no server") {
        let mut bench = Bench::new(&version).await;
        let port = qplug_testbed::nbd::free_port().unwrap();
        for uri in [
            format!("nbd://127.0.0.1:{port}/x"),
            format!("ssh://me@127.0.0.1:{port}/x"),
            format!("iscsi://me@127.0.0.1:{port}/iqn.2001-04.org.example:x/0"),
        ] {
            let storage = Storage::parse(&uri).unwrap().format(Some(Format::raw()));
            let error = bench.attach(storage.look().unwrap()).await.unwrap_err();
            let Error::Refused { doing, .. } = &error else { panic!("{uri}: {error}") };
            assert_eq!(*doing, "open the image", "{error}");
            bench.is_clean(&uri);
        }
    }
}
