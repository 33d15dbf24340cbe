//! The blocking client against peers that behave, misbehave, or do nothing at all.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use qplug_qmp::blocking::Client;
use qplug_qmp::{Address, ConnectError, EVENT_BACKLOG, Error, EventsError, Options};

const GREETING: &str = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n";
const NONE: Option<&()> = None;
/// Longer than any of these peers needs, so that a failure ends the test and noise does not.
const PATIENCE: Duration = Duration::from_secs(20);
/// A deadline that is meant to pass.
const SHORT: Duration = Duration::from_millis(50);

fn options() -> Options {
    Options { connect_timeout: PATIENCE, command_timeout: PATIENCE, ..Options::default() }
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// A peer's end of the conversation.
struct Peer(BufReader<UnixStream>);

impl Peer {
    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn greet(&mut self) {
        self.say(GREETING);
        assert_eq!(self.hear(), "{\"execute\":\"qmp_capabilities\",\"id\":-1}");
        self.say("{\"return\": {}, \"id\": -1}\r\n");
    }
}

/// A client and a peer that greets it and then does as it is told.
fn meet<T: Send + 'static>(
    options: Options,
    talk: impl FnOnce(Peer) -> T + Send + 'static,
) -> (Client, JoinHandle<T>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let peer = thread::spawn(move || {
        let mut peer = Peer(BufReader::new(theirs));
        peer.greet();
        talk(peer)
    });
    (Client::over(ours, options).unwrap(), peer)
}

/// What connecting to a peer that says this first comes to.
fn meet_one_who_says(first: &'static str) -> ConnectError {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(first.as_bytes()).unwrap();
    drop(theirs);
    Client::over(ours, options()).unwrap_err()
}

#[test]
fn peers_that_are_not_qmp_are_named_as_such() {
    for first in
        ["SSH-2.0-OpenSSH_9.2\r\n", "{\"return\": {}}{\"return\": {}}\r\n", "{\"hello\": 1}\r\n"]
    {
        let error = meet_one_who_says(first);
        assert!(matches!(error, ConnectError::NotQmp { .. }), "{first}: {error}");
    }
    let error = meet_one_who_says("");
    assert!(matches!(error, ConnectError::Closed { .. }), "{error}");
}

#[test]
fn a_full_queue_of_waiting_clients_does_not_keep_us_for_ever() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp");
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&listener, 0).unwrap();
    let _waiting = UnixStream::connect(&path).unwrap();
    let short = Options { connect_timeout: SHORT, ..Options::default() };
    let error = Client::connect_with(&Address::Unix(path), short).unwrap_err();
    assert!(matches!(error, ConnectError::Busy { .. }), "{error}");
}

#[test]
fn no_socket_no_listener_and_silence_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| Address::Unix(folder.path().join(name));
    let short = || Options { connect_timeout: SHORT, ..Options::default() };
    let error = Client::connect(&at("missing")).unwrap_err();
    assert!(matches!(error, ConnectError::NoSocket { .. }), "{error}");
    std::fs::write(folder.path().join("file"), b"x").unwrap();
    let error = Client::connect(&at("file")).unwrap_err();
    assert!(matches!(error, ConnectError::NotASocket { .. }), "{error}");
    let listener = UnixListener::bind(folder.path().join("qmp")).unwrap();
    let error = Client::connect_with(&at("qmp"), short()).unwrap_err();
    assert!(matches!(error, ConnectError::Busy { .. }), "{error}");
    drop(listener);
    let error = Client::connect(&at("qmp")).unwrap_err();
    assert!(matches!(error, ConnectError::NoListener { .. }), "{error}");
    let error = Client::connect(&Address::Unix("/x".repeat(100).into())).unwrap_err();
    assert!(matches!(error, ConnectError::Io { .. }), "{error}");
    let error = Client::connect(&Address::Exec("true".to_owned())).unwrap_err();
    assert!(error.to_string().contains("asynchronous"), "{error}");
}

#[test]
fn every_transport_reaches_its_peer() {
    let greet_and_leave = |mut stream: Box<dyn ReadWrite>| {
        stream.write_all(GREETING.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        assert_eq!(line, "{\"execute\":\"qmp_capabilities\",\"id\":-1}\n");
    };
    let name = format!("qplug-blocking-{}", std::process::id());
    let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&abstract_name).unwrap();
    let peer = thread::spawn(move || greet_and_leave(Box::new(listener.accept().unwrap().0)));
    drop(Client::connect_with(&Address::Abstract(name), options()).unwrap());
    peer.join().unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = thread::spawn(move || greet_and_leave(Box::new(listener.accept().unwrap().0)));
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port };
    drop(Client::connect_with(&address, options()).unwrap());
    peer.join().unwrap();

    let (ours, theirs) = UnixStream::pair().unwrap();
    let peer = thread::spawn(move || greet_and_leave(Box::new(theirs)));
    drop(Client::connect_with(&Address::Fd(ours.as_raw_fd()), options()).unwrap());
    peer.join().unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp");
    let listen = Address::Listen(Box::new(Address::Unix(path.clone())));
    let peer = thread::spawn(move || {
        let limit = soon();
        let stream = loop {
            match UnixStream::connect(&path) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < limit, "{error}"),
            }
            thread::yield_now();
        };
        greet_and_leave(Box::new(stream));
    });
    drop(Client::connect_with(&listen, options()).unwrap());
    peer.join().unwrap();
    let short = Options { connect_timeout: SHORT, ..Options::default() };
    let error = Client::connect_with(&listen, short).unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[test]
fn replies_find_their_commands_whatever_comes_between() {
    let (mut client, peer) = meet(options(), |mut peer| {
        assert_eq!(peer.hear(), "{\"execute\":\"a\",\"id\":0}");
        assert_eq!(peer.hear(), "{\"execute\":\"b\",\"arguments\":{\"x\":1},\"id\":1}");
        peer.say("{\"event\": \"BRAND_NEW\", \"extra\": []}\r\n{\r\n  \"return\": 1,\r\n");
        peer.say("  \"id\": 0\r\n}\r\n{\"return\": {}, \"id\": \"not ours\"}\r\n");
        peer.say("{\"error\": {\"class\": \"Odd\", \"desc\": \"no\"}, \"id\": 1}\r\n");
    });
    let mark = client.mark();
    let arguments = serde_json::json!({"x": 1});
    let a = client.submit("a", NONE).unwrap();
    let b = client.submit("b", Some(&arguments)).unwrap();
    assert_eq!(client.wait(b).unwrap_err().refusal().unwrap().class, "Odd");
    assert_eq!(client.wait(a).unwrap().get(), "1");
    let event = client.wait_event_after(mark, |event| event.name == "BRAND_NEW", soon());
    assert_eq!(event.unwrap().unwrap().name, "BRAND_NEW");
    assert_eq!(client.events().unwrap().len(), 1);
    peer.join().unwrap();
}

#[test]
fn a_command_that_is_overdue_does_not_disturb_the_next() {
    let brief = Options { command_timeout: SHORT, ..options() };
    let (mut client, peer) = meet(brief, |mut peer| {
        assert_eq!(peer.hear(), "{\"execute\":\"slow\",\"id\":0}");
        assert_eq!(peer.hear(), "{\"execute\":\"fast\",\"id\":1}");
        peer.say("{\"return\": \"late\", \"id\": 0}{\"return\": \"next\", \"id\": 1}");
        peer
    });
    let error = client.execute("slow", NONE).unwrap_err();
    assert!(matches!(error, Error::Overdue { .. }) && error.is_outcome_unknown(), "{error}");
    assert_eq!(client.query::<String>("fast").unwrap(), "next");
    peer.join().unwrap();
}

#[test]
fn events_that_never_stop_do_not_put_a_deadline_off() {
    let brief = Options { command_timeout: SHORT, ..options() };
    let (mut client, peer) = meet(brief, |peer| {
        let events = "{\"event\": \"E\"}\r\n".repeat(100);
        let mut stream = peer.0.into_inner();
        while stream.write_all(events.as_bytes()).is_ok() {}
    });
    let error = client.execute("never", NONE).unwrap_err();
    assert!(matches!(error, Error::Overdue { .. }), "{error}");
    let none = client.wait_event_after(client.mark(), |event| event.name == "F", soon());
    assert!(matches!(none, Err(EventsError::Missed(_))), "{none:?}");
    drop(client);
    peer.join().unwrap();
}

#[test]
fn what_was_sent_is_told_apart_from_what_was_not() {
    let (mut client, peer) = meet(options(), |mut peer| {
        peer.hear();
    });
    let error = client.execute("device_add", NONE).unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
    let error = client.execute("query-block", NONE).unwrap_err();
    assert!(matches!(error, Error::NotSent { .. }), "{error}");
    assert!(matches!(client.wait_event(soon()), Err(EventsError::Closed(_))));
    peer.join().unwrap();

    // The peer is gone already, and its last words are heard.
    let (mut client, peer) = meet(options(), |mut peer| peer.say("{\"event\": \"SHUTDOWN\"}\r\n"));
    peer.join().unwrap();
    let error = client.execute("query-block", NONE).unwrap_err();
    assert!(matches!(error, Error::NotSent { .. }) && !error.is_outcome_unknown(), "{error}");
    assert_eq!(client.wait_event(soon()).unwrap().unwrap().name, "SHUTDOWN");
}

#[test]
fn a_slow_taker_loses_its_oldest_events_and_is_told_how_many() {
    let (mut client, peer) = meet(options(), |mut peer| {
        peer.hear();
        peer.say(&"{\"event\": \"E\"}".repeat(EVENT_BACKLOG + 100));
        peer.say("{\"event\": \"LAST\"}{\"return\": {}, \"id\": 0}");
        peer
    });
    let mark = client.mark();
    client.execute("go", NONE).unwrap();
    assert!(matches!(client.wait_event(soon()), Err(EventsError::Missed(101))));
    let last = client.wait_event_after(mark, |event| event.name == "LAST", soon());
    assert_eq!(last.unwrap().unwrap().name, "LAST");
    let lost = client.wait_event_after(mark, |event| event.name == "LATER", soon());
    assert!(matches!(lost, Err(EventsError::Missed(101))), "{lost:?}");
    assert_eq!(client.events().unwrap().len(), EVENT_BACKLOG);
    let until = Instant::now() + SHORT;
    assert!(client.wait_event(until).unwrap().is_none());
    assert!(Instant::now() >= until);
    peer.join().unwrap();
}

#[test]
fn a_large_command_does_not_leave_replies_unread() {
    const LARGE: usize = 4 << 20;
    let (mut client, peer) = meet(options(), |mut peer| {
        // It says more than a socket holds before it reads.
        peer.say(&"{\"event\": \"E\"}\r\n".repeat(LARGE / 8));
        assert!(peer.hear().len() > LARGE);
        peer.say("{\"return\": \"read\", \"id\": 0}\r\n");
    });
    let text = "x".repeat(LARGE);
    assert_eq!(client.execute("large", Some(&text)).unwrap().get(), "\"read\"");
    peer.join().unwrap();
}

#[test]
fn a_peer_that_never_reads_ends_a_command_at_its_deadline() {
    let brief = Options { command_timeout: SHORT, ..options() };
    let (mut client, peer) = meet(brief, |peer| peer);
    let text = "x".repeat(4 << 20);
    let error = client.execute("large", Some(&text)).unwrap_err();
    assert!(matches!(error, Error::Overdue { .. }), "{error}");
    let error = client.execute_with_fds("getfd", NONE, &[]).unwrap_err();
    assert!(matches!(error, Error::Unsendable { .. }), "{error}");
    drop(peer.join().unwrap());
}

#[test]
fn replies_that_nobody_waits_for_are_forgotten() {
    let (mut client, peer) = meet(options(), |mut peer| {
        peer.say("{\"return\": 1, \"id\": 1}{\"return\": 0, \"id\": 0}{\"return\": 2, \"id\": 2}");
        peer
    });
    let a = client.submit("a", NONE).unwrap();
    let b = client.submit("b", NONE).unwrap();
    client.forget(a);
    assert_eq!(client.execute("c", NONE).unwrap().get(), "2");
    assert_eq!(client.wait(b).unwrap().get(), "1");
    peer.join().unwrap();
}

#[test]
fn what_comes_while_the_caller_is_away_is_read_and_kept() {
    let (mut client, peer) = meet(options(), |mut peer| {
        // More than a socket holds.
        peer.0.get_mut().set_write_timeout(Some(PATIENCE)).unwrap();
        let text = "x".repeat(4 << 10);
        for _ in 0..=EVENT_BACKLOG {
            peer.say(&format!("{{\"event\": \"E\", \"data\": \"{text}\"}}\r\n"));
        }
        assert_eq!(peer.hear(), "{\"execute\":\"ask\",\"id\":0}");
        peer.say("{\"return\": 5, \"id\": 0}\r\n");
        peer
    });
    let submitted = client.submit("ask", NONE).unwrap();
    let peer = client.while_away(|| peer.join().unwrap()).unwrap();
    assert_eq!(client.wait(submitted).unwrap().get(), "5");
    assert!(matches!(client.events().unwrap_err(), EventsError::Missed(1)));
    assert_eq!(client.events().unwrap().len(), EVENT_BACKLOG);
    drop(peer);
    // A peer that left is found out, and ends nothing too early.
    assert_eq!(client.while_away(|| 7).unwrap(), 7);
    assert!(matches!(client.events(), Err(EventsError::Closed(_))));
}
