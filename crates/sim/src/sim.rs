//! The machine with its monitor: bytes and times go in and out, for one client after the other.

use std::time::{Duration, Instant};

use qplug_proto::{Event, Request, Server};

use crate::config::Config;
use crate::faults::{CommandFaults, Drop, Faults};
use crate::fdset::Descriptor;
use crate::machine::Machine;

/// How long a reply waits for the event that is to come before it.
pub const SWAP_WAIT: Duration = Duration::from_secs(1);

/// How many events may be delayed at once.
const MAX_DELAYED: usize = 1000;

/// A simulated machine with its monitor.
///
/// Callers hand in [`Sim::handle_connect`], [`Sim::handle_input`], [`Sim::handle_timeout`] and
/// [`Sim::handle_close`], and then poll [`Sim::poll_transmit`] (bytes to send),
/// [`Sim::wants_close`] and [`Sim::poll_timeout`].
#[derive(Debug)]
pub struct Sim {
    machine: Machine,
    faults: Faults,
    /// `None` while no client is connected.
    server: Option<Server>,
    output: Vec<u8>,
    wants_close: bool,
    /// A reply that comes behind the next event, and until when it waits for one.
    swapped: Option<(Instant, Vec<u8>)>,
    delayed: Vec<(Instant, Event)>,
    /// Descriptors that came, and that no command took yet.
    fds: Vec<Descriptor>,
    /// How many commands were given, the negotiation apart.
    commands: u64,
}

impl Sim {
    /// A machine that nobody is connected to.
    #[must_use]
    pub fn new(config: Config, faults: Faults, now: Instant) -> Self {
        Self {
            machine: Machine::new(config, now),
            faults,
            server: None,
            output: Vec::new(),
            wants_close: false,
            swapped: None,
            delayed: Vec::new(),
            fds: Vec::new(),
            commands: 0,
        }
    }

    /// The machine, to look at it and change it behind the client's back.
    pub fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// From now on these faults happen, in place of those before. They are counted from here.
    pub fn change_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// How many commands were given so far, the negotiation apart.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.commands
    }

    /// A client connects, and is greeted. One that was connected is gone.
    pub fn handle_connect(&mut self, now: Instant) {
        self.handle_close(now);
        let version = self.machine.version();
        self.server = Some(Server::of(version.generation(), version.greeting()));
        self.flush();
    }

    /// The client is gone: what it said and was not carried out is dropped, and events are lost.
    pub fn handle_close(&mut self, now: Instant) {
        self.machine.unblock(now);
        while self.machine.poll_event().is_some() {}
        if self.server.take().is_some() {
            self.machine.handle_disconnect();
        }
        self.output.clear();
        self.wants_close = false;
        self.swapped = None;
        self.delayed.clear();
        self.fds.clear();
    }

    /// Takes in descriptors that came beside bytes. As in QEMU, those that came before and that no
    /// command took are closed.
    pub fn handle_fds(&mut self, fds: impl IntoIterator<Item = Descriptor>) {
        let fds: Vec<_> = fds.into_iter().collect();
        if !fds.is_empty() {
            self.fds = fds;
        }
    }

    /// Takes in bytes of the client's.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        self.handle_timeout(now);
        if let Some(server) = &mut self.server {
            server.handle_input(bytes);
        }
        self.work(now);
    }

    /// The process is asked to end, as by SIGTERM: the client is told, and [`Sim::has_quit`].
    pub fn handle_signal(&mut self, now: Instant) {
        self.handle_timeout(now);
        self.machine.terminate(now);
        self.handle_timeout(now);
    }

    /// What there is to send cannot be sent, for the client does not read. Then
    /// [`Sim::handle_unblocked`], before anything else but the connection's end.
    pub fn handle_blocked(&mut self, now: Instant) {
        self.machine.block(now);
    }

    /// The client reads again.
    pub fn handle_unblocked(&mut self, now: Instant) {
        self.machine.unblock(now);
        self.handle_timeout(now);
    }

    /// Takes in that it is `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
        if let Some(server) = &mut self.server {
            server.handle_timeout(now);
        }
        self.send_events(now);
        let due = |when: Instant| when <= now;
        let (sent, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.delayed).into_iter().partition(|(when, _)| due(*when));
        self.delayed = later;
        for (_, event) in sent {
            self.send_event(&event, now);
        }
        if self.swapped.as_ref().is_some_and(|(when, _)| due(*when)) {
            self.unswap();
        }
        self.flush();
        if self.machine.has_quit && self.server.is_some() {
            self.lose_connection();
        }
    }

    /// When [`Sim::handle_timeout`] wants to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let server = self.server.as_ref().and_then(Server::poll_timeout);
        let delayed = self.delayed.iter().map(|(when, _)| *when);
        let swapped = self.swapped.iter().map(|(when, _)| *when);
        self.machine.poll_timeout().into_iter().chain(server).chain(delayed).chain(swapped).min()
    }

    /// The bytes to send now; `None` when there are none.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        (!self.output.is_empty()).then(|| std::mem::take(&mut self.output))
    }

    /// Whether the connection is to be closed, once what there is to send is sent. Then
    /// [`Sim::handle_close`].
    #[must_use]
    pub fn wants_close(&self) -> bool {
        self.wants_close
    }

    /// Whether the machine was told to quit.
    #[must_use]
    pub fn has_quit(&self) -> bool {
        self.machine.has_quit
    }

    fn work(&mut self, now: Instant) {
        // What QEMU hangs in the middle of, it never answers.
        while !self.wants_close && !self.machine.is_hung() {
            let Some(request) = self.server.as_mut().and_then(Server::poll_request) else { break };
            self.commands += 1;
            let faults = self.faults.of_command(&request.command);
            self.carry_out(request, faults, now);
        }
        self.flush();
    }

    fn carry_out(&mut self, request: Request, faults: CommandFaults, now: Instant) {
        if faults.drop == Some(Drop::Unheard) {
            return self.lose_connection();
        }
        let Request { id, command, arguments, out_of_band } = request;
        let result = match faults.fail {
            Some(error) => Err(error),
            None if out_of_band => Err(qplug_proto::ErrorReply::no_oob(&command)),
            None => {
                let arguments = arguments.as_deref();
                self.machine.execute_raw(&command, arguments, &mut self.fds, now)
            }
        };
        if self.machine.is_hung() {
            return;
        }
        if self.machine.has_died() {
            return self.lose_connection();
        }
        self.send_events(now);
        if faults.drop == Some(Drop::Unanswered) {
            return self.lose_connection();
        }
        self.flush();
        self.output.extend_from_slice(&faults.garbage);
        let Some(server) = &mut self.server else { return };
        server.reply(id, result);
        let reply = server.poll_transmit().unwrap_or_default();
        if faults.is_swapped {
            // Only one waits at a time, and none is lost.
            self.unswap();
            self.swapped = Some((now + SWAP_WAIT, reply));
        } else {
            self.output.extend_from_slice(&reply);
            if faults.is_doubled {
                self.output.extend_from_slice(&reply);
            }
        }
        // Before 7.2 a command's own events come behind its reply.
        self.machine.handle_timeout(now);
        self.send_events(now);
        if faults.drop == Some(Drop::Answered) || self.machine.has_quit {
            self.lose_connection();
        }
    }

    /// What was said before is still sent.
    fn lose_connection(&mut self) {
        self.flush();
        self.wants_close = true;
    }

    fn send_events(&mut self, now: Instant) {
        while let Some(event) = self.machine.poll_event() {
            let faults = self.faults.of_event(&event.name);
            if faults.is_lost {
                continue;
            }
            match faults.delay {
                Some(time) if self.delayed.len() < MAX_DELAYED => {
                    self.delayed.push((now + time, event));
                }
                _ => {
                    self.send_event(&event, now);
                    if faults.is_doubled {
                        self.send_event(&event, now);
                    }
                }
            }
        }
    }

    fn send_event(&mut self, event: &Event, now: Instant) {
        if self.wants_close {
            return;
        }
        if let Some(server) = &mut self.server {
            server.emit(event, now);
        }
        self.flush();
        self.unswap();
    }

    fn unswap(&mut self) {
        if let Some((_, reply)) = self.swapped.take() {
            self.output.extend_from_slice(&reply);
        }
    }

    fn flush(&mut self) {
        if let Some(bytes) = self.server.as_mut().and_then(Server::poll_transmit)
            && !self.wants_close
        {
            self.output.extend_from_slice(&bytes);
        }
    }
}
