//! Who is timed at what, in turns.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use qplug_testbed::{Error, Result};

use super::freight::Freight;
use super::guestfish::{Guestfish, Session};
use super::ours::Ours;
use crate::bench::sample::Sample;

/// The disks of launches; nothing is on them.
const DISK_BYTES: u64 = 64 << 20;
/// The disk of the freight, with room for it and for a file system's own.
const FREIGHT_DISK_BYTES: u64 = 3 << 29;
/// Where the freight is put.
const PLACE: &str = "/freight";

/// How long everything took: first qplug's, then guestfish's.
#[derive(Debug, Default)]
pub(super) struct Times {
    pub(super) cold: Sample,
    pub(super) warm: Sample,
    pub(super) add: Sample,
    pub(super) up: Sample,
    pub(super) down: Sample,
    pub(super) run: Sample,
    /// Started again with one disk more.
    pub(super) again: Sample,
    pub(super) upload: Sample,
    pub(super) download: Sample,
}

impl Times {
    fn forget(&mut self) {
        *self = Self::default();
    }
}

/// Both sides, and room for images.
pub(super) struct Turns<'a> {
    pub(super) ours: Ours,
    pub(super) guestfish: Option<Guestfish>,
    /// In memory.
    pub(super) images: &'a Path,
    pub(super) times: Times,
}

impl Turns<'_> {
    /// So many rounds of launches and of one disk more, and one before that does not count: it brings
    /// files into memory, and saves qplug's machine.
    pub(super) fn launches(&mut self, rounds: u32) -> Result<()> {
        let disks = [self.image("a", DISK_BYTES)?, self.image("b", DISK_BYTES)?];
        let disks = disks.map(|path| path.to_string_lossy().into_owned());
        let disks = [disks[0].as_str(), disks[1].as_str()];
        self.ours.up(&[disks[0]])?;
        self.ours.down()?;
        for number in 0..=rounds {
            self.our_launches(disks)?;
            self.their_launches(disks)?;
            if number == 0 {
                self.times.forget();
            }
        }
        Ok(())
    }

    fn our_launches(&mut self, [first, second]: [&str; 2]) -> Result<()> {
        let (ours, times) = (&self.ours, &mut self.times);
        let (took, _) = ours.up(&["--cold", first])?;
        times.cold.push(took);
        ours.down()?;

        let (up, said) = ours.up(&[first])?;
        if !said.contains("(restored") {
            return Err(Error::failed(format!("a saved machine was to be restored: {said}")));
        }
        let (list, listed) = ours.tell("list-devices", &[])?;
        require(&listed, &["disk1"])?;
        times.warm.push(up + list);

        let (add, _) = ours.tell("add", &[second])?;
        let (list, listed) = ours.tell("list-devices", &[])?;
        require(&listed, &["disk1", "disk2"])?;
        times.add.push(add + list);
        ours.down()
    }

    fn their_launches(&mut self, [first, second]: [&str; 2]) -> Result<()> {
        let Some(guestfish) = &self.guestfish else { return Ok(()) };
        let began = Instant::now();
        let mut session = guestfish.start()?;
        session.done(&[&add(first), "run"])?;
        self.times.run.push(began.elapsed());

        let (took, listed) =
            timed(&mut session, &["shutdown", &add(first), &add(second), "run", "list-devices"])?;
        require(&listed.join("\n"), &["/dev/sda", "/dev/sdb"])?;
        self.times.again.push(took);
        Ok(())
    }

    /// So many rounds of a gibibyte up, and down again. What came down is compared with what went up.
    pub(super) fn freights(&mut self, rounds: u32) -> Result<()> {
        let freight = Freight::new(self.images)?;
        for _ in 0..rounds {
            self.our_freight(&freight)?;
            self.their_freight(&freight)?;
        }
        Ok(())
    }

    fn our_freight(&mut self, freight: &Freight) -> Result<()> {
        let disk = self.image("freight.img", FREIGHT_DISK_BYTES)?;
        let (ours, times) = (&self.ours, &mut self.times);
        ours.up(&["--with", "mkfs.ext4,sync", &disk.to_string_lossy()])?;
        ours.tell("sh", &["mkfs.ext4 -q /dev/disk/qplug/disk1"])?;
        ours.tell("mount", &["disk1", "/"])?;
        let inside = Ours::inside(PLACE);
        let copied = ours.copy(&freight.there(), &inside)?;
        let (synced, _) = ours.tell("sh", &["sync"])?;
        times.up.push(copied + synced);
        ours.tell("sh", &["echo 3 >/proc/sys/vm/drop_caches"])?;
        times.down.push(ours.copy(&inside, &freight.back())?);
        ours.down()?;
        freight.compare()?;
        remove(&disk)
    }

    fn their_freight(&mut self, freight: &Freight) -> Result<()> {
        let Some(guestfish) = &self.guestfish else { return Ok(()) };
        let disk = self.image("freight.img", FREIGHT_DISK_BYTES)?;
        let mut session = guestfish.start()?;
        session.done(&[&add(&disk.to_string_lossy()), "run"])?;
        session.done(&["mkfs ext4 /dev/sda", "mount /dev/sda /"])?;
        let upload = format!("upload {} {PLACE}", freight.there());
        self.times.upload.push(timed(&mut session, &[&upload, "sync"])?.0);
        session.done(&["drop-caches 3"])?;
        let download = format!("download {PLACE} {}", freight.back());
        self.times.download.push(timed(&mut session, &[&download])?.0);
        drop(session);
        freight.compare()?;
        remove(&disk)
    }

    /// An empty image.
    fn image(&self, name: &str, bytes: u64) -> Result<PathBuf> {
        let path = self.images.join(name);
        let file = File::create(&path).map_err(Error::file("create", &path))?;
        file.set_len(bytes).map_err(Error::file("extend", &path))?;
        Ok(path)
    }
}

fn add(image: &str) -> String {
    format!("add-drive {image} format:raw")
}

fn timed(session: &mut Session, lines: &[&str]) -> Result<(Duration, Vec<String>)> {
    let began = Instant::now();
    let printed = session.done(lines)?;
    Ok((began.elapsed(), printed))
}

/// Only what was done is worth its time.
fn require(listed: &str, wanted: &[&str]) -> Result<()> {
    match wanted.iter().find(|device| !listed.contains(**device)) {
        None => Ok(()),
        Some(device) => Err(Error::failed(format!("{device} is not listed: {listed}"))),
    }
}

fn remove(path: &Path) -> Result<()> {
    std::fs::remove_file(path).map_err(Error::file("remove", path))
}
