//! No QEMU outlives its test, however the test ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use qplug_testbed::{Board, Machine, Qemu};

const GONE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Tells the child of [`a_killed_test_takes_its_qemu_along`] that it is one.
const CHILD: &str = "QPLUG_LEASH_CHILD";

fn wait_gone(pid: &str) {
    let deadline = Instant::now() + GONE_WITHIN;
    while is_alive(pid) {
        assert!(Instant::now() < deadline, "QEMU {pid} lives on");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A process that nobody has collected yet still has an entry, but no memory.
fn is_alive(pid: &str) -> bool {
    let status = Path::new("/proc").join(pid).join("status");
    std::fs::read_to_string(status).is_ok_and(|text| text.contains("VmRSS"))
}

#[test]
fn a_killed_test_takes_its_qemu_along() {
    if std::env::var_os(CHILD).is_some() {
        return be_the_child();
    }
    if Qemu::under_test("leash").is_empty() {
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_test_takes_its_qemu_along", "--nocapture"])
        .env(CHILD, "yes")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    // The folder is left behind, as nobody is there to remove it; so is that of a real crash.
    let (pid, folder) = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| {
            let (pid, folder) = line.split_once("machine ")?.1.split_once(' ')?;
            Some((pid.to_owned(), PathBuf::from(folder)))
        })
        .expect("the child says what it started");
    assert!(is_alive(&pid));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_gone(&pid);
    std::fs::remove_dir_all(folder).unwrap();
}

fn be_the_child() {
    let qemus = Qemu::under_test("leash");
    let machine = Machine::builder(&qemus[0], Board::Pc)
        .halted()
        .expect("a halted machine needs nothing but QEMU");
    println!("machine {} {}", machine.pid(), machine.folder().display());
    std::thread::sleep(GONE_WITHIN * 6);
}

#[test]
fn a_panicking_test_cleans_up() {
    for qemu in Qemu::under_test("clean-up") {
        let (send, receive) = std::sync::mpsc::channel();
        let outcome = std::thread::spawn(move || {
            let machine = Machine::builder(&qemu, Board::Pc).halted().unwrap();
            let found = (machine.pid().to_string(), machine.folder().to_owned());
            send.send(found).unwrap();
            panic!("as a failing test does");
        });
        assert!(outcome.join().is_err());
        let (pid, folder) = receive.recv().unwrap();
        wait_gone(&pid);
        assert!(!folder.exists());
    }
}

#[test]
fn a_machine_may_outlive_the_thread_that_made_it() {
    for qemu in Qemu::under_test("threads") {
        let made = std::thread::spawn(move || Machine::builder(&qemu, Board::Pc).halted());
        let mut machine = made.join().unwrap().unwrap();
        std::thread::sleep(LOOK_EVERY * 10);
        machine.oracle.demand("query-status", serde_json::json!({})).unwrap();
    }
}
