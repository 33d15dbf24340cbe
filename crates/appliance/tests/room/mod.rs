//! A folder with a cache and a registry of its own.

#![allow(dead_code, reason = "not every test file needs all of it")]

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use qplug_appliance::{ApplianceName, Cache, Format, Launch, Qemu, Registry, Storage};
use qplug_testbed::boot_files::Kernel;

/// A folder with a cache and a registry of its own. Appliances in it are ended with it, however a test
/// ends.
pub(crate) struct Room {
    pub(crate) qemu: Qemu,
    kernel: Kernel,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) registry: Registry,
}

impl Room {
    /// One for each QEMU under test.
    pub(crate) fn each(test: &str) -> Vec<Self> {
        let kernel = Kernel::current().unwrap();
        let qemus = qplug_testbed::Qemu::under_test(test);
        qemus.into_iter().map(|qemu| Self::of(&qemu, kernel.clone())).collect()
    }

    /// The same with the older and the newer QEMU.
    pub(crate) fn of_all_ages(test: &str) -> Vec<Self> {
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

    pub(crate) fn image(&self, name: &str, content: &[u8], bytes: u64) -> Storage {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(bytes).unwrap();
        Storage::path(path).format(Some(Format::raw())).look().unwrap()
    }

    pub(crate) fn name() -> ApplianceName {
        ApplianceName::new("work").unwrap()
    }

    pub(crate) fn wish(&self) -> Launch {
        Launch::named(Self::name())
            .qemu(Some(self.qemu.clone()))
            .kernel(Some(self.kernel.image.clone()), Some(self.kernel.modules.clone()))
            .cache(Cache::at(&self.folder.path().join("cache")).unwrap())
            .registry(self.registry.clone())
    }

    pub(crate) fn saved(&self) -> Vec<PathBuf> {
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
