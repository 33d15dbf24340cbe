//! Attaching a disk: look, plan, run.
//!
//! A look costs two queries. Only where the name occurs in the machine already are two more asked,
//! to tell a repeated attach from a name that is taken.

use std::collections::VecDeque;
use std::time::Instant;

use serde::Serialize;

use crate::command::{self, Command};
use crate::disk::Disk;
use crate::error::Error;
use crate::inventory::Port;
use crate::operation::{Answer, Operation, decode, decode_optional};
use crate::plan::{self, Observed, Plan};
use crate::run::{Ended, Run};

/// A disk that is in the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// The disk's name.
    pub name: String,
    /// The serial that the guest sees.
    pub serial: String,
    /// Where a Linux guest with udev finds the disk.
    pub guest_path: String,
    /// The port that it sits in; absent where only the guest's firmware could tell.
    pub port: Option<String>,
    /// The image, by its path where QEMU runs.
    pub image: String,
    /// The image's format.
    pub format: String,
    /// Whether the guest may only read it.
    pub read_only: bool,
    /// Whether it was there before, so that nothing was changed.
    pub already: bool,
}

/// An attach under way.
#[derive(Debug)]
pub struct Attach {
    disk: Disk,
    observed: Observed,
    outbox: VecDeque<Command>,
    looks: VecDeque<Look>,
    run: Option<Run>,
    /// How often another client was faster.
    overtaken: u32,
    outcome: Option<Result<Attached, Error>>,
}

/// How often an attach looks again because another client made something of its name meanwhile.
const MAX_OVERTAKEN: u32 = 3;

/// A query whose answer is outstanding.
#[derive(Debug, Clone, Copy)]
enum Look {
    Pci,
    Nodes,
    Blocks,
    Serial,
}

impl Attach {
    /// An attach of this disk. Nothing is changed before the machine was looked at.
    #[must_use]
    pub fn new(disk: Disk) -> Self {
        let mut attach = Self {
            disk,
            observed: Observed::default(),
            outbox: VecDeque::new(),
            looks: VecDeque::new(),
            run: None,
            overtaken: 0,
            outcome: None,
        };
        attach.look(&[Look::Pci, Look::Nodes]);
        attach
    }

    fn look(&mut self, looks: &[Look]) {
        for look in looks {
            self.outbox.push_back(self.query(*look));
            self.looks.push_back(*look);
        }
    }

    fn query(&self, look: Look) -> Command {
        match look {
            Look::Pci => command::query_pci(),
            Look::Nodes => command::query_nodes(),
            Look::Blocks => command::query_block(),
            Look::Serial => command::query_serial(&self.disk.name),
        }
    }

    fn handle_look(&mut self, look: Look, answer: Answer) -> Result<(), Error> {
        let query = self.query(look);
        match look {
            Look::Pci => self.observed.pci = decode(&query, answer)?,
            Look::Nodes => self.observed.nodes = decode(&query, answer)?,
            Look::Blocks => self.observed.blocks = decode(&query, answer)?,
            // A device without a serial, or no device at all, is an answer too.
            Look::Serial => self.observed.serial = decode_optional(&query, answer)?,
        }
        if !self.looks.is_empty() {
            return Ok(());
        }
        if matches!(look, Look::Nodes) && self.observed.shows(&self.disk) {
            self.look(&[Look::Blocks, Look::Serial]);
            return Ok(());
        }
        match plan::attach(&self.observed, &self.disk)? {
            Plan::Already(port) => self.outcome = Some(Ok(self.attached(port.as_ref(), true))),
            Plan::Steps { found, ports } => {
                self.run = Some(Run::new(self.disk.clone(), found, ports));
            }
        }
        Ok(())
    }

    fn handle_ended(&mut self, ended: Ended) {
        self.outcome = Some(match ended {
            Ended::Attached(port) => Ok(self.attached(Some(&port), false)),
            Ended::NoRoom(refusal) => Err(plan::all_refused(&self.observed.pci, &refusal)),
            Ended::Failed(error) => Err(error),
            Ended::Overtaken if self.overtaken < MAX_OVERTAKEN => {
                self.overtaken += 1;
                self.run = None;
                self.observed = Observed::default();
                return self.look(&[Look::Pci, Look::Nodes]);
            }
            Ended::Overtaken => Err(Error::NameTaken {
                name: self.disk.name.clone(),
                holds: "used by other clients of this machine again and again".to_owned(),
            }),
        });
    }

    fn attached(&self, port: Option<&Port>, already: bool) -> Attached {
        Attached {
            name: self.disk.name.to_string(),
            serial: self.disk.serial.as_str().to_owned(),
            guest_path: self.disk.serial.guest_path(),
            port: port.map(ToString::to_string),
            image: self.disk.path.clone(),
            format: self.disk.format.to_string(),
            read_only: self.disk.read_only,
            already,
        }
    }
}

impl Operation for Attach {
    type Outcome = Result<Attached, Error>;

    fn poll_transmit(&mut self) -> Option<Command> {
        self.outbox.pop_front().or_else(|| self.run.as_mut()?.poll_transmit())
    }

    fn handle_answer(&mut self, answer: Answer, _now: Instant) {
        if let Some(look) = self.looks.pop_front() {
            if let Err(error) = self.handle_look(look, answer) {
                self.outcome = Some(Err(error));
            }
        } else if let Some(ended) = self.run.as_mut().and_then(|run| run.handle_answer(answer)) {
            self.handle_ended(ended);
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::After;
    use crate::format::Format;
    use crate::operation::script::Happens::{self, Answer, Lost};
    use crate::operation::script::play;
    use crate::texts::Meaning;

    const Q35: &str = r#"[{"bus": 0, "devices": [
        {"slot": 0, "id": {"vendor": 32902, "device": 10688}, "class_info": {"class": 1536}, "qdev_id": ""},
        {"slot": 1, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "rp0",
         "pci_bridge": {"bus": {"secondary": 0}}},
        {"slot": 2, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "rp1",
         "pci_bridge": {"bus": {"secondary": 2}}}]}]"#;
    const FULL: &str = r#"[{"bus": 0, "devices": [
        {"slot": 0, "id": {"vendor": 32902, "device": 10688}, "class_info": {"class": 1536}, "qdev_id": ""}]}]"#;
    const NODE: &str = r#"[{"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}]"#;
    const OTHER_NODE: &str = r#"[{"node-name": "data.format", "drv": "raw", "file": "/b", "ro": false, "image": {"virtual-size": 1}}]"#;
    const USED: &str = r#"[{"node-name": "boot", "drv": "raw", "file": "/a", "ro": true, "image": {"virtual-size": 1}}]"#;
    const BLOCK: &str = r#"[{"qdev": "/machine/peripheral/data/virtio-backend", "inserted":
        {"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}}]"#;
    const TAKEN: &str = "PCI: slot 0 function 0 not available for virtio-blk-pci, in use by x";
    const FIXED: &str = "Bus 'rp0' does not support hotplugging";
    const LOCKED: &str = "Failed to get \"write\" lock";

    fn disk() -> Disk {
        let raw = Some(Format::raw());
        Disk::named("data").unwrap().format(raw).remote_image("/a").unwrap()
    }

    fn attach(disk: Disk, script: Vec<Happens>) -> Result<Attached, Error> {
        play(Attach::new(disk), script)
    }

    /// A look at the machine, with these nodes.
    fn look(pci: &'static str, nodes: &'static str) -> Vec<Happens> {
        vec![Answer("query-pci", "", Ok(pci)), Answer("query-named-block-nodes", "", Ok(nodes))]
    }

    fn closer_look(
        block: &'static str,
        serial: Result<&'static str, &'static str>,
    ) -> Vec<Happens> {
        vec![
            Answer("query-block", "", Ok(block)),
            Answer("qom-get", "/machine/peripheral/data", serial),
        ]
    }

    fn open() -> Happens {
        Answer("blockdev-add", r#""filename":"/a""#, Ok("{}"))
    }

    fn plug(bus: &'static str, answer: Result<&'static str, &'static str>) -> Happens {
        Answer("device_add", bus, answer)
    }

    fn close(answer: Result<&'static str, &'static str>) -> Happens {
        Answer("blockdev-del", "data.format", answer)
    }

    fn script(parts: [Vec<Happens>; 2]) -> Vec<Happens> {
        parts.into_iter().flatten().collect()
    }

    #[test]
    fn four_commands_and_the_port_that_is_known_to_be_free() {
        let steps = vec![open(), plug(r#""bus":"rp1","addr":"0""#, Ok("{}"))];
        let attached = attach(disk(), script([look(Q35, "[]"), steps])).unwrap();
        assert_eq!(attached.port.as_deref(), Some("rp1"));
        assert_eq!(attached.guest_path, "/dev/disk/by-id/virtio-data");
        assert!(!attached.already);
    }

    #[test]
    fn a_port_that_refuses_is_passed_over_and_none_is_no_room() {
        let steps = vec![open(), plug("rp1", Err(TAKEN)), plug("rp0", Ok("{}"))];
        let attached = attach(disk(), script([look(Q35, "[]"), steps])).unwrap();
        assert_eq!(attached.port.as_deref(), Some("rp0"));
        let steps = vec![open(), plug("rp1", Err(TAKEN)), plug("rp0", Err(FIXED)), close(Ok("{}"))];
        let error = attach(disk(), script([look(Q35, "[]"), steps])).unwrap_err();
        assert!(matches!(error, Error::NoFreePort { .. }), "{error}");
        let error = attach(disk(), look(FULL, "[]")).unwrap_err();
        assert!(error.to_string().contains("pcie-root-port"), "{error}");
    }

    #[test]
    fn a_refused_step_is_undone() {
        let steps = vec![open(), plug("rp1", Err(LOCKED)), close(Ok("{}"))];
        let error = attach(disk(), script([look(Q35, "[]"), steps])).unwrap_err();
        let Error::Refused { meaning, after, .. } = error else { panic!("{error}") };
        assert_eq!((meaning, after), (Some(Meaning::ImageLocked), After::Undone));
        let steps = vec![Answer("blockdev-add", "", Err(LOCKED))];
        let error = attach(disk(), script([look(Q35, "[]"), steps])).unwrap_err();
        assert!(matches!(error, Error::Refused { after: After::Unchanged, .. }), "{error}");
    }

    #[test]
    fn an_undo_that_fails_says_what_is_left_and_how_to_remove_it() {
        let steps =
            vec![open(), plug("rp1", Err(LOCKED)), close(Err("Node data.format is in use"))];
        let error = attach(disk(), script([look(Q35, "[]"), steps])).unwrap_err();
        assert!(error.to_string().contains("'qplug detach data'"), "{error}");
    }

    #[test]
    fn a_repeated_attach_changes_nothing() {
        let again = script([look(Q35, NODE), closer_look(BLOCK, Ok("\"data\""))]);
        assert!(attach(disk(), again).unwrap().already);
        let other_serial = script([look(Q35, NODE), closer_look(BLOCK, Ok("\"x\""))]);
        assert!(matches!(attach(disk(), other_serial), Err(Error::NameTaken { .. })));
        let other_access = script([look(Q35, NODE), closer_look(BLOCK, Ok("\"data\""))]);
        let error = attach(disk().read_only(true), other_access).unwrap_err();
        assert!(error.to_string().contains("a writable raw disk over /a"), "{error}");
    }

    #[test]
    fn an_attach_that_was_cut_short_is_finished() {
        let no_device = || closer_look("[]", Err("DeviceNotFound: Device not found"));
        let mut steps = script([look(Q35, NODE), no_device()]);
        steps.push(plug("rp1", Ok("{}")));
        assert!(!attach(disk(), steps).unwrap().already);
        // What an earlier run left is not undone by this one.
        let mut steps = script([look(Q35, NODE), no_device()]);
        steps.push(plug("rp1", Err(LOCKED)));
        let error = attach(disk(), steps).unwrap_err();
        assert!(matches!(error, Error::Refused { after: After::AsFound, .. }), "{error}");
        let steps = script([look(Q35, OTHER_NODE), no_device()]);
        let error = attach(disk(), steps).unwrap_err();
        assert!(error.to_string().contains("'qplug detach data' closes it"), "{error}");
    }

    #[test]
    fn another_client_that_is_faster_is_looked_at_again() {
        let again = || script([look(Q35, NODE), closer_look(BLOCK, Ok("\"data\""))]);
        let duplicate_node = "Duplicate nodes with node-name='data.file'";
        let overtaken = vec![Answer("blockdev-add", "", Err(duplicate_node))];
        let steps = script([script([look(Q35, "[]"), overtaken]), again()]);
        assert!(attach(disk(), steps).unwrap().already);
        // It plugged our node in: what we opened is theirs now, and stays.
        let duplicate = plug("rp1", Err("Duplicate device ID 'data'"));
        let overtaken = vec![open(), duplicate, close(Err("Node data.format is in use"))];
        let steps = script([script([look(Q35, "[]"), overtaken]), again()]);
        assert!(attach(disk(), steps).unwrap().already);
        // It closed our node.
        let gone = "Failed to find node with node-name='data.format'";
        let overtaken = vec![open(), plug("rp1", Err(LOCKED)), close(Err(gone))];
        let error = attach(disk(), script([look(Q35, "[]"), overtaken])).unwrap_err();
        assert!(matches!(error, Error::Refused { after: After::Undone, .. }), "{error}");
    }

    #[test]
    fn an_image_that_this_machine_uses_is_refused_unless_both_only_read() {
        let error = attach(disk(), look(Q35, USED)).unwrap_err();
        assert!(error.to_string().contains("the node boot"), "{error}");
        let steps = vec![open(), plug("rp1", Ok("{}"))];
        attach(disk().read_only(true), script([look(Q35, USED), steps])).unwrap();
    }

    #[test]
    fn a_port_that_was_asked_for_is_used_or_refused() {
        let at = |port: &str| disk().port(Some(port.to_owned()));
        let steps = vec![open(), plug("rp0", Ok("{}"))];
        attach(at("rp0"), script([look(Q35, "[]"), steps])).unwrap();
        let error = attach(at("rp9"), look(Q35, "[]")).unwrap_err();
        assert!(error.to_string().contains("free are rp1"), "{error}");
        let steps = vec![open(), plug("rp0", Err(FIXED)), close(Ok("{}"))];
        let error = attach(at("rp0"), script([look(Q35, "[]"), steps])).unwrap_err();
        assert!(matches!(error, Error::Refused { after: After::Undone, .. }), "{error}");
    }

    #[test]
    fn a_lost_answer_is_unknown_only_once_something_was_sent() {
        for steps in [vec![Lost("blockdev-add")], vec![open(), Lost("device_add")]] {
            let error = attach(disk(), script([look(Q35, "[]"), steps])).unwrap_err();
            assert!(matches!(error, Error::Unknown { .. }), "{error}");
        }
        let look = vec![Answer("query-pci", "", Ok(Q35)), Lost("query-named-block-nodes")];
        let error = attach(disk(), look).unwrap_err();
        assert!(matches!(error, Error::QueryLost { .. }), "{error}");
    }
}
