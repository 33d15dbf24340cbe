//! Who may share a node or a file with whom: QEMU's permissions, and the locks on files that carry
//! them from process to process.

use qplug_proto::ErrorReply;

use super::driver::{self, Kind};
use super::{Graph, NodeId, Opened, User, UserKind};
use crate::config::Version;
use crate::refusal::generic;

/// A set of the four permissions (`BLK_PERM_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Permissions(u8);

impl Permissions {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const READ: Self = Self(1);
    pub(crate) const WRITE: Self = Self(2);
    pub(crate) const UNCHANGED: Self = Self(4);
    pub(crate) const RESIZE: Self = Self(8);
    pub(crate) const ALL: Self = Self(15);

    /// Each with QEMU's name, in the order in which locks are taken.
    const NAMED: [(Self, &'static str); 4] = [
        (Self::READ, "consistent read"),
        (Self::WRITE, "write"),
        (Self::UNCHANGED, "write unchanged"),
        (Self::RESIZE, "resize"),
    ];

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMED.into_iter().filter(move |(one, _)| self.has(*one)).map(|(_, name)| name)
    }

    /// As `x-debug-query-block-graph` writes them: with dashes, the last one first.
    pub(super) fn words(self) -> Vec<String> {
        let mut words: Vec<_> = self.names().map(|name| name.replace(' ', "-")).collect();
        words.reverse();
        words
    }
}

/// What a user needs, and what it lets others have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) needs: Permissions,
    pub(crate) shares: Permissions,
}

impl Claim {
    /// Nobody's.
    pub(crate) fn nothing() -> Self {
        Self::NOTHING
    }

    const NOTHING: Self = Self { needs: Permissions::NONE, shares: Permissions::ALL };

    /// A disk's: nobody else may write, unless `share_rw`.
    pub(crate) fn disk(read_only: bool, share_rw: bool) -> Self {
        let (read, write) = (Permissions::READ, Permissions::WRITE);
        Self {
            needs: if read_only { read } else { read.and(write) },
            shares: if share_rw { Permissions::ALL } else { Permissions::ALL.without(write) },
        }
    }

    /// A medium's in a drive: its size stays too.
    pub(crate) fn medium() -> Self {
        let shares = Permissions::READ.and(Permissions::UNCHANGED);
        Self { needs: Permissions::READ, shares }
    }

    /// An export's.
    pub(crate) fn export(writable: bool) -> Self {
        let Self { needs, .. } = Self::disk(!writable, false);
        Self { needs, shares: Permissions::ALL.without(Permissions::RESIZE) }
    }

    fn joined(self, other: Self) -> Self {
        Self { needs: self.needs.and(other.needs), shares: self.shares.common(other.shares) }
    }
}

/// What is above a node.
struct Parent {
    order: u64,
    label: String,
    role: &'static str,
    claim: Claim,
}

impl Graph {
    /// Checks a node and all below it: no two of its parents may be in conflict, nobody may write
    /// to it if it is read-only, and a file's locks must be to be had.
    ///
    /// QEMU before 2.9 knows of none of this, and 2.9 of no locks.
    pub(super) fn check(&self, id: NodeId) -> Result<(), ErrorReply> {
        if self.version < Version::V2_9 {
            return Ok(());
        }
        for id in self.below(id) {
            let Some(node) = self.node(id) else { continue };
            let parents = self.parents(id);
            conflict(&node.name, &parents, self.version)?;
            let claim = joined(&parents);
            if node.read_only && claim.needs.has(Permissions::WRITE) {
                return Err(generic("Block node is read-only"));
            }
            if let Some(opened) = &node.opened
                && self.version > Version::V2_9
            {
                self.check_locks(id, opened, claim)?;
            }
        }
        Ok(())
    }

    /// The newest first.
    fn parents(&self, id: NodeId) -> Vec<Parent> {
        let mut parents = Vec::new();
        for (parent, node) in self.nodes() {
            for edge in node.children.iter().filter(|edge| edge.child == id) {
                parents.push(Parent {
                    order: edge.order,
                    label: format!("node '{}'", node.name),
                    role: edge.role,
                    claim: self.claim_below(parent, edge.role),
                });
            }
        }
        for (order, user) in self.users().filter(|(_, user)| user.node == id) {
            parents.push(Parent { order, label: label(user), role: "root", claim: user.claim });
        }
        parents.sort_by_key(|parent| std::cmp::Reverse(parent.order));
        parents
    }

    pub(super) fn claim_of(&self, id: NodeId) -> Claim {
        joined(&self.parents(id))
    }

    /// What a node needs of the one below it (`bdrv_default_perms`).
    pub(super) fn claim_below(&self, id: NodeId, role: &str) -> Claim {
        let Some(node) = self.node(id) else { return Claim::NOTHING };
        let above = self.claim_of(id);
        let kind = driver::find(node.driver).map(|driver| driver.kind);
        match (kind, role) {
            (Some(Kind::Format(_)), "backing") => {
                let shares = Permissions::READ.and(Permissions::UNCHANGED);
                let may_change = above.shares.has(Permissions::WRITE);
                let change = Permissions::WRITE.and(Permissions::RESIZE);
                Claim {
                    needs: above.needs.common(Permissions::READ),
                    shares: if may_change { shares.and(change) } else { shares },
                }
            }
            (Some(Kind::Format(_)), _) => {
                let change = Permissions::WRITE.and(Permissions::RESIZE);
                let needs = Permissions::READ;
                Claim {
                    needs: if node.read_only { needs } else { needs.and(change) },
                    shares: Permissions::READ.and(Permissions::UNCHANGED),
                }
            }
            _ => above,
        }
    }

    /// A lock is refused where another holder of the file needs what is not shared with it, or the
    /// other way round (`raw_check_lock_bytes`).
    fn check_locks(&self, id: NodeId, mine: &Opened, claim: Claim) -> Result<(), ErrorReply> {
        let mut others: Vec<Claim> = self
            .nodes()
            .filter(|(other, _)| *other != id)
            .filter(|(_, node)| {
                node.opened.as_ref().is_some_and(|other| other.identity == mine.identity)
            })
            .map(|(other, _)| self.claim_of(other))
            .collect();
        if mine.image.is_locked {
            others.push(foreign(&mine.image.format));
        }
        let lacking = |others: &[Claim], wants: Permissions, of: fn(&Claim) -> Permissions| {
            wants
                .names()
                .zip(wants.each())
                .find(|(_, one)| others.iter().any(|other| of(other).has(*one)))
                .map(|(name, _)| name)
        };
        if let Some(name) = lacking(&others, claim.needs, |other| other.unshared()) {
            return Err(generic(format!("Failed to get \"{name}\" lock")));
        }
        if let Some(name) = lacking(&others, claim.unshared(), |other| other.needs) {
            return Err(generic(format!("Failed to get shared \"{name}\" lock")));
        }
        Ok(())
    }
}

impl Permissions {
    fn each(self) -> impl Iterator<Item = Self> {
        Self::NAMED.into_iter().map(|(one, _)| one).filter(move |one| self.has(*one))
    }
}

impl Claim {
    fn unshared(&self) -> Permissions {
        Permissions::ALL.without(self.shares)
    }
}

/// What another process that writes to an image of this format claims, as `qemu-io` does.
fn foreign(format: &str) -> Claim {
    let needs = Permissions::READ.and(Permissions::WRITE);
    match format {
        "raw" => Claim { needs, shares: Permissions::ALL },
        _ => Claim {
            needs: needs.and(Permissions::RESIZE),
            shares: Permissions::READ.and(Permissions::UNCHANGED),
        },
    }
}

fn joined(parents: &[Parent]) -> Claim {
    parents.iter().fold(Claim::NOTHING, |claim, parent| claim.joined(parent.claim))
}

fn label(user: &User) -> String {
    let is_job = matches!(user.kind, UserKind::Job | UserKind::Filter);
    match user.label.as_str() {
        _ if is_job => "an unnamed block device".to_owned(),
        "" => "an unnamed block device".to_owned(),
        label => format!("block device '{label}'"),
    }
}

/// The first two that are in conflict, the newer one named last.
fn conflict(node: &str, parents: &[Parent], version: Version) -> Result<(), ErrorReply> {
    for one in parents {
        for other in parents.iter().filter(|other| other.order != one.order) {
            let in_conflict = other.claim.needs.without(one.claim.shares);
            if in_conflict == Permissions::NONE {
                continue;
            }
            let names: Vec<_> = in_conflict.names().collect();
            if version < Version::V7_2 {
                let user = one.label.split('\'').nth(1).unwrap_or("a block device");
                return Err(generic(format!(
                    "Conflicts with use by {user} as '{}', which does not allow '{}' on {node}",
                    one.role,
                    names.join(", ")
                )));
            }
            return Err(generic(format!(
                "Permission conflict on node '{node}': permissions '{}' are both required by {} \
                 (uses node '{node}' as '{}' child) and unshared by {} (uses node '{node}' as \
                 '{}' child).",
                names.join(", "),
                other.label,
                other.role,
                one.label,
                one.role
            )));
        }
    }
    Ok(())
}
