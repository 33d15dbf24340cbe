//! The start, and the conversations with hosts, one in each lane.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use qplug_agent::meeting::{Door, Heard, Token};
use qplug_agent::wire::{
    CONTROL_PORT, Command as _, FILES_PORT, LANES, PACKAGE, Shutdown, port_of_lane,
};
use qplug_proto::{ErrorReply, Event, Greeting, QemuVersion, Request, RequestId, Server};
use rustix::event::{EventfdFlags, eventfd};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::command::{Agent, is_quick};
use crate::disks::Disks;
use crate::jobs::Jobs;
use crate::lanes::Lanes;
use crate::port::{Changes, Port, Said};
use crate::refusal::Result;
use crate::uevent::Uevents;
use crate::{boot, clock, modules, power};

/// How many messages may wait for the conversation; who has more waits.
const MAX_WAITING: usize = 1024;

/// How long the machine lingers for the reply to `shutdown` to leave it.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How much is read at a time.
const READ_BYTES: usize = 4096;

/// For the conversation, from other threads.
#[derive(Debug)]
enum Message {
    Event(Event),
    Finished { conversation: u64, id: RequestId, result: Result<Box<RawValue>>, is_last: bool },
}

/// Tells a conversation something.
#[derive(Debug, Clone)]
struct Bell {
    messages: SyncSender<Message>,
    wake: Arc<OwnedFd>,
}

impl Bell {
    fn new() -> Result<(Self, Receiver<Message>), String> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| format!("cannot make an event descriptor: {errno}"))?;
        let (messages, receiver) = sync_channel(MAX_WAITING);
        Ok((Self { messages, wake: Arc::new(wake) }, receiver))
    }

    fn ring(&self, message: Message) {
        // Both fail only when the conversation is over, and the machine with it.
        let _ = self.messages.send(message);
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }
}

/// Tells all conversations something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bells {
    bells: Vec<Bell>,
}

impl Bells {
    /// Tells all hosts of an event.
    pub(crate) fn tell(&self, name: &str, data: &impl Serialize) {
        let data = to_raw_value(data).ok();
        let timestamp = Some(clock::timestamp());
        for bell in &self.bells {
            let data = data.clone();
            bell.ring(Message::Event(Event { name: name.to_owned(), data, timestamp }));
        }
    }
}

/// The ports of a lane, and what wakes its conversation.
struct Talk {
    control: Port,
    lanes: Lanes,
    bell: Bell,
    messages: Receiver<Message>,
}

impl Talk {
    fn open(lane: usize, uevents: &Uevents) -> Result<Self, String> {
        let control = Port::open(&port_of_lane(CONTROL_PORT, lane), uevents)?;
        let lanes = Lanes::start(Port::open(&port_of_lane(FILES_PORT, lane), uevents)?)?;
        let (bell, messages) = Bell::new()?;
        Ok(Self { control, lanes, bell, messages })
    }

    /// Talks for ever, in a thread of its own; why it cannot go on is told.
    fn begin(self, agent: Agent, jobs: Jobs, ended: Sender<String>) -> Result<(), String> {
        let work = move || {
            let conversation = Conversation::new(self.control, agent, jobs, self.bell);
            let held = || conversation.hold(&self.messages);
            let reason = match catch_unwind(AssertUnwindSafe(held)) {
                Ok(Err(reason)) => reason,
                Ok(Ok(never)) => match never {},
                Err(_) => "the agent panicked".to_owned(),
            };
            // Fails only when another one has ended the machine.
            let _ = ended.send(reason);
        };
        thread::Builder::new()
            .name("talk".to_owned())
            .spawn(work)
            .map(drop)
            .map_err(|error| format!("no thread can be begun to talk: {error}"))
    }
}

/// Brings the machine up and serves its hosts. Returns only why it cannot go on.
pub(crate) fn run() -> Result<Infallible, String> {
    let mut complaints = boot::file_systems()?;
    boot::console()?;
    // Listening starts before drivers do, so that nothing is missed.
    let uevents = Uevents::listen()?;
    complaints.extend(modules::load_first());
    complaints.extend(modules::offer());
    for complaint in &complaints {
        println!("agent: {complaint}");
    }
    let talks: Result<Vec<_>, _> = (0..LANES).map(|lane| Talk::open(lane, &uevents)).collect();
    let talks = talks?;
    let bells = Bells { bells: talks.iter().map(|talk| talk.bell.clone()).collect() };
    let disks = Disks::default();
    follow(&disks, uevents, bells)?;
    println!("AGENT-READY");
    let jobs = Jobs::default();
    let (tell, ended) = channel();
    for talk in talks {
        let lanes = talk.lanes.clone();
        let agent = Agent { disks: disks.clone(), lanes, complaints: complaints.clone() };
        talk.begin(agent, jobs.clone(), tell.clone())?;
    }
    Err(ended.recv().unwrap_or_else(|_| "nobody talks any more".to_owned()))
}

/// Begins to follow the disks, and returns when those that are there already are known.
fn follow(disks: &Disks, uevents: Uevents, bells: Bells) -> Result<(), String> {
    let (ready, wait) = channel();
    let disks = disks.clone();
    let work = move || {
        disks.follow(&uevents, &bells, move || {
            let _ = ready.send(());
        })
    };
    thread::Builder::new()
        .name("disks".to_owned())
        .spawn(work)
        .map_err(|error| format!("no thread can be begun for the disks: {error}"))?;
    wait.recv().map_err(|_| "the disks cannot be looked at".to_owned())
}

struct Conversation {
    port: Port,
    agent: Agent,
    jobs: Jobs,
    bell: Bell,
    door: Door,
    /// `None` while no host is there.
    server: Option<Server>,
    /// Counts the hosts: the answer to one that has left is no other's.
    number: u64,
    unsent: Vec<u8>,
}

impl Conversation {
    fn new(port: Port, agent: Agent, jobs: Jobs, bell: Bell) -> Self {
        Self {
            port,
            agent,
            jobs,
            bell,
            door: Door::default(),
            server: None,
            number: 0,
            unsent: Vec::new(),
        }
    }

    fn hold(mut self, messages: &Receiver<Message>) -> Result<Infallible, String> {
        let wake = self.bell.wake.clone();
        let changes = Changes::of(&self.port, Some(wake.as_fd()))?;
        loop {
            self.listen();
            let was_full = !self.has_room();
            while let Ok(message) = messages.try_recv() {
                self.hear(message, &changes);
            }
            if let Some(server) = &mut self.server {
                server.handle_timeout(Instant::now());
            }
            self.carry_out();
            self.send()?;
            // Bytes that were left for want of room make no edge when there is room again.
            if was_full && self.has_room() {
                continue;
            }
            let due = self.server.as_ref().and_then(Server::poll_timeout);
            let within = due.map(|due| due.saturating_duration_since(Instant::now()));
            changes.wait(within)?;
            // Emptied before the messages are looked at, so that none is slept over.
            let _ = rustix::io::read(&*wake, &mut [0; 8]);
        }
    }

    /// Reads what the host says, as long as it may say more.
    fn listen(&mut self) {
        let mut buffer = [0; READ_BYTES];
        while self.has_room() {
            match self.port.read(&mut buffer) {
                // Not to be believed: the kernel hands on what the next host says before it knows that
                // there is one. So it is a hello that ends a conversation, and nothing else.
                Said::HostIsGone => return,
                Said::Nothing => {
                    // Somebody is there, and has not been greeted.
                    if self.server.is_none() {
                        self.greet(None);
                    }
                    return;
                }
                Said::Bytes(count) => {
                    for heard in self.door.take(&buffer[..count]) {
                        match heard {
                            Heard::Hello(token) => self.greet(Some(token)),
                            Heard::Bytes(bytes) => self.server().handle_input(&bytes),
                        }
                    }
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        self.server.as_ref().is_none_or(Server::wants_input)
    }

    fn server(&mut self) -> &mut Server {
        if self.server.is_none() {
            self.greet(None);
        }
        self.server.get_or_insert_with(new_server)
    }

    /// Begins anew with a host, behind its mark where it said one.
    fn greet(&mut self, token: Option<Token>) {
        self.number += 1;
        self.unsent.clear();
        self.unsent.extend(token.iter().flat_map(Token::mark));
        self.server = Some(new_server());
    }

    fn hear(&mut self, message: Message, changes: &Changes) {
        match message {
            Message::Event(event) => {
                if let Some(server) = &mut self.server {
                    server.emit(&event, Instant::now());
                }
            }
            Message::Finished { conversation, id, result, is_last } => {
                if let (true, Some(server)) = (conversation == self.number, &mut self.server) {
                    server.reply(id, result);
                }
                if is_last {
                    let _ = self.send();
                    let _ = self.port.write_within(&self.unsent, changes, LAST_WORDS);
                    thread::sleep(LAST_WORDS);
                    power::off();
                }
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(server) = &mut self.server
            && let Some(request) = server.poll_request()
        {
            if is_quick(&request.command) {
                let result = self.agent.carry_out(&request.command, request.arguments.as_deref());
                server.reply(request.id, result);
            } else {
                let id = request.id;
                if let Err(refusal) = self.begin(request)
                    && let Some(server) = &mut self.server
                {
                    server.reply(id, Err(refusal));
                }
            }
        }
    }

    fn begin(&self, request: Request) -> Result<(), ErrorReply> {
        let Request { id, command, arguments, .. } = request;
        let (agent, bell, conversation) = (self.agent.clone(), self.bell.clone(), self.number);
        let is_last = command == Shutdown::NAME;
        let work = move || agent.carry_out(&command, arguments.as_deref());
        let done = move |result: Result<Box<RawValue>>| {
            let is_last = is_last && result.is_ok();
            bell.ring(Message::Finished { conversation, id, result, is_last });
        };
        self.jobs.start(work, done)
    }

    /// Sends as much as there is room for.
    fn send(&mut self) -> Result<(), String> {
        loop {
            if let Some(more) = self.server.as_mut().and_then(Server::poll_transmit) {
                self.unsent.extend(more);
            }
            if self.unsent.is_empty() {
                return Ok(());
            }
            match self.port.write(&self.unsent) {
                Ok(0) => break,
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(errno) => return Err(format!("cannot write to the control port: {errno}")),
            }
        }
        if self.server.as_ref().is_some_and(Server::is_overrun) {
            self.server = None;
            self.unsent.clear();
        }
        Ok(())
    }
}

fn new_server() -> Server {
    let number = |text: &str| text.parse().unwrap_or(0);
    Server::new(Greeting {
        version: QemuVersion {
            major: number(env!("CARGO_PKG_VERSION_MAJOR")),
            minor: number(env!("CARGO_PKG_VERSION_MINOR")),
            micro: number(env!("CARGO_PKG_VERSION_PATCH")),
        },
        package: PACKAGE.to_owned(),
        capabilities: vec!["oob".to_owned()],
    })
}
