//! Everything that QEMU can open here, on real machines: attached, attached again, used, detached,
//! with nothing left.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod bench;
mod handed;
mod layers;
mod locks;
mod served;

use qplug_hotplug::{After, Error, Format, Meaning, Secret, Storage};
use qplug_testbed::Qemu;

use bench::{Bench, can_be_opened, make};

const LUKS: [&str; 4] = ["--object", "secret,id=s,data=hunter2", "-o", "key-secret=s,iter-time=10"];
const QCOW2_LUKS: [&str; 4] = [
    "--object",
    "secret,id=s,data=hunter2",
    "-o",
    "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
];

#[tokio::test]
async fn every_format() {
    for version in Qemu::of_all_ages("formats") {
        let mut bench = Bench::new(&version).await;
        let path = bench.path("a.img");
        for (format, options) in [
            ("raw", &[][..]),
            ("qcow2", &[]),
            ("vmdk", &[]),
            ("vdi", &[]),
            ("vhdx", &[]),
            ("vpc", &["-o", "force_size=on"]),
            ("luks", &LUKS),
            ("qcow2", &QCOW2_LUKS),
        ] {
            make(&path, format, options);
            let secret = (!options.is_empty() && format != "vpc").then(|| Secret::new("hunter2"));
            let named: Format = format.parse().unwrap();
            let look = || {
                let storage = Storage::path(&path).passphrase(secret.clone());
                Ok(storage.format(Some(named.clone())).look()?)
            };
            bench.round(&format!("{format} {options:?}"), look).await;
            can_be_opened(&path);
            std::fs::remove_file(&path).unwrap();
        }
    }
}

#[tokio::test]
async fn a_wrong_passphrase_leaves_nothing_and_is_not_told() {
    for version in Qemu::of_all_ages("passphrase") {
        let mut bench = Bench::new(&version).await;
        let path = bench.path("a.img");
        make(&path, "luks", &LUKS);
        let wrong = Storage::path(&path).passphrase(Some(Secret::new("swordfish")));
        let error = bench.attach(wrong.look().unwrap()).await.unwrap_err();
        let told = format!("{error} {error:?}");
        let Error::Refused { meaning, after, .. } = &error else { panic!("{told}") };
        assert_eq!((*meaning, after), (Some(Meaning::WrongPassphrase), &After::Undone));
        assert!(!told.contains("swordfish"), "{told}");
        bench.is_clean("a wrong passphrase");
    }
}
