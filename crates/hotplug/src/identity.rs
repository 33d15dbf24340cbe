//! What a guest can tell a disk by: looked up in the machine, to be found again in the guest.

use std::time::Instant;

use crate::bus::Bus;
use crate::command::Command;
use crate::departure;
use crate::detach::Which;
use crate::dialect::Features;
use crate::error::Error;
use crate::inventory::{device_of_qom_path, device_path};
use crate::list::{DiskState, ListedDisk, PARENT};
use crate::name::DiskName;
use crate::observe::{Look, Observed, Observer};
use crate::operation::{Answer, Operation};

/// What a guest can tell a disk by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: DiskName,
    /// The bus; nothing where there is no such device.
    pub(crate) bus: Option<Bus>,
    pub(crate) serial: Option<String>,
    /// The PCI bus and slot of a disk that is a PCI device, or of the controller that a SCSI disk
    /// hangs on, as the firmware numbered them.
    pub(crate) pci: Option<(u32, u8)>,
    /// Of a SCSI disk.
    pub(crate) lun: Option<u32>,
}

/// What a guest can tell the disks of a machine by, in the order that they were asked for.
#[derive(Debug)]
pub struct Identities {
    /// Nothing for a disk whose device has no id.
    pub(crate) each: Vec<Option<Identity>>,
    /// Whether no disk is left out that a SCSI controller may have.
    pub(crate) are_complete: bool,
}

impl Identities {
    /// Takes the place of each disk that is listed; `identities` are those of the disks with ids.
    pub(crate) fn of(listed: &[ListedDisk], identities: Vec<Identity>) -> Self {
        let find = |disk: &ListedDisk| {
            identities.iter().find(|it| it.name.as_str() == disk.name && it.bus.is_some()).cloned()
        };
        let each: Vec<_> = listed.iter().map(find).collect();
        // A drive with nothing in it, and a device that is its own controller, are no SCSI disks.
        let may_be_scsi = |disk: &ListedDisk| {
            disk.image.is_some()
                && disk.state != DiskState::HalfDone
                && !disk.name.ends_with("/virtio-backend")
        };
        let mut both = listed.iter().zip(&each);
        let are_complete = !both.any(|(disk, it)| it.is_none() && may_be_scsi(disk));
        Self { each, are_complete }
    }
}

/// The property of a SCSI disk that tells its number on its target.
const LUN: &str = "lun";

impl Identity {
    /// The serial as udev has it: what follows the bus in the disk's path.
    pub(crate) fn udev_serial(&self) -> Option<String> {
        let path = self.bus?.guest_path(self.serial.as_deref()?, None);
        let (_, serial) = path.rsplit('/').next()?.split_once('-')?;
        Some(serial.to_owned())
    }

    fn of(name: DiskName, observed: &Observed) -> Self {
        let serial = observed.serials.get(&name).cloned().flatten();
        let bus = observed.bus_of(&name);
        let path = device_path(name.as_str());
        let controller = observed.text(&path, PARENT).and_then(device_of_qom_path);
        let device = if bus == Some(Bus::VirtioScsi) { controller } else { Some(name.as_str()) };
        let pci = observed.pci.as_ref().zip(device).and_then(|(pci, id)| pci.address_of(id));
        let lun = observed.properties.get(&(path, LUN)).and_then(serde_json::Value::as_u64);
        Self { bus, serial, pci, lun: lun.and_then(|lun| u32::try_from(lun).ok()), name }
    }
}

/// Looking up the identities of disks.
#[derive(Debug)]
pub(crate) struct Identify {
    which: Which,
    observer: Observer,
    outcome: Option<Result<Vec<Identity>, Error>>,
}

impl Identify {
    pub(crate) fn new(which: Which) -> Self {
        let mut identify = Self { which, observer: Observer::default(), outcome: None };
        identify.look();
        identify
    }

    fn look(&mut self) {
        let observed = &self.observer.observed;
        let names = match (&self.which, &observed.nodes) {
            (Which::Named(names), _) => names.clone(),
            // The devices tell which of them are media in drives.
            (Which::All, None) => return self.observer.look([Look::Nodes, Look::Blocks]),
            (Which::All, Some(_)) => departure::all(observed),
        };
        let mut looks = Vec::new();
        let mut want = |missing: bool, look: Look| looks.extend(missing.then_some(look));
        want(observed.pci.is_none(), Look::Pci);
        want(observed.devices.is_none(), Look::Devices);
        for name in &names {
            want(!observed.serials.contains_key(name), Look::Serial(name.clone()));
        }
        // Which of them are SCSI disks is known by then.
        if looks.is_empty() {
            for name in names.iter().filter(|name| observed.bus_of(name) == Some(Bus::VirtioScsi)) {
                let path = device_path(name.as_str());
                for property in [PARENT, LUN] {
                    let is_asked = observed.properties.contains_key(&(path.clone(), property));
                    looks.extend((!is_asked).then(|| Look::Property(path.clone(), property)));
                }
            }
        }
        if looks.is_empty() {
            let identities = names.into_iter().map(|name| Identity::of(name, observed));
            self.outcome = Some(Ok(identities.collect()));
        } else {
            self.observer.look(looks);
        }
    }
}

impl Operation for Identify {
    type Outcome = Result<Vec<Identity>, Error>;

    fn speak(&mut self, features: &Features) {
        self.observer.speak(features);
    }

    fn poll_transmit(&mut self) -> Option<Command> {
        self.observer.poll_transmit()
    }

    fn handle_answer(&mut self, answer: Answer, _now: Instant) {
        match self.observer.handle_answer(answer) {
            Err(error) => self.outcome = Some(Err(error)),
            Ok(()) if self.observer.is_done() => self.look(),
            Ok(()) => {}
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::script::Happens::Answer;
    use crate::operation::script::play;

    #[test]
    fn a_disk_has_a_serial_and_an_address() {
        const PCI: &str = r#"[{"bus": 0, "devices": [
            {"bus": 0, "slot": 0, "id": {"vendor": 32902, "device": 10688}, "class_info": {"class": 1536}, "qdev_id": ""},
            {"bus": 0, "slot": 1, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "rp0",
             "pci_bridge": {"bus": {"secondary": 1}, "devices": [
                {"bus": 1, "slot": 0, "id": {"vendor": 6900, "device": 4162}, "class_info": {"class": 256}, "qdev_id": "data"}]}}]}]"#;
        let names = ["data", "gone"].map(|name| DiskName::new(name).unwrap());
        let script = vec![
            Answer("query-pci", "", Ok(PCI)),
            Answer("qom-list", "", Ok(r#"[{"name": "data", "type": "child<virtio-blk-pci>"}]"#)),
            Answer("qom-get", "data", Ok(r#""s1""#)),
            Answer("qom-get", "gone", Err("DeviceNotFound: x")),
        ];
        let found = play(Identify::new(Which::Named(names.to_vec())), script).unwrap();
        assert_eq!((found[0].pci, found[0].serial.as_deref()), (Some((1, 0)), Some("s1")));
        assert_eq!(found[0].udev_serial().as_deref(), Some("s1"));
        assert_eq!((found[1].bus, found[1].udev_serial()), (None, None));
    }

    #[test]
    fn a_medium_is_none_of_all_disks() {
        let nodes = r#"[
            {"node-name": "cd0.medium-a.format", "drv": "raw", "file": "/a", "ro": true, "image": {"virtual-size": 1}},
            {"node-name": "cd0.medium-a.file", "drv": "file", "file": "/a", "ro": true, "image": {"virtual-size": 1}}]"#;
        let blocks = r#"[{"device": "", "qdev": "cd0", "removable": true, "inserted":
            {"node-name": "cd0.medium-a.format", "drv": "raw", "file": "/a", "ro": true, "image": {"virtual-size": 1}}}]"#;
        let script = vec![
            Answer("query-named-block-nodes", "", Ok(nodes)),
            Answer("query-block", "", Ok(blocks)),
            Answer("query-pci", "", Ok("[]")),
            Answer("qom-list", "", Ok("[]")),
        ];
        assert_eq!(play(Identify::new(Which::All), script).unwrap(), []);
    }

    #[test]
    fn udev_has_the_maker_in_some_serials() {
        let on = |bus| Identity {
            name: DiskName::new("data").unwrap(),
            bus: Some(bus),
            serial: Some("data".to_owned()),
            pci: None,
            lun: None,
        };
        let scsi = on(Bus::VirtioScsi).udev_serial();
        assert_eq!(scsi.as_deref(), Some("0QEMU_QEMU_HARDDISK_data"));
    }
}
