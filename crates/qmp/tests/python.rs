//! The Python client that QEMU's developers keep, and its shell, against our server.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use qplug_proto::{ErrorReply, Event, Greeting, QemuVersion};
use qplug_qmp::Address;
use qplug_qmp::server::{Call, Listener, Options, Reply, Server, returning};
use qplug_testbed::{python, qemu};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// Longer than Python takes to start and talk, so that a failure ends the test and noise does not.
const PATIENCE: Duration = Duration::from_secs(60);

/// Negotiates, asks, is refused, hears events, passes a descriptor, comes again.
const TALK: &str = r#"
import asyncio, os, sys
from qemu.qmp import QMPClient, ExecuteError

async def talk(path):
    qmp = QMPClient('test')
    await qmp.connect(path)
    assert qmp.greeting.QMP.version['qemu']['major'] == 10, qmp.greeting
    assert 'oob' in qmp.greeting.QMP.capabilities
    assert await qmp.execute('echo', {'text': 'a\u20ac\U0001f600"\\'}) == {'text': 'a\u20ac\U0001f600"\\'}
    try:
        await qmp.execute('nonsense')
        raise AssertionError('not refused')
    except ExecuteError as error:
        assert error.error_class == 'CommandNotFound', error
        assert 'nonsense' in str(error), error
    many = [qmp.execute('echo', {'n': n}) for n in range(100)]
    assert [reply['n'] for reply in await asyncio.gather(*many)] == list(range(100))
    with qmp.listener('ANNOUNCED') as listener:
        await qmp.execute('announce', {'number': 7})
        event = await listener.get()
        assert event['data'] == {'number': 7} and event['timestamp']['seconds'] > 0, event
    reader, writer = os.pipe()
    os.write(writer, b'passed'); os.close(writer)
    qmp.send_fd_scm(reader)
    assert await qmp.execute('getfd') == ['passed']
    await qmp.disconnect()

async def both():
    await talk(sys.argv[1])
    await talk(sys.argv[1])
    print('talked')

asyncio.run(asyncio.wait_for(both(), 50))
"#;

/// What is typed into the shell.
const TYPED: &str = "echo text=hello number=3 flag=true\nnonsense\nquery-commands\n";

async fn carry_out(server: Server, call: Call) -> Reply {
    match call.command.as_str() {
        "echo" => returning(&call.decode::<serde_json::Value>()?),
        "query-commands" => returning(&json!([{"name": "echo"}, {"name": "query-commands"}])),
        "announce" => {
            let data = call.arguments.clone();
            server.emit(Event { name: "ANNOUNCED".to_owned(), data, timestamp: None });
            Ok(RawValue::from_string("{}".to_owned()).unwrap())
        }
        "getfd" => {
            let texts = call.take_fds().into_iter().map(|fd| {
                let mut text = String::new();
                std::fs::File::from(fd).read_to_string(&mut text).map(|_| text)
            });
            returning(&texts.collect::<Result<Vec<_>, _>>().unwrap())
        }
        other => Err(ErrorReply::not_found(other)),
    }
}

async fn serve(path: &Path) {
    let version = QemuVersion { major: 10, minor: 0, micro: 2 };
    let capabilities = vec!["oob".to_owned()];
    let greeting = Greeting { version, package: "qplug".to_owned(), capabilities };
    let server = Server::new(Options::new(greeting));
    let listener = Listener::bind(&Address::Unix(path.to_owned())).await.unwrap();
    let running = server.clone();
    let handler = move |call| carry_out(server.clone(), call);
    tokio::spawn(async move { running.serve(listener, handler).await });
}

/// The Python to use, or word that there is none.
fn python(test: &str) -> Option<PathBuf> {
    let program = python::program().unwrap();
    if program.is_none() {
        qemu::skip(test, "the Python client is not set up; run: cargo xtask setup");
    }
    program
}

/// Runs Python with these words and this input. Its history file goes into the folder.
async fn run(python: &Path, folder: &Path, words: &[&str], input: &str) -> Output {
    let mut child = Command::new(python)
        .args(words)
        .env("HOME", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn the_python_client_converses_with_our_server() {
    let Some(python) = python("the Python client") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp");
    serve(&path).await;
    let output = run(&python, folder.path(), &["-c", TALK, &path.display().to_string()], "").await;
    assert_eq!(text(&output.stdout), "talked\n", "{}", text(&output.stderr));
}

#[tokio::test]
async fn the_python_shell_converses_with_our_server() {
    let Some(python) = python("the Python shell") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp");
    serve(&path).await;
    let words = ["-m", "qemu.qmp.qmp_shell", &path.display().to_string()];
    let output = run(&python, folder.path(), &words, TYPED).await;
    let (said, complaints) = (text(&output.stdout), text(&output.stderr));
    for expected in [
        "Connected to QEMU 10.0.2",
        r#"{"return": {"text": "hello", "number": 3, "flag": true}}"#,
        r#"{"error": {"class": "CommandNotFound", "desc": "The command nonsense has not been found"}}"#,
        r#"{"return": [{"name": "echo"}, {"name": "query-commands"}]}"#,
    ] {
        assert!(said.contains(expected), "no {expected} in\n{said}\n{complaints}");
    }
    assert!(output.status.success(), "{said}\n{complaints}");
}
