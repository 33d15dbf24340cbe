//! From what is there and what is wanted to the steps between them. Pure.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::bus::Bus;
use crate::command;
use crate::departure;
use crate::disk::Disk;
use crate::error::Error;
use crate::inventory::{Node, Port, device_path};
use crate::name::DiskName;
use crate::observe::{Look, Observed};
use crate::places::Places;
use crate::spares::Spares;
use crate::step::Step;
use crate::steps;
use crate::throttle::Throttle;

/// What lies between the machine and the disks.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What several disks share, and is not there yet.
    pub(crate) shared: Vec<Shared>,
    /// For each disk, in the order of the wish.
    pub(crate) disks: Vec<DiskPlan>,
    /// What may be tried where a port turns out to be taken.
    pub(crate) spares: Spares,
}

/// Something that disks share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Its id.
    pub(crate) id: String,
    /// What makes it.
    pub(crate) step: Step,
}

/// What is to be done for a disk.
#[derive(Debug)]
pub(crate) enum DiskPlan {
    /// The very disk is there.
    Already {
        /// The bus it is on.
        bus: Bus,
        /// Where, as far as that is known.
        port: Option<Port>,
    },
    /// Steps to take.
    Work(Work),
}

/// The way to a disk.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) bus: Bus,
    pub(crate) steps: Vec<Step>,
    /// What it shares with others, by their places in [`Plan::shared`].
    pub(crate) needs: Vec<usize>,
    /// Whether its image is open already: an attach ended before it plugged the device.
    pub(crate) resumes: bool,
}

/// What must be looked at before these disks can be planned, as far as that is known by now;
/// nothing when all is there.
pub(crate) fn looks(disks: &[Disk], observed: &Observed) -> Vec<Look> {
    let mut looks = Vec::new();
    let mut want = |missing: bool, look: Look| looks.extend(missing.then_some(look));
    want(observed.pci.is_none(), Look::Pci);
    want(observed.nodes.is_none(), Look::Nodes);
    want(observed.migration.is_none(), Look::Migration);
    let rare = disks.iter().any(|disk| !disk.storage.rare_drivers().is_empty());
    want(rare && observed.drivers.is_none(), Look::Drivers);
    let by_fd = disks.iter().any(|disk| disk.storage.has_descriptors());
    want(by_fd && observed.fdsets.is_none(), Look::Fdsets);
    let scsi = disks.iter().any(|disk| disk.bus == Some(Bus::VirtioScsi));
    let uas = disks.iter().any(|disk| disk.bus == Some(Bus::UsbUas));
    want((scsi || uas) && observed.devices.is_none(), Look::Devices);
    let objects = scsi || disks.iter().any(Disk::needs_objects);
    want(objects && observed.objects.is_none(), Look::Objects);
    if !looks.is_empty() {
        return looks;
    }
    closer_looks(disks, observed)
}

fn closer_looks(disks: &[Disk], observed: &Observed) -> Vec<Look> {
    let mut looks = Vec::new();
    let mut want = |missing: bool, look: Look| looks.extend(missing.then_some(look));
    let board_is_known = observed.pci.as_ref().is_some_and(|pci| pci.board().is_known());
    want(!board_is_known && observed.machine_type.is_none(), Look::MachineType);
    let shown: Vec<_> = disks.iter().filter(|disk| observed.shows(&disk.name)).collect();
    want(!shown.is_empty() && observed.blocks.is_none(), Look::Blocks);
    want(!shown.is_empty() && observed.objects.is_none(), Look::Objects);
    want(!shown.is_empty() && observed.devices.is_none(), Look::Devices);
    for disk in shown {
        let name = disk.name.clone();
        want(!observed.serials.contains_key(&name), Look::Serial(name));
        if observed.devices.as_ref().is_some_and(|devices| devices.has_uas(&disk.name)) {
            let shown = shown_to_guest(&disk.name);
            want(!observed.properties.contains_key(&shown), Look::Property(shown.0, shown.1));
        }
    }
    let places = Places::of(observed);
    let elsewhere = |disk: &Disk| disk.port.as_deref().is_some_and(|port| !places.has_pci(port));
    let short = places.are_short(port_takers(disks, observed)) || disks.iter().any(elsewhere);
    want(short && observed.devices.is_none(), Look::Devices);
    want(short && observed.objects.is_none(), Look::Objects);
    let scsi = short || disks.iter().any(|disk| disk.bus == Some(Bus::VirtioScsi));
    for id in observed.devices.iter().filter(|_| scsi).flat_map(|it| it.controllers()) {
        let is_new = !observed.controllers.contains_key(id);
        want(is_new, Look::Controller(id.to_owned()));
    }
    let mut seen = HashSet::new();
    looks.retain(|look| seen.insert(look.clone()));
    looks
}

/// The property that says whether the guest is shown a disk of USB Attached SCSI.
fn shown_to_guest(name: &DiskName) -> (String, &'static str) {
    (device_path(&name.uas()), steps::SHOWN)
}

/// How many of these disks want a PCI port each, and are not there yet.
fn port_takers(disks: &[Disk], observed: &Observed) -> usize {
    let wants = |disk: &&Disk| disk.port.is_none() && disk.bus.is_none_or(Bus::is_pci);
    let is_there = |disk: &Disk| {
        observed.blocks.as_ref().is_some_and(|blocks| blocks.device(disk.name.as_str()).is_some())
    };
    disks.iter().filter(wants).filter(|disk| !is_there(disk)).count()
}

impl Observed {
    /// The bus that the device of this name is on, by its type.
    pub(crate) fn bus_of(&self, name: &DiskName) -> Option<Bus> {
        let devices = self.devices.as_ref()?;
        let bus = Bus::of_device(devices.kind(name.as_str())?)?;
        Some(if devices.has_uas(name) { Bus::UsbUas } else { bus })
    }

    /// Whether the name occurs at all, so that a closer look is needed.
    fn shows(&self, name: &DiskName) -> bool {
        self.nodes.as_ref().is_some_and(|nodes| nodes.format_node(name).is_some())
            || self.pci.as_ref().is_some_and(|pci| pci.port_of(name.as_str()).is_some())
    }
}

/// Plans an attach of these disks: a plan, or for each disk why there is none.
///
/// # Errors
/// When one of them cannot be attached to this machine; nothing has been changed then.
pub(crate) fn attach(observed: &Observed, disks: &[Disk]) -> Result<Plan, Vec<Option<Error>>> {
    let mut places = Places::of(observed);
    places.keep_named(disks.iter().filter_map(|disk| disk.port.as_deref()));
    places.keep_room(port_takers(disks, observed));
    let mut planner = Planner {
        observed,
        places,
        shared: Vec::new(),
        names: HashSet::new(),
        images: HashMap::new(),
        sets: observed.fdsets.iter().flat_map(|sets| sets.numbers()).collect(),
    };
    let planned: Vec<_> = disks.iter().map(|disk| planner.plan(disk)).collect();
    if planned.iter().any(Result::is_err) {
        return Err(planned.into_iter().map(Result::err).collect());
    }
    let (spares, controller) = planner.places.into_parts();
    let mut shared = planner.shared;
    let mut disks: Vec<_> = planned.into_iter().flatten().collect();
    if let Some((number, port)) = controller {
        for plan in &mut disks {
            if let DiskPlan::Work(work) = plan
                && work.bus == Bus::VirtioScsi
            {
                work.needs.push(shared.len());
            }
        }
        let step = steps::plug_controller(number, port);
        shared.push(Shared { id: steps::controller_id(number), step });
    }
    Ok(Plan { shared, disks, spares })
}

struct Planner<'a> {
    observed: &'a Observed,
    places: Places,
    shared: Vec<Shared>,
    /// The names of the list so far.
    names: HashSet<DiskName>,
    /// The images of the list so far, each with the disk and whether it writes.
    images: HashMap<String, (DiskName, bool)>,
    /// The numbers of sets of descriptors, of the machine and of the list so far.
    sets: HashSet<u64>,
}

impl Planner<'_> {
    fn plan(&mut self, disk: &Disk) -> Result<DiskPlan, Error> {
        disk.check_options()?;
        self.check_machine(disk)?;
        self.check_list(disk)?;
        let node = self.observed.nodes.as_ref().and_then(|nodes| nodes.format_node(&disk.name));
        let blocks = self.observed.blocks.as_ref();
        if let Some(device) = blocks.and_then(|blocks| blocks.device(disk.name.as_str())) {
            return self.plan_existing(disk, self.held(disk, device.node));
        }
        if !disk.device.share_rw
            && let Some(by) = other_user(self.observed, disk)
        {
            return Err(Error::ImageInUse { image: disk.storage.label(), by });
        }
        let resumes = match node {
            None => false,
            Some(node)
                if self.is_under(disk)
                    && node.read_only == disk.read_only
                    && self.is_limited_alike(disk) =>
            {
                true
            }
            // Closing it here would be rash: another client may be about to plug it in.
            Some(_) => {
                let nodes = self.observed.nodes.as_ref();
                let image = nodes.and_then(|nodes| nodes.image_of(&disk.name)).unwrap_or_default();
                let (name, image) = (disk.name.clone(), image.to_owned());
                return Err(Error::NameHalfDone { name, image });
            }
        };
        let ignores_locks = disk.access.set.iter().any(|(key, _)| key == "file.locking");
        if !resumes
            && !ignores_locks
            && let Some(locked) = disk.storage.locked(disk.read_only, disk.device.share_rw)
        {
            return Err(crate::DiskError::from(locked).into());
        }
        self.plan_work(disk, resumes).map(DiskPlan::Work)
    }

    /// Whether the nodes of this name are over the wanted image.
    fn is_under(&self, disk: &Disk) -> bool {
        let sets = self.observed.fdsets.as_ref();
        let nodes = self.observed.nodes.as_ref();
        nodes.is_some_and(|nodes| disk.storage.is_under(&disk.name, nodes, sets))
    }

    fn check_machine(&self, disk: &Disk) -> Result<(), Error> {
        let features = &self.observed.features;
        if let Some(ability) = disk.lacks(features) {
            return Err(features.lacks(ability));
        }
        if let Some(status) = self.observed.migration.as_ref().and_then(|it| it.under_way()) {
            return Err(Error::Migrating { status: status.to_owned() });
        }
        let lacks =
            |driver: &&str| self.observed.drivers.as_ref().is_some_and(|it| !it.has(driver));
        if let Some(driver) = disk.storage.rare_drivers().into_iter().find(lacks) {
            return Err(Error::NoDriver { driver: driver.to_owned() });
        }
        Ok(())
    }

    fn check_list(&mut self, disk: &Disk) -> Result<(), Error> {
        if !self.names.insert(disk.name.clone()) {
            return Err(Error::NamedTwice { name: disk.name.clone() });
        }
        for (image, writes) in disk.storage.images(disk.read_only) {
            let new = (disk.name.clone(), writes);
            if let Some((by, other_writes)) = self.images.insert(image, new)
                && (writes || other_writes)
                && !disk.device.share_rw
            {
                let image = disk.storage.label();
                return Err(Error::ImageInUse { image, by: by.to_string() });
            }
        }
        Ok(())
    }

    /// What the device of the disk's name holds: our node where it is that, or a filter over it, as a
    /// block job puts in. A filter shows the file of what is below it (QEMU 7.2 and 10.0). Anything
    /// else is not ours, though our node be there too.
    fn held<'b>(&'b self, disk: &Disk, held: Option<&'b Node>) -> Option<&'b Node> {
        let nodes = self.observed.nodes.as_ref();
        let node = |name: &str| nodes.and_then(|nodes| nodes.node(name));
        let format = node(&disk.name.format_node());
        let top = node(&disk.name.limits_node()).or(format);
        match (held, top) {
            (Some(held), Some(top)) if held.name == top.name || held.path == top.path => format,
            _ => held,
        }
    }

    /// The device is there, and holds this.
    fn plan_existing(&self, disk: &Disk, node: Option<&Node>) -> Result<DiskPlan, Error> {
        let name = disk.name.clone();
        if self.observed.objects.as_ref().is_some_and(|objects| objects.has(&name.pending())) {
            return Err(Error::Leaving { name });
        }
        let serial = self.observed.serials.get(&name).cloned().flatten();
        let bus = self.observed.bus_of(&name);
        // A drive's serial is not told by any query (QEMU 0.14): the wish is taken to be fulfilled.
        let is_untold = serial.is_none() && self.observed.features.has_drive_serials();
        let is_it = |node: &&Node| {
            node.name == name.format_node()
                && self.is_under(disk)
                && node.read_only == disk.read_only
                && self.is_limited_alike(disk)
                && (is_untold || serial.as_deref() == Some(disk.serial.as_str()))
        };
        let port = self.observed.pci.as_ref().and_then(|pci| pci.port_of(name.as_str()));
        // Where only the firmware could tell, the wish is taken to be fulfilled.
        let is_in_port = |port: Option<&Port>| match (&disk.port, port) {
            (Some(wanted), Some(port)) => port.to_string() == *wanted,
            _ => true,
        };
        match (node.filter(is_it), bus) {
            (Some(_), Some(bus))
                if disk.bus.is_none_or(|wanted| wanted == bus) && is_in_port(port.as_ref()) =>
            {
                let shown = self.observed.properties.get(&shown_to_guest(&name));
                if shown.and_then(Value::as_bool) == Some(false) {
                    // An attach ended one step early.
                    let (steps, needs) = (vec![disk.step_to_show()], Vec::new());
                    return Ok(DiskPlan::Work(Work { bus, steps, needs, resumes: true }));
                }
                Ok(DiskPlan::Already { bus, port })
            }
            _ => {
                let holds =
                    node.map_or_else(|| "a device".to_owned(), |node| self.describe(node, bus));
                Err(Error::NameTaken { name, holds })
            }
        }
    }

    fn describe(&self, node: &Node, bus: Option<Bus>) -> String {
        let access = if node.read_only { "read-only" } else { "writable" };
        let bus = bus.map(|bus| format!(" {bus}")).unwrap_or_default();
        let name = DiskName::of_format_node(&node.name);
        let is_limited = |name: &DiskName| {
            let nodes = self.observed.nodes.as_ref();
            nodes.is_some_and(|nodes| nodes.node(&name.limits_node()).is_some())
        };
        let limits =
            if name.as_ref().is_some_and(is_limited) { " with limits to its speed" } else { "" };
        let port = name.and_then(|name| self.observed.pci.as_ref()?.port_of(name.as_str()));
        let port = port.map(|port| format!(" in {port}")).unwrap_or_default();
        let nodes = self.observed.nodes.as_ref();
        let image = DiskName::of_format_node(&node.name)
            .and_then(|name| nodes?.image_of(&name).map(ToOwned::to_owned));
        let image = image.as_deref().unwrap_or(&node.path);
        format!("a {access}{bus} {} disk over {image}{port}{limits}", node.driver)
    }

    /// Whether the nodes that are there limit the disk's speed as it is wished: in the same group,
    /// or not at all. A drive has its own limits, which may have been changed since; only one that has
    /// none is not what was wished.
    fn is_limited_alike(&self, disk: &Disk) -> bool {
        let nodes = self.observed.nodes.as_ref();
        if self.observed.features.has_drives() {
            let drive = nodes.and_then(|nodes| nodes.format_node(&disk.name));
            return disk.throttle.is_none() || drive.is_some_and(Node::is_slowed);
        }
        let limits = nodes.and_then(|nodes| nodes.node(&disk.name.limits_node()));
        match (limits, &disk.throttle) {
            (None, None) => true,
            (Some(node), Some(throttle)) => {
                let is_in = node.throttle_group();
                [throttle.group.clone(), Some(throttle.group_id(&disk.name))].contains(&is_in)
                    && is_in.is_some()
            }
            _ => false,
        }
    }

    fn plan_work(&mut self, disk: &Disk, resumes: bool) -> Result<Work, Error> {
        let (bus, port) = match &disk.port {
            Some(wanted) => self.places.take_named(disk, wanted)?,
            None => self.places.take(disk)?,
        };
        disk.check_on(bus).map_err(crate::DiskError::from)?;
        let mut disk = disk.clone();
        let mut needs = Vec::new();
        if let Some(throttle) = &mut disk.throttle
            && throttle.group.is_some()
        {
            needs.extend(self.share_group(throttle)?);
        }
        if let Some(id) = &disk.iothread {
            needs.extend(self.share_iothread(id));
        }
        let mut steps = Vec::new();
        steps.extend(self.leftover_mark(&disk));
        if !resumes {
            steps.extend(self.leftover_objects(&disk));
            steps.extend(self.leftover_sets(&disk));
            disk.storage.number_descriptors(&disk.name, &mut self.sets);
            steps.extend(disk.steps_to_open(&self.observed.features)?);
        }
        steps.extend(self.leftover_device(&disk));
        steps.extend(disk.steps_to_plug(bus, port, &self.observed.features));
        Ok(Work { bus, steps, needs, resumes })
    }

    /// What an attach that ended early left of the objects that this one makes.
    fn leftover_objects(&self, disk: &Disk) -> Vec<Step> {
        let Some(objects) = &self.observed.objects else { return Vec::new() };
        let made = disk.objects().into_iter().map(|object| object.id);
        let left = made.filter(|id| objects.has(id));
        left.map(|id| Step::clear(command::remove_object(&id))).collect()
    }

    /// The mark of a disk of this name that has gone since: it would be taken for this one's.
    fn leftover_mark(&self, disk: &Disk) -> Option<Step> {
        let mark = disk.name.pending();
        let is_left = self.observed.objects.as_ref().is_some_and(|objects| objects.has(&mark));
        is_left.then(|| Step::clear(command::remove_object(&mark)))
    }

    /// The sets of descriptors that it left: a file that nothing uses is closed with its set.
    fn leftover_sets(&self, disk: &Disk) -> Vec<Step> {
        let sets = self.observed.fdsets.iter().flat_map(|sets| sets.owned());
        let left = sets.filter(|(_, owner)| {
            departure::owner_of_descriptors(owner).as_ref() == Some(&disk.name)
        });
        left.map(|(set, _)| Step::clear(command::remove_descriptors(set))).collect()
    }

    /// A USB device that an attach left without its disk, which QEMU removes at once.
    fn leftover_device(&self, disk: &Disk) -> Option<Step> {
        let devices = self.observed.devices.as_ref();
        let is_left = devices.is_some_and(|devices| devices.has_uas(&disk.name));
        is_left.then(|| Step::clear(command::remove_device(&disk.name.uas())))
    }

    /// Finds the group of this name, or plans it.
    fn share_group(&mut self, throttle: &mut Throttle) -> Result<Option<usize>, Error> {
        let Some(name) = throttle.group.clone() else { return Ok(None) };
        let ours = throttle.shared_id().unwrap_or_default();
        let exists = |id: &str| {
            let kind = self.observed.objects.as_ref().and_then(|objects| objects.kind(id));
            kind == Some("throttle-group")
        };
        let there = [name.clone(), ours.clone()].into_iter().find(|id| exists(id));
        if let Some(id) = there {
            if !throttle.limits.is_empty() {
                return Err(Error::GroupExists { group: name });
            }
            throttle.use_group(id);
            return Ok(None);
        }
        let step = steps::make_group(&ours, &throttle.limits, &self.observed.features);
        if let Some(at) = self.shared.iter().position(|shared| shared.id == ours) {
            // Of two disks of the list with limits, one would not have its own.
            return match throttle.limits.is_empty() || self.shared[at].step == step {
                true => Ok(Some(at)),
                false => Err(Error::GroupExists { group: name }),
            };
        }
        if throttle.limits.is_empty() {
            return Err(Error::NoSuchGroup { group: name });
        }
        self.shared.push(Shared { id: ours, step });
        Ok(Some(self.shared.len() - 1))
    }

    fn share_iothread(&mut self, id: &str) -> Option<usize> {
        if self.observed.objects.as_ref().is_some_and(|objects| objects.has(id)) {
            return None;
        }
        if let Some(at) = self.shared.iter().position(|shared| shared.id == id) {
            return Some(at);
        }
        self.shared.push(Shared {
            id: id.to_owned(),
            step: steps::make_iothread(id, &self.observed.features),
        });
        Some(self.shared.len() - 1)
    }
}

/// Who else in this machine has the image open, where one of the two writes.
fn other_user(observed: &Observed, disk: &Disk) -> Option<String> {
    let nodes = observed.nodes.as_ref()?;
    let ours = [disk.name.format_node(), disk.name.file_node(), disk.name.limits_node()];
    let mut users = disk.storage.users(nodes, observed.fdsets.as_ref(), disk.read_only);
    let node = users.find(|node| !ours.contains(&node.name))?;
    let name = DiskName::of_format_node(&node.name);
    Some(name.map_or_else(|| format!("the node {}", node.name), |name| name.to_string()))
}
