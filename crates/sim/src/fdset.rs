//! Sets of descriptors that clients passed in, to be opened as `/dev/fdset/N`.

use std::collections::BTreeMap;

use qplug_proto::ErrorReply;
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::config::Version;
use crate::refusal::{Reply, generic};

/// The number of the first descriptor that a set gets; those below are QEMU's own.
const FIRST_FD: i64 = 11;

/// A descriptor that came beside a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The path of what it is open on.
    pub path: String,
    /// Whether it can only be read from.
    pub is_read_only: bool,
}

/// The sets of a machine.
#[derive(Debug)]
pub(crate) struct Fdsets {
    sets: BTreeMap<i64, Vec<Member>>,
    next: i64,
    version: Version,
}

#[derive(Debug)]
struct Member {
    fd: i64,
    descriptor: Descriptor,
    opaque: Option<String>,
    /// Gone for all that do not have it open already.
    is_removed: bool,
}

impl Fdsets {
    pub(crate) fn new(version: Version) -> Self {
        Self { sets: BTreeMap::new(), next: FIRST_FD, version }
    }

    /// `add-fd`.
    pub(crate) fn add(&mut self, mut arguments: Arguments, fds: &mut Vec<Descriptor>) -> Reply {
        let set = arguments.integer("fdset-id")?;
        let opaque = arguments.text("opaque")?;
        arguments.finish()?;
        if fds.is_empty() {
            return Err(generic("No file descriptor supplied via SCM_RIGHTS"));
        }
        if set.is_some_and(|set| set < 0) {
            return Err(generic("Parameter 'fdset-id' expects a non-negative value"));
        }
        let set =
            set.unwrap_or_else(|| (0..).find(|id| !self.sets.contains_key(id)).unwrap_or_default());
        let (descriptor, fd) = (fds.remove(0), self.next);
        self.next += 1;
        let member = Member { fd, descriptor, opaque, is_removed: false };
        self.sets.entry(set).or_default().push(member);
        Ok(json!({"fd": fd, "fdset-id": set}))
    }

    /// `remove-fd`: what is open stays until it is closed.
    pub(crate) fn remove(
        &mut self,
        mut arguments: Arguments,
        is_open: impl Fn(i64) -> bool,
        is_running: bool,
    ) -> Reply {
        let set = arguments.required_integer("fdset-id")?;
        let fd = arguments.integer("fd")?;
        arguments.finish()?;
        let label = match fd {
            None => format!("fdset-id:{set}"),
            Some(fd) => format!("fdset-id:{set}, fd:{fd}"),
        };
        let missing = || generic(format!("File descriptor named '{label}' not found"));
        let members = self.sets.get_mut(&set).ok_or_else(missing)?;
        let mut is_found = fd.is_none();
        for member in members.iter_mut().filter(|member| fd.is_none_or(|fd| fd == member.fd)) {
            member.is_removed = true;
            is_found = true;
        }
        if !is_found {
            return Err(missing());
        }
        self.collect(is_open, is_running);
        Ok(json!({}))
    }

    /// Forgets what was removed, and sets that are empty, where nothing has them open.
    ///
    /// QEMU 7.2 does so only while the machine runs.
    pub(crate) fn collect(&mut self, is_open: impl Fn(i64) -> bool, is_running: bool) {
        if self.version < Version::V10_0 && !is_running {
            return;
        }
        self.sets.retain(|set, members| {
            members.retain(|member| !member.is_removed);
            is_open(*set) || !members.is_empty()
        });
    }

    /// The last client left: what is not in use goes, as nobody can be told of it any more.
    pub(crate) fn lose_clients(&mut self, is_open: impl Fn(i64) -> bool, is_running: bool) {
        for (set, members) in &mut self.sets {
            if !is_open(*set) {
                members.iter_mut().for_each(|member| member.is_removed = true);
            }
        }
        self.collect(is_open, is_running);
    }

    /// `query-fdsets`, the newest set first.
    pub(crate) fn show(&self) -> Value {
        let show_member = |member: &Member| {
            let mut shown = json!({"fd": member.fd});
            if let Some(opaque) = &member.opaque {
                shown["opaque"] = json!(opaque);
            }
            shown
        };
        self.sets
            .iter()
            .rev()
            .map(|(set, members)| {
                let fds: Vec<_> = members.iter().map(show_member).collect();
                json!({"fds": fds, "fdset-id": set})
            })
            .collect()
    }

    /// The file that opening `/dev/fdset/N` gives, and N.
    pub(crate) fn open(
        &self,
        set: &str,
        path: &str,
        read_only: bool,
    ) -> Result<(i64, String), ErrorReply> {
        let Ok(set) = set.parse::<i64>() else {
            return Err(generic(format!("Could not parse fdset {path}")));
        };
        let flags = if read_only { 0 } else { 2 };
        let is_old = self.version < Version::V10_0;
        let refusal = |old: &str, new: String| {
            let text = format!("Could not dup FD for {path} flags {flags}: {old}");
            generic(if is_old { text } else { new })
        };
        let Some(members) = self.sets.get(&set) else {
            let new = format!("Failed to find fdset {path}");
            return Err(refusal("No such file or directory", new));
        };
        let fits =
            |member: &&Member| !member.is_removed && member.descriptor.is_read_only == read_only;
        match members.iter().find(fits) {
            Some(member) => Ok((set, member.descriptor.path.clone())),
            None => {
                let new = "Failed to find file descriptor with matching flags";
                Err(refusal("Permission denied", format!("{new}=0x{flags:x}")))
            }
        }
    }
}
