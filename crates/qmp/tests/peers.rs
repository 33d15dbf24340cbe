//! The client against peers that behave, misbehave, or do nothing at all.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use qplug_qmp::{
    Address, Client, ConnectError, Error, Events, EventsError, Options, Reconnect, Trace,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

const GREETING: &str = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n";
const NONE: Option<&()> = None;
/// Longer than any of these peers needs, so that a failure ends the test and noise does not.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder with a socket that one scripted peer listens on.
struct Peer {
    _folder: tempfile::TempDir,
    address: Address,
    listener: UnixListener,
}

impl Peer {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qmp");
        let listener = UnixListener::bind(&path).unwrap();
        Self { _folder: folder, address: Address::Unix(path), listener }
    }

    async fn accept(&self) -> UnixStream {
        self.listener.accept().await.unwrap().0
    }

    /// Accepts, greets and negotiates.
    async fn meet(&self) -> BufReader<UnixStream> {
        let mut stream = BufReader::new(self.accept().await);
        say(&mut stream, GREETING).await;
        assert_eq!(hear(&mut stream).await, "{\"execute\":\"qmp_capabilities\",\"id\":-1}");
        say(&mut stream, "{\"return\": {}, \"id\": -1}\r\n").await;
        stream
    }
}

async fn say(stream: &mut BufReader<UnixStream>, text: &str) {
    stream.get_mut().write_all(text.as_bytes()).await.unwrap();
}

async fn hear(stream: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    line.trim_end().to_owned()
}

fn patient() -> Options {
    Options { connect_timeout: PATIENCE, command_timeout: PATIENCE, ..Options::default() }
}

async fn connect(address: &Address) -> Result<Client, ConnectError> {
    let options = patient();
    Client::connect_with(address, options).await
}

/// Connects to a peer that says this first and then closes.
async fn connect_to_one_who_says(first: &str) -> ConnectError {
    let peer = Peer::new();
    let client = connect(&peer.address);
    let talk = async {
        let mut stream = BufReader::new(peer.accept().await);
        say(&mut stream, first).await;
    };
    tokio::join!(client, talk).0.expect_err("no QMP server talks so")
}

#[tokio::test]
async fn a_monitor_that_another_client_holds_is_recognised_by_its_silence() {
    let peer = Peer::new();
    let options = Options { connect_timeout: Duration::from_millis(50), ..patient() };
    let client = Client::connect_with(&peer.address, options);
    let (result, _held) = tokio::join!(client, peer.accept());
    let error = result.unwrap_err();
    assert!(matches!(error, ConnectError::Busy { .. }), "{error}");
    assert!(error.to_string().contains("another client"), "{error}");
}

#[tokio::test]
async fn no_socket_no_listener_and_no_socket_file_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| Address::Unix(folder.path().join(name));
    let error = connect(&at("missing")).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoSocket { .. }), "{error}");
    std::fs::File::create(folder.path().join("file")).unwrap().write_all(b"x").unwrap();
    let error = connect(&at("file")).await.unwrap_err();
    assert!(matches!(error, ConnectError::NotASocket { .. }), "{error}");
    drop(UnixListener::bind(folder.path().join("stale")).unwrap());
    let error = connect(&at("stale")).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoListener { .. }), "{error}");
}

#[tokio::test]
async fn peers_that_are_not_qmp_are_named_as_such() {
    for first in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) ",
        "{\"return\": {}}{\"return\": {}}\r\n",
        "{\"hello\": 1}\r\n",
        "\u{0}\u{1}\u{2}",
    ] {
        let error = connect_to_one_who_says(first).await;
        assert!(matches!(error, ConnectError::NotQmp { .. }), "{first}: {error}");
    }
    let error = connect_to_one_who_says("").await;
    assert!(matches!(error, ConnectError::Closed { .. }), "{error}");
}

#[tokio::test]
async fn replies_find_their_callers_whatever_comes_between() {
    let peer = Peer::new();
    let talk = async {
        let mut stream = peer.meet().await;
        let (first, second) = (hear(&mut stream).await, hear(&mut stream).await);
        assert_eq!(first, "{\"execute\":\"a\",\"id\":0}");
        assert_eq!(second, "{\"execute\":\"b\",\"arguments\":{\"x\":1},\"id\":1}");
        say(&mut stream, "{\"event\": \"BRAND_NEW\", \"extra\": []}\r\n{\r\n  \"return\": 1,\r\n")
            .await;
        say(&mut stream, "  \"id\": 0\r\n}\r\n{\"return\": {}, \"id\": \"not ours\"}\r\n").await;
        say(&mut stream, "{\"error\": {\"class\": \"Odd\", \"desc\": \"no\"}, \"id\": 1}\r\n")
            .await;
        stream
    };
    let ask = async {
        let client = connect(&peer.address).await.unwrap();
        let mut events = client.events();
        let arguments = serde_json::json!({"x": 1});
        let (a, b) = tokio::join!(client.execute("a", NONE), client.execute("b", Some(&arguments)));
        assert_eq!(a.unwrap().get(), "1");
        assert_eq!(b.unwrap_err().refusal().unwrap().class, "Odd");
        assert_eq!(events.next().await.unwrap().name, "BRAND_NEW");
    };
    tokio::join!(ask, talk);
}

#[tokio::test]
async fn a_reply_of_several_hundred_kib_is_an_ordinary_reply() {
    let peer = Peer::new();
    let long = "x".repeat(700 << 10);
    let talk = async {
        let mut stream = peer.meet().await;
        hear(&mut stream).await;
        say(&mut stream, &format!("{{\"return\": \"{long}\", \"id\": 0}}\r\n")).await;
        stream
    };
    let ask = async {
        let client = connect(&peer.address).await.unwrap();
        client.query::<String>("query-qmp-schema").await.unwrap()
    };
    assert_eq!(tokio::join!(ask, talk).0, long);
}

#[tokio::test]
async fn a_command_without_an_answer_has_an_unknown_outcome() {
    let peer = Peer::new();
    let talk = async {
        let mut stream = peer.meet().await;
        hear(&mut stream).await;
    };
    let ask = async {
        let client = connect(&peer.address).await.unwrap();
        let error = client.execute("device_add", NONE).await.unwrap_err();
        assert!(matches!(error, Error::Unknown { .. }) && error.is_outcome_unknown(), "{error}");
        // From now on nothing is sent, and that is known.
        let error = client.execute("query-block", NONE).await.unwrap_err();
        assert!(matches!(error, Error::NotSent { .. }) && !error.is_outcome_unknown(), "{error}");
    };
    tokio::join!(ask, talk);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_overdue_does_not_disturb_the_next() {
    let peer = Peer::new();
    let talk = async {
        let mut stream = peer.meet().await;
        hear(&mut stream).await;
        hear(&mut stream).await;
        say(&mut stream, "{\"return\": \"late\", \"id\": 0}{\"return\": \"next\", \"id\": 1}")
            .await;
        stream
    };
    let ask = async {
        let options = Options { command_timeout: Duration::from_secs(1), ..patient() };
        let client = Client::connect_with(&peer.address, options).await.unwrap();
        let asked = tokio::time::Instant::now();
        let error = client.execute("slow", NONE).await.unwrap_err();
        assert!(matches!(error, Error::Overdue { .. }), "{error}");
        // Not when the greeting would have been due.
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        assert_eq!(client.query::<String>("fast").await.unwrap(), "next");
    };
    tokio::join!(ask, talk);
}

/// Waits for an event of this name; the count of missed ones before it.
async fn until(events: &mut Events, name: &str) -> u64 {
    let mut missed = 0;
    loop {
        match events.next().await {
            Ok(event) if event.name == name => return missed,
            Ok(_) => {}
            Err(EventsError::Missed(count)) => missed += count,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_slow_subscriber_loses_its_oldest_events_and_is_told_how_many() {
    let peer = Peer::new();
    let count = qplug_qmp::EVENT_BACKLOG + 100;
    let talk = async {
        let mut stream = peer.meet().await;
        hear(&mut stream).await;
        say(&mut stream, &"{\"event\": \"E\"}".repeat(count)).await;
        say(&mut stream, "{\"event\": \"LAST\"}{\"return\": {}, \"id\": 0}").await;
        stream
    };
    let ask = async {
        let client = connect(&peer.address).await.unwrap();
        let mut slow = client.events();
        client.execute("go", NONE).await.unwrap();
        assert_eq!(until(&mut slow, "LAST").await, 101);
        client
    };
    let (client, stream) = tokio::join!(ask, talk);
    let mut events = client.events();
    drop(stream);
    let error = events.next().await.unwrap_err();
    assert!(matches!(error, EventsError::Closed(_)), "{error}");
}

#[tokio::test]
async fn an_inherited_descriptor_is_a_way_in() {
    use std::os::fd::AsRawFd;
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut theirs = BufReader::new(UnixStream::from_std(theirs).unwrap());
    let talk = async {
        say(&mut theirs, GREETING).await;
        hear(&mut theirs).await;
        say(&mut theirs, "{\"return\": {}, \"id\": -1}").await;
    };
    let address = Address::Fd(ours.as_raw_fd());
    let (client, ()) = tokio::join!(connect(&address), talk);
    assert_eq!(client.unwrap().greeting().version.to_string(), "7.2.22");
    let error = connect(&Address::Fd(9999)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Io { .. }), "{error}");
}

#[tokio::test]
async fn a_path_that_is_too_long_for_a_socket_is_an_error() {
    let error = connect(&Address::Unix(PathBuf::from("/x".repeat(100)))).await.unwrap_err();
    assert!(matches!(error, ConnectError::Io { .. }), "{error}");
}

/// Ends the conversation, and meets the client again.
#[tokio::test(start_paused = true)]
async fn a_client_that_may_comes_back_and_says_that_events_may_have_been_missed() {
    let peer = Peer::new();
    let talk = async {
        let mut stream = peer.meet().await;
        hear(&mut stream).await;
        drop(stream);
        let mut stream = peer.meet().await;
        say(&mut stream, "{\"event\": \"AFTER\"}").await;
        assert_eq!(hear(&mut stream).await, "{\"execute\":\"b\",\"id\":1}");
        say(&mut stream, "{\"return\": {}, \"id\": 1}").await;
        stream
    };
    let ask = async {
        let options = Options { reconnect: Some(Reconnect::default()), ..patient() };
        let client = Client::connect_with(&peer.address, options).await.unwrap();
        let mut events = client.events();
        let error = client.execute("a", NONE).await.unwrap_err();
        assert!(error.is_outcome_unknown(), "{error}");
        let error = client.execute("a", NONE).await.unwrap_err();
        assert!(matches!(error, Error::NotSent { .. }), "{error}");
        let error = events.next().await.unwrap_err();
        assert!(matches!(error, EventsError::Reconnected), "{error}");
        assert_eq!(events.first(|event| event.name == "AFTER").await.unwrap().name, "AFTER");
        client.execute("b", NONE).await.unwrap();
    };
    tokio::join!(ask, talk);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_may_come_back_gives_up_in_the_end() {
    let peer = Peer::new();
    let options = Options { reconnect: Some(Reconnect::default()), ..patient() };
    let address = peer.address.clone();
    let (client, stream) = tokio::join!(Client::connect_with(&address, options), peer.meet());
    let (client, mut events) = (client.as_ref().unwrap(), client.as_ref().unwrap().events());
    drop((stream, peer));
    let error = events.next().await.unwrap_err();
    assert!(matches!(error, EventsError::Closed(_)), "{error}");
    assert!(matches!(client.execute("a", NONE).await, Err(Error::NotSent { .. })));
}

#[tokio::test]
async fn out_of_band_commands_overtake() {
    let peer = Peer::new();
    let talk = async {
        let mut stream = BufReader::new(peer.accept().await);
        say(&mut stream, GREETING).await;
        assert!(hear(&mut stream).await.contains("\"enable\":[\"oob\"]"));
        say(&mut stream, "{\"return\": {}, \"id\": -1}").await;
        hear(&mut stream).await;
        assert_eq!(hear(&mut stream).await, "{\"exec-oob\":\"yank\",\"id\":1}");
        say(&mut stream, "{\"return\": 1, \"id\": 1}{\"return\": 0, \"id\": 0}").await;
        stream
    };
    let ask = async {
        let options = Options { oob: true, ..patient() };
        let client = Client::connect_with(&peer.address, options).await.unwrap();
        let slow = client.submit("slow", NONE);
        assert_eq!(client.execute_oob("yank", NONE).await.unwrap().get(), "1");
        assert_eq!(slow.await.unwrap().get(), "0");
    };
    tokio::join!(ask, talk);
}

#[tokio::test]
async fn abstract_names_children_and_servers_that_connect_to_us() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("qplug-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = UnixListener::from_std(listener).unwrap();
    let greet = async {
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        say(&mut stream, GREETING).await;
        stream
    };
    let address = format!("unix:@{name}").parse().unwrap();
    let (client, _stream) = tokio::join!(connect(&address), greet);
    assert_eq!(client.unwrap().greeting().version.major, 7);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp");
    let address: Address = format!("listen:unix:{}", path.display()).parse().unwrap();
    let come = async {
        let stream = loop {
            match UnixStream::connect(&path).await {
                Ok(stream) => break stream,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let mut stream = BufReader::new(stream);
        say(&mut stream, GREETING).await;
        stream
    };
    let (client, _stream) = tokio::join!(connect(&address), come);
    client.unwrap();
    assert!(!path.exists(), "the name is free again");

    let greeting = GREETING.replace("\r\n", "");
    let script = format!(
        "exec:sh -c 'echo \"$0\"; read a; echo {{\\\"return\\\": {{}}, \\\"id\\\": -1}}; read b; echo {{\\\"return\\\": 5, \\\"id\\\": 0}}' '{greeting}'"
    );
    let client = connect(&script.parse().unwrap()).await.unwrap();
    assert_eq!(client.query::<u8>("five").await.unwrap(), 5);
    let error = connect(&"exec:false".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Closed { .. }), "{error}");
}

#[tokio::test]
async fn a_reply_that_outlives_its_client_ends_all_the_same() {
    let peer = Peer::new();
    let talk = async {
        let mut stream = peer.meet().await;
        hear(&mut stream).await;
        stream
    };
    let ask = async {
        let client = connect(&peer.address).await.unwrap();
        let waiting = client.submit("slow", NONE);
        let forgotten = client.submit("slow", NONE);
        tokio::task::yield_now().await;
        drop((forgotten, client));
        let error = waiting.await.unwrap_err();
        assert!(error.is_outcome_unknown(), "{error}");
    };
    tokio::join!(ask, talk);
}

/// Waits without the runtime until the client has closed the connection.
fn assert_closed(stream: UnixStream) {
    let mut stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    match stream.read(&mut [0]) {
        Ok(count) => assert_eq!(count, 0),
        // With something of ours unread.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

#[tokio::test]
async fn a_dropped_client_closes_though_the_runtime_has_no_turn_for_it() {
    let peer = Peer::new();
    let (client, stream) = tokio::join!(connect(&peer.address), peer.meet());
    let events = client.as_ref().unwrap().events();
    drop(client);
    assert_closed(stream.into_inner());
    drop(events);
}

#[tokio::test]
async fn a_connection_that_is_given_up_on_before_the_greeting_is_closed() {
    let peer = Peer::new();
    let connecting = tokio::time::timeout(Duration::from_millis(50), connect(&peer.address));
    let (given_up, stream) = tokio::join!(connecting, peer.accept());
    assert!(given_up.is_err());
    assert_closed(stream);
}

#[tokio::test]
async fn a_trace_that_nobody_reads_holds_no_conversation_up() {
    let (never_read, writer) = std::io::pipe().unwrap();
    let peer = Peer::new();
    let trace = Trace::new(writer);
    let options = Options { trace: Some(trace.clone()), ..patient() };
    let connecting = Client::connect_with(&peer.address, options);
    let (client, mut stream) = tokio::join!(connecting, peer.meet());
    let client = client.unwrap();
    let talk = async {
        // More than any pipe holds.
        let text = "x".repeat(64 << 10);
        for _ in 0..64 {
            say(&mut stream, &format!("{{\"event\": \"E\", \"data\": \"{text}\"}}\r\n")).await;
        }
        hear(&mut stream).await;
        say(&mut stream, "{\"return\": {}, \"id\": 0}\r\n").await;
    };
    let conversation = async { tokio::join!(client.execute("ask", NONE), talk).0 };
    let answered = tokio::time::timeout(PATIENCE, conversation).await;
    answered.expect("the trace held it up").unwrap();
    drop(never_read);
    assert_eq!(trace.outcome().unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn each_of_several_things_counts_what_it_sent() {
    let peer = Peer::new();
    let (client, stream) =
        tokio::join!(Client::connect_with(&peer.address, patient()), peer.meet());
    let (client, mut stream) = (client.unwrap(), stream);
    let before = client.traffic();
    let (one, two) = (client.clone().counting_alone(), client.clone().counting_alone());
    let (first, second) = (one.submit("a", NONE), two.submit("bcd", NONE));
    let third = one.clone().submit("a", NONE);
    let (one, two, all) = (one.traffic(), two.traffic(), client.traffic());
    assert_eq!((one.commands, two.commands), (2, 1));
    assert!(one.bytes > two.bytes && two.bytes > 0, "{one:?} {two:?}");
    assert_eq!(one.bytes + two.bytes, all.bytes - before.bytes);
    for id in 0..3 {
        say(&mut stream, &format!("{{\"return\": {{}}, \"id\": {id}}}\r\n")).await;
    }
    let _ = tokio::join!(first, second, third);
}
