//! Where an appliance's kernel comes from, and what of it QEMU is given.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::cache::{Cache, Key, Shelf};
use crate::error::{Error, Result};
use crate::unpack;

/// Unpacked kernels, some 60 MB each.
const KERNELS: Shelf = Shelf { name: "kernels", most: 4 };

/// Where a host keeps its kernels, and the modules of each.
const BOOT: &str = "/boot";
const MODULES: [&str; 2] = ["/lib/modules", "/usr/lib/modules"];

/// How a kernel's file is called, before its version.
const FILE_PREFIX: &str = "vmlinuz-";

/// What an unpacked kernel starts with.
const ELF: &[u8] = b"\x7fELF";

/// Every kernel is shorter, in bytes.
const MAX_IMAGE_BYTES: u64 = 512 << 20;

/// What to do when there is no kernel.
const REMEDY: &str =
    "name one with --kernel and its modules with --modules, or run: cargo xtask setup";

/// A kernel and its folder of modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// An ELF `vmlinux` or a `bzImage`.
    pub image: PathBuf,
    /// Its modules, in any depth.
    pub modules: PathBuf,
}

impl Kernel {
    /// The wanted kernel; without a wish the newest one of this host whose image and modules can be
    /// read, else the one that `cargo xtask setup` unpacked.
    ///
    /// # Errors
    /// When there is none, or the wanted one or its modules are not there.
    pub fn find(image: Option<&Path>, modules: Option<&Path>, cache: &Cache) -> Result<Self> {
        if let Some(image) = image {
            return Self::wanted(image, modules);
        }
        if modules.is_some() {
            return Err(Error::Wish("modules without their kernel: name it with --kernel".into()));
        }
        let found = of_host(Path::new(BOOT), &MODULES.map(Path::new)).or_else(|| of_set_up(cache));
        found.ok_or_else(|| Error::missing("no kernel can be read on this host", REMEDY))
    }

    fn wanted(image: &Path, modules: Option<&Path>) -> Result<Self> {
        let head = read_head(image)?;
        let found = match modules {
            Some(modules) => Some(modules.to_owned()),
            None => modules_of(image, &head),
        };
        let Some(modules) = found else {
            let what = format!("the modules of {} are not on this host", image.display());
            return Err(Error::missing(what, "name their folder with --modules"));
        };
        if !modules.is_dir() {
            let what = format!("{} is no folder of modules", modules.display());
            return Err(Error::missing(what, "name the kernel's, such as /lib/modules/VERSION"));
        }
        let absolute = |path: &Path| std::path::absolute(path).map_err(Error::file("find", path));
        Ok(Self { image: absolute(image)?, modules: absolute(&modules)? })
    }

    /// Adds to a key what tells this kernel from others.
    pub(crate) fn key(&self, key: Key) -> Result<Key> {
        key.with_file(&self.image)?.with_file(&self.modules)
    }

    /// What QEMU is to start: the unpacked kernel, which it enters directly (PVH, since Linux 4.21).
    /// A packed one unpacks itself in the guest, 0.7 s under TCG; so that is done here, once. A
    /// packing that is not known here is left to the kernel.
    ///
    /// # Errors
    /// When the image cannot be read, or there is no room for the unpacked one.
    pub fn bootable(&self, cache: &Cache) -> Result<PathBuf> {
        if read_head(&self.image)?.starts_with(ELF) {
            return Ok(self.image.clone());
        }
        let key = Key::default().with("vmlinux").with_file(&self.image)?;
        if let Some(place) = cache.kept(KERNELS, &key) {
            return Ok(place);
        }
        let image = read_whole(&self.image)?;
        let Some(kernel) = vmlinux(&image) else {
            return Ok(self.image.clone());
        };
        cache.made(KERNELS, &key, |file| {
            file.write_all(&kernel).map_err(Error::file("write", &self.image))
        })
    }
}

/// The newest kernel of a host that its user can read whole.
fn of_host(boot: &Path, modules: &[&Path]) -> Option<Kernel> {
    let mut found: Vec<(Vec<u64>, Kernel)> = fs::read_dir(boot)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(FILE_PREFIX)?;
            let modules = modules.iter().map(|it| it.join(version)).find(|it| it.is_dir())?;
            // Some distributions keep it from everybody but root.
            fs::File::open(entry.path()).ok()?;
            Some((numbers(version), Kernel { image: entry.path(), modules }))
        })
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found.pop().map(|(_, kernel)| kernel)
}

/// The one that set-up unpacked for the tests.
fn of_set_up(cache: &Cache) -> Option<Kernel> {
    let folder = cache.join("linux");
    let kernel = Kernel { image: folder.join("image"), modules: folder.join("modules") };
    (kernel.image.is_file() && kernel.modules.is_dir()).then_some(kernel)
}

/// A version as its numbers: 6.10 is newer than 6.9.
fn numbers(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
}

/// Where a kernel's modules usually are: below the version that its name or its header tells, or
/// beside it.
fn modules_of(image: &Path, head: &[u8]) -> Option<PathBuf> {
    let named = image.file_name().and_then(|name| name.to_str()?.strip_prefix(FILE_PREFIX));
    let versions = [named.map(ToOwned::to_owned), version(head)];
    let of_version = |version: &String| {
        MODULES.iter().map(|folder| Path::new(folder).join(version)).find(|it| it.is_dir())
    };
    let beside = || Some(image.with_file_name("modules")).filter(|it| it.is_dir());
    versions.iter().flatten().find_map(of_version).or_else(beside)
}

/// As much of the image as its header takes.
fn read_head(image: &Path) -> Result<Vec<u8>> {
    use std::io::Read as _;
    const HEAD_BYTES: u64 = 64 << 10;
    let file = fs::File::open(image).map_err(Error::file("read the kernel", image))?;
    let mut head = Vec::new();
    let read = file.take(HEAD_BYTES).read_to_end(&mut head);
    read.map_err(Error::file("read the kernel", image))?;
    Ok(head)
}

fn read_whole(image: &Path) -> Result<Vec<u8>> {
    let length = fs::metadata(image).map_err(Error::file("look at", image))?.len();
    if length > MAX_IMAGE_BYTES {
        return Err(Error::content(image, "is too large to be a kernel"));
    }
    fs::read(image).map_err(Error::file("read the kernel", image))
}

/// Takes the kernel out of a `bzImage`; nothing when it cannot be unpacked here.
fn vmlinux(image: &[u8]) -> Option<Vec<u8>> {
    let packed = payload(image)?;
    unpack::Packing::of(packed)?;
    unpack::unpacked(packed.to_vec()).ok().filter(|kernel| kernel.starts_with(ELF))
}

/// The packed kernel within its image. Offsets are those of the x86 boot protocol, 2.08 and later.
fn payload(image: &[u8]) -> Option<&[u8]> {
    const SECTOR: usize = 512;
    is_setup(image).then_some(())?;
    let setup_sectors = usize::from(*image.get(0x1f1)?);
    let start = (setup_sectors + 1) * SECTOR + number(image, 0x248)?;
    image.get(start..start.checked_add(number(image, 0x24c)?)?)
}

/// The version in an image's header: `6.1.0-49-amd64 (maker) #1 …`.
fn version(image: &[u8]) -> Option<String> {
    is_setup(image).then_some(())?;
    let pointer = image.get(0x20e..0x210)?;
    let start = 0x200 + usize::from(u16::from_le_bytes(pointer.try_into().ok()?));
    let text = image.get(start..)?.split(|&byte| byte == 0 || byte == b' ').next()?;
    String::from_utf8(text.to_vec()).ok().filter(|text| !text.contains('/') && text.len() > 1)
}

fn is_setup(image: &[u8]) -> bool {
    image.get(0x202..0x206) == Some(b"HdrS")
}

fn number(image: &[u8], at: usize) -> Option<usize> {
    let bytes = image.get(at..at + 4)?;
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

    use super::*;

    /// A `bzImage` of one setup sector, with this packed.
    fn packed(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 3 * 512];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x300..0x30c].copy_from_slice(b"6.1.0-x (me)");
        image[0x248..0x24c].copy_from_slice(&512_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        image.extend_from_slice(payload);
        image
    }

    fn zipped(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_kernel_comes_out_of_its_image() {
        let image = packed(&zipped(b"\x7fELF and more"));
        assert_eq!(vmlinux(&image).unwrap(), b"\x7fELF and more");
        assert_eq!(version(&image).unwrap(), "6.1.0-x");
        assert_eq!(vmlinux(&packed(&zipped(b"something else"))), None);
        assert_eq!(vmlinux(&packed(b"packed in a way of its own")), None);
        for length in [0, 0x1ff, 0x210, 0x24d, image.len() - 1] {
            assert_eq!(vmlinux(&image[..length]), None, "{length}");
        }
        let mut astray = image;
        astray[0x248..0x24c].copy_from_slice(&[0xff; 4]);
        assert_eq!(vmlinux(&astray), None);
    }

    #[test]
    fn a_packed_kernel_is_unpacked_once_and_any_other_stays() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(&folder.path().join("cache")).unwrap();
        let image = folder.path().join("vmlinuz");
        let kernel = Kernel { image: image.clone(), modules: folder.path().to_owned() };
        fs::write(&image, packed(&zipped(b"\x7fELF"))).unwrap();
        let place = kernel.bootable(&cache).unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"\x7fELF");
        assert_eq!(kernel.bootable(&cache).unwrap(), place);
        for whole in [&b"\x7fELF whole"[..], b"unknown"] {
            fs::write(&image, whole).unwrap();
            assert_eq!(kernel.bootable(&cache).unwrap(), image);
        }
    }

    #[test]
    fn the_newest_kernel_with_modules_is_the_hosts() {
        let folder = tempfile::tempdir().unwrap();
        let (boot, modules) = (folder.path().join("boot"), folder.path().join("modules"));
        assert_eq!(of_host(&boot, &[&modules]), None);
        fs::create_dir(&boot).unwrap();
        for version in ["6.9.1", "6.10.0-rc1", "6.2.0-x", "7.0"] {
            fs::write(boot.join(format!("vmlinuz-{version}")), "").unwrap();
        }
        for version in ["6.9.1", "6.10.0-rc1", "6.2.0-x"] {
            fs::create_dir_all(modules.join(version)).unwrap();
        }
        let kernel = of_host(&boot, &[&folder.path().join("none"), &modules]).unwrap();
        assert_eq!(kernel.modules, modules.join("6.10.0-rc1"));
    }

    #[test]
    fn a_wanted_kernel_must_be_there_with_its_modules() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let image = folder.path().join("image");
        let find = |modules: Option<&Path>| {
            Kernel::find(Some(&image), modules, &cache).map_err(|error| error.to_string())
        };
        assert!(find(None).unwrap_err().contains("read the kernel"));
        fs::write(&image, b"\x7fELF").unwrap();
        assert!(find(None).unwrap_err().contains("--modules"));
        assert!(find(Some(&image)).unwrap_err().contains("no folder of modules"));
        fs::create_dir(folder.path().join("modules")).unwrap();
        assert_eq!(find(None).unwrap().modules, folder.path().join("modules"));
        let lonely = Kernel::find(None, Some(folder.path()), &cache).unwrap_err();
        assert!(lonely.to_string().contains("--kernel"));
    }
}
