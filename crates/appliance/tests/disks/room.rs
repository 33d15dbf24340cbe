//! Appliances for tests: ended with them, however a test ends.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use qplug_appliance::wire::{Device, Line, Place};
use qplug_appliance::{
    Appliance, ApplianceName, Cache, DiskName, Error, Format, Identity, Launch, NewDisk, Qemu,
    Registry, Storage,
};
use qplug_testbed::boot_files::Kernel;
use tokio::sync::Mutex;

/// Programs that every appliance here takes along.
const PROGRAMS: [&str; 10] =
    ["blockdev", "cat", "cp", "dmsetup", "head", "mkdir", "mkfs.ext4", "mkswap", "sleep", "swapon"];

/// Those that not every host has.
const WHERE_THERE: [&str; 2] = ["mdadm", "sfdisk"];

/// How long a process may take to end, or a fact to become true.
const WITHIN: Duration = Duration::from_secs(20);

pub(crate) struct Room {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) registry: Registry,
    qemu: Qemu,
    kernel: Kernel,
}

/// One for all of these tests: so machines are saved once and restored often. It is in the build's
/// folder, as nothing would remove a temporary one of the whole process.
fn cache() -> Cache {
    Cache::at(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("disks")).unwrap()
}

/// Whether this host has a program.
pub(crate) fn has(program: &str) -> bool {
    let folders = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    folders.iter().any(|folder| Path::new(folder).join(program).is_file())
}

impl Room {
    /// One for each QEMU under test.
    pub(crate) fn each(test: &str) -> Vec<Self> {
        let qemus = qplug_testbed::Qemu::under_test(test);
        qemus.into_iter().map(|qemu| Self::of(&qemu)).collect()
    }

    fn of(qemu: &qplug_testbed::Qemu) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::at(&folder.path().join("run")).unwrap();
        let environment = qemu.environment().into_iter();
        let qemu = Qemu {
            program: qemu.path.clone(),
            environment: environment.map(|(name, value)| (name.to_owned(), value)).collect(),
            arguments: qemu.firmware_arguments(),
        };
        Self { folder, registry, qemu, kernel: Kernel::current().unwrap() }
    }

    pub(crate) fn name() -> ApplianceName {
        ApplianceName::new("work").unwrap()
    }

    /// An appliance with no program.
    pub(crate) fn bare(&self) -> Launch {
        Launch::named(Self::name())
            .qemu(Some(self.qemu.clone()))
            .kernel(Some(self.kernel.image.clone()), Some(self.kernel.modules.clone()))
            .cache(cache())
            .registry(self.registry.clone())
    }

    pub(crate) fn wish(&self) -> Launch {
        let more = WHERE_THERE.into_iter().filter(|program| has(program));
        self.bare().programs(PROGRAMS.into_iter().chain(more).map(str::to_owned).collect())
    }

    /// A running one, which only the first test of all boots.
    pub(crate) async fn launched(&self) -> Appliance {
        static BOOTED: Mutex<Option<HashSet<PathBuf>>> = Mutex::const_new(None);
        let mut booted = BOOTED.lock().await;
        let booted = booted.get_or_insert_default();
        if booted.insert(self.qemu.program.clone()) {
            return Appliance::launch(self.wish()).await.unwrap();
        }
        Appliance::launch(self.wish()).await.unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An image that begins with these bytes.
    pub(crate) fn image(&self, name: &str, content: &[u8], bytes: u64) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(bytes).unwrap();
        path
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for (place, _) in self.registry.list().unwrap_or_default() {
            if std::thread::panicking() {
                let console = fs::read_to_string(place.folder().join("console.log"));
                eprintln!("the appliance's console:\n{}", console.unwrap_or_default());
            }
            if let Some(record) = place.record()
                && record.identity.is_running()
            {
                kill(record.identity);
            }
        }
    }
}

pub(crate) fn kill(identity: Identity) {
    let pid = identity.pid.to_string();
    let _ = std::process::Command::new("kill").args(["-9", &pid]).status();
}

pub(crate) async fn ended(identity: Identity) {
    eventually("QEMU ends", async || !identity.is_running()).await;
}

/// Waits for a fact.
pub(crate) async fn eventually(what: &str, fact: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !fact().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn label(name: &str) -> DiskName {
    DiskName::new(name).unwrap()
}

pub(crate) fn disk(name: Option<&str>, image: &Path) -> NewDisk {
    let storage = Storage::path(image).format(Some(Format::raw())).look().unwrap();
    NewDisk { label: name.map(label), storage, read_only: false }
}

/// The labels that are listed.
pub(crate) async fn labels(appliance: &Appliance) -> Vec<String> {
    let devices = appliance.list_devices().await.unwrap();
    devices.into_iter().map(|device: Device| device.label.unwrap()).collect()
}

/// Runs a line to its end, which must be a good one; what it printed.
pub(crate) async fn run(appliance: &Appliance, line: &str) -> String {
    let (code, output) = try_run(appliance, line).await.unwrap();
    assert_eq!(code, Some(0), "{line}: {output}");
    output
}

/// Runs a line; its exit code, and what it printed and complained of.
pub(crate) async fn try_run(
    appliance: &Appliance,
    line: &str,
) -> Result<(Option<i32>, String), Error> {
    let (mut output, mut complaints) = (Vec::new(), Vec::new());
    let line = Line::Shell(line.to_owned());
    let ended = appliance.run_program(line, None, &mut output, &mut complaints).await?;
    output.extend(complaints);
    Ok((ended.status, String::from_utf8_lossy(&output).into_owned()))
}

/// The first bytes of a device.
pub(crate) async fn content(appliance: &Appliance, device: &str) -> Vec<u8> {
    let mut content = Vec::new();
    appliance.download(Place::Device(device.to_owned()), &mut content).await.unwrap();
    content
}

pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
