//! What can go wrong with an appliance, by whose fault it is.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why an appliance could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder of this host.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What was tried, such as `read`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something that an appliance is made of is not on this host.
    #[error("{what}; {remedy}")]
    Missing {
        /// What is missing.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// A file holds what it should not.
    #[error("{} {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The caller asked for what cannot be.
    #[error("{0}")]
    Wish(String),
    /// There is such an appliance already.
    #[error("an appliance {name:?} is running already; take it down, or choose another name")]
    Exists {
        /// Its name.
        name: String,
    },
    /// There is no such appliance.
    #[error("there is no appliance {name:?}; start it with: qplug appliance up --name {name}")]
    Absent {
        /// The name.
        name: String,
    },
    /// It is being started, or taken down.
    #[error("the appliance {name:?} is being started or taken down; try again")]
    Starting {
        /// The name.
        name: String,
    },
    /// Its QEMU has ended.
    #[error(
        "the appliance {name:?} is dead: its QEMU has ended{}; clear it away with: qplug appliance down {name}",
        last_words(words)
    )]
    Dead {
        /// The name.
        name: String,
        /// What was said last; empty when nothing was.
        words: String,
    },
    /// A machine could not be saved or loaded.
    #[error("the machine could not be saved or loaded: {0}")]
    Saved(String),
    /// QEMU ended when it should not have.
    #[error("the appliance's QEMU ended{}", last_words(words))]
    Died {
        /// What it said last; empty when it said nothing.
        words: String,
    },
    /// Its QEMU runs, and the machine in it does not.
    #[error(
        "the appliance {name:?} stands still: {why}; it goes on with: \
         qplug --socket {} exec cont, and ends with: qplug appliance down {name}",
        monitor.display()
    )]
    Stands {
        /// Its name.
        name: String,
        /// Why it stands still.
        why: String,
        /// The socket of its monitor.
        monitor: PathBuf,
    },
    /// It was ended without having written everything out.
    #[error("the appliance is down, and what it had not written to its disks is lost: {why}")]
    Unwritten {
        /// Why it could not write it.
        why: Box<Self>,
    },
    /// Something did not come in time.
    #[error("waited {within:?} for {what}{}", said(words))]
    Late {
        /// What was waited for.
        what: &'static str,
        /// How long.
        within: Duration,
        /// What QEMU and the kernel said last; empty when they said nothing.
        words: String,
    },
    /// QEMU does not even greet.
    #[error("the appliance's QEMU hangs or is stopped: it does not answer at {}", socket.display())]
    Hangs {
        /// Where it was asked.
        socket: PathBuf,
    },
    /// So many processes use the appliance that no other can.
    #[error(
        "waited {within:?} for one of the {clients} processes that use the appliance to be done; try again"
    )]
    Busy {
        /// How many can use it at once.
        clients: usize,
        /// How long was waited.
        within: Duration,
    },
    /// Bytes did not get where they were to go.
    #[error("{0}")]
    Transfer(String),
    /// A disk is in use inside the appliance.
    #[error("{label} is in use: {uses}; unmount it, or remove it by force")]
    InUse {
        /// The disk.
        label: String,
        /// What uses it.
        uses: String,
    },
    /// The kernel does not let go of a disk.
    #[error("the appliance has not let go of {label} yet; removing it again goes on with it")]
    Kept {
        /// The disk.
        label: String,
    },
    /// The monitor or the agent could not be reached.
    #[error(transparent)]
    Connect(#[from] qplug_qmp::ConnectError),
    /// The monitor or the agent refused a command, or did not answer.
    #[error(transparent)]
    Command(#[from] qplug_qmp::Error),
    /// A disk could not be plugged or unplugged.
    #[error(transparent)]
    Disk(#[from] qplug_hotplug::Error),
    /// A disk cannot be as it was described.
    #[error(transparent)]
    Description(#[from] qplug_hotplug::DiskError),
}

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// For `map_err`: what was being done with which file.
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }

    /// A file whose content is not what it should be.
    pub(crate) fn content(path: &Path, what: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), what: what.into() }
    }

    /// Something that is not on this host.
    pub(crate) fn missing(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Missing { what: what.into(), remedy: remedy.into() }
    }
}

/// What QEMU and the kernel said last, of a machine that is dead.
fn last_words(words: &str) -> String {
    match said(words) {
        none if none.is_empty() => ", without a word".to_owned(),
        words => words,
    }
}

fn said(words: &str) -> String {
    match words.trim_end() {
        "" => String::new(),
        words => format!("; the last that was said:\n{words}"),
    }
}
