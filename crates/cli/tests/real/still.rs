//! Guests that hold still for a snapshot are thawed, whatever happens.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use qplug_testbed::agent::Agent;
use qplug_testbed::image::Image;
use qplug_testbed::proxy::{Moment, Proxy, Then};
use qplug_testbed::{Board, Machine};
use serde_json::json;

use crate::agent::on_machines_with_agents;
use crate::run::{GUEST_WITHIN, Running, path, qplug, start};
use crate::snapshot::{needs_recovery, with_ext4};

/// The freeze among what qplug asks an agent: behind the synchronization and the status.
const FREEZE: usize = 3;

/// The transaction among QEMU's commands: behind the negotiation and two queries.
const TRANSACTION: usize = 4;

/// How long a test lets a conversation stand.
const STANDS_FOR: Duration = Duration::from_secs(30);

/// A guest with a mounted disk, and both its sockets behind proxies.
struct Scene<'a> {
    machine: &'a mut Machine,
    data: &'a Image,
    agent: Proxy,
    /// What leads to the agent's proxy.
    link: PathBuf,
    qmp: Proxy,
}

impl<'a> Scene<'a> {
    fn new(machine: &'a mut Machine, data: &'a Image, number: usize) -> Self {
        let proxy = |name: &str, to: PathBuf| {
            Proxy::start(&machine.folder().join(format!("{name}{number}")), &to).unwrap()
        };
        let agent = proxy("agent", machine.agent_path());
        let qmp = proxy("qmp", machine.qmp_path());
        let link = machine.folder().join(format!("link{number}"));
        symlink(agent.path(), &link).unwrap();
        Self { machine, data, agent, link, qmp }
    }

    fn snapshot(&self, tag: &str, more: &[&str]) -> Running {
        let agent = self.link.to_str().unwrap();
        start(self.qmp.path(), &[&["snapshot", tag, "--agent", agent], more].concat())
    }

    fn is_taken(&self, tag: &str) -> bool {
        let listed = qplug(self.machine.qmp_path(), &["snapshot", "--list", tag, "--json"]);
        !listed.exits(0).json()["snapshots"].as_array().unwrap().is_empty()
    }

    fn status(&self) -> String {
        let mut agent = Agent::connect(&self.machine.agent_path()).unwrap();
        let status = agent.execute("guest-fsfreeze-status", &json!({})).unwrap();
        status.as_str().unwrap().to_owned()
    }
}

/// Waits until more was said to the agent than so many commands.
fn goes_on(agent: &Proxy, commands: usize) {
    let deadline = Instant::now() + STANDS_FOR;
    while agent.commands() <= commands {
        assert!(Instant::now() < deadline, "nobody came back to thaw");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Holds a conversation up at a moment: when it is there, and what lets it go on.
fn held(proxy: &Proxy, moment: Moment, then: Then) -> (Receiver<()>, Sender<()>) {
    let ((there, is_there), (go, goes)) = (channel(), channel());
    proxy.at(moment, move || {
        there.send(()).unwrap();
        let _ = goes.recv_timeout(STANDS_FOR);
        then
    });
    (is_there, go)
}

#[test]
fn a_guest_is_thawed_whatever_becomes_of_the_snapshot() {
    on_machines_with_agents(
        "thaws",
        &[Board::Q35],
        |it| it,
        |machine| {
            let data = with_ext4(machine.folder(), "data");
            qplug(machine.qmp_path(), &["attach", path(&data), "--wait", "guest"]).exits(0);
            machine.guest.wait_added("data", GUEST_WITHIN).unwrap();
            machine.guest.mount("data", "ext4").unwrap();
            let stories: [fn(&mut Scene<'_>); 7] = [
                lost,
                late,
                ended_in_the_freeze,
                ended_in_the_snapshot,
                ended_in_a_shell,
                refused,
                left_frozen,
            ];
            for (number, story) in stories.into_iter().enumerate() {
                let mut scene = Scene::new(machine, &data, number);
                story(&mut scene);
                assert_eq!(scene.status(), "thawed", "story {number}");
                assert!(needs_recovery(&data), "story {number}");
            }
            machine.guest.unmount("data").unwrap();
        },
    );
}

/// The agent's connection breaks behind the freeze, before its answer.
fn lost(scene: &mut Scene<'_>) {
    scene.agent.at(Moment::Executed(FREEZE), || Then::Cut);
    scene.snapshot("lost", &[]).finish().exits(3).says("were not frozen");
    assert!(!scene.is_taken("lost"));
}

/// The answer to the freeze does not come.
fn late(scene: &mut Scene<'_>) {
    let (is_there, go) = held(&scene.agent, Moment::Forwarded(FREEZE), Then::GoOn);
    let running = scene.snapshot("late", &["--timeout", "0.3"]);
    is_there.recv_timeout(STANDS_FOR).unwrap();
    // It gives up, and comes back with another connection.
    goes_on(&scene.agent, FREEZE);
    go.send(()).unwrap();
    running.finish().exits(3).says("no answer within 0.3 s");
    assert!(!scene.is_taken("late"));
}

fn ended_in_the_freeze(scene: &mut Scene<'_>) {
    for (signal, tag) in [("-INT", "interrupted"), ("-TERM", "ended")] {
        let number = scene.agent.commands() + FREEZE;
        let (is_there, go) = held(&scene.agent, Moment::Forwarded(number), Then::GoOn);
        let running = scene.snapshot(tag, &[]);
        is_there.recv_timeout(STANDS_FOR).unwrap();
        running.signal(signal);
        goes_on(&scene.agent, number);
        go.send(()).unwrap();
        running.finish().exits(130).says("no snapshot was taken");
        assert!(!scene.is_taken(tag));
        assert_eq!(scene.status(), "thawed");
    }
}

fn ended_in_the_snapshot(scene: &mut Scene<'_>) {
    let (is_there, go) = held(&scene.qmp, Moment::Executed(TRANSACTION), Then::GoOn);
    let running = scene.snapshot("ended", &[]);
    is_there.recv_timeout(STANDS_FOR).unwrap();
    assert!(!needs_recovery(scene.data));
    running.interrupt();
    running.finish().exits(130).says("may be taken or not");
    go.send(()).unwrap();
    assert!(scene.is_taken("ended"));
}

/// The shell ends, and the command that it runs is left alone with the guest.
fn ended_in_a_shell(scene: &mut Scene<'_>) {
    let script = scene.machine.folder().join("script");
    let line = format!("snapshot shell --agent {}\n", scene.link.display());
    std::fs::write(&script, line).unwrap();
    let (is_there, go) = held(&scene.agent, Moment::Forwarded(FREEZE), Then::GoOn);
    let running = start(scene.qmp.path(), &["shell", "-x", script.to_str().unwrap()]);
    is_there.recv_timeout(STANDS_FOR).unwrap();
    running.signal("-TERM");
    goes_on(&scene.agent, FREEZE);
    go.send(()).unwrap();
    running.finish().exits(130);
    assert!(!scene.is_taken("shell"));
}

/// QEMU refuses: another client takes the name meanwhile.
fn refused(scene: &mut Scene<'_>) {
    let (is_there, go) = held(&scene.agent, Moment::Executed(FREEZE), Then::GoOn);
    let running = scene.snapshot("twice", &[]);
    is_there.recv_timeout(STANDS_FOR).unwrap();
    let taken = json!({"device": "data.format", "name": "twice"});
    scene.machine.oracle.demand("blockdev-snapshot-internal-sync", taken).unwrap();
    go.send(()).unwrap();
    running.finish().exits(4).says("already exists");
}

/// The socket is gone: what can be done is said.
fn left_frozen(scene: &mut Scene<'_>) {
    let link = scene.link.clone();
    scene.agent.at(Moment::Executed(FREEZE), move || {
        std::fs::remove_file(link).unwrap();
        Then::Cut
    });
    let ran = scene.snapshot("left", &[]).finish().exits(7);
    ran.says("may still be frozen").says("qplug thaw");
    assert_eq!(scene.status(), "frozen");
    let agent = scene.machine.agent_path();
    let words = ["thaw", "--agent", agent.to_str().unwrap()];
    qplug(scene.machine.qmp_path(), &words).exits(0).says("thawed: 1 file system\n");
}
