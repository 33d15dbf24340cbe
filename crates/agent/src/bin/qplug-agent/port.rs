//! The virtio-serial ports to the host.
//!
//! A port whose host has gone away is readable and always at its end (the kernel's
//! `drivers/char/virtio_console.c`), so its state is no news, only a change of it is: it is waited for
//! on the edge.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, read, write};

use crate::uevent::Uevents;

/// Where the kernel shows the ports.
const PORTS: &str = "/sys/class/virtio-ports";

/// How long the host may take to name a port.
const NAMED_WITHIN: Duration = Duration::from_secs(30);

/// An open port.
pub(crate) struct Port {
    file: OwnedFd,
}

/// What a port had to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// Nobody is there.
    HostIsGone,
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Port {
    /// Opens the port of this name, as soon as the kernel has announced it: it learns the names from the
    /// host, after the driver was loaded.
    pub(crate) fn open(name: &str, uevents: &Uevents) -> Result<Self, String> {
        let deadline = Instant::now() + NAMED_WITHIN;
        let path = loop {
            if let Some(path) = find(name) {
                break path;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let within = Timespec::try_from(left).unwrap_or_default();
            if left.is_zero() || uevents.next(Some(&within)).is_none() {
                return Err(format!("the machine has no virtio-serial port {name}"));
            }
        };
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::open(&path, flags, Mode::empty())
            .map(|file| Self { file })
            .map_err(|errno| format!("cannot open {}: {errno}", path.display()))
    }

    /// Reads what is there.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Said {
        loop {
            match read(&self.file, &mut *buffer) {
                Ok(0) => return Said::HostIsGone,
                Ok(count) => return Said::Bytes(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Said::Nothing,
                Err(_) => return Said::HostIsGone,
            }
        }
    }

    /// Writes as much as there is room for. What nobody is there to read is lost.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match write(&self.file, bytes) {
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            other => other,
        }
    }

    /// Writes all of it, however long the host takes to make room for it, or to come.
    pub(crate) fn write_all(&self, bytes: &[u8], changes: &Changes) -> Result<(), String> {
        self.write_until(bytes, changes, None)
    }

    /// The same, for no longer than this: what is left then is lost.
    pub(crate) fn write_within(
        &self,
        bytes: &[u8],
        changes: &Changes,
        within: Duration,
    ) -> Result<(), String> {
        self.write_until(bytes, changes, Some(Instant::now() + within))
    }

    fn write_until(
        &self,
        mut bytes: &[u8],
        changes: &Changes,
        deadline: Option<Instant>,
    ) -> Result<(), String> {
        while !bytes.is_empty() {
            let written = self.write(bytes);
            match written.map_err(|errno| format!("cannot write to a port: {errno}"))? {
                0 => {
                    let left = deadline.map(|it| it.saturating_duration_since(Instant::now()));
                    if left.is_some_and(|left| left.is_zero()) {
                        return Ok(());
                    }
                    changes.wait(left)?;
                }
                count => bytes = &bytes[count..],
            }
        }
        Ok(())
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(PORTS).ok()?;
    entries.flatten().find_map(|entry| {
        let found = fs::read_to_string(entry.path().join("name")).ok()?;
        let path = Path::new("/dev").join(entry.file_name());
        (found.trim() == name && path.exists()).then_some(path)
    })
}

/// Waits for changes of a port, and for something else where there is anything else.
pub(crate) struct Changes {
    epoll: OwnedFd,
}

impl Changes {
    /// Of this port, and whether `other` can be read.
    pub(crate) fn of(port: &Port, other: Option<BorrowedFd<'_>>) -> Result<Self, String> {
        let make = || {
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            let edges = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&epoll, port, epoll::EventData::new_u64(0), edges)?;
            if let Some(other) = other {
                let data = epoll::EventData::new_u64(1);
                epoll::add(&epoll, other, data, epoll::EventFlags::IN)?;
            }
            Ok(epoll)
        };
        make()
            .map(|epoll| Self { epoll })
            .map_err(|errno: Errno| format!("cannot wait for the host: {errno}"))
    }

    /// Returns when something has changed since it last returned, or at the latest after so long.
    pub(crate) fn wait(&self, within: Option<Duration>) -> Result<(), String> {
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 4];
        let within = within.and_then(|within| Timespec::try_from(within).ok());
        match epoll::wait(&self.epoll, &mut events, within.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(format!("cannot wait for the host: {errno}")),
        }
    }
}
