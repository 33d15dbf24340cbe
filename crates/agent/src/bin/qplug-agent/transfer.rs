//! Files to and from the host.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Duration;

use qplug_agent::wire::{Copy, Download, Moved, Place, ROOT_LABEL, Upload};
use rustix::fs::{Mode, OFlags};

use crate::device;
use crate::direct;
use crate::disks::Disks;
use crate::draft::Draft;
use crate::lanes::{Lane, Lanes};
use crate::refusal::{Result, cannot, refuse};
use crate::tree;

/// How much is moved at a time.
const BLOCK_BYTES: usize = 128 << 10;

/// How long a disk of the appliance's own may take to appear; it takes a tenth of a second.
const OWN_WITHIN: Duration = Duration::from_secs(30);

/// Sends a file, or a device.
pub(crate) fn download(wish: &Download, lanes: &Lanes, disks: &Disks) -> Result<Moved> {
    let mut lane = lanes.open(wish.stream)?;
    let outcome = send(wish, &mut lane, disks);
    lane.end(&outcome);
    outcome
}

fn send(wish: &Download, lane: &mut Lane, disks: &Disks) -> Result<Moved> {
    let (mut file, name) = open(&wish.from, disks, OFlags::RDONLY, Mode::empty())?;
    if let Some(offset) = wish.offset {
        file.seek(SeekFrom::Start(offset)).map_err(cannot(format!("read {name} from there")))?;
    }
    let mut rest = file.take(wish.bytes.unwrap_or(u64::MAX));
    let bytes = pass_on(&mut rest, lane).map_err(|error| match error {
        PassError::From(error) => cannot(format!("read {name}"))(error),
        PassError::To(error) => cannot(format!("send {name}"))(error),
    })?;
    Ok(Moved { bytes })
}

/// Makes a file of a stream, or writes it on a device.
pub(crate) fn upload(wish: &Upload, lanes: &Lanes, disks: &Disks) -> Result<Moved> {
    let mut lane = lanes.open(wish.stream)?;
    let outcome = receive(wish, &mut lane, disks);
    lane.end(&outcome);
    outcome
}

fn receive(wish: &Upload, lane: &mut Lane, disks: &Disks) -> Result<Moved> {
    let target = Target::open(&wish.to, wish.offset.is_none(), wish.mode, disks)?;
    let name = target.name().to_owned();
    let mut file = target.file();
    if let Some(offset) = wish.offset {
        file.seek(SeekFrom::Start(offset)).map_err(cannot(format!("write {name} from there")))?;
    }
    let bytes = pass_on(lane, &mut file).map_err(|error| match error {
        PassError::From(error) => cannot(format!("receive {name}"))(error),
        PassError::To(error) => cannot(format!("write {name}"))(error),
    })?;
    target.finish()?;
    Ok(Moved { bytes })
}

/// Copies within the appliance.
pub(crate) fn copy(wish: &Copy, disks: &Disks) -> Result<Moved> {
    let (file, from) = open(&wish.from, disks, OFlags::RDONLY, Mode::empty())?;
    let target = Target::open(&wish.to, true, wish.mode, disks)?;
    let most = wish.bytes.unwrap_or(u64::MAX);
    let bytes = direct::pass_on(&file, target.file(), most).map_err(|error| match error {
        PassError::From(error) => cannot(format!("read {from}"))(error),
        PassError::To(error) => cannot(format!("write {}", target.name()))(error),
    })?;
    target.finish()?;
    Ok(Moved { bytes })
}

/// Where bytes go.
#[derive(Debug)]
enum Target {
    /// A file that is made anew.
    Draft(Draft, String),
    /// A file that keeps what is not written over.
    File(File, String),
    Device(File, String),
}

impl Target {
    fn open(place: &Place, is_whole: bool, mode: Option<u32>, disks: &Disks) -> Result<Self> {
        let mode = Mode::from_raw_mode(mode.unwrap_or(0o644) & 0o7777);
        Ok(match place {
            Place::Path(path) if is_whole => Self::Draft(Draft::begin(path, mode)?, path.display()),
            Place::Path(path) => {
                tree::require_mounted(path)?;
                let (file, name) = open(place, disks, OFlags::WRONLY | OFlags::CREATE, mode)?;
                Self::File(file, name)
            }
            Place::Device(_) | Place::Own(_) => {
                let (file, name) = open(place, disks, OFlags::WRONLY, Mode::empty())?;
                Self::Device(file, name)
            }
        })
    }

    fn file(&self) -> &File {
        match self {
            Self::Draft(draft, _) => draft.file(),
            Self::File(file, _) | Self::Device(file, _) => file,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Draft(_, name) | Self::File(_, name) | Self::Device(_, name) => name,
        }
    }

    /// Everything is written.
    fn finish(self) -> Result<()> {
        match self {
            Self::Draft(draft, _) => draft.keep(),
            Self::File(..) => Ok(()),
            // The kernel does not tell later of what could not be written to a device.
            Self::Device(file, name) => {
                file.sync_all().map_err(cannot(format!("write {name} out")))
            }
        }
    }
}

fn open(place: &Place, disks: &Disks, flags: OFlags, mode: Mode) -> Result<(File, String)> {
    match place {
        Place::Path(path) => {
            let name = path.display();
            let file = File::from(tree::open(path, flags, mode)?);
            let found = file.metadata().map_err(cannot(format!("look at {name}")))?;
            // A device or a pipe in a guest's file system is not what it was for the guest.
            if !found.is_file() {
                return Err(refuse(format!("{name} is no file")));
            }
            Ok((file, name))
        }
        Place::Device(name) => {
            let found = device::find(name, disks)?;
            let file = rustix::fs::open(found.node(), flags | OFlags::CLOEXEC, mode)
                .map_err(cannot(format!("open {name}")))?;
            Ok((File::from(file), name.clone()))
        }
        Place::Own(label) if label == ROOT_LABEL => Err(device::not_found(label)),
        Place::Own(label) => {
            let kernel_name = disks.wait_own(label, OWN_WITHIN);
            let kernel_name =
                kernel_name.ok_or_else(|| refuse(format!("the disk {label} did not appear")))?;
            let file =
                rustix::fs::open(format!("/dev/{kernel_name}"), flags | OFlags::CLOEXEC, mode)
                    .map_err(cannot(format!("open {label}")))?;
            Ok((File::from(file), label.clone()))
        }
    }
}

/// Which end failed.
#[derive(Debug)]
pub(crate) enum PassError {
    From(io::Error),
    To(io::Error),
}

/// Moves everything, and tells how much it was.
pub(crate) fn pass_on(from: &mut impl Read, to: &mut impl Write) -> Result<u64, PassError> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut moved = 0;
    loop {
        let count = match from.read(&mut block) {
            Ok(0) => return Ok(moved),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(PassError::From(error)),
        };
        to.write_all(&block[..count]).map_err(PassError::To)?;
        moved += count as u64;
    }
}
