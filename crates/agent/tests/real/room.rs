//! An appliance for a test: ended with it, however the test ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use qplug_agent::meeting::Token;
use qplug_agent::wire::{Command, Device, Ended, Line, OpenFiles, Run};
use qplug_appliance::{
    Appliance, ApplianceName, Cache, DiskName, Error, Launch, NewDisk, Qemu, Registry, Storage,
};
use qplug_hotplug::Machine;
use qplug_testbed::boot_files::Kernel;
use qplug_testbed::image::{Format, Image};
use serde_json::json;

use crate::host::Files;

/// Programs that the appliance takes along.
const PROGRAMS: [&str; 6] = ["mkfs.ext4", "mkswap", "swapon", "swapoff", "dmsetup", "sh"];

pub(crate) struct Room {
    pub(crate) appliance: Option<Appliance>,
    pub(crate) folder: tempfile::TempDir,
    registry: Registry,
}

/// One for all of these tests: so machines are saved once and restored often. It is in the build's
/// folder, as nothing would remove a temporary one of the whole process.
fn cache() -> Cache {
    Cache::at(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("agent")).unwrap()
}

impl Room {
    /// One for each QEMU under test.
    pub(crate) async fn each(test: &str) -> Vec<Self> {
        let mut rooms = Vec::new();
        for qemu in qplug_testbed::Qemu::under_test(test) {
            rooms.push(Self::launched(&qemu).await);
        }
        rooms
    }

    async fn launched(qemu: &qplug_testbed::Qemu) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::at(&folder.path().join("run")).unwrap();
        let kernel = Kernel::current().unwrap();
        let environment = qemu.environment().into_iter();
        let wish = Launch::named(ApplianceName::new("work").unwrap())
            .qemu(Some(Qemu {
                program: qemu.path.clone(),
                environment: environment.map(|(name, value)| (name.to_owned(), value)).collect(),
                arguments: qemu.firmware_arguments(),
            }))
            .kernel(Some(kernel.image.clone()), Some(kernel.modules.clone()))
            .programs(PROGRAMS.map(str::to_owned).to_vec())
            .cache(cache())
            .registry(registry.clone());
        let mut room = Self { appliance: None, folder, registry };
        room.appliance = Some(Appliance::launch(wish).await.unwrap());
        room
    }

    pub(crate) fn appliance(&self) -> &Appliance {
        self.appliance.as_ref().unwrap()
    }

    /// The folder of the running machine, with its sockets.
    pub(crate) fn place(&self) -> PathBuf {
        let name = ApplianceName::new("work").unwrap();
        self.registry.place(&name).folder().to_owned()
    }

    /// What the agent returns.
    pub(crate) async fn ask<C: Command>(&self, command: &C) -> C::Return {
        self.try_ask(command).await.unwrap_or_else(|error| panic!("{}: {error}", C::NAME))
    }

    pub(crate) async fn try_ask<C: Command>(&self, command: &C) -> Result<C::Return, Error> {
        self.appliance().agent().await.unwrap().run(command).await
    }

    /// Begins anew on the files port.
    pub(crate) async fn files(&self) -> Files {
        static TOKENS: AtomicU8 = AtomicU8::new(0);
        let token = Token::new([TOKENS.fetch_add(1, Ordering::SeqCst); 16]);
        self.ask(&OpenFiles { token }).await;
        Files::connect(&self.place().join("files.0"), &token)
    }

    /// An empty image.
    pub(crate) fn image(&self, name: &str, mib: u64) -> Image {
        Image::create(self.folder.path(), name, Format::Raw, mib << 20).unwrap()
    }

    pub(crate) async fn add(&self, label: &str, image: &Path, read_only: bool) -> Device {
        let storage = Storage::path(image.to_str().unwrap())
            .format(Some(qplug_hotplug::Format::raw()))
            .look()
            .unwrap();
        let label = Some(DiskName::new(label).unwrap());
        self.appliance().add_disk(NewDisk { label, storage, read_only }).await.unwrap()
    }

    /// Plugs in a disk that is none of the user's, as QEMU is told.
    pub(crate) async fn plug_in(&self, machine: &Machine, serial: &str, image: &Path) {
        let node = json!({
            "driver": "raw", "node-name": "own", "read-only": true,
            "file": {"driver": "file", "filename": image, "aio": "threads"},
        });
        let device =
            json!({"driver": "scsi-hd", "bus": "disks.0", "drive": "own", "serial": serial});
        let client = machine.client();
        client.execute("blockdev-add", Some(&node)).await.unwrap();
        client.execute("device_add", Some(&device)).await.unwrap();
    }

    pub(crate) async fn remove(&self, label: &str, force: bool) -> Result<(), Error> {
        self.appliance().remove_disk(&DiskName::new(label).unwrap(), force).await
    }

    /// Runs a line to its end, which must be a good one, and returns what it printed.
    pub(crate) async fn run(&self, files: &Files, number: u32, line: &str) -> String {
        let stream = files.open(number);
        let output = tokio::task::spawn_blocking(move || stream.receive().unwrap());
        let command = Line::Shell(line.to_owned());
        let wish = Run { command, stdout: number, stderr: None, stdin: None };
        let ended = self.ask(&wish).await;
        let output = String::from_utf8_lossy(&output.await.unwrap()).into_owned();
        assert_eq!(ended, Ended { status: Some(0), signal: None }, "{line}: {output}");
        output
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let console = fs::read_to_string(self.place().join("console.log"));
            eprintln!("the appliance's console:\n{}", console.unwrap_or_default());
        }
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
