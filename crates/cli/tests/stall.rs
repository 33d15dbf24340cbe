//! The command before readers that do not read: a pipe that nobody empties, a trace that nobody
//! takes. A QEMU whose replies are left unread stops reading, and 0.14 stops its guest with it, so
//! whatever is stuck on our side, all that the machine says is read.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const GREETING: &str = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 1, \"minor\": 14, \"major\": 0}, \"package\": \"\"}, \"capabilities\": []}}\r\n";

/// Longer than any of this takes, so that a failure ends the test and noise does not.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than sockets and pipes hold between them, by far.
const POURED_BYTES: usize = 8 << 20;

/// More than a pipe holds.
const FILLING_BYTES: usize = 1 << 20;

/// The text in each event, and in a long reply.
const EVENT_BYTES: usize = 4 << 10;
const REPLY_BYTES: usize = 1 << 20;

/// A machine that one client talks to.
struct Peer {
    folder: tempfile::TempDir,
    listener: UnixListener,
}

impl Peer {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("qmp")).unwrap();
        Self { folder, listener }
    }

    /// Runs qplug on it, and meets it.
    fn start(&self, arguments: &[&str], stdout: Stdio, stderr: Stdio) -> (Qplug, Wire) {
        // Tests that run in the background ignore SIGINT, which is inherited.
        let child = Command::new("env")
            .args(["--default-signal=INT", env!("CARGO_BIN_EXE_qplug")])
            .arg("--socket")
            .arg(self.folder.path().join("qmp"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap();
        let qplug = Qplug(child);
        let stream = self.listener.accept().unwrap().0;
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut wire = Wire(BufReader::new(stream));
        wire.say(GREETING);
        wire.hear();
        wire.say("{\"return\": {}, \"id\": -1}\r\n");
        (qplug, wire)
    }
}

/// A machine's end of the conversation.
struct Wire(BufReader<UnixStream>);

impl Wire {
    /// Fails when nobody reads what was said before.
    fn say(&mut self, text: &str) {
        let stuck = "what the machine says is not read";
        self.0.get_mut().write_all(text.as_bytes()).expect(stuck);
    }

    fn hear(&mut self) {
        self.0.read_line(&mut String::new()).unwrap();
    }

    /// Waits until qplug has closed the connection.
    fn is_left(&mut self) {
        let ended = self.0.read(&mut [0]);
        let reset = ErrorKind::ConnectionReset;
        assert!(matches!(&ended, Ok(0)) || ended.is_err_and(|error| error.kind() == reset));
    }

    fn pour(&mut self) {
        let text = "x".repeat(EVENT_BYTES);
        for number in 0..POURED_BYTES / EVENT_BYTES {
            let timestamp = format!("{{\"seconds\": {number}, \"microseconds\": 0}}");
            let data = format!("{{\"x\": \"{text}\"}}");
            self.say(&format!(
                "{{\"timestamp\": {timestamp}, \"event\": \"E\", \"data\": {data}}}\r\n"
            ));
        }
    }
}

/// A qplug that runs. Dropping it ends it.
struct Qplug(Child);

impl Qplug {
    fn interrupt(&self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }

    /// Its exit code, when it ends.
    fn code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "qplug does not end");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Qplug {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A pipe that is full, and stays so while its reader is kept and does not read.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut filler = writer.try_clone().unwrap();
    thread::spawn(move || filler.write_all(&[b'\n'; FILLING_BYTES]));
    (reader, writer)
}

/// What comes out of a pipe, as it comes.
fn follow(mut pipe: impl Read + Send + 'static) -> Arc<Mutex<Vec<u8>>> {
    let text = Arc::new(Mutex::new(Vec::new()));
    let page = Arc::clone(&text);
    thread::spawn(move || {
        let mut space = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut space) {
            page.lock().unwrap().extend_from_slice(&space[..count]);
        }
    });
    text
}

fn wait_for(page: &Mutex<Vec<u8>>, part: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = String::from_utf8_lossy(&page.lock().unwrap()).into_owned();
        if text.contains(part) {
            return;
        }
        let part = &part[..part.len().min(80)];
        assert!(Instant::now() < deadline, "no {part:?} in {} bytes", text.len());
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn events_are_read_whether_or_not_they_can_be_printed() {
    for json in [&["events"][..], &["events", "--json"]] {
        let peer = Peer::new();
        let (unread, stdout) = full_pipe();
        let (stderr, says) = std::io::pipe().unwrap();
        let remarks = follow(stderr);
        let (mut qplug, mut wire) = peer.start(json, stdout.into(), says.into());
        wire.pour();
        // The reader comes back: it is told what it missed, and goes on.
        let printed = follow(unread);
        if json.len() == 1 {
            wait_for(&remarks, "events were missed");
        }
        wire.say("{\"event\": \"LATEST\", \"data\": {}}\r\n");
        wait_for(&printed, "LATEST");
        qplug.interrupt();
        assert_eq!(qplug.code(), Some(0));
    }
}

#[test]
fn an_interrupt_ends_a_command_whose_output_is_stuck() {
    let peer = Peer::new();
    let (_unread, stdout) = full_pipe();
    let (mut qplug, mut wire) = peer.start(&["events"], stdout.into(), Stdio::null());
    wire.pour();
    qplug.interrupt();
    assert_eq!(qplug.code(), Some(0));
}

#[test]
fn a_reply_that_cannot_be_printed_keeps_no_monitor_from_others() {
    let peer = Peer::new();
    let (unread, stdout) = std::io::pipe().unwrap();
    let (mut qplug, mut wire) = peer.start(&["exec", "ask"], stdout.into(), Stdio::null());
    wire.hear();
    let text = "x".repeat(REPLY_BYTES);
    wire.say(&format!("{{\"return\": \"{text}\", \"id\": 0}}\r\n"));
    wire.is_left();
    let printed = follow(unread);
    assert_eq!(qplug.code(), Some(0));
    wait_for(&printed, &text);
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let peer = Peer::new();
    let (_unread, stderr) = full_pipe();
    let (mut qplug, mut wire) = peer.start(&["-v", "exec", "ask"], Stdio::null(), stderr.into());
    wire.pour();
    wire.hear();
    wire.say("{\"return\": {}, \"id\": 0}\r\n");
    wire.is_left();
    qplug.interrupt();
    qplug.code();
}

#[test]
fn a_trace_that_nobody_reads_holds_nothing_up() {
    let peer = Peer::new();
    let fifo = peer.folder.path().join("trace");
    let _never_read = make_fifo(&fifo);
    let arguments = ["--trace", fifo.to_str().unwrap(), "exec", "ask"];
    let (stdout, prints) = std::io::pipe().unwrap();
    let printed = follow(stdout);
    let (_qplug, mut wire) = peer.start(&arguments, prints.into(), Stdio::null());
    wire.pour();
    wire.hear();
    wire.say("{\"return\": \"done\", \"id\": 0}\r\n");
    wait_for(&printed, "done");
}

/// Open for reading too, so that a writer finds a reader, who never reads.
fn make_fifo(path: &PathBuf) -> File {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}
