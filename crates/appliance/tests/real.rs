//! Appliances of real QEMUs, kernels and agents.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use qplug_appliance::{
    Appliance, ApplianceName, Cache, DiskName, Error, Identity, Launch, Name, NewDisk, Qemu,
    Registry, State, Storage, down, wire,
};
use qplug_testbed::boot_files::Kernel;

/// A folder with a cache and a registry of its own. Appliances in it are ended with it, however a test
/// ends.
struct Room {
    qemu: Qemu,
    kernel: Kernel,
    folder: tempfile::TempDir,
    registry: Registry,
}

impl Room {
    /// One for each QEMU under test.
    fn each(test: &str) -> Vec<Self> {
        let kernel = Kernel::current().unwrap();
        let qemus = qplug_testbed::Qemu::under_test(test);
        qemus.into_iter().map(|qemu| Self::of(&qemu, kernel.clone())).collect()
    }

    /// The same with the older and the newer QEMU.
    fn of_all_ages(test: &str) -> Vec<Self> {
        let kernel = Kernel::current().unwrap();
        let qemus = qplug_testbed::Qemu::of_all_ages(test);
        qemus.into_iter().map(|qemu| Self::of(&qemu, kernel.clone())).collect()
    }

    fn of(qemu: &qplug_testbed::Qemu, kernel: Kernel) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::at(&folder.path().join("run")).unwrap();
        let command = qemu.command();
        let text = |text: &OsStr| text.to_string_lossy().into_owned();
        let variables = command.get_envs();
        let qemu = Qemu {
            program: command.get_program().into(),
            environment: variables
                .filter_map(|(name, value)| Some((text(name), text(value?))))
                .collect(),
            arguments: command.get_args().map(text).chain(qemu.firmware_arguments()).collect(),
        };
        Self { qemu, kernel, folder, registry }
    }

    fn name() -> ApplianceName {
        ApplianceName::new("work").unwrap()
    }

    fn wish(&self) -> Launch {
        Launch::named(Self::name())
            .qemu(Some(self.qemu.clone()))
            .kernel(Some(self.kernel.image.clone()), Some(self.kernel.modules.clone()))
            .cache(Cache::at(&self.folder.path().join("cache")).unwrap())
            .registry(self.registry.clone())
    }

    fn saved(&self) -> Vec<PathBuf> {
        let folder = self.folder.path().join("cache/appliance/machines");
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for (place, _) in self.registry.list().unwrap_or_default() {
            if let Some(record) = place.record()
                && record.identity.is_running()
            {
                let pid = record.identity.pid.to_string();
                let _ = std::process::Command::new("kill").args(["-9", &pid]).status();
            }
        }
    }
}

async fn launched(wish: Launch) -> (Appliance, Duration) {
    let start = Instant::now();
    let appliance = Appliance::launch(wish).await.unwrap();
    (appliance, start.elapsed())
}

async fn ended(identity: Identity) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while identity.is_running() {
        assert!(Instant::now() < deadline, "QEMU did not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_first_launch_boots_and_saves_and_the_next_restores() {
    for room in Room::of_all_ages("the_first_launch_boots_and_saves_and_the_next_restores") {
        let (appliance, cold) = launched(room.wish()).await;
        assert!(!appliance.record().restored);
        assert_eq!(room.saved().len(), 1);
        assert!(matches!(Appliance::launch(room.wish()).await, Err(Error::Exists { .. })));
        // Another process finds it by its name, once this one has let go of the agent.
        drop(appliance);
        let found = Appliance::open(&room.registry, &Room::name()).unwrap();
        found.agent().await.unwrap();
        found.down().await.unwrap();
        assert!(room.registry.list().unwrap().is_empty());
        let (appliance, warm) = launched(room.wish()).await;
        assert!(appliance.record().restored);
        assert!(warm < cold, "restored in {warm:?}, booted in {cold:?}");
        println!("{}: booted in {cold:?}, restored in {warm:?}", room.qemu.program.display());
        appliance.down().await.unwrap();
    }
}

#[tokio::test]
async fn a_saved_machine_that_does_not_load_is_made_anew() {
    for room in Room::each("a_saved_machine_that_does_not_load_is_made_anew") {
        launched(room.wish()).await.0.down().await.unwrap();
        let saved = room.saved().pop().unwrap();
        let content = fs::read(&saved).unwrap();
        fs::write(&saved, &content[..content.len() / 2]).unwrap();
        let (appliance, _) = launched(room.wish()).await;
        assert!(!appliance.record().restored);
        appliance.down().await.unwrap();
        let (appliance, _) = launched(room.wish()).await;
        assert!(appliance.record().restored);
        appliance.down().await.unwrap();
    }
}

#[tokio::test]
async fn a_dead_appliance_is_told_and_its_name_is_free_again() {
    for room in Room::each("a_dead_appliance_is_told_and_its_name_is_free_again") {
        let (appliance, _) = launched(room.wish().cold(true)).await;
        assert!(room.saved().is_empty());
        let identity = appliance.record().identity;
        let pid = identity.pid.to_string();
        assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        ended(identity).await;
        let dead = Appliance::open(&room.registry, &Room::name()).unwrap_err();
        assert!(matches!(dead, Error::Dead { .. }), "{dead}");
        let state = down(&room.registry, &Room::name()).await.unwrap();
        assert_eq!(state, Some(State::Dead));
        assert!(room.registry.list().unwrap().is_empty());
        assert_eq!(down(&room.registry, &Room::name()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_does_not_start_leaves_nothing() {
    for room in Room::each("what_does_not_start_leaves_nothing") {
        let folder = room.folder.path();
        let mut broken = room.qemu.clone();
        broken.arguments.push("-no-such-option".to_owned());
        let error = Appliance::launch(room.wish().qemu(Some(broken))).await.unwrap_err();
        assert!(error.to_string().contains("no-such-option"), "{error}");
        assert!(room.registry.list().unwrap().is_empty());
        let plan = room.wish().plan().unwrap();
        assert!(plan.command_line().contains(&"-kernel".to_owned()));
        assert!(fs::read_dir(folder.join("run")).unwrap().next().is_none());
    }
}

#[tokio::test]
async fn disks_come_and_go_in_order_and_under_their_labels() {
    for room in Room::each("disks_come_and_go_in_order_and_under_their_labels") {
        let (appliance, _) = launched(room.wish()).await;
        assert!(appliance.list_devices().await.unwrap().is_empty());
        let listed = async |appliance: &Appliance| -> Vec<String> {
            let devices = appliance.list_devices().await.unwrap();
            devices.into_iter().filter_map(|device| device.label).collect()
        };
        let disk = |label: Option<&str>, mib: u64| {
            let path = room.folder.path().join(format!("{mib}.img"));
            fs::File::create(&path).unwrap().set_len(mib << 20).unwrap();
            let label = label.map(|label| DiskName::new(label).unwrap());
            NewDisk { label, storage: Storage::path(path).look().unwrap(), read_only: false }
        };
        let start = Instant::now();
        let data = appliance.add_disk(disk(Some("data"), 1)).await.unwrap();
        println!("added and seen in {:?}", start.elapsed());
        assert_eq!((data.label.as_deref(), data.bytes), (Some("data"), 1 << 20));
        let others = vec![disk(None, 2), disk(Some("zero"), 3), disk(None, 4)];
        for added in appliance.add_disks(others).await.unwrap() {
            added.unwrap();
        }
        assert_eq!(listed(&appliance).await, ["data", "disk1", "zero", "disk2"]);
        let zero = DiskName::new("zero").unwrap();
        let start = Instant::now();
        appliance.remove_disk(&zero, false).await.unwrap();
        println!("removed and missed in {:?}", start.elapsed());
        assert_eq!(listed(&appliance).await, ["data", "disk1", "disk2"]);
        // The label and the image are free the moment it has gone.
        appliance.add_disk(disk(Some("zero"), 3)).await.unwrap();
        assert_eq!(listed(&appliance).await, ["data", "disk1", "disk2", "zero"]);
        appliance.down().await.unwrap();
    }
}

#[tokio::test]
async fn bytes_go_onto_a_device_and_come_back() {
    for room in Room::each("bytes_go_onto_a_device_and_come_back") {
        let (appliance, _) = launched(room.wish()).await;
        let path = room.folder.path().join("data.img");
        const BYTES: usize = 16 << 20;
        fs::File::create(&path).unwrap().set_len(BYTES as u64).unwrap();
        let storage = Storage::path(&path).look().unwrap();
        let label = Some(DiskName::new("data").unwrap());
        appliance.add_disk(NewDisk { label, storage, read_only: false }).await.unwrap();
        let sent: Vec<u8> = (0..BYTES).map(|at| (at / 7) as u8).collect();
        let device = || wire::Place::Device("data".to_owned());
        let start = Instant::now();
        let count = appliance.upload(&mut &sent[..], device(), None).await.unwrap();
        println!("{} MiB up in {:?}", BYTES >> 20, start.elapsed());
        assert_eq!(count, BYTES as u64);
        let mut came = Vec::new();
        let start = Instant::now();
        assert_eq!(appliance.download(device(), &mut came).await.unwrap(), BYTES as u64);
        println!("{} MiB down in {:?}", BYTES >> 20, start.elapsed());
        assert!(came == sent, "what came back is something else");
        let absent = wire::Place::Path(Name::from("/absent"));
        assert!(appliance.download(absent, &mut Vec::new()).await.is_err());
        // A failure does not spoil what comes next.
        let mut again = Vec::new();
        assert_eq!(appliance.download(device(), &mut again).await.unwrap(), BYTES as u64);
        appliance.remove_disk(&DiskName::new("data").unwrap(), false).await.unwrap();
        assert!(fs::read(&path).unwrap() == sent, "the image holds something else");
        appliance.down().await.unwrap();
    }
}
