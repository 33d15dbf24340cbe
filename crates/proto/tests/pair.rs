//! Client and server back to back in virtual time. Every scenario is played with nothing cut, with
//! both streams cut in two at every byte, and byte by byte: what either end learns is the same.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod link;

use link::{BIG, Cut, Link};
use qplug_proto::{Dialect, OOB_IN_FLIGHT};

/// The longest stream that is cut at every byte; a longer one is cut at [`FEW_CUTS`] places.
const SHORT: usize = 20_000;
const FEW_CUTS: usize = 100;

const GREETING: &str = "greeting of 10.0.2";

/// Plays a scenario under every cut. The client hears `heard` each time.
fn every_cut(dialect: Dialect, scenario: impl Fn(&mut Link), heard: &[&str]) {
    let play = |cut| {
        let mut link = Link::new(dialect, cut);
        scenario(&mut link);
        assert_eq!(link.broken, None);
        assert_eq!(link.heard, heard, "{cut:?}");
        link
    };
    let whole = play(Cut::Nowhere);
    let length = whole.to_client.arrived.max(whole.to_server.arrived).max(1);
    let cuts = (1..length).step_by(if length > SHORT { length / FEW_CUTS } else { 1 }).map(Cut::At);
    for cut in cuts.chain([Cut::Everywhere]) {
        assert_eq!(play(cut).asked, whole.asked, "{cut:?}");
    }
}

#[test]
fn commands_given_early_are_answered_in_their_order() {
    let names: Vec<String> = (0..20).map(|number| format!("c{number}")).collect();
    let heard: Vec<String> =
        names.iter().map(|name| format!("{name} returned {{\"did\": \"{name}\"}}")).collect();
    let heard: Vec<&str> = [GREETING].into_iter().chain(heard.iter().map(String::as_str)).collect();
    let scenario = |link: &mut Link| {
        for name in &names {
            link.execute(name, None);
        }
        link.settle();
        assert_eq!(link.asked, names);
    };
    every_cut(Dialect::Qmp, scenario, &heard);
}

#[test]
fn out_of_band_commands_overtake_a_full_queue() {
    let scenario = |link: &mut Link| {
        link.settle();
        link.execute("hold", None);
        link.settle();
        for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i"] {
            link.execute(name, None);
        }
        link.execute_oob("yank").unwrap();
        link.settle();
        assert_eq!(link.asked, ["hold", "yank out of band"]);
        assert_eq!(link.heard.last().unwrap(), "yank returned {\"did\": \"yank\"}");
        let sent = link.to_server.arrived;
        link.release();
        assert!(link.to_server.arrived > sent, "the last of them waited for room");
        assert_eq!(link.asked.len(), 2 + 9);
    };
    let did = |name: &str| format!("{name} returned {{\"did\": \"{name}\"}}");
    let rest: Vec<String> = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(did).to_vec();
    let mut heard = vec![GREETING.to_owned(), did("yank"), "hold returned \"held\"".to_owned()];
    heard.extend(rest);
    let heard: Vec<&str> = heard.iter().map(String::as_str).collect();
    every_cut(Dialect::QmpWithOob, scenario, &heard);
}

#[test]
fn events_come_before_between_and_after() {
    let scenario = |link: &mut Link| {
        link.emit("LOST", None);
        link.settle();
        link.emit("FIRST", None);
        link.execute("event-before", None);
        link.execute("event-after", None);
        link.execute("fail", None);
        link.settle();
    };
    let heard = [
        GREETING,
        "event FIRST ",
        "event RESUME ",
        "event-before returned 1",
        "event-after returned 2",
        "event STOP {\"why\": [1.50]}",
        "fail refused GenericError: é",
    ];
    every_cut(Dialect::Qmp, scenario, &heard);
}

#[test]
fn limited_events_come_once_a_second_and_the_latest_wins() {
    let scenario = |link: &mut Link| {
        link.settle();
        for action in ["1", "2", "3"] {
            link.emit("WATCHDOG", Some(action));
            link.emit("VSERPORT_CHANGE", Some(&format!("{{\"id\": \"{action}\"}}")));
        }
        link.settle();
        assert_eq!(link.heard.len(), 1 + 4);
        link.step(999);
        assert_eq!(link.heard.len(), 1 + 4);
        let due = link.server.poll_timeout().unwrap();
        link.step(1);
        assert_eq!(due, link.now);
        link.emit("WATCHDOG", Some("4"));
        link.step(1000);
        link.step(1000);
        assert_eq!(link.server.poll_timeout(), None);
        link.emit("WATCHDOG", Some("5"));
        link.settle();
    };
    let heard = [
        GREETING,
        "event WATCHDOG 1",
        "event VSERPORT_CHANGE {\"id\": \"1\"}",
        "event VSERPORT_CHANGE {\"id\": \"2\"}",
        "event VSERPORT_CHANGE {\"id\": \"3\"}",
        "event WATCHDOG 3",
        "event WATCHDOG 4",
        "event WATCHDOG 5",
    ];
    every_cut(Dialect::Qmp, scenario, &heard);
}

#[test]
fn an_overdue_commands_late_reply_disturbs_nothing() {
    let scenario = |link: &mut Link| {
        link.settle();
        link.execute("hold", Some(500));
        link.execute("next", Some(5000));
        link.settle();
        assert_eq!(
            link.client.poll_timeout(),
            Some(link.now + std::time::Duration::from_millis(500))
        );
        link.step(499);
        assert_eq!(link.heard.len(), 1);
        link.step(1);
        link.release();
        assert_eq!(link.client.poll_timeout(), None);
    };
    let heard = [GREETING, "hold unknown Overdue", "next returned {\"did\": \"next\"}"];
    every_cut(Dialect::Qmp, scenario, &heard);
}

#[test]
fn a_cancelled_commands_late_reply_disturbs_nothing() {
    let scenario = |link: &mut Link| {
        let early = link.execute("early", None);
        link.client.cancel(early);
        let id = link.execute("hold", Some(500));
        link.execute("next", None);
        link.settle();
        link.client.cancel(id);
        link.step(1000);
        link.release();
        link.close();
    };
    every_cut(Dialect::Qmp, scenario, &[GREETING, "next returned {\"did\": \"next\"}"]);
}

#[test]
fn a_close_tells_what_may_have_been_done_from_what_was_not() {
    let scenario = |link: &mut Link| {
        link.settle();
        for _ in 0..=OOB_IN_FLIGHT {
            link.execute("hold", None);
        }
        link.settle();
        link.execute_oob("hold-too").unwrap();
        link.settle();
        link.close();
        link.close();
    };
    let mut heard = vec![GREETING];
    heard.extend(["hold unknown Closed"; OOB_IN_FLIGHT]);
    heard.extend(["hold not sent", "hold-too unknown Closed"]);
    every_cut(Dialect::QmpWithOob, scenario, &heard);
}

#[test]
fn a_close_before_the_greeting_leaves_nothing_sent() {
    let scenario = |link: &mut Link| {
        link.execute("a", None);
        link.close();
    };
    every_cut(Dialect::Qmp, scenario, &["a not sent"]);
}

#[test]
fn big_replies_come_whole() {
    let scenario = |link: &mut Link| {
        for name in ["big", "a", "big"] {
            link.execute(name, None);
        }
        link.settle();
    };
    let big = format!("big returned {} bytes", BIG + 2);
    every_cut(Dialect::Qmp, scenario, &[GREETING, &big, "a returned {\"did\": \"a\"}", &big]);
}

#[test]
fn what_another_sent_amiss_is_not_blamed_on_a_command() {
    let scenario = |link: &mut Link| {
        link.settle();
        link.execute("a", None);
        link.collect();
        // Whoever shares the line: one bad input, two error replies.
        b"{1]}".iter().rev().for_each(|byte| link.to_server.bytes.push_front(*byte));
        link.settle();
    };
    let heard = [
        GREETING,
        "unattributed GenericError: JSON parse error, key is not a string in object",
        "unattributed GenericError: JSON parse error, expecting value",
        "a returned {\"did\": \"a\"}",
    ];
    every_cut(Dialect::Qmp, scenario, &heard);
}

#[test]
fn an_agent_is_brought_in_step() {
    let scenario = |link: &mut Link| {
        // An earlier client left half a command, and half an answer on its way.
        link.to_server.bytes.extend(b"{\"execute\":\"gue");
        link.to_client.bytes.extend(b"rn\": {\"a\": 1}}\n");
        link.execute("a", None);
        link.execute("fail", None);
        link.settle();
        link.emit("NONE", None);
        link.execute("b", None);
        link.settle();
        assert_eq!(link.asked, ["a", "fail", "b"]);
    };
    let heard = [
        "in step",
        "a returned {\"did\": \"a\"}",
        "fail refused GenericError: é",
        "b returned {\"did\": \"b\"}",
    ];
    every_cut(Dialect::Agent { token: 42 }, scenario, &heard);
}

#[test]
fn an_agent_answers_synchronizations_by_itself() {
    let mut server = qplug_proto::Server::agent();
    assert_eq!(server.poll_transmit(), None, "no greeting");
    for (input, answer) in [
        (&b"{\"execute\":\"guest-sync\",\"arguments\":{\"id\":7}}"[..], &b"{\"return\": 7}\n"[..]),
        (
            b"{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":-7},\"id\":\"x\"}",
            b"\xff{\"return\": -7, \"id\": \"x\"}\n",
        ),
        (
            b"{\"execute\":\"guest-sync\"}",
            b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"Parameter 'id' is missing\"}}\n",
        ),
        (
            b"{\"execute\":\"guest-sync\",\"arguments\":{\"id\":\"7\"}}",
            b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"Invalid parameter type for 'id', expected: integer\"}}\n",
        ),
    ] {
        server.handle_input(input);
        assert!(server.poll_request().is_none());
        assert_eq!(server.poll_transmit().unwrap(), answer, "{}", input.escape_ascii());
    }
    server.handle_input(b"{\"execute\":\"qmp_capabilities\"}");
    assert_eq!(server.poll_request().unwrap().command, "qmp_capabilities");
}
