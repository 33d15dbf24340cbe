//! Detaching a disk: ask the guest, wait until it has let go, close the image.
//!
//! ```text
//!  look ──► ask ──► wait ──► close ──► Removed
//!            ▲  │     │ └──── the guest says no ──► Refused
//!            └──┴─────┤ ask again
//!                     └────── the deadline ──────► Pending
//! ```
//!
//! A timeout is neither success nor failure: the guest was asked, and may still let go. The same
//! command run again goes on with the wait, or finds the device gone and closes the image.

use std::time::{Duration, Instant};

use qplug_proto::Event;
use serde::Deserialize;

use crate::command::{self, Command};
use crate::error::{After, Error};
use crate::inventory::{Blocks, Nodes};
use crate::name::DiskName;
use crate::operation::{Answer, Operation, decode};
use crate::texts::Meaning;

/// How long after the first asking the guest is asked again. An unplug that comes before the guest
/// has looked at a new disk is lost, and only asking again helps. The gap between 3 s and 9 s is
/// there for native hot-plug ports: QEMU refuses a second asking within 5 s, and one that comes
/// right after, while Linux still blinks (it lets go at 6.2 s), would cancel the first.
const ASK_AGAIN_AFTER: [Duration; 5] = [
    Duration::from_millis(700),
    Duration::from_millis(3000),
    Duration::from_secs(9),
    Duration::from_secs(18),
    Duration::from_secs(60),
];

/// The pause before asking a guest again that was busy with the port.
const BUSY_PAUSE: Duration = Duration::from_millis(250);

/// The pause before closing an image again that still had a user.
const CLOSE_PAUSE: Duration = Duration::from_millis(10);

/// How often closing is tried: QEMU drops the last use of a node a moment after DEVICE_DELETED.
const CLOSE_TRIES: u32 = 100;

/// How a detach ends, unless it is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detached {
    /// The guest has let go, and the image is closed.
    Removed {
        /// Whether the device was gone before, and only the image was left to be closed.
        was_gone: bool,
    },
    /// The guest said no. The disk is still there.
    Refused,
    /// The guest was asked and has not answered. It may still let go.
    Pending,
}

/// A detach under way.
#[derive(Debug)]
pub struct Detach {
    name: DiskName,
    timeout: Duration,
    state: State,
    outbox: Option<Command>,
    /// Set from the first asking on.
    asked: Option<Asked>,
    was_gone: bool,
    outcome: Option<Result<Detached, Error>>,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Instant,
    times_again: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Looking for the device.
    LookForDevice,
    /// There is no such device; looking for nodes that one left.
    LookForNodes,
    /// `device_del` is on its way. The event may overtake its reply.
    Asking { gone: bool },
    /// The guest is to answer; `ask_at` is when to ask again.
    Waiting { ask_at: Option<Instant> },
    /// `blockdev-del` is on its way.
    Closing { tries: u32 },
    /// The node still had a user.
    ClosingAgain { tries: u32, at: Instant },
}

impl Detach {
    /// A detach that waits at most `timeout` for the guest.
    #[must_use]
    pub fn new(name: DiskName, timeout: Duration) -> Self {
        Self {
            name,
            timeout,
            state: State::LookForDevice,
            outbox: Some(command::query_block()),
            asked: None,
            was_gone: false,
            outcome: None,
        }
    }

    /// Reads the machine: is the device there, and is it ours?
    fn look_for_device(&mut self, answer: Answer) -> Result<(), Error> {
        let blocks: Blocks = decode(&command::query_block(), answer)?;
        let Some(device) = blocks.device(self.name.as_str()) else {
            self.state = State::LookForNodes;
            self.outbox = Some(command::query_nodes());
            return Ok(());
        };
        let node = device.node.map(|node| node.name.as_str());
        if node != Some(self.name.format_node().as_str()) {
            let holds = match node {
                None | Some("") => "it holds no named node".to_owned(),
                Some(node) => format!("it holds the node {node}"),
            };
            return Err(Error::NotOurs { name: self.name.clone(), holds });
        }
        self.ask();
        Ok(())
    }

    fn look_for_nodes(&mut self, answer: Answer) -> Result<(), Error> {
        let nodes: Nodes = decode(&command::query_nodes(), answer)?;
        if nodes.format_node(&self.name).is_none() {
            let known = nodes.disks().map(|(name, _)| name.to_string()).collect();
            return Err(Error::NoSuchDisk { name: self.name.clone(), known });
        }
        self.was_gone = true;
        self.close(0);
        Ok(())
    }

    fn ask(&mut self) {
        self.state = State::Asking { gone: false };
        self.outbox = Some(command::remove_device(&self.name));
    }

    fn close(&mut self, tries: u32) {
        self.state = State::Closing { tries };
        self.outbox = Some(command::remove_nodes(&self.name));
    }

    fn handle_asked(&mut self, gone: bool, answer: Answer, now: Instant) -> Result<(), Error> {
        let asked = *self.asked.get_or_insert(Asked { at: now, times_again: 0 });
        let again = ASK_AGAIN_AFTER.get(asked.times_again).map(|after| asked.at + *after);
        match answer {
            _ if gone => self.close(0),
            Answer::Lost(why) => return Err(self.unknown("ask the guest to let go", why)),
            Answer::Returned(_) => self.state = State::Waiting { ask_at: again },
            Answer::Refused(reply) => match Meaning::of(&reply) {
                Some(Meaning::NoDevice) => self.close(0),
                Some(Meaning::AlreadyUnplugging) => self.state = State::Waiting { ask_at: again },
                Some(Meaning::GuestBusy) => {
                    self.state = State::Waiting { ask_at: Some(now + BUSY_PAUSE) };
                }
                meaning => {
                    let doing = "ask the guest to let go";
                    return Err(Error::Refused { doing, reply, meaning, after: After::Unchanged });
                }
            },
        }
        Ok(())
    }

    fn handle_closed(&mut self, tries: u32, answer: Answer, now: Instant) -> Result<(), Error> {
        let doing = "close the image";
        let reply = match answer {
            Answer::Lost(why) => return Err(self.unknown(doing, why)),
            Answer::Returned(_) => {
                self.outcome = Some(Ok(Detached::Removed { was_gone: self.was_gone }));
                return Ok(());
            }
            Answer::Refused(reply) => reply,
        };
        match Meaning::of(&reply) {
            Some(Meaning::NoNode) => {
                self.outcome = Some(Ok(Detached::Removed { was_gone: self.was_gone }));
            }
            Some(Meaning::NodeInUse) if tries < CLOSE_TRIES => {
                self.state = State::ClosingAgain { tries: tries + 1, at: now + CLOSE_PAUSE };
            }
            meaning => {
                let why = reply.desc.clone();
                let after = After::Left { name: self.name.clone(), why };
                return Err(Error::Refused { doing, reply, meaning, after });
            }
        }
        Ok(())
    }

    fn unknown(&self, doing: &'static str, why: String) -> Error {
        Error::Unknown { name: self.name.clone(), doing, why }
    }

    fn deadline(&self) -> Option<Instant> {
        self.asked.map(|asked| asked.at + self.timeout)
    }
}

impl Operation for Detach {
    type Outcome = Result<Detached, Error>;

    fn poll_transmit(&mut self) -> Option<Command> {
        self.outbox.take()
    }

    fn handle_answer(&mut self, answer: Answer, now: Instant) {
        let result = match self.state {
            State::LookForDevice => self.look_for_device(answer),
            State::LookForNodes => self.look_for_nodes(answer),
            State::Asking { gone } => self.handle_asked(gone, answer, now),
            State::Closing { tries } => self.handle_closed(tries, answer, now),
            State::Waiting { .. } | State::ClosingAgain { .. } => Ok(()),
        };
        if let Err(error) = result {
            self.outcome = Some(Err(error));
        }
    }

    fn handle_event(&mut self, event: &Event, _now: Instant) {
        if !names_device(event, &self.name) {
            return;
        }
        match (event.name.as_str(), self.state) {
            ("DEVICE_DELETED", State::Asking { .. }) => self.state = State::Asking { gone: true },
            ("DEVICE_DELETED", State::Waiting { .. }) => self.close(0),
            ("DEVICE_UNPLUG_GUEST_ERROR", State::Asking { .. } | State::Waiting { .. }) => {
                self.outcome = Some(Ok(Detached::Refused));
            }
            _ => {}
        }
    }

    fn handle_lost(&mut self, why: String) {
        self.outcome = Some(Err(self.unknown("unplug the device and close the image", why)));
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { ask_at } => self.deadline().into_iter().chain(ask_at).min(),
            State::ClosingAgain { at, .. } => Some(at),
            _ => None,
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Waiting { .. } if self.deadline().is_some_and(|deadline| deadline <= now) => {
                self.outcome = Some(Ok(Detached::Pending));
            }
            State::Waiting { ask_at: Some(at) } if at <= now => {
                if let Some(asked) = &mut self.asked {
                    asked.times_again =
                        ASK_AGAIN_AFTER.partition_point(|after| asked.at + *after <= now);
                }
                self.ask();
            }
            State::ClosingAgain { tries, at } if at <= now => self.close(tries),
            _ => {}
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}

/// Whether the event names the device itself. A virtio-blk disk first loses its backend, in an
/// event that has a path only.
fn names_device(event: &Event, name: &DiskName) -> bool {
    #[derive(Deserialize)]
    struct Data {
        device: Option<String>,
    }
    let data = event.data.as_ref().and_then(|data| serde_json::from_str::<Data>(data.get()).ok());
    data.and_then(|data| data.device).is_some_and(|device| device == name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::script::Happens::{self, Answer, At, Closed, Event, Lost};
    use crate::operation::script::play;

    const OURS: &str = r#"[{"device": "", "qdev": "/machine/peripheral/data/virtio-backend", "inserted":
        {"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}}]"#;
    const FOREIGN: &str = r#"[{"device": "", "qdev": "/machine/peripheral/data/virtio-backend", "inserted":
        {"node-name": "disk0", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}}]"#;
    const OUR_NODE: &str = r#"[{"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}}]"#;
    const GONE: Happens = Event("DEVICE_DELETED", r#"{"device": "data", "path": "/p"}"#);
    const LOOK: Happens = Answer("query-block", "", Ok(OURS));
    const ASK: Happens = Answer("device_del", r#""id":"data""#, Ok("{}"));
    const CLOSE: Happens = Answer("blockdev-del", r#""node-name":"data.format""#, Ok("{}"));

    fn detach(script: Vec<Happens>) -> Result<Detached, Error> {
        play(Detach::new(DiskName::new("data").unwrap(), Duration::from_secs(30)), script)
    }

    fn removed(was_gone: bool) -> Detached {
        Detached::Removed { was_gone }
    }

    #[test]
    fn the_guest_answers_after_the_reply_or_before_it() {
        assert_eq!(detach(vec![LOOK, ASK, GONE, CLOSE]).unwrap(), removed(false));
        let mut detach = Detach::new(DiskName::new("data").unwrap(), Duration::from_secs(30));
        let now = Instant::now();
        let answer = |text: &str| {
            crate::operation::Answer::Returned(
                serde_json::value::RawValue::from_string(text.to_owned()).unwrap(),
            )
        };
        detach.poll_transmit().unwrap();
        detach.handle_answer(answer(OURS), now);
        assert_eq!(detach.poll_transmit().unwrap().name, "device_del");
        let data = serde_json::from_str(r#"{"device": "data"}"#).ok();
        let gone = qplug_proto::Event { name: "DEVICE_DELETED".to_owned(), data, timestamp: None };
        detach.handle_event(&gone, now);
        assert_eq!(detach.poll_transmit(), None, "the reply is still outstanding");
        detach.handle_answer(answer("{}"), now);
        assert_eq!(detach.poll_transmit().unwrap().name, "blockdev-del");
    }

    #[test]
    fn events_of_others_and_of_the_backend_are_not_the_end() {
        let backend =
            Event("DEVICE_DELETED", r#"{"path": "/machine/peripheral/data/virtio-backend"}"#);
        let other = Event("DEVICE_DELETED", r#"{"device": "data2", "path": "/p"}"#);
        assert_eq!(detach(vec![LOOK, ASK, backend, other, GONE, CLOSE]).unwrap(), removed(false));
    }

    #[test]
    fn a_silent_guest_is_asked_again_and_then_pending() {
        let busy =
            || Answer("device_del", "", Err("Device data is already in the process of unplug"));
        let script = vec![
            LOOK,
            ASK,
            At(700),
            ASK,
            At(3000),
            busy(),
            At(9000),
            ASK,
            At(18000),
            ASK,
            At(30000),
        ];
        assert_eq!(detach(script).unwrap(), Detached::Pending);
    }

    #[test]
    fn a_guest_that_is_busy_with_the_port_is_asked_a_little_later() {
        let busy = "Hot-unplug failed: guest is busy (power indicator blinking)";
        let script = vec![LOOK, Answer("device_del", "", Err(busy)), At(250), ASK, GONE, CLOSE];
        assert_eq!(detach(script).unwrap(), removed(false));
    }

    #[test]
    fn a_guest_may_say_no() {
        let no = Event("DEVICE_UNPLUG_GUEST_ERROR", r#"{"device": "data", "path": "/p"}"#);
        assert_eq!(detach(vec![LOOK, ASK, no]).unwrap(), Detached::Refused);
    }

    #[test]
    fn a_device_that_left_leaves_its_image_to_be_closed() {
        let look = || Answer("query-block", "", Ok("[]"));
        let nodes = Answer("query-named-block-nodes", "", Ok(OUR_NODE));
        assert_eq!(detach(vec![look(), nodes, CLOSE]).unwrap(), removed(true));
        let nodes = Answer("query-named-block-nodes", "", Ok("[]"));
        assert!(matches!(detach(vec![look(), nodes]), Err(Error::NoSuchDisk { .. })));
    }

    #[test]
    fn a_disk_that_qplug_did_not_make_is_not_touched() {
        let look = Answer("query-block", "", Ok(FOREIGN));
        assert!(matches!(detach(vec![look]), Err(Error::NotOurs { .. })));
    }

    #[test]
    fn a_node_in_use_is_closed_a_little_later() {
        let busy = || Answer("blockdev-del", "", Err("Node data.format is in use"));
        let script = vec![LOOK, ASK, GONE, busy(), At(10), busy(), At(20), CLOSE];
        assert_eq!(detach(script).unwrap(), removed(false));
        let gone =
            Answer("blockdev-del", "", Err("Failed to find node with node-name='data.format'"));
        assert_eq!(detach(vec![LOOK, ASK, GONE, gone]).unwrap(), removed(false));
    }

    #[test]
    fn a_lost_connection_is_neither_success_nor_failure() {
        for script in [
            vec![LOOK, Lost("device_del")],
            vec![LOOK, ASK, Closed],
            vec![LOOK, ASK, GONE, Lost("blockdev-del")],
        ] {
            assert!(matches!(detach(script), Err(Error::Unknown { .. })));
        }
        assert!(matches!(detach(vec![Lost("query-block")]), Err(Error::QueryLost { .. })));
    }
}
