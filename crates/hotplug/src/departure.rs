//! What must go with a disk, and whether it may: the plan of a detach. Pure.

use std::collections::{HashSet, VecDeque};

use crate::command::{self, Command};
use crate::detach::Which;
use crate::dialect::Ability;
use crate::error::Error;
use crate::inventory::{DeviceDisk, Node};
use crate::leaving::Goods;
use crate::name::{DiskName, PENDING_SUFFIX, SHARED_CONTROLLER, SHARED_GROUP};
use crate::observe::{Look, Observed};
use crate::places::pending_mark;

/// How a descriptor says that qplug handed it over, before the disk's name.
const OWNER: &str = "qplug ";

/// The path of a node that was given a descriptor.
const FDSET: &str = "/dev/fdset/";

/// What must be looked at before these disks can leave, as far as that is known by now; nothing when
/// all is there.
pub(crate) fn looks(which: &Which, observed: &Observed) -> Vec<Look> {
    let mut looks = Vec::new();
    let mut want = |missing: bool, look: Look| looks.extend(missing.then_some(look));
    want(observed.blocks.is_none(), Look::Blocks);
    want(observed.jobs.is_none(), Look::Jobs);
    want(observed.exports.is_none(), Look::Exports);
    want(observed.objects.is_none(), Look::Objects);
    want(*which == Which::All && observed.nodes.is_none(), Look::Nodes);
    if !looks.is_empty() {
        return looks;
    }
    let mut want = |missing: bool, look: Look| looks.extend(missing.then_some(look));
    let jobs = observed.jobs.as_ref().is_some_and(|jobs| !jobs.is_empty());
    want(jobs && observed.graph.is_none(), Look::Graph);
    let names = match which {
        Which::Named(names) => names.clone(),
        Which::All => all(observed),
    };
    let disks = || names.iter().map(|name| (name, observed.disk(name)));
    let unclear = |(name, disk): (&DiskName, Option<DeviceDisk<'_>>)| {
        disk.is_none_or(|disk| top_node(name, &disk).is_none())
    };
    want(disks().any(unclear) && observed.nodes.is_none(), Look::Nodes);
    let by_fd = disks().any(|(_, disk)| {
        disk.and_then(|disk| disk.node).is_none_or(|node| node.path.contains(FDSET))
    });
    want(by_fd && observed.fdsets.is_none(), Look::Fdsets);
    // virtio-blk is the usual one, and has no parts.
    let has_parts = disks().any(|(_, disk)| disk.is_none_or(|disk| disk.may_have_parts));
    want(has_parts && observed.devices.is_none(), Look::Devices);
    looks
}

/// All disks that qplug made, whole and half, in order.
pub(crate) fn all(observed: &Observed) -> Vec<DiskName> {
    let nodes = observed.nodes.iter().flat_map(|nodes| nodes.disks());
    // What a CD drive holds is a medium.
    let is_medium = |name: &DiskName| {
        let blocks = observed.blocks.as_ref();
        let holder = blocks.and_then(|blocks| blocks.holder(&name.format_node()));
        holder.is_some_and(|holder| holder != name.as_str())
    };
    // Objects outlive a disk whose detach ended early.
    let objects = observed.objects.iter().flat_map(|objects| objects.ids());
    let names = nodes.map(|(name, _)| name).chain(objects.filter_map(DiskName::of_object));
    let mut names: Vec<_> = names.filter(|name| !is_medium(name)).collect();
    names.sort();
    names.dedup();
    names
}

impl Observed {
    /// The disk that the device of this name holds.
    fn disk(&self, name: &DiskName) -> Option<DeviceDisk<'_>> {
        self.blocks.as_ref()?.device(name.as_str())
    }
}

/// Our topmost node, where the device holds it.
fn top_node(name: &DiskName, disk: &DeviceDisk<'_>) -> Option<String> {
    let held = disk.node?.name.as_str();
    [name.format_node(), name.limits_node()].into_iter().find(|node| node == held)
}

/// Plans a disk's way out, or that of what it left when it is gone.
///
/// # Errors
/// When there is no such disk, it is not ours, or something uses its image.
pub(crate) fn plan(observed: &Observed, name: &DiskName) -> Result<Goods, Error> {
    plan_disk(observed, name).or_else(|error| plan_objects(observed, name, error))
}

fn plan_disk(observed: &Observed, name: &DiskName) -> Result<Goods, Error> {
    if let Some(by) = observed.exports.as_ref().and_then(|exports| exports.of(name)) {
        return Err(Error::Busy { name: name.clone(), by });
    }
    if let (Some(jobs), Some(graph)) = (&observed.jobs, &observed.graph)
        && let Some(by) = jobs.on(name, graph)
    {
        return Err(Error::Busy { name: name.clone(), by });
    }
    let holder = observed.blocks.as_ref().and_then(|blocks| blocks.holder(&name.format_node()));
    if let Some(holder) = holder.filter(|holder| *holder != name.as_str()) {
        return Err(Error::Busy { name: name.clone(), by: format!("the device {holder}") });
    }
    let uas = observed.devices.as_ref().is_some_and(|devices| devices.has_uas(name));
    let device = if uas { name.uas() } else { name.to_string() };
    let disk = observed.disk(name);
    let node = match disk.as_ref().and_then(|disk| top_node(name, disk)) {
        Some(node) => node,
        None => our_node(observed, name, disk.as_ref())?,
    };
    Ok(Goods {
        name: name.to_string(),
        device: (disk.is_some() || uas).then_some(device),
        close: Some(observed.features.close(&node)),
        rest: belongings(observed, name),
        marked_first: false,
        is_marked: is_marked(observed, name),
        ..unmarked(observed, name.pending())
    })
}

/// Plans the way out of what a disk left that is gone; the error, if it left nothing.
fn plan_objects(observed: &Observed, name: &DiskName, error: Error) -> Result<Goods, Error> {
    match error {
        Error::NoSuchDisk { .. } => plan_rest(observed, name).ok_or(error),
        error => Err(error),
    }
}

/// Plans the way out of the objects and descriptors of a disk that is gone, if it left any.
pub(crate) fn plan_rest(observed: &Observed, name: &DiskName) -> Option<Goods> {
    let goods = Goods {
        name: name.to_string(),
        rest: belongings(observed, name),
        is_marked: is_marked(observed, name),
        ..unmarked(observed, name.pending())
    };
    (!goods.rest.is_empty() || goods.is_marked).then_some(goods)
}

/// Plans the way out of a medium of ours that was taken out of its drive.
pub(crate) fn plan_medium(observed: &Observed, name: &DiskName) -> Option<Goods> {
    let nodes = observed.nodes.as_ref()?;
    nodes.node(&name.file_node())?;
    Some(Goods {
        name: name.to_string(),
        close: Some(observed.features.close(&name.format_node())),
        rest: belongings(observed, name),
        is_marked: is_marked(observed, name),
        ..unmarked(observed, name.pending())
    })
}

/// What removes the objects and the descriptors of a disk.
fn belongings(observed: &Observed, name: &DiskName) -> VecDeque<Command> {
    let owned = observed.objects.iter().flat_map(|objects| objects.of_disk(name));
    let owned = owned.filter(|id| **id != name.pending()).map(|id| command::remove_object(id));
    let sets = observed.fdsets.iter().flat_map(|sets| sets.owned());
    let sets = sets.filter(|(_, owner)| owner_of_descriptors(owner).as_ref() == Some(name));
    owned.chain(sets.map(|(set, _)| command::remove_descriptors(set))).collect()
}

fn is_marked(observed: &Observed, name: &DiskName) -> bool {
    observed.objects.as_ref().is_some_and(|objects| objects.has(&name.pending()))
}

/// The disk that descriptors were handed over for, by what was said then.
pub(crate) fn owner_of_descriptors(owner: &str) -> Option<DiskName> {
    let name = owner.strip_prefix(OWNER)?.split(' ').next()?;
    DiskName::new(name).ok()
}

/// Our topmost node, where no device holds it, or holds it through something.
fn our_node(
    observed: &Observed,
    name: &DiskName,
    disk: Option<&DeviceDisk<'_>>,
) -> Result<String, Error> {
    let nodes = observed.nodes.as_ref();
    let ours = [name.limits_node(), name.format_node()];
    let is_there = |node: &str| nodes.is_some_and(|nodes| nodes.node(node).is_some());
    // They come and go with the one below: another client may have a node of such a name.
    let ours = ours.into_iter().find(|node| is_there(node) && is_there(&name.file_node()));
    let name = name.clone();
    match (disk, ours) {
        (None, Some(node)) => Ok(node),
        // Our node is under a filter that no job and no export accounts for.
        (Some(_), Some(_)) => Err(Error::Busy { name, by: "a filter node over it".to_owned() }),
        (Some(disk), None) => {
            let holds = match disk.node.map(|node| node.name.as_str()) {
                None | Some("") => "it holds no named node".to_owned(),
                Some(node) => format!("it holds the node {node}"),
            };
            Err(Error::NotOurs { name, holds })
        }
        (None, None) => {
            let known = all(observed).iter().map(ToString::to_string).collect();
            Err(Error::NoSuchDisk { name, known })
        }
    }
}

/// What must be looked at to know what the disks shared.
pub(crate) fn looks_at_shared(observed: &Observed) -> Vec<Look> {
    observed.devices.is_some().then_some(Look::Devices).into_iter().collect()
}

/// What hangs on the controllers that qplug plugged in.
pub(crate) fn closer_looks_at_shared(observed: &Observed) -> Vec<Look> {
    let unknown = controllers(observed).filter(|id| !observed.controllers.contains_key(*id));
    unknown.map(|id| Look::Controller(id.to_owned())).collect()
}

fn controllers(observed: &Observed) -> impl Iterator<Item = &str> {
    let all = observed.devices.iter().flat_map(|devices| devices.controllers());
    all.filter(|id| id.starts_with(SHARED_CONTROLLER))
}

/// What disks shared, and nothing uses any more: controllers, throttle groups, which QEMU keeps
/// while a disk is in one, and marks of controllers that are gone.
pub(crate) fn plan_shared(observed: &Observed) -> Vec<Goods> {
    let unused = controllers(observed).filter(|id| observed.controllers.get(*id) == Some(&Some(0)));
    let marked = |id: &str| observed.objects.as_ref().is_some_and(|it| it.has(&pending_mark(id)));
    let controllers = unused.map(|id| controller(observed, id, marked(id)));
    let objects = observed.objects.iter().flat_map(|objects| objects.ids());
    let in_use: HashSet<_> = observed
        .nodes
        .iter()
        .flat_map(|nodes| nodes.all())
        .filter_map(Node::throttle_group)
        .collect();
    let is_left = |id: &&str| {
        let is_group = id.starts_with(SHARED_GROUP) && !in_use.contains(*id);
        is_group || is_mark_of_none(observed, id)
    };
    let objects = objects.filter(is_left).map(|id| object(observed, id));
    controllers.chain(objects).collect()
}

/// The way out of something that disks were to share, and that was just made.
pub(crate) fn plan_unused(observed: &Observed, id: &str) -> Goods {
    match id.starts_with(SHARED_CONTROLLER) {
        true => controller(observed, id, false),
        false => object(observed, id),
    }
}

fn controller(observed: &Observed, id: &str, is_marked: bool) -> Goods {
    Goods {
        name: id.to_owned(),
        device: Some(id.to_owned()),
        // An attach must not use it meanwhile.
        marked_first: true,
        count: Some(command::query_controller(id)),
        is_marked,
        ..unmarked(observed, pending_mark(id))
    }
}

fn object(observed: &Observed, id: &str) -> Goods {
    Goods {
        name: id.to_owned(),
        rest: [command::remove_object(id)].into(),
        ..unmarked(observed, pending_mark(id))
    }
}

/// Nothing yet, to be marked so. The mark is an object of no effect: a throttle group that nothing
/// uses.
fn unmarked(observed: &Observed, mark: String) -> Goods {
    let features = &observed.features;
    let make = || features.make("throttle-group", &mark, serde_json::Map::new());
    Goods {
        name: String::new(),
        device: None,
        close: None,
        rest: VecDeque::new(),
        make_mark: features.can(Ability::Marks).then(make),
        mark,
        is_announced: features.can(Ability::Announcing),
        marked_first: false,
        is_marked: false,
        count: None,
    }
}

/// Whether this says that a controller is being unplugged which is gone.
fn is_mark_of_none(observed: &Observed, id: &str) -> bool {
    let controller = id.strip_suffix(PENDING_SUFFIX).filter(|it| it.starts_with(SHARED_CONTROLLER));
    match (controller, &observed.devices) {
        (Some(controller), Some(devices)) => !devices.has(controller),
        _ => false,
    }
}
