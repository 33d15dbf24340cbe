//! The server, with our own clients and with peers that write bytes.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::future::pending;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use qplug_proto::{ErrorReply, Event, Greeting, OUTPUT_LIMIT, QemuVersion};
use qplug_qmp::server::{Call, Handler, Listener, Options, Reply, Server, returning};
use qplug_qmp::{Address, Client, blocking};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::time::timeout;

const NONE: Option<&()> = None;
/// Longer than anything here takes, so that a failure ends the test and noise does not.
const PATIENCE: Duration = Duration::from_secs(20);

fn server(clients: usize) -> Server {
    let version = QemuVersion { major: 10, minor: 0, micro: 2 };
    let capabilities = vec!["oob".to_owned()];
    let greeting = Greeting { version, package: "test".to_owned(), capabilities };
    Server::new(Options { clients, ..Options::new(greeting) })
}

fn options() -> qplug_qmp::Options {
    qplug_qmp::Options {
        connect_timeout: PATIENCE,
        command_timeout: PATIENCE,
        ..qplug_qmp::Options::default()
    }
}

fn event(name: &str) -> Event {
    let data = RawValue::from_string("{\"x\": 1}".to_owned()).unwrap();
    Event { name: name.to_owned(), data: Some(data), timestamp: None }
}

/// Commands for the tests.
struct Machine {
    server: Server,
    /// `wait` ends when `go` comes, which can run out of band.
    gate: Notify,
    /// Told when a `wait` has begun, and when it has ended.
    waiting: Notify,
    waited: Notify,
}

impl Machine {
    fn new(server: &Server) -> Arc<Self> {
        let (gate, waiting, waited) = (Notify::new(), Notify::new(), Notify::new());
        Arc::new(Self { server: server.clone(), gate, waiting, waited })
    }

    async fn carry_out(&self, call: Call) -> Reply {
        match call.command.as_str() {
            "echo" => returning(&call.decode::<serde_json::Value>()?),
            "wait" => {
                self.waiting.notify_one();
                self.gate.notified().await;
                self.waited.notify_one();
                returning(&"waited")
            }
            "go" => {
                self.gate.notify_one();
                returning(&json!({}))
            }
            "announce" => {
                self.server.emit(event("ANNOUNCED"));
                returning(&json!({}))
            }
            "getfd" => {
                let texts = call.take_fds().into_iter().map(|fd| {
                    let mut text = String::new();
                    std::fs::File::from(fd).read_to_string(&mut text).map(|_| text)
                });
                returning(&texts.collect::<Result<Vec<_>, _>>().unwrap())
            }
            "quit" => {
                self.server.shut_down();
                returning(&json!({}))
            }
            other => Err(ErrorReply::not_found(other)),
        }
    }
}

fn handler(machine: &Arc<Machine>) -> impl Handler {
    let machine = Arc::clone(machine);
    move |call| {
        let machine = Arc::clone(&machine);
        async move { machine.carry_out(call).await }
    }
}

/// A machine that is served at a path.
async fn serve(clients: usize) -> (tempfile::TempDir, Address, Arc<Machine>) {
    let folder = tempfile::tempdir().unwrap();
    let address = Address::Unix(folder.path().join("qmp"));
    let server = server(clients);
    let machine = Machine::new(&server);
    let listener = Listener::bind(&address).await.unwrap();
    let handler = handler(&machine);
    tokio::spawn(async move { server.serve(listener, handler).await });
    (folder, address, machine)
}

async fn connect(address: &Address) -> Client {
    Client::connect_with(address, options()).await.unwrap()
}

/// Runs a blocking client beside the server.
async fn blocking<T: Send + 'static>(
    address: &Address,
    talk: impl FnOnce(blocking::Client) -> T + Send + 'static,
) -> T {
    let address = address.clone();
    let talk = move || talk(blocking::Client::connect_with(&address, options()).unwrap());
    tokio::task::spawn_blocking(talk).await.unwrap()
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < limit, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn both_clients_converse_with_it() {
    let (_folder, address, machine) = serve(2).await;
    let client = connect(&address).await;
    assert_eq!(client.greeting().version.to_string(), "10.0.2");
    assert_eq!(client.greeting().package, "test");
    let arguments = json!({"a": [1, "é"]});
    assert_eq!(client.query::<serde_json::Value>("echo").await.unwrap(), json!({}));
    let echo = client.execute("echo", Some(&arguments)).await.unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(echo.get()).unwrap(), arguments);
    let refusal = client.execute("nonsense", NONE).await.unwrap_err();
    assert_eq!(refusal.refusal().unwrap().class, "CommandNotFound");
    let mut events = client.events();
    blocking(&address, |mut client| {
        let mark = client.mark();
        client.execute("announce", NONE).unwrap();
        let announced = |event: &Event| event.name == "ANNOUNCED";
        let event = client.wait_event_after(mark, announced, Instant::now() + PATIENCE);
        assert!(event.unwrap().unwrap().timestamp.unwrap().seconds > 0);
    })
    .await;
    assert_eq!(events.next().await.unwrap().data.as_ref().unwrap().get(), "{\"x\": 1}");
    eventually("the other client is gone", || machine.server.clients() == 1).await;
}

#[tokio::test]
async fn one_client_at_a_time_unless_more_are_wanted() {
    let (_folder, address, _machine) = serve(1).await;
    let first = connect(&address).await;
    let brief = qplug_qmp::Options { connect_timeout: Duration::from_millis(50), ..options() };
    let error = Client::connect_with(&address, brief.clone()).await.unwrap_err();
    assert!(matches!(error, qplug_qmp::ConnectError::Busy { .. }), "{error}");
    drop(first);
    connect(&address).await.execute("echo", NONE).await.unwrap();

    let (_folder, address, _machine) = serve(3).await;
    let three = [connect(&address).await, connect(&address).await, connect(&address).await];
    let error = Client::connect_with(&address, brief).await.unwrap_err();
    assert!(matches!(error, qplug_qmp::ConnectError::Busy { .. }), "{error}");
    for client in &three {
        client.execute("echo", NONE).await.unwrap();
    }
}

#[tokio::test]
async fn an_out_of_band_command_runs_while_another_waits() {
    let (_folder, address, _machine) = serve(1).await;
    let oob = qplug_qmp::Options { oob: true, ..options() };
    let talk = move || {
        let mut client = blocking::Client::connect_with(&address, oob).unwrap();
        // The negotiation's reply says that there are out-of-band commands.
        client.execute("echo", NONE).unwrap();
        let wait = client.submit("wait", NONE).unwrap();
        let echo = client.submit("echo", NONE).unwrap();
        client.execute_oob("go", NONE).unwrap();
        assert_eq!(client.wait(wait).unwrap().get(), "\"waited\"");
        assert_eq!(client.wait(echo).unwrap().get(), "{}");
    };
    tokio::task::spawn_blocking(talk).await.unwrap();
}

#[tokio::test]
async fn descriptors_reach_the_command_that_takes_them() {
    let (_folder, address, _machine) = serve(1).await;
    blocking(&address, |mut client| {
        let pipe = |text: &str| {
            let (reader, mut writer) = std::io::pipe().unwrap();
            writer.write_all(text.as_bytes()).unwrap();
            reader
        };
        let (one, two) = (pipe("one"), pipe("two"));
        // A command that takes none is ahead, and one that gets none follows.
        let echo = client.submit("echo", NONE).unwrap();
        let both = [one.as_fd(), two.as_fd()];
        let texts = client.execute_with_fds("getfd", NONE, &both).unwrap();
        assert_eq!(texts.get(), "[\"one\",\"two\"]");
        client.wait(echo).unwrap();
        assert_eq!(client.execute("getfd", NONE).unwrap().get(), "[]");
        // Those that their command leaves are not the next command's.
        let (lost, found) = (pipe("lost"), pipe("found"));
        client.execute_with_fds("echo", NONE, &[lost.as_fd()]).unwrap();
        let texts = client.execute_with_fds("getfd", NONE, &[found.as_fd()]).unwrap();
        assert_eq!(texts.get(), "[\"found\"]");
        let many = [one.as_fd(); qplug_qmp::fds::MAX_PASSED_FDS + 1];
        let error = client.execute_with_fds("getfd", NONE, &many).unwrap_err();
        assert!(matches!(error, qplug_qmp::Error::Unsendable { .. }), "{error}");
    })
    .await;
}

#[tokio::test]
async fn over_tcp_all_but_descriptors_works() {
    let any = Address::Tcp { host: "127.0.0.1".to_owned(), port: 0 };
    let listener = Listener::bind(&any).await.unwrap();
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: listener.port().unwrap() };
    let server = server(1);
    let handler = handler(&Machine::new(&server));
    tokio::spawn(async move { server.serve(listener, handler).await });
    blocking(&address, |mut client| {
        client.execute("echo", NONE).unwrap();
        let stdin = std::io::stdin();
        let error = client.execute_with_fds("getfd", NONE, &[stdin.as_fd()]).unwrap_err();
        assert!(error.to_string().contains("unix sockets only"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_command_outlives_its_client_and_the_next_client_need_not_wait_for_it() {
    let (_folder, address, machine) = serve(1).await;
    let client = connect(&address).await;
    drop(client.submit("wait", NONE));
    timeout(PATIENCE, machine.waiting.notified()).await.unwrap();
    drop(client);
    connect(&address).await.execute("go", NONE).await.unwrap();
    timeout(PATIENCE, machine.waited.notified()).await.unwrap();
}

#[tokio::test]
async fn shutting_down_answers_what_runs_and_removes_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp");
    let listener = Listener::bind(&Address::Unix(path.clone())).await.unwrap();
    let server = server(2);
    let machine = Machine::new(&server);
    let handler = handler(&machine);
    let running = server.clone();
    let service = tokio::spawn(async move { running.serve(listener, handler).await });
    let (one, other) =
        (connect(&Address::Unix(path.clone())).await, connect(&Address::Unix(path.clone())).await);
    let wait = one.submit("wait", NONE);
    timeout(PATIENCE, machine.waiting.notified()).await.unwrap();
    other.execute("quit", NONE).await.unwrap();
    machine.gate.notify_one();
    assert_eq!(wait.await.unwrap().get(), "\"waited\"");
    timeout(PATIENCE, service).await.unwrap().unwrap().unwrap();
    assert_eq!(server.clients(), 0);
    assert!(!path.exists());
    assert!(other.execute("echo", NONE).await.is_err());
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_dropped_in_the_end_and_disturbs_nobody() {
    let (_folder, address, machine) = serve(2).await;
    let Address::Unix(path) = &address else { unreachable!() };
    let mut deaf = UnixStream::connect(path).await.unwrap();
    deaf.write_all(b"{\"execute\":\"qmp_capabilities\"}").await.unwrap();
    let client = connect(&address).await;
    client.execute("echo", NONE).await.unwrap();
    eventually("both are served", || machine.server.clients() == 2).await;
    let long = json!({"x": "x".repeat(1 << 20)}).to_string();
    let data = RawValue::from_string(long).unwrap();
    for _ in 0..=2 + (OUTPUT_LIMIT >> 20) {
        let data = Some(data.clone());
        machine.server.emit(Event { name: "LONG".to_owned(), data, timestamp: None });
        // The one that reads gets through, whatever the other does.
        client.execute("echo", NONE).await.unwrap();
    }
    eventually("the deaf one is gone", || machine.server.clients() == 1).await;
    client.execute("echo", NONE).await.unwrap();
}

#[tokio::test]
async fn commands_of_a_client_that_does_not_read_wait_outside() {
    let (ours, theirs) = StdStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let server = server(1);
    let handler = handler(&Machine::new(&server));
    let theirs = UnixStream::from_std(theirs).unwrap();
    let service = server.serve_connected(theirs, handler);
    let talk = async {
        let mut ours = UnixStream::from_std(ours).unwrap();
        let text = format!(
            "{{\"execute\":\"qmp_capabilities\"}}{}",
            format!("{{\"execute\":\"echo\",\"arguments\":{{\"x\":\"{}\"}}}}", "x".repeat(1 << 16))
                .repeat(256)
        );
        // 16 MiB of commands cannot all be taken in: the replies are bounded, and not read.
        let stalled = timeout(Duration::from_millis(500), ours.write_all(text.as_bytes())).await;
        assert!(stalled.is_err());
        let mut space = vec![0; 1 << 16];
        assert!(ours.read(&mut space).await.unwrap() > 0);
    };
    let both = async { tokio::join!(service, talk) };
    timeout(PATIENCE, both).await.unwrap();
}

#[tokio::test]
async fn a_handler_that_never_ends_does_not_hold_a_shutdown_up_for_ever() {
    tokio::time::pause();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = server(1);
    let began = Arc::new(Notify::new());
    let handler = {
        let began = Arc::clone(&began);
        move |_: Call| {
            began.notify_one();
            pending::<Reply>()
        }
    };
    let stop = async {
        let mut ours = ours;
        ours.write_all(b"{\"execute\":\"qmp_capabilities\"}{\"execute\":\"x\"}").await.unwrap();
        began.notified().await;
        server.shut_down();
    };
    tokio::join!(server.serve_connected(theirs, handler), stop);
}
