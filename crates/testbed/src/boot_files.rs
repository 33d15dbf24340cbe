//! What a machine boots: a kernel and the initramfs made for it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cache::{self, Key};
use crate::{Error, Result, initramfs};

/// Changes when the layout of what is cached does.
const LAYOUT: &str = "2";

/// Fast under TCG, where every self-test and calibration of the kernel takes its time: these cut a
/// boot from 2.8 s to 1.5 s.
pub const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet nokaslr mitigations=off tsc=reliable \
    no_timer_check cryptomgr.notests 8250.nr_uarts=2 audit=0 random.trust_cpu=on";

/// A kernel and its folder of modules.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// An ELF `vmlinux` or a `bzImage`.
    pub image: PathBuf,
    /// Its modules, in any depth.
    pub modules: PathBuf,
}

impl Kernel {
    /// The one named by `QPLUG_KERNEL` and `QPLUG_MODULES`, if any.
    pub fn chosen() -> Result<Option<Self>> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        match (set("QPLUG_KERNEL"), set("QPLUG_MODULES")) {
            (None, _) => Ok(None),
            (Some(image), Some(modules)) => {
                Ok(Some(Self { image: image.into(), modules: modules.into() }))
            }
            (Some(_), None) => Err(Error::not_set_up(
                "QPLUG_KERNEL is set and QPLUG_MODULES is not; name the kernel's modules folder too",
            )),
        }
    }

    /// Where set-up keeps the kernel it unpacked.
    pub fn unpacked() -> Result<Self> {
        let folder = cache::folder()?.join("linux");
        Ok(Self { image: folder.join("image"), modules: folder.join("modules") })
    }

    /// The chosen one, or the unpacked one.
    pub fn current() -> Result<Self> {
        match Self::chosen()? {
            Some(kernel) => Ok(kernel),
            None => Self::unpacked(),
        }
    }

    /// Whether the files are there.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.image.is_file() && self.modules.is_dir()
    }
}

/// Where set-up keeps the guest agent and its libraries, all in one folder.
pub fn agent_folder() -> Result<PathBuf> {
    Ok(cache::folder()?.join("agent"))
}

/// A kernel and its initramfs, both there.
#[derive(Debug, Clone)]
pub struct BootFiles {
    /// The kernel.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initramfs: PathBuf,
}

impl BootFiles {
    /// What set-up prepared for the guest's present source.
    pub fn ready() -> Result<Self> {
        let kernel = Kernel::current()?;
        let initramfs = initramfs_place(&kernel)?;
        Self::found(kernel, initramfs)
    }

    /// The same with the guest agent in the initramfs: it is apart because a larger one takes longer
    /// to boot and to restore.
    pub fn ready_with_agent() -> Result<Self> {
        let kernel = Kernel::current()?;
        let initramfs = agent_initramfs_place(&kernel)?;
        if kernel.is_there() && !initramfs.is_file() {
            return Err(Error::not_set_up(
                "QEMU's guest agent for the test guest is missing; run: cargo xtask setup",
            ));
        }
        Self::found(kernel, initramfs)
    }

    fn found(kernel: Kernel, initramfs: PathBuf) -> Result<Self> {
        if kernel.is_there() && initramfs.is_file() {
            return Ok(Self { kernel: kernel.image, initramfs });
        }
        let missing = if kernel.is_there() {
            "the guest's initramfs for the present source"
        } else {
            "a kernel for the guest"
        };
        Err(Error::not_set_up(format!(
            "{missing} is missing, so no test that boots a machine can run; run: cargo xtask setup"
        )))
    }
}

/// Where the initramfs of this guest source and this kernel belongs.
pub fn initramfs_place(kernel: &Kernel) -> Result<PathBuf> {
    Ok(cache::folder()?.join(format!("initramfs-{}.cpio", initramfs_key(kernel)?)))
}

/// Where the one with the guest agent belongs.
pub fn agent_initramfs_place(kernel: &Kernel) -> Result<PathBuf> {
    let mut key = initramfs_key(kernel)?;
    let program = agent_folder()?.join(initramfs::AGENT);
    if let Ok(modified) = fs::metadata(&program).and_then(|metadata| metadata.modified()) {
        key = key.with(format!("{modified:?}"));
    }
    Ok(cache::folder()?.join(format!("initramfs-{key}.agent.cpio")))
}

fn initramfs_key(kernel: &Kernel) -> Result<Key> {
    let mut key = guest_source_key(&guest_source())?
        .with(LAYOUT)
        .with(kernel.modules.as_os_str().as_encoded_bytes());
    // The date stands for the content: reading fifty megabytes of kernel at each test is slow.
    if let Ok(metadata) = fs::metadata(&kernel.image)
        && let Ok(modified) = metadata.modified()
    {
        key = key.with(format!("{modified:?}"));
    }
    for module in initramfs::WANTED.iter().chain(initramfs::WANTED_LATER) {
        key = key.with(module);
    }
    Ok(key)
}

/// The folder of the guest's source, in the checkout this crate was built from.
#[must_use]
pub fn guest_source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("guest")
}

fn guest_source_key(folder: &Path) -> Result<Key> {
    let source = folder.join("src");
    let mut files = vec![folder.join("Cargo.toml")];
    for entry in fs::read_dir(&source).map_err(Error::file("list", &source))? {
        files.push(entry.map_err(Error::file("list", &source))?.path());
    }
    files.sort();
    let mut key = Key::default();
    for file in files {
        let name = file.file_name().unwrap_or_default();
        key = key.with(name.as_encoded_bytes()).with_file(&file)?;
    }
    Ok(key)
}
