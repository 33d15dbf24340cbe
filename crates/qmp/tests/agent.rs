//! The client of a guest agent, against one that a test plays.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use qplug_qmp::{Address, Agent, ConnectError, Error, Options};
use serde_json::Value;

/// Answers one client: the synchronization first, behind what an earlier client was owed.
fn agent(path: &Path, answers: &'static [&'static str]) -> JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(socket.try_clone().unwrap()).split(b'\n');
        let asked = lines.next().unwrap().unwrap();
        let asked = asked.strip_prefix(b"\xff").unwrap();
        let token = serde_json::from_slice::<Value>(asked).unwrap()["arguments"]["id"].clone();
        socket.write_all(b"{\"return\": 1}\n\xff").unwrap();
        socket.write_all(format!("{{\"return\": {token}}}\n").as_bytes()).unwrap();
        for answer in answers {
            let asked = lines.next().unwrap().unwrap();
            assert!(serde_json::from_slice::<Value>(&asked).unwrap().get("id").is_none());
            socket.write_all(answer.as_bytes()).unwrap();
        }
    })
}

const ANSWERS: [&str; 2] = [
    "{\"return\": {\"version\": \"7\"}}\n",
    "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\"}}\n",
];

fn options() -> Options {
    Options { connect_timeout: Duration::from_millis(300), ..Options::default() }
}

#[tokio::test]
async fn it_comes_into_step_and_asks_one_thing_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent");
    let played = agent(&path, &ANSWERS);
    let agent = Agent::connect(&Address::Unix(path), options()).await.unwrap();
    let (info, other) = tokio::join!(
        agent.query::<Value>("guest-info"),
        agent.execute("guest-get-disks", None::<&()>)
    );
    assert_eq!(info.unwrap()["version"], "7");
    assert!(matches!(other, Err(Error::Refused { .. })), "{other:?}");
    played.join().unwrap();
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent");
    let _listener = UnixListener::bind(&path).unwrap();
    let error = Agent::connect(&Address::Unix(path), options()).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoAgent { .. }), "{error}");
}
