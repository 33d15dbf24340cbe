//! Appliances of real QEMUs, kernels and agents: how they start and end. Each test has a cache of its own.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use qplug_appliance::{
    Appliance, ApplianceName, Cache, Error, Identity, Launch, Qemu, Registry, State, down,
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

async fn launched(wish: Launch) -> Appliance {
    Appliance::launch(wish).await.unwrap()
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
        let appliance = launched(room.wish()).await;
        assert!(!appliance.record().restored);
        assert_eq!(room.saved().len(), 1);
        assert!(matches!(Appliance::launch(room.wish()).await, Err(Error::Exists { .. })));
        // Another process finds it by its name, once this one has let go of the agent.
        drop(appliance);
        let found = Appliance::open(&room.registry, &Room::name()).unwrap();
        found.agent().await.unwrap();
        found.down().await.unwrap();
        assert!(room.registry.list().unwrap().is_empty());
        let appliance = launched(room.wish()).await;
        assert!(appliance.record().restored);
        appliance.down().await.unwrap();
    }
}

#[tokio::test]
async fn a_saved_machine_that_does_not_load_is_made_anew() {
    for room in Room::each("a_saved_machine_that_does_not_load_is_made_anew") {
        launched(room.wish()).await.down().await.unwrap();
        let saved = room.saved().pop().unwrap();
        let content = fs::read(&saved).unwrap();
        fs::write(&saved, &content[..content.len() / 2]).unwrap();
        let appliance = launched(room.wish()).await;
        assert!(!appliance.record().restored);
        appliance.down().await.unwrap();
        let appliance = launched(room.wish()).await;
        assert!(appliance.record().restored);
        appliance.down().await.unwrap();
    }
}

#[tokio::test]
async fn a_dead_appliance_is_told_and_its_name_is_free_again() {
    for room in Room::each("a_dead_appliance_is_told_and_its_name_is_free_again") {
        let appliance = launched(room.wish().cold(true)).await;
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
