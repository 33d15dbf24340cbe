//! Both clients against real QEMUs.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use qplug_qmp::{Address, Client, ConnectError, Error, Event, Options, blocking};
use qplug_testbed::{Board, Machine, Qemu};
use serde_json::{Value, json};

const NONE: Option<&()> = None;
/// Longer than QEMU takes for anything here, so that a failure ends the test and noise does not.
const PATIENCE: Duration = Duration::from_secs(30);

/// Commands that end, stop or start the machine.
const LEFT_OUT: &[&str] = &["quit", "system_powerdown", "system_reset", "stop", "cont"];

/// Fewer would mean that the schema was not understood: QEMU 7.2 has 77.
const AT_LEAST: usize = 60;

/// How a command ended: with a value, or with the class of an error.
type Ends = BTreeMap<String, Result<(), String>>;

fn options() -> Options {
    Options { connect_timeout: PATIENCE, command_timeout: PATIENCE, ..Options::default() }
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

fn halted(qemu: &Qemu) -> Machine {
    Machine::builder(qemu, Board::Q35).halted().unwrap()
}

fn connect(machine: &Machine) -> blocking::Client {
    blocking::Client::connect_with(&Address::Unix(machine.qmp_path()), options()).unwrap()
}

/// The commands that have no arguments, not even optional ones.
fn without_arguments(schema: &[Value]) -> Vec<String> {
    let is_empty = |name: &Value| {
        let entity = schema.iter().find(|entity| entity["name"] == *name).unwrap();
        entity["members"].as_array().is_some_and(Vec::is_empty)
    };
    let commands = schema.iter().filter(|entity| entity["meta-type"] == "command");
    let names = commands.filter(|entity| is_empty(&entity["arg-type"]));
    let names = names.map(|entity| entity["name"].as_str().unwrap().to_owned());
    names.filter(|name| !LEFT_OUT.contains(&name.as_str())).collect()
}

fn end(
    command: &str,
    result: Result<Box<serde_json::value::RawValue>, Error>,
) -> Result<(), String> {
    match result {
        Ok(value) => {
            serde_json::from_str::<Value>(value.get()).unwrap();
            Ok(())
        }
        Err(Error::Refused { reply, .. }) => Err(reply.class),
        Err(error) => panic!("{command}: {error}"),
    }
}

fn ask_blocking(machine: &Machine) -> Ends {
    let mut client = connect(machine);
    let schema: Vec<Value> = client.query("query-qmp-schema").unwrap();
    let commands = without_arguments(&schema);
    let ask = |name: String| {
        let end = end(&name, client.execute(&name, NONE));
        (name, end)
    };
    commands.into_iter().map(ask).collect()
}

async fn ask_async(machine: &Machine) -> Ends {
    let address = Address::Unix(machine.qmp_path());
    let client = Client::connect_with(&address, options()).await.unwrap();
    let schema: Vec<Value> = client.query("query-qmp-schema").await.unwrap();
    // All at once: QEMU answers them in their order.
    let names = without_arguments(&schema);
    let asked: Vec<_> = names.iter().map(|name| client.submit(name, NONE)).collect();
    let mut ends = Ends::new();
    for (name, submitted) in names.iter().zip(asked) {
        ends.insert(name.clone(), end(name, submitted.await));
    }
    ends
}

#[test]
fn every_command_without_arguments_has_an_end_with_both_clients() {
    for qemu in Qemu::under_test("commands without arguments") {
        let mut machine = halted(&qemu);
        let of_blocking = ask_blocking(&machine);
        assert!(of_blocking.len() >= AT_LEAST, "{}", of_blocking.len());
        assert!(machine.is_running());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let of_async = runtime.block_on(ask_async(&machine));
        assert_eq!(of_blocking, of_async, "QEMU {}", qemu.version);
        let refused = of_blocking.values().filter(|end| end.is_err()).count();
        assert!(refused * 2 < of_blocking.len(), "{of_blocking:?}");
    }
}

#[test]
fn a_pretty_monitor_is_understood() {
    for qemu in Qemu::under_test("a pretty monitor") {
        let machine = Machine::builder(&qemu, Board::Q35).pretty().halted().unwrap();
        let mut client = connect(&machine);
        let schema: Vec<Value> = client.query("query-qmp-schema").unwrap();
        assert!(without_arguments(&schema).len() >= AT_LEAST);
    }
}

#[test]
fn an_event_is_found_whether_it_comes_before_the_reply_or_behind() {
    for qemu in Qemu::under_test("events") {
        let machine = halted(&qemu);
        let mut client = connect(&machine);
        for (command, name) in [("cont", "RESUME"), ("stop", "STOP")] {
            let mark = client.mark();
            client.execute(command, NONE).unwrap();
            let is_it = |event: &Event| event.name == name;
            let event = client.wait_event_after(mark, is_it, soon()).unwrap().unwrap();
            assert!(event.timestamp.unwrap().seconds > 0);
        }
        let names: Vec<_> = client.events().unwrap().into_iter().map(|event| event.name).collect();
        assert_eq!(names, ["RESUME", "STOP"]);
    }
}

#[test]
fn descriptors_arrive() {
    for qemu in Qemu::under_test("descriptors") {
        let machine = halted(&qemu);
        let image = machine.folder().join("passed.img");
        std::fs::write(&image, [0; 1 << 16]).unwrap();
        let mut client = connect(&machine);

        let named = json!({"fdname": "mine"});
        let error = client.execute("getfd", Some(&named)).unwrap_err();
        assert!(error.refusal().is_some_and(|reply| reply.desc.contains("SCM_RIGHTS")), "{error}");
        let (reader, _writer) = std::io::pipe().unwrap();
        client.execute_with_fds("getfd", Some(&named), &[reader.as_fd()]).unwrap();
        client.execute("closefd", Some(&named)).unwrap();
        assert!(client.execute("closefd", Some(&named)).is_err());

        // The file has no name any more: only the descriptor leads to it.
        let file = File::options().read(true).write(true).open(&image).unwrap();
        std::fs::remove_file(&image).unwrap();
        let set = json!({"fdset-id": 7});
        client.execute_with_fds("add-fd", Some(&set), &[file.as_fd()]).unwrap();
        let node = json!({"driver": "file", "filename": "/dev/fdset/7", "node-name": "passed"});
        client.execute("blockdev-add", Some(&node)).unwrap();
        let nodes: Vec<Value> = client.query("query-named-block-nodes").unwrap();
        assert_eq!(nodes[0]["image"]["virtual-size"], 1 << 16);
    }
}

#[test]
fn a_second_client_is_told_that_the_monitor_is_taken_and_later_gets_it() {
    for qemu in Qemu::under_test("a monitor in use") {
        let machine = halted(&qemu);
        let first = connect(&machine);
        let address = Address::Unix(machine.qmp_path());
        let brief = Options { connect_timeout: Duration::from_millis(100), ..Options::default() };
        let error = blocking::Client::connect_with(&address, brief).unwrap_err();
        assert!(matches!(error, ConnectError::Busy { .. }), "{error}");
        drop(first);
        connect(&machine).execute("query-status", NONE).unwrap();
    }
}

#[test]
fn a_qemu_that_connects_to_us_is_a_monitor_like_any_other() {
    for qemu in Qemu::under_test("listening") {
        // `reconnect` went with 11; `reconnect-ms` came with 9.2.
        let again = if qemu.version.major < 10 { "reconnect=1" } else { "reconnect-ms=1000" };
        let out = format!("socket,id=out,path=out.sock,server=off,{again}");
        let machine = Machine::builder(&qemu, Board::Q35)
            .arguments(["-chardev", &out, "-mon", "chardev=out,mode=control"])
            .halted()
            .unwrap();
        let address = Address::Listen(Box::new(Address::Unix(machine.folder().join("out.sock"))));
        let mut client = blocking::Client::connect_with(&address, options()).unwrap();
        let version: Value = client.query("query-version").unwrap();
        assert_eq!(version["qemu"]["major"], client.greeting().version.major);
    }
}

#[test]
fn the_end_of_a_qemu_is_the_end_of_the_connection() {
    for qemu in Qemu::under_test("a QEMU that ends") {
        let mut machine = halted(&qemu);
        let mut client = connect(&machine);
        machine.kill();
        machine.wait_exit(PATIENCE).unwrap();
        let error = client.execute("query-status", NONE).unwrap_err();
        assert!(matches!(error, Error::NotSent { .. }), "{error}");
    }
}

#[tokio::test]
async fn descriptors_arrive_from_the_asynchronous_client_too() {
    use std::os::fd::OwnedFd;
    for qemu in Qemu::under_test("descriptors, asynchronous") {
        let machine = halted(&qemu);
        let address = Address::Unix(machine.qmp_path());
        let client = Client::connect_with(&address, options()).await.unwrap();
        let file = || -> Vec<OwnedFd> { vec![tempfile::tempfile().unwrap().into()] };
        let name = serde_json::json!({"fdname": "a"});
        // Among others in flight, each with the right one.
        let (before, passed, after) = tokio::join!(
            client.execute("query-status", None::<&()>),
            client.execute_with_fds("getfd", Some(&name), file()),
            client.execute("query-status", None::<&()>),
        );
        assert!(before.is_ok() && passed.is_ok() && after.is_ok(), "{passed:?}");
        client.execute("closefd", Some(&name)).await.unwrap();
        let none = client.execute("getfd", Some(&name)).await.unwrap_err();
        assert!(none.refusal().is_some(), "{none}");
        let set = client.execute_with_fds("add-fd", None::<&()>, file()).await.unwrap();
        assert!(set.get().contains("fdset-id"), "{set}");
        let error = client.execute_with_fds("getfd", Some(&name), Vec::new()).await.unwrap_err();
        assert!(!error.is_outcome_unknown(), "{error}");
    }
}

#[tokio::test]
async fn typed_commands_have_typed_replies() {
    use qplug_qapi::{Cont, Event, JobDismiss, QueryStatus, QueryVersion, RunState, Stop};
    for qemu in Qemu::under_test("typed commands") {
        let machine = halted(&qemu);
        let address = Address::Unix(machine.qmp_path());
        let client = Client::connect_with(&address, options()).await.unwrap();
        let mut events = client.events();
        assert_eq!(client.run(QueryVersion).await.unwrap().qemu.major, qemu.version.major);
        client.run(Cont).await.unwrap();
        assert_eq!(client.run(QueryStatus).await.unwrap().status, RunState::Running);
        client.run(Stop).await.unwrap();
        loop {
            let event = tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap();
            let data = event.data.as_ref().map(|data| serde_json::from_str(data.get()).unwrap());
            let event = Event::read(&event.name, data.unwrap_or_default()).unwrap();
            assert!(matches!(event, Event::Resume | Event::Stop), "{event:?}");
            if event == Event::Stop {
                break;
            }
        }
        let none = client.run(JobDismiss { id: "none".to_owned() }).await.unwrap_err();
        assert!(none.refusal().is_some(), "{none}");
        drop((client, events));

        let mut client = blocking::Client::connect_with(&address, options()).unwrap();
        assert_eq!(client.run(QueryStatus).unwrap().status, RunState::Paused);
        client.run(Cont).unwrap();
        assert!(client.run(QueryStatus).unwrap().running);
        let none = client.run(JobDismiss { id: "none".to_owned() }).unwrap_err();
        assert!(none.refusal().is_some(), "{none}");
    }
}
