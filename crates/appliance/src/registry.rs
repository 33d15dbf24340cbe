//! The appliances of a user, by name: a private folder for each, in the user's runtime folder.
//!
//! ```text
//! $XDG_RUNTIME_DIR/qplug/NAME/   (or /tmp/qplug-UID/NAME/), 0700
//!     lock          held by whoever starts it or takes it down
//!     machine.json  who it is: written once its QEMU runs
//!     qemu.pid      written by QEMU itself
//!     monitor                  the socket of a monitor, for everybody
//!     control.N, agent.N, files.N   sockets of qplug's own, a lane each
//!     lane.N        held by whoever uses lane N
//!     labels        held by whoever chooses labels for disks
//!     qemu.log, console.log   what QEMU and the kernel say
//! ```

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use qplug_agent::wire::LANES;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::folder;
use crate::lane::socket;
use crate::process::{self, Identity};

/// Letters of an appliance's name, at most: a socket's path has room for 107 bytes.
const MAX_NAME_BYTES: usize = 32;

/// The longest path of a socket (`sun_path`), in bytes.
const MAX_SOCKET_PATH: usize = 107;

/// How often a place may be taken away from who is about to take it.
const MAX_RACES: usize = 10;

/// How much is shown of a log's end, in bytes.
const SHOWN_BYTES: usize = 2000;

/// What a kernel says when it gives up, ahead of many lines for those who mend kernels.
const PANIC: &str = "Kernel panic";

/// Lines that tell of nothing wrong: QEMU's that waits for its monitor's client, and the agent's first.
const USUAL: [&str; 2] = ["info: QEMU waiting for connection", "AGENT-READY"];

/// What an appliance may be called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApplianceName(String);

impl ApplianceName {
    /// Checks a name: letters, digits, `.`, `_` and `-`, a letter or digit first, 32 at most.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(name: &str) -> Result<Self> {
        let is_usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(is_usual)
            && name.len() <= MAX_NAME_BYTES;
        if is_name {
            return Ok(Self(name.to_owned()));
        }
        Err(Error::Wish(format!(
            "{name:?} cannot be an appliance's name: it has to be 1 to {MAX_NAME_BYTES} letters, \
             digits, '.', '_' and '-', with a letter or a digit first"
        )))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is written down of a running appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// Its QEMU.
    #[serde(flatten)]
    pub identity: Identity,
    /// The command line that QEMU was started with.
    pub command: Vec<String>,
    /// Whether it was restored, and not booted.
    pub restored: bool,
}

/// How an appliance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Somebody is starting it, or taking it down.
    Changing,
    /// Its QEMU runs.
    Running,
    /// Its QEMU has ended, or was never there.
    Dead,
}

/// The appliances of a user.
#[derive(Debug, Clone)]
pub struct Registry {
    folder: PathBuf,
}

impl Registry {
    /// In the user's runtime folder.
    ///
    /// # Errors
    /// When there is no such folder that others cannot enter.
    pub fn of_user() -> Result<Self> {
        let set = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        match set.filter(|folder| folder.is_absolute() && folder.is_dir()) {
            Some(folder) => Self::at(&folder.join("qplug")),
            None => {
                let user = rustix::process::geteuid().as_raw();
                let folder = env::temp_dir().join(format!("qplug-{user}"));
                folder::make_private_among_others(&folder)?;
                Ok(Self { folder })
            }
        }
    }

    /// In this folder, which is made if need be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn at(folder: &Path) -> Result<Self> {
        folder::make_private(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// The place of an appliance, which may be empty.
    #[must_use]
    pub fn place(&self, name: &ApplianceName) -> Place {
        Place { name: name.clone(), folder: self.folder.join(name.as_str()) }
    }

    /// All that there are, by name, dead ones included.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<(Place, State)>> {
        let entries = fs::read_dir(&self.folder).map_err(Error::file("list", &self.folder))?;
        let mut places: Vec<_> = entries
            .flatten()
            .filter_map(|entry| ApplianceName::new(entry.file_name().to_str()?).ok())
            .map(|name| self.place(&name))
            .map(|place| (place.state(), place))
            .filter_map(|(state, place)| Some((place, state?)))
            .collect();
        places.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
        Ok(places)
    }
}

/// Where an appliance is, or can be.
#[derive(Debug, Clone)]
pub struct Place {
    name: ApplianceName,
    folder: PathBuf,
}

/// What came of holding a place.
#[derive(Debug)]
pub(crate) enum Hold {
    /// Nobody else has it now.
    Ours(Held),
    /// Somebody else has it.
    Taken,
    /// There is no such place any more.
    Gone,
}

/// A place that nobody else may change meanwhile. The lock goes with the process.
#[derive(Debug)]
pub(crate) struct Held {
    place: Place,
    _lock: File,
}

impl Place {
    /// The sockets of the agent; see [`socket`](crate::lane::socket).
    pub(crate) const AGENT: &str = "agent";
    /// The sockets that files travel through.
    pub(crate) const FILES: &str = "files";
    /// The sockets of qplug's own monitors.
    pub(crate) const CONTROL: &str = "control";
    /// The socket of everybody's monitor.
    pub(crate) const MONITOR: &str = "monitor";
    /// What the kernel says.
    pub(crate) const CONSOLE: &str = "console.log";
    /// What QEMU says.
    pub(crate) const LOG: &str = "qemu.log";
    /// QEMU's process id, written by itself.
    pub(crate) const PID: &str = "qemu.pid";
    const RECORD: &str = "machine.json";
    const LOCK: &str = "lock";

    /// The appliance's name.
    #[must_use]
    pub fn name(&self) -> &ApplianceName {
        &self.name
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file of the appliance's.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// How the appliance is; nothing when there is none.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        let lock = File::open(self.file(Self::LOCK));
        if !self.folder.is_dir() {
            return None;
        }
        if lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))) {
            return Some(State::Changing);
        }
        let is_running = self.record().is_some_and(|record| record.identity.is_running());
        Some(if is_running { State::Running } else { State::Dead })
    }

    /// What is written down of the appliance; nothing before it runs.
    #[must_use]
    pub fn record(&self) -> Option<Record> {
        let text = fs::read(self.file(Self::RECORD)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Checks that the appliance runs.
    pub(crate) fn require_running(&self) -> Result<Record> {
        let name = || self.name.as_str().to_owned();
        match self.state() {
            None => Err(Error::Absent { name: name() }),
            Some(State::Dead) => Err(Error::Dead { name: name(), words: self.last_words() }),
            Some(State::Changing | State::Running) => {
                self.record().ok_or_else(|| Error::Starting { name: name() })
            }
        }
    }

    /// What QEMU and the kernel said last; of a kernel that panicked, why it did.
    pub(crate) fn last_words(&self) -> String {
        let end = |name: &str| {
            let text = fs::read(self.file(name)).unwrap_or_default();
            let start = text.len().saturating_sub(SHOWN_BYTES);
            let all = String::from_utf8_lossy(&text);
            if let Some(panic) = all.lines().find(|line| line.contains(PANIC)) {
                return panic.trim().to_owned();
            }
            let end = String::from_utf8_lossy(&text[start..]);
            let said = end.lines().filter(|line| !USUAL.iter().any(|usual| line.contains(usual)));
            said.collect::<Vec<_>>().join("\n").trim().to_owned()
        };
        let words = [end(Self::CONSOLE), end(Self::LOG)];
        words.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// Takes the place for a new appliance. What a dead one left is cleared away.
    pub(crate) fn claim(&self) -> Result<Held> {
        let longest = self.file(&socket(Self::CONTROL, LANES));
        if longest.as_os_str().len() > MAX_SOCKET_PATH {
            let what = format!(
                "is longer than the {MAX_SOCKET_PATH} bytes of a socket's path; set XDG_RUNTIME_DIR to \
                 a folder with a shorter one, or choose a shorter name"
            );
            return Err(Error::content(&longest, what));
        }
        let exists = || Error::Exists { name: self.name.as_str().to_owned() };
        for _ in 0..MAX_RACES {
            match fs::DirBuilder::new().mode(0o700).create(&self.folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(Error::file("make the folder", &self.folder)(error));
                }
                _ => {}
            }
            let held = match self.try_hold() {
                // It was taken down meanwhile.
                Ok(Hold::Gone) => continue,
                Ok(Hold::Taken) => return Err(exists()),
                Ok(Hold::Ours(held)) => held,
                Err(error) => return Err(error),
            };
            if self.record().is_some_and(|record| record.identity.is_running()) {
                return Err(exists());
            }
            held.clear()?;
            return Ok(held);
        }
        Err(Error::Starting { name: self.name.as_str().to_owned() })
    }

    /// Holds a place that is there, so that nobody else changes it meanwhile.
    pub(crate) fn try_hold(&self) -> Result<Hold> {
        let path = self.file(Self::LOCK);
        let lock = match File::create(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Hold::Gone),
            other => other.map_err(Error::file("make", &path))?,
        };
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(Hold::Taken),
            other => other.map_err(|error| Error::file("lock", &path)(error.into()))?,
        }
        // Who had it may have removed it since it was opened.
        let same = |found: &fs::Metadata, locked: &fs::Metadata| {
            (found.dev(), found.ino()) == (locked.dev(), locked.ino())
        };
        let is_there = match (fs::metadata(&path), lock.metadata()) {
            (Ok(found), Ok(locked)) => same(&found, &locked),
            _ => false,
        };
        Ok(if is_there {
            Hold::Ours(Held { place: self.clone(), _lock: lock })
        } else {
            Hold::Gone
        })
    }
}

impl Held {
    /// The place.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Writes down who the appliance is.
    pub(crate) fn write(&self, record: &Record) -> Result<()> {
        let place = self.place.file(Place::RECORD);
        let draft = self.place.file("machine.json.draft");
        let text = serde_json::to_vec_pretty(record).map_err(std::io::Error::other);
        let written = text.and_then(|text| fs::write(&draft, text));
        written.map_err(Error::file("write", &draft))?;
        fs::rename(&draft, &place).map_err(Error::file("make", &place))
    }

    /// Removes what is in the place but the lock, and ends a QEMU that was started and never written
    /// down: one that wrote its process id here, and has this folder as its own.
    pub(crate) fn clear(&self) -> Result<()> {
        if let Ok(text) = fs::read_to_string(self.place.file(Place::PID))
            && let Ok(pid) = text.trim().parse()
            && process::works_in(pid, &self.place.folder)
        {
            process::kill(pid);
        }
        let folder = &self.place.folder;
        for entry in fs::read_dir(folder).map_err(Error::file("list", folder))?.flatten() {
            if entry.file_name() != Place::LOCK {
                let path = entry.path();
                fs::remove_file(&path).map_err(Error::file("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Removes the place. Its QEMU must have ended.
    pub(crate) fn remove(self) -> Result<()> {
        self.clear()?;
        let folder = &self.place.folder;
        // At once, whoever is about to take the place: no name begins with a dot.
        let gone = format!(".{}.{}", self.place.name.as_str(), std::process::id());
        let gone = folder.with_file_name(gone);
        fs::rename(folder, &gone).map_err(Error::file("remove", folder))?;
        fs::remove_dir_all(&gone).map_err(Error::file("remove", &gone))
    }
}

#[cfg(test)]
mod tests;
