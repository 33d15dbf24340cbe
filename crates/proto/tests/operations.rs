//! Lists of operations on a client and a server, made up by proptest and shrunk to a story.
//!
//! What holds whatever happens: nobody panics; every command has one end; a reply is that of the
//! command that it is given for; what waits is bounded; out-of-band commands are asked for at once.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod link;

use std::collections::BTreeMap;

use link::{Cut, Link};
use proptest::prelude::*;
use qplug_proto::{Dialect, OOB_IN_FLIGHT, OOB_QUEUE_LIMIT};

/// Something that happens.
#[derive(Debug, Clone)]
enum Op {
    /// A command that is answered at once.
    Execute {
        within_ms: Option<u64>,
    },
    /// A command whose reply waits for [`Op::Release`].
    ExecuteHeld {
        within_ms: Option<u64>,
    },
    ExecuteOutOfBand,
    /// A big reply.
    ExecuteBig,
    /// Gives up on the command with this number, counted from the last.
    Cancel {
        back: usize,
    },
    Step {
        ms: u64,
    },
    /// So many bytes arrive at the server.
    ToServer {
        bytes: usize,
    },
    ToClient {
        bytes: usize,
    },
    /// The server carries out what it was asked.
    Serve,
    /// The server answers the oldest request that is held.
    Release,
    Event {
        limited: bool,
    },
    /// Everything that is on its way arrives.
    Settle,
    /// Bytes come between those of the client's.
    GarbageToServer {
        bytes: Vec<u8>,
    },
    GarbageToClient {
        bytes: Vec<u8>,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let within = || prop::option::weighted(0.3, 1..3000_u64);
    prop_oneof![
        4 => within().prop_map(|within_ms| Op::Execute { within_ms }),
        3 => within().prop_map(|within_ms| Op::ExecuteHeld { within_ms }),
        3 => Just(Op::ExecuteOutOfBand),
        1 => Just(Op::ExecuteBig),
        2 => (0..12_usize).prop_map(|back| Op::Cancel { back }),
        2 => (1..1500_u64).prop_map(|ms| Op::Step { ms }),
        4 => (1..80_usize).prop_map(|bytes| Op::ToServer { bytes }),
        4 => (1..200_usize).prop_map(|bytes| Op::ToClient { bytes }),
        4 => Just(Op::Serve),
        3 => Just(Op::Release),
        2 => any::<bool>().prop_map(|limited| Op::Event { limited }),
        3 => Just(Op::Settle),
    ]
}

/// Bytes that can break a message, but not turn one id into another.
fn garbage() -> impl Strategy<Value = Op> {
    let byte = prop::sample::select(&b"{}[]:,\"'\\@ax-\0\x01\n\xff\xfe\xc3"[..]);
    let bytes = prop::collection::vec(byte, 1..6);
    (any::<bool>(), bytes).prop_map(|(to_server, bytes)| match to_server {
        true => Op::GarbageToServer { bytes },
        false => Op::GarbageToClient { bytes },
    })
}

fn dialect() -> impl Strategy<Value = Dialect> {
    prop::sample::select(vec![Dialect::Qmp, Dialect::QmpWithOob, Dialect::Agent { token: 7 }])
}

/// Names are the same to both ends, so that a reply says for which command it was meant.
fn play(dialect: Dialect, ops: &[Op]) -> Link {
    let mut link = Link::new(dialect, Cut::Nowhere);
    for (number, op) in ops.iter().enumerate() {
        match op {
            Op::Execute { within_ms } => {
                link.execute(&format!("c{number}"), *within_ms);
            }
            Op::ExecuteHeld { within_ms } => {
                link.execute(&format!("hold{number}"), *within_ms);
            }
            Op::ExecuteOutOfBand => {
                let _ = link.execute_oob(&format!("oob{number}"));
            }
            Op::ExecuteBig => {
                link.execute("big", None);
            }
            Op::Cancel { back } => {
                let at = link.given.len().checked_sub(back + 1);
                if let Some((id, name)) = at.map(|at| link.given[at].clone()) {
                    link.client.cancel(id);
                    link.cancelled.insert(name);
                }
            }
            Op::Step { ms } => {
                link.pass(*ms);
            }
            Op::ToServer { bytes } => {
                link.collect();
                if link.server.wants_input() {
                    let bytes = link.to_server.take_bytes(*bytes);
                    link.server.handle_input(&bytes);
                }
            }
            Op::ToClient { bytes } => {
                link.collect();
                let bytes = link.to_client.take_bytes(*bytes);
                link.arrive(&bytes);
            }
            Op::Serve => {
                link.serve();
            }
            Op::Release => link.let_go(),
            Op::Event { limited } => link.emit(if *limited { "WATCHDOG" } else { "STOP" }, None),
            Op::Settle => link.settle(),
            Op::GarbageToServer { bytes } => {
                link.is_disturbed = true;
                link.collect();
                link.to_server.bytes.extend(bytes);
            }
            Op::GarbageToClient { bytes } => {
                link.is_disturbed = true;
                link.collect();
                link.to_client.bytes.extend(bytes);
            }
        }
        bounds(&link, dialect);
        if link.broken.is_some() {
            break;
        }
    }
    link
}

/// What is bounded at every moment.
fn bounds(link: &Link, dialect: Dialect) {
    let (overtaking, in_band): (Vec<_>, Vec<_>) =
        link.held.iter().partition(|request| request.out_of_band);
    assert!(in_band.len() <= 1, "in-band commands run one at a time");
    assert!(overtaking.len() <= OOB_QUEUE_LIMIT);
    if dialect == Dialect::QmpWithOob && !link.is_disturbed {
        let asked = link.asked.iter().filter(|name| !name.starts_with("oob")).count();
        let sent = link.sent_in_band();
        assert!(sent <= asked + OOB_IN_FLIGHT + in_band.len(), "{sent} sent, {asked} asked");
    }
}

/// Every end that was heard: of a command of the given names, its own, and the only one.
fn ends(link: &Link) -> BTreeMap<String, String> {
    let mut ends = BTreeMap::new();
    for heard in &link.heard {
        let mut words = heard.splitn(3, ' ');
        let (name, what, rest) = (words.next().unwrap(), words.next(), words.next());
        let is_end = matches!(what, Some("returned" | "refused" | "unknown" | "not"));
        if name == "big" || !is_end {
            continue;
        }
        if what == Some("returned") {
            let own = format!("{{\"did\": \"{name}\"}}");
            let expected = if name.starts_with("hold") { "\"held\"" } else { &own };
            assert_eq!(rest.unwrap(), expected, "the reply of another");
        }
        let again = ends.insert(name.to_owned(), heard.clone());
        assert_eq!(again, None, "{name} ended twice");
    }
    ends
}

/// After a close every command has had its end, but for those that were cancelled.
fn all_have_ended(link: &Link) {
    let ends = ends(link);
    for (_, name) in link.given.iter().filter(|(_, name)| name != "big") {
        assert!(ends.contains_key(name) || link.cancelled.contains(name), "{name} has no end");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_command_ends_once_and_with_its_own_reply(
        dialect in dialect(),
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut link = play(dialect, &ops);
        prop_assert_eq!(&link.broken, &None);
        let oob_given = link.given.iter().filter(|(_, name)| name.starts_with("oob")).count();
        link.settle();
        let oob_asked = link.asked.iter().filter(|name| name.starts_with("oob")).count();
        prop_assert_eq!(oob_asked, oob_given, "an out-of-band command starves");
        while !link.held.is_empty() {
            link.release();
        }
        for (_, name) in &link.given {
            prop_assert!(name == "big" || link.asked.iter().any(|asked| asked.starts_with(name)));
        }
        let unknown = link.heard.iter().filter(|heard| heard.ends_with("Closed")).count();
        prop_assert_eq!(unknown, 0);
        let heard = link.heard.len();
        link.close();
        prop_assert_eq!(link.heard.len(), heard, "{:?} had no end", link.heard.last());
        all_have_ended(&link);
    }

    #[test]
    fn a_close_at_any_moment_ends_every_command(
        dialect in dialect(),
        ops in prop::collection::vec(op(), 1..40),
    ) {
        let mut link = play(dialect, &ops);
        link.close();
        all_have_ended(&link);
        for heard in link.heard.iter().filter(|heard| heard.ends_with(" not sent")) {
            let name = heard.split(' ').next().unwrap();
            let asked = link.asked.iter().any(|asked| asked == name);
            prop_assert!(name == "big" || !asked, "{} was sent", name);
        }
    }

    #[test]
    fn garbage_on_the_way_makes_no_wrong_reply(
        // An agent's replies have no ids: there an answer to garbage is taken for a reply.
        dialect in prop::sample::select(vec![Dialect::Qmp, Dialect::QmpWithOob]),
        ops in prop::collection::vec(prop_oneof![6 => op(), 1 => garbage()], 1..60),
    ) {
        let mut link = play(dialect, &ops);
        link.settle();
        link.close();
        all_have_ended(&link);
    }

    #[test]
    fn a_server_survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1..50_usize) {
        let mut link = Link::new(Dialect::Qmp, Cut::Nowhere);
        link.settle();
        for piece in bytes.chunks(piece) {
            link.server.handle_input(piece);
            link.serve();
        }
        // It is to be got through to again, whatever came before.
        link.server.handle_input(b"\xff{\"execute\":\"a\",\"id\":\"end\"}");
        link.serve();
        let output = link.server.poll_transmit().unwrap();
        let end = b"{\"return\": {\"did\": \"a\"}, \"id\": \"end\"}\r\n";
        prop_assert!(output.ends_with(end), "{}", output.escape_ascii());
    }

    #[test]
    fn a_client_survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1..50_usize) {
        let mut link = Link::new(Dialect::Qmp, Cut::Nowhere);
        link.settle();
        link.execute("a", None);
        for piece in bytes.chunks(piece) {
            link.arrive(piece);
        }
        link.close();
        all_have_ended(&link);
    }
}
