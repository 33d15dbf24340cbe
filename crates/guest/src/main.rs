//! PID 1 of the test guest.
//!
//! It reports block devices as they come and go on the second serial port and obeys a few commands
//! there, one line each. The kernel tells it about devices (netlink uevents), so nothing is polled.
//! The host's end of these lines is `crates/testbed/src/guest.rs`.
//!
//! | line from the guest | meaning |
//! |---|---|
//! | `ready` | booted, and listening |
//! | `+disk vda serial=data bytes=16777216 ro=0` | a disk came |
//! | `~disk vda serial=data bytes=33554432 ro=0` | a disk changed, most often in size |
//! | `-disk vda serial=data` | a disk left |
//! | `ok …`, `error …` | the answer to a command, exactly one for each |
//!
//! Nothing in here may end the process: the kernel panics when PID 1 exits.

mod agent;
mod boot;
mod command;
mod disk;
mod drive;
mod mounts;
mod port;
mod uevent;

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::system::{RebootCommand, reboot};

use command::{Disposition, Session};
use port::Port;
use uevent::Uevents;

/// How long a guest that gave up lingers, so that the serial port can send the reason.
const LAST_WORDS: Duration = Duration::from_millis(200);

fn main() {
    // The release profile aborts on a panic, so the hook is the last code that runs.
    std::panic::set_hook(Box::new(|panic| give_up(&format!("panic: {panic}"))));
    if let Err(reason) = serve() {
        give_up(&reason);
    }
}

/// Says why on the console and turns the machine off: a dead guest must not look like a slow one.
fn give_up(reason: &str) {
    println!("GUEST-FAILED {reason}");
    std::thread::sleep(LAST_WORDS);
    power(RebootCommand::PowerOff);
}

fn power(how: RebootCommand) {
    rustix::fs::sync();
    if let Err(errno) = reboot(how) {
        println!("GUEST-FAILED the kernel refused to power off or reboot: {errno}");
    }
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn serve() -> Result<(), String> {
    boot::mount_kernel_filesystems()?;
    boot::console()?;
    // Listening starts before drivers do, so a disk that is there at boot is not missed.
    let uevents = Uevents::listen()?;
    for complaint in boot::load_modules(boot::MODULES) {
        println!("guest: {complaint}");
    }
    drive::leave_trays_alone();
    // Kept, so that nothing takes the agent for a child that nobody waits for.
    let _agent = agent::start().unwrap_or_else(|complaint| {
        println!("guest: {complaint}");
        None
    });
    let mut port = Port::open("/dev/ttyS1")?;
    let mut session = Session::default();
    for line in session.rescan() {
        port.say(&line);
    }
    println!("GUEST-READY");
    port.say("ready");

    loop {
        wait(&uevents, &port)?;
        while let Some(event) = uevents.next() {
            if let Some(line) = session.heard(&event) {
                port.say(&line);
            }
        }
        while let Some(line) = port.next_line() {
            match session.obey(&line) {
                Disposition::Answer(answer) => port.say(&answer),
                Disposition::Power(answer, how) => {
                    port.say(&answer);
                    port.drain();
                    power(how);
                }
            }
        }
    }
}

fn wait(uevents: &Uevents, port: &Port) -> Result<(), String> {
    let mut waiting = [PollFd::new(uevents, PollFlags::IN), PollFd::new(port, PollFlags::IN)];
    match poll(&mut waiting, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(format!("cannot wait for the kernel and the host: {errno}")),
    }
}
