//! The end of the machine.

use std::thread;
use std::time::Duration;

use rustix::system::{RebootCommand, reboot};

use crate::mounts;

/// How long a machine that gave up lingers, so that the console can show the reason.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How long unmounting may take before the machine is turned off regardless.
const UNMOUNT_WITHIN: Duration = Duration::from_secs(10);

/// Says why on the console and turns the machine off: a dead appliance must not look like a slow one.
pub(crate) fn give_up(reason: &str) -> ! {
    println!("AGENT-FAILED {reason}");
    thread::sleep(LAST_WORDS);
    off()
}

/// Unmounts what can be unmounted in time.
pub(crate) fn settle() {
    let (done, wait) = std::sync::mpsc::channel();
    let unmounting = thread::Builder::new().spawn(move || {
        // What is in use stays; its contents are written out below.
        let _ = mounts::unmount_all(true);
        rustix::fs::sync();
        let _ = done.send(());
    });
    if unmounting.is_ok() {
        let _ = wait.recv_timeout(UNMOUNT_WITHIN);
    }
}

/// Turns the machine off.
pub(crate) fn off() -> ! {
    if let Err(errno) = reboot(RebootCommand::PowerOff) {
        println!("AGENT-FAILED the kernel refused to power off: {errno}");
    }
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}
