//! The block graph: nodes, what lies on what, and who uses them.
//!
//! | file | owns |
//! |---|---|
//! | `graph/driver.rs` | the block drivers there are, and the options of each |
//! | `graph/open.rs` | what `blockdev-add` asks for, and opening it |
//! | `graph/permission.rs` | who may share a node or a file with whom |
//! | `graph/show.rs` | nodes as the queries show them |

mod driver;
mod open;
mod permission;
mod show;

use std::collections::BTreeMap;

use qplug_proto::ErrorReply;

use crate::config::Version;
use crate::files::Image;
use crate::refusal::generic;
use crate::snapshots::InnerSnapshot;

pub(crate) use driver::{names as driver_names, takes_option};
pub(crate) use open::{Blockdev, World};
pub(crate) use permission::{Claim, Permissions};
pub(crate) use show::no_stats;

/// The longest name of a node (`char node_name[32]` in QEMU).
const MAX_NODE_NAME: usize = 31;

/// Names a node. Later nodes have greater ones.
pub(crate) type NodeId = u64;

/// Names a user of a node.
pub(crate) type UserId = u64;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) driver: &'static str,
    /// What the queries show as its file name.
    pub(crate) path: String,
    pub(crate) read_only: bool,
    /// Whether `blockdev-add` named it: only such a node can be deleted.
    is_of_monitor: bool,
    pub(crate) bytes: u64,
    /// How often the guest read from it.
    pub(crate) reads: u64,
    /// The file that it holds open; for nodes at the bottom.
    opened: Option<Opened>,
    children: Vec<Edge>,
    pub(crate) throttle_group: Option<String>,
    pub(crate) secret: Option<String>,
    detect_zeroes: String,
    cache: Cache,
    pub(crate) snapshots: Vec<InnerSnapshot>,
    /// The filter on top of it, or the job that works on it, in QEMU's words.
    pub(crate) blocked_by: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cache {
    direct: bool,
    no_flush: bool,
}

/// A file held open.
#[derive(Debug, Clone)]
struct Opened {
    image: Image,
    /// What tells it from other files.
    identity: String,
    fdset: Option<i64>,
}

/// A node lies on another.
#[derive(Debug, Clone)]
struct Edge {
    /// Later edges have greater numbers.
    order: u64,
    role: &'static str,
    child: NodeId,
}

/// Something that is no node and uses one: a device, an export, a job.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) node: NodeId,
    /// As messages name it; empty for one that has no name.
    pub(crate) label: String,
    pub(crate) kind: UserKind,
    pub(crate) claim: Claim,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserKind {
    Device,
    /// A drive that no device has.
    Drive,
    Export,
    /// A job's own end of a node.
    Job,
    /// A filter of a job over a node, which keeps it from being deleted.
    Filter,
}

#[derive(Debug)]
pub(crate) struct Graph {
    version: Version,
    nodes: BTreeMap<NodeId, Node>,
    users: BTreeMap<UserId, User>,
    /// Numbers of nodes, edges and users.
    next: u64,
    /// Numbers of nodes that nobody named.
    unnamed: u64,
}

impl Graph {
    pub(crate) fn new(version: Version) -> Self {
        let (nodes, users) = (BTreeMap::new(), BTreeMap::new());
        Self { version, nodes, users, next: 0, unnamed: 0 }
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().find(|(_, node)| node.name == name).map(|(id, _)| *id)
    }

    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(&id)
    }

    /// Newest first, as the queries list them.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().rev().map(|(id, node)| (*id, node))
    }

    pub(crate) fn users(&self) -> impl Iterator<Item = (UserId, &User)> {
        self.users.iter().map(|(id, user)| (*id, user))
    }

    /// Lets something use a node, unless what it claims is in conflict with others.
    pub(crate) fn add_user(&mut self, user: User) -> Result<UserId, ErrorReply> {
        let (id, node) = (self.number(), user.node);
        self.users.insert(id, user);
        match self.check(node) {
            Ok(()) => Ok(id),
            Err(error) => {
                self.users.remove(&id);
                Err(error)
            }
        }
    }

    /// Lets a user claim something else, unless that is in conflict with others.
    pub(crate) fn change_claim(
        &mut self,
        id: UserId,
        label: String,
        kind: UserKind,
        claim: Claim,
    ) -> Result<(), ErrorReply> {
        let Some(user) = self.users.get_mut(&id) else { return Ok(()) };
        let node = user.node;
        let before = std::mem::replace(user, User { node, label, kind, claim });
        self.check(node).inspect_err(|_| {
            self.users.insert(id, before);
        })
    }

    /// The node that a user uses.
    pub(crate) fn used_by(&self, id: UserId) -> Option<NodeId> {
        self.users.get(&id).map(|user| user.node)
    }

    /// Ends a use; nodes that nobody uses or named any more go.
    pub(crate) fn remove_user(&mut self, id: UserId) {
        if let Some(user) = self.users.remove(&id) {
            self.collect(user.node);
        }
    }

    /// `blockdev-del`: in the order in which QEMU looks for reasons against it.
    pub(crate) fn delete(&mut self, name: &str) -> Result<(), ErrorReply> {
        let Some(id) = self.find(name) else {
            return Err(generic(format!("Failed to find node with node-name='{name}'")));
        };
        let is_used = |kind: fn(UserKind) -> bool| {
            self.users.values().any(|user| user.node == id && kind(user.kind))
        };
        let node = &self.nodes[&id];
        if is_used(|kind| kind != UserKind::Filter) {
            return Err(generic(format!("Node {name} is in use")));
        }
        let over_it =
            |it: &&Node| it.children.iter().any(|edge| edge.child == id && edge.role == "backing");
        if let Some(over) = self.nodes.values().find(over_it) {
            let reason = format!("node is used as backing hd of '{}'", over.name);
            return Err(generic(format!("Node '{name}' is busy: {reason}")));
        }
        if let Some(reason) = &node.blocked_by {
            return Err(generic(format!("Node '{name}' is busy: {reason}")));
        }
        if !node.is_of_monitor {
            return Err(generic(format!("Node {name} is not owned by the monitor")));
        }
        if is_used(|kind| kind == UserKind::Filter) || self.has_parent(id) {
            return Err(generic(format!("Block device {name} is in use")));
        }
        self.remove(id);
        Ok(())
    }

    /// Whether another node lies on it, or a job's filter.
    pub(crate) fn is_below(&self, id: NodeId) -> bool {
        let is_filter = |user: &User| user.node == id && user.kind == UserKind::Filter;
        self.has_parent(id) || self.users.values().any(is_filter)
    }

    /// What a node lies on.
    pub(crate) fn file_of(&self, id: NodeId) -> Option<NodeId> {
        self.node(id)?.children.iter().find(|edge| edge.role == "file").map(|edge| edge.child)
    }

    fn has_parent(&self, id: NodeId) -> bool {
        self.nodes.values().any(|node| node.children.iter().any(|edge| edge.child == id))
    }

    /// Removes a node, and those below it that only it kept.
    fn remove(&mut self, id: NodeId) {
        let Some(node) = self.nodes.remove(&id) else { return };
        for edge in node.children {
            self.collect(edge.child);
        }
    }

    /// Closes a node that was opened, and that nobody came to use.
    pub(crate) fn drop_unused(&mut self, id: NodeId) {
        self.collect(id);
    }

    fn collect(&mut self, id: NodeId) {
        let is_kept = self.nodes.get(&id).is_none_or(|node| node.is_of_monitor)
            || self.has_parent(id)
            || self.users.values().any(|user| user.node == id);
        if !is_kept {
            self.remove(id);
        }
    }

    /// The node and all below it.
    pub(crate) fn below(&self, id: NodeId) -> Vec<NodeId> {
        let mut found = vec![id];
        let mut at = 0;
        while let Some(node) = found.get(at).and_then(|id| self.nodes.get(id)) {
            let children = node.children.iter().map(|edge| edge.child);
            let new: Vec<_> = children.filter(|child| !found.contains(child)).collect();
            found.extend(new);
            at += 1;
        }
        found
    }

    /// The guest's driver read from a disk.
    pub(crate) fn count_reads(&mut self, id: NodeId, reads: u64) {
        for id in self.below(id) {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.reads += reads;
            }
        }
    }

    /// Whether a node uses this object, and so keeps it from being deleted.
    pub(crate) fn uses_group(&self, group: &str) -> bool {
        self.nodes.values().any(|node| node.throttle_group.as_deref() == Some(group))
    }

    /// Whether a node holds a descriptor of this set.
    pub(crate) fn uses_fdset(&self, fdset: i64) -> bool {
        let opened = |node: &Node| node.opened.as_ref().is_some_and(|it| it.fdset == Some(fdset));
        self.nodes.values().any(opened)
    }

    /// The queries show this as a node's file.
    pub(crate) fn rename_file(&mut self, id: NodeId, path: &str) {
        for id in self.below(id) {
            if let Some(node) = self.nodes.get_mut(&id) {
                path.clone_into(&mut node.path);
            }
        }
    }

    /// A node grows or shrinks, and what lies above and below it with it.
    pub(crate) fn resize(&mut self, id: NodeId, bytes: u64) {
        let mut resized = self.below(id);
        let mut above = vec![id];
        while let Some(child) = above.pop() {
            for (parent, node) in &self.nodes {
                let is_filter = driver::is_filter(node.driver);
                if is_filter && node.children.iter().any(|edge| edge.child == child) {
                    above.push(*parent);
                    resized.push(*parent);
                }
            }
        }
        for id in resized {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.bytes = bytes;
            }
        }
    }
}
