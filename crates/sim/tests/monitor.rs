//! The machine with its monitor: bytes in, bytes out, and what goes wrong on the way.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::time::{Duration, Instant};

use qplug_sim::{Config, Image, SWAP_WAIT, Sim};
use serde_json::Value;

struct Talk {
    sim: Sim,
    now: Instant,
}

/// A disk `d` on a null node, in place.
const READY: [&str; 3] = [
    r#"{"execute":"qmp_capabilities"}"#,
    r#"{"execute":"blockdev-add","arguments":{"driver":"null-co","node-name":"n"},"id":1}"#,
    r#"{"execute":"device_add","arguments":{"driver":"scsi-hd","id":"d","drive":"n"},"id":2}"#,
];

const UNPLUG: &str = r#"{"execute":"device_del","arguments":{"id":"d"},"id":3}"#;

impl Talk {
    fn new(faults: &str) -> Self {
        let config = Config::q35(1).scsi("scsi0", Some("rp0")).image("a", Image::raw(1 << 20));
        let now = Instant::now();
        let mut talk = Self { sim: Sim::new(config, faults.parse().unwrap(), now), now };
        talk.sim.handle_connect(now);
        assert!(talk.hear()[0].get("QMP").is_some());
        talk
    }

    fn ready(faults: &str) -> Self {
        let mut talk = Self::new(faults);
        for line in READY {
            assert!(talk.say(line)[0].get("return").is_some(), "{line}");
        }
        talk
    }

    fn bytes(&mut self) -> Vec<u8> {
        self.sim.poll_transmit().unwrap_or_default()
    }

    fn hear(&mut self) -> Vec<Value> {
        let bytes = self.bytes();
        let lines = std::str::from_utf8(&bytes).unwrap().lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn say(&mut self, line: &str) -> Vec<Value> {
        self.sim.handle_input(line.as_bytes(), self.now);
        self.hear()
    }

    fn go(&mut self, time: Duration) -> Vec<Value> {
        self.now += time;
        self.sim.handle_timeout(self.now);
        self.hear()
    }
}

fn kinds(messages: &[Value]) -> Vec<String> {
    let kind = |message: &Value| match (&message["event"], &message["id"]) {
        (Value::String(event), _) => event.clone(),
        (_, id) if message.get("error").is_some() => format!("error {id}"),
        (_, id) => format!("reply {id}"),
    };
    messages.iter().map(kind).collect()
}

#[test]
fn a_conversation_without_faults() {
    let mut talk = Talk::ready("");
    assert_eq!(kinds(&talk.say(UNPLUG)), ["reply 3"]);
    assert_eq!(kinds(&talk.go(Duration::from_millis(49))), [""; 0]);
    assert_eq!(kinds(&talk.go(Duration::from_millis(1))), ["DEVICE_DELETED"]);
    assert_eq!(talk.sim.commands(), 3);
}

#[test]
fn any_split_of_the_input_gives_the_same_answers() {
    let input = [READY.join("").as_str(), UNPLUG].concat();
    let whole = Talk::new("").say(&input);
    assert_eq!(whole.len(), 4);
    for at in 1..input.len() {
        let mut talk = Talk::new("");
        let mut heard = talk.say(&input[..at]);
        heard.extend(talk.say(&input[at..]));
        assert_eq!(heard, whole, "split at {at}");
    }
}

#[test]
fn a_connection_is_lost_where_it_is_said() {
    for (fault, heard, is_gone) in [
        ("drop 3 unheard", [""; 0].as_slice(), false),
        ("drop device_del unanswered", &[], true),
        ("drop device_del:1 answered", &["reply 3"], true),
    ] {
        let mut talk = Talk::ready(fault);
        assert_eq!(kinds(&talk.say(UNPLUG)), heard, "{fault}");
        assert!(talk.sim.wants_close(), "{fault}");
        talk.sim.handle_close(talk.now);
        // Nobody hears of it.
        talk.go(Duration::from_secs(1));
        talk.sim.handle_connect(talk.now);
        assert_eq!(talk.hear().len(), 1);
        talk.say(READY[0]);
        let answer = talk.say(r#"{"execute":"blockdev-del","arguments":{"node-name":"n"},"id":9}"#);
        assert_eq!(kinds(&answer), [if is_gone { "reply 9" } else { "error 9" }], "{fault}");
    }
}

#[test]
fn what_was_not_carried_out_is_dropped_with_its_client() {
    let mut talk = Talk::ready("drop 3 answered");
    let both = format!("{UNPLUG}{}", r#"{"execute":"stop"}"#);
    assert_eq!(kinds(&talk.say(&both)), ["reply 3"]);
    talk.sim.handle_close(talk.now);
    talk.sim.handle_connect(talk.now);
    talk.hear();
    talk.say(READY[0]);
    let status = talk.say(r#"{"execute":"query-status"}"#);
    assert_eq!(status[0]["return"]["running"], true);
}

#[test]
fn replies_come_twice_late_and_behind_rubbish() {
    let mut talk = Talk::ready("twice 3");
    assert_eq!(kinds(&talk.say(UNPLUG)), ["reply 3", "reply 3"]);
    let mut talk = Talk::ready("swap device_del");
    assert_eq!(kinds(&talk.say(UNPLUG)), [""; 0]);
    assert_eq!(kinds(&talk.go(Duration::from_millis(60))), ["DEVICE_DELETED", "reply 3"]);
    let mut talk = Talk::ready("swap device_del\nlose DEVICE_DELETED");
    talk.say(UNPLUG);
    assert_eq!(kinds(&talk.go(SWAP_WAIT)), ["reply 3"]);
    let mut talk = Talk::ready("garbage 3 {\"nonsense");
    talk.sim.handle_input(UNPLUG.as_bytes(), talk.now);
    assert!(talk.bytes().starts_with(b"{\"nonsense{\"return\""));
}

#[test]
fn a_command_fails_as_it_is_said() {
    let mut talk = Talk::ready("fail device_del:1 GenericError No, not 'd'");
    let refused = talk.say(UNPLUG);
    assert_eq!(refused[0]["error"]["desc"], "No, not 'd'");
    assert_eq!(kinds(&talk.say(UNPLUG)), ["reply 3"]);
}

#[test]
fn events_are_lost_late_and_doubled() {
    let grace = Duration::from_millis(50);
    let mut talk = Talk::ready("lose DEVICE_DELETED:1");
    talk.say(UNPLUG);
    assert_eq!(kinds(&talk.go(grace)), [""; 0]);
    let mut talk = Talk::ready("delay DEVICE_DELETED 500ms");
    talk.say(UNPLUG);
    assert_eq!(kinds(&talk.go(grace)), [""; 0]);
    assert_eq!(talk.sim.poll_timeout(), Some(talk.now + Duration::from_millis(500)));
    assert_eq!(kinds(&talk.go(Duration::from_millis(500))), ["DEVICE_DELETED"]);
    let mut talk = Talk::ready("double DEVICE_DELETED");
    talk.say(UNPLUG);
    assert_eq!(kinds(&talk.go(grace)), ["DEVICE_DELETED", "DEVICE_DELETED"]);
}

#[test]
fn quit_ends_the_conversation() {
    let mut talk = Talk::ready("");
    assert_eq!(kinds(&talk.say(r#"{"execute":"quit","id":4}"#)), ["SHUTDOWN", "reply 4"]);
    assert!(talk.sim.wants_close() && talk.sim.has_quit());
}
