//! Commands, replies and events, as QMP has them.
//!
//! Every command may also be given out of band (`exec-oob`), once the capability `oob` is enabled: such
//! commands run side by side, so that a hung file system holds up nobody else.
//!
//! Refusals have QMP's class `GenericError`, but for those below whose callers have to tell them apart.
//!
//! Paths are those of the file systems mounted, in a tree of their own: `/` is where `mount … /` put
//! something, and no link leads out of it.

mod device;
mod event;
mod file;
mod run;
mod tree;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use device::{
    Device, FileSystem, ListDevices, ListFileSystems, ListUses, Partition, Release, Use, UseKind,
};
pub use event::{DISK_APPEARED, DISK_CHANGED, DISK_GONE, DiskGone};
pub use file::{
    Chmod, Copy, Download, Entry, EntryKind, Find, Found, Listing, Ls, MAX_ENTRIES, Mkdir, Moved,
    Place, Rename, Rm, Stat, Status, TarIn, TarOut, Upload,
};
pub use run::{Ended, Line, Run, UseRoot};
pub use tree::{Df, ListMounts, Mount, MountOption, Mounted, Space, Umount};

use crate::meeting::Token;

/// What the virtio-serial ports are called on which the agent is a QMP server; see [`port_of_lane`].
pub const CONTROL_PORT: &str = "org.qplug.agent";

/// What the ports are called on which file contents travel. See [`crate::streams`].
pub const FILES_PORT: &str = "org.qplug.files";

/// How many hosts may talk to the agent at once. Each has a lane of its own: a control port and a files
/// port, of which it sees no other's commands and streams. Events come on all lanes.
pub const LANES: usize = 5;

/// The name of a port of this kind in this lane, of which there are [`LANES`], from 0.
#[must_use]
pub fn port_of_lane(kind: &str, lane: usize) -> String {
    format!("{kind}.{lane}")
}

/// The version of what is said here; another one is not understood.
pub const PROTOCOL: u32 = 2;

/// What the greeting calls the agent, in the text that QEMU's vendors use for themselves.
pub const PACKAGE: &str = "qplug-agent";

/// Serials that start so are the appliance's own disks: they are in no list, and no name reaches them.
pub const OWN_PREFIX: &str = "qplug.";

/// The disk that programs come from. Not even [`Place::Own`] leads to it.
pub const ROOT_LABEL: &str = "qplug.root";

/// Where a disk's link is: behind it comes the label, for a partition then `:` and its number, as in
/// commands. No label has a colon in it.
pub const LINKS: &str = "/dev/disk/qplug";

/// The class of a refusal: no such disk or partition.
pub const DEVICE_NOT_FOUND: &str = "DeviceNotFound";

/// The class of a refusal: so many commands are under way that no other can be begun.
pub const BUSY: &str = "Busy";

/// A command and what it returns.
pub trait Command: Serialize + DeserializeOwned {
    /// Its name.
    const NAME: &'static str;
    /// What it returns.
    type Return: Serialize + DeserializeOwned;
}

/// Says which name and which reply a command has.
macro_rules! command {
    ($type:ty, $name:literal, $reply:ty) => {
        impl $crate::wire::Command for $type {
            const NAME: &'static str = $name;
            type Return = $reply;
        }
    };
}
pub(crate) use command;

/// Returned by commands that have nothing to tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// `query-agent`: whether anybody is there, and who.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct QueryAgent {}
command!(QueryAgent, "query-agent", AgentInfo);

/// The agent of a running appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AgentInfo {
    /// See [`PROTOCOL`].
    pub protocol: u32,
    /// The kernel's release, such as `6.1.0-56-amd64`.
    pub kernel: String,
    /// How long the machine has run, by its own clock, which stands still while it is saved.
    pub uptime_ms: u64,
    /// The machine's time of day, in microseconds since 1970.
    pub time_us: i64,
    /// What went wrong while the machine started: drivers that did not load, and such.
    pub complaints: Vec<String>,
}

/// `open-files`: begins anew on the lane's files port; all streams of before are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OpenFiles {
    /// The token of the mark that each side says next.
    pub token: Token,
}
command!(OpenFiles, "open-files", Done);

/// `set-time`: sets the machine's clock, as after it was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SetTime {
    /// Microseconds since 1970.
    pub time_us: i64,
}
command!(SetTime, "set-time", Done);

/// `add-entropy`: stirs bytes into the kernel's random numbers, so that two machines restored from one
/// file do not draw the same. The kernel does not count them as entropy, and draws on them when it next
/// seeds its generator (which may be a minute later); QEMU's device `vmgenid` has it do so at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AddEntropy {
    /// The bytes, in base64.
    pub base64: String,
}
command!(AddEntropy, "add-entropy", Done);

/// `sync`: writes everything out that waits to be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sync {}
command!(Sync, "sync", Done);

/// `shutdown`: unmounts everything and turns the machine off, right behind the reply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Shutdown {}
command!(Shutdown, "shutdown", Done);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn commands_look_like_qmps() {
        let mount = Mount {
            device: "data:1".to_owned(),
            path: "/".into(),
            kind: None,
            read_only: false,
            allow: vec![MountOption::Exec],
            data: None,
        };
        let wire = serde_json::to_value(&mount).unwrap();
        assert_eq!(wire, json!({"device": "data:1", "path": "/", "allow": ["exec"]}));
        assert_eq!(serde_json::from_value::<Mount>(wire).unwrap(), mount);
        let unknown = json!({"device": "data", "path": "/", "colour": 1});
        assert!(serde_json::from_value::<Mount>(unknown).is_err());
    }
}
