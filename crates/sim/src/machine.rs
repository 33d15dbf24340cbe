//! The machine: its parts, the commands it knows, and what happens by itself as time goes by.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use qplug_proto::{ErrorReply, Event, Timestamp};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::clock::{GuestClock, Timers};
use crate::config::{Config, Start, Version};
use crate::device::{DeviceKey, Devices};
use crate::drives::Drives;
use crate::fdset::{Descriptor, Fdsets};
use crate::files::Files;
use crate::graph::{Graph, World};
use crate::guest::Guest;
use crate::job::Jobs;
use crate::migration::Migration;
use crate::objects::Objects;
use crate::pci::Pci;
use crate::refusal::Reply;

/// Events that nobody took. A machine whose events are not taken drops the oldest at this bound.
pub const EVENT_BACKLOG: usize = 65_536;

/// How long the guest of a machine that runs has run when the simulation begins.
const HAS_RUN: Duration = Duration::from_secs(10);

/// What happens by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The guest lets go of a device.
    LetGo(DeviceKey),
    /// The guest says no.
    Refuse(DeviceKey),
    /// The guest's driver finds a disk, and reads from it.
    Find(DeviceKey),
    /// The grace period ends for all that are leaving.
    GraceEnds,
    /// A block job ends, or becomes ready.
    Job(String),
    /// The migration ends.
    Migrated,
    /// The guest switches off.
    SwitchOff,
    /// The guest reboots.
    Reboot,
    /// An event is told that came of a command, behind the command's reply.
    Tell(&'static str),
}

/// Whether the guest's processors run, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunState {
    Prelaunch,
    Running,
    Paused,
    Postmigrate,
    /// The guest switched off, and `-no-shutdown` keeps the machine.
    Shutdown,
}

/// Whether QEMU itself goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Alive,
    /// It does nothing any more, and answers nothing.
    Hung,
    /// It ended by a mistake of its own.
    Dead,
}

/// A simulated machine, with no monitor in front of it: commands go in and replies come out, and so
/// do events. Time is whatever its caller says.
pub struct Machine {
    pub(crate) version: Version,
    pub(crate) name: Option<String>,
    pub(crate) board: crate::config::Board,
    pub(crate) guest: Guest,
    pub(crate) grace: Duration,
    pub(crate) run_state: RunState,
    pub(crate) fate: Fate,
    pub(crate) has_quit: bool,
    pub(crate) no_reboot: bool,
    pub(crate) no_shutdown: bool,
    /// It waits for its client to read.
    is_blocked: bool,
    /// Whether firmware numbered the buses.
    pub(crate) is_numbered: bool,
    pub(crate) clock: GuestClock,
    /// Until when the guest boots, by its clock.
    pub(crate) boots_until: Duration,
    pub(crate) files: Box<dyn Files>,
    pub(crate) graph: Graph,
    pub(crate) pci: Pci,
    pub(crate) devices: Devices,
    pub(crate) drives: Drives,
    /// The ids of network backends.
    pub(crate) netdevs: Vec<String>,
    pub(crate) objects: Objects,
    pub(crate) fdsets: Fdsets,
    pub(crate) jobs: Jobs,
    pub(crate) exports: crate::export::Exports,
    pub(crate) migration: Migration,
    pub(crate) timers: Timers<Timer>,
    pub(crate) leaving: Vec<DeviceKey>,
    /// Drives that QEMU never lets go of.
    pub(crate) leaked: Vec<crate::graph::UserId>,
    events: VecDeque<Event>,
    started: Instant,
    epoch: Duration,
}

impl Machine {
    /// Starts the machine that is described.
    #[must_use]
    pub fn new(mut config: Config, now: Instant) -> Self {
        let run_state = match config.start {
            Start::Running => RunState::Running,
            Start::Paused => RunState::Paused,
            Start::Prelaunch => RunState::Prelaunch,
        };
        let has_run = match run_state {
            RunState::Prelaunch => Duration::ZERO,
            _ => HAS_RUN,
        };
        let boots_until = match config.guest {
            Guest::Booting(time) => has_run + time,
            _ => Duration::ZERO,
        };
        let mut machine = Self {
            version: config.version,
            name: config.name.take(),
            board: config.board,
            guest: config.guest,
            grace: config.grace,
            run_state,
            fate: Fate::Alive,
            has_quit: false,
            no_reboot: config.no_reboot,
            no_shutdown: config.no_shutdown,
            is_blocked: false,
            is_numbered: config.start != Start::Prelaunch,
            clock: GuestClock::new(has_run, (run_state == RunState::Running).then_some(now)),
            boots_until,
            files: config.take_files(),
            graph: Graph::new(config.version),
            pci: Pci::new(config.version),
            devices: Devices::default(),
            drives: Drives::default(),
            netdevs: Vec::new(),
            objects: Objects::default(),
            fdsets: Fdsets::new(config.version),
            jobs: Jobs::default(),
            exports: crate::export::Exports::default(),
            migration: Migration::new(config.is_migrating),
            timers: Timers::new(),
            leaving: Vec::new(),
            leaked: Vec::new(),
            events: VecDeque::new(),
            started: now,
            epoch: config.epoch,
        };
        machine.build(&config);
        machine.begin_life(has_run);
        machine
    }

    /// The version that it imitates.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Carries out a command. `fds` are the descriptors that came with it: those that it takes are
    /// gone from the list.
    ///
    /// # Errors
    /// What QEMU refuses, in its words.
    pub fn execute(
        &mut self,
        command: &str,
        arguments: Option<&Value>,
        fds: &mut Vec<Descriptor>,
        now: Instant,
    ) -> Reply {
        self.handle_timeout(now);
        let members = match arguments {
            Some(Value::Object(members)) => members.clone(),
            _ => Map::new(),
        };
        self.dispatch(command, members, fds, now)
    }

    /// [`Machine::execute`] on JSON text, as a monitor has it.
    ///
    /// # Errors
    /// What QEMU refuses, in its words.
    pub fn execute_raw(
        &mut self,
        command: &str,
        arguments: Option<&RawValue>,
        fds: &mut Vec<Descriptor>,
        now: Instant,
    ) -> Result<Box<RawValue>, ErrorReply> {
        let arguments: Option<Value> =
            arguments.and_then(|text| serde_json::from_str(text.get()).ok());
        let returned = self.execute(command, arguments.as_ref(), fds, now)?;
        to_raw_value(&returned).map_err(|error| crate::refusal::generic(error.to_string()))
    }

    /// When [`Machine::handle_timeout`] wants to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_blocked {
            return None;
        }
        self.timers.next_due(&self.clock)
    }

    /// Takes in that it is `now`, and lets happen what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_blocked || self.fate != Fate::Alive {
            return;
        }
        while let Some((due, timer)) = self.timers.take_due(&self.clock, now) {
            match timer {
                Timer::LetGo(device) => self.let_go(device, due),
                Timer::Refuse(device) => self.refuse(device, due),
                Timer::Find(device) => self.find_disk(device),
                Timer::GraceEnds => self.end_grace(due),
                Timer::Job(id) => self.advance_job(&id, due),
                Timer::Migrated => self.end_migration(due),
                Timer::SwitchOff => self.switch_off(due),
                Timer::Reboot => self.reboot(due),
                Timer::Tell(event) => self.emit(event, None, due),
            }
        }
    }

    /// What the guest reads as a disk's serial: of its device, or of its drive.
    #[must_use]
    pub fn serial(&self, device: &str) -> Option<&str> {
        let (key, device) = self.devices.by_id(device)?;
        device.text("serial").or_else(|| self.drives.of(key)?.serial.as_deref())
    }

    /// Whether QEMU hangs: it answers nothing any more, and nothing happens.
    #[must_use]
    pub fn is_hung(&self) -> bool {
        self.fate == Fate::Hung
    }

    /// Whether QEMU ended by a mistake of its own, in the middle of a command.
    #[must_use]
    pub fn has_died(&self) -> bool {
        self.fate == Fate::Dead
    }

    /// From now on the machine has this guest. What the one before was about to do happens still.
    /// [`Guest::Paused`] does not stop the machine.
    pub fn change_guest(&mut self, guest: Guest) {
        self.guest = guest;
    }

    /// The guest lets go of this device by itself, as when a person there ejects it.
    pub fn pull_out(&mut self, id: &str, now: Instant) {
        self.handle_timeout(now);
        if let Some((key, _)) = self.devices.find(id) {
            self.let_go(key, now);
        }
    }

    /// The next event, the oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// A reply cannot be sent, for nobody reads. QEMU 0.14 waits until it can, and its guest with it
    /// (recorded: not one tick of a clock while 139 replies were unread); later ones go on.
    pub(crate) fn block(&mut self, now: Instant) {
        self.handle_timeout(now);
        if self.version < Version::V1_2 {
            self.is_blocked = true;
            self.clock.stop(now);
        }
    }

    /// The reply was read.
    pub(crate) fn unblock(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_blocked) && self.is_running() {
            self.clock.run(now);
        }
        self.handle_timeout(now);
    }

    /// The last client left: descriptors that no node uses are closed.
    pub fn handle_disconnect(&mut self) {
        let (graph, is_running) = (&self.graph, self.is_running());
        self.fdsets.lose_clients(|set| graph.uses_fdset(set), is_running);
    }

    /// The host's time.
    pub(crate) fn since_1970(&self, now: Instant) -> Duration {
        self.epoch + now.saturating_duration_since(self.started)
    }

    /// Tells of an event, where the version has it.
    pub(crate) fn emit(&mut self, name: &str, data: Option<Value>, now: Instant) {
        if !self.version.has_event(name) {
            return;
        }
        let since = self.since_1970(now);
        let timestamp = Timestamp {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            microseconds: i64::from(since.subsec_micros()),
        };
        // A value that was made here can be written.
        let data = data.and_then(|data| to_raw_value(&data).ok());
        if self.events.len() == EVENT_BACKLOG {
            self.events.pop_front();
        }
        self.events.push_back(Event { name: name.to_owned(), data, timestamp: Some(timestamp) });
    }

    /// The graph, and what opening an image looks at.
    pub(crate) fn graph_and_world(&mut self) -> (&mut Graph, World<'_>) {
        let Self { graph, files, fdsets, objects, .. } = self;
        (graph, World { files: &**files, fdsets, objects })
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn is_running(&self) -> bool {
        self.run_state == RunState::Running
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("version", &self.version)
            .field("board", &self.board)
            .field("guest", &self.guest)
            .field("run_state", &self.run_state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Version;

    /// How many events come of a guest that does something after a second, whose machine's client
    /// did not read for ten: at once when it reads again, and a second later.
    fn heard_after_a_stall(version: Version) -> (usize, usize) {
        let start = Instant::now();
        let mut machine = Machine::new(Config::pc().version(version), start);
        let shown = machine.clock.at(start) + Duration::from_secs(1);
        machine.timers.at_guest(shown, Timer::Tell("STOP"));
        machine.block(start);
        let read = start + Duration::from_secs(10);
        machine.handle_timeout(read);
        machine.unblock(read);
        let at_once = std::iter::from_fn(|| machine.poll_event()).count();
        machine.handle_timeout(read + Duration::from_secs(1));
        (at_once, std::iter::from_fn(|| machine.poll_event()).count())
    }

    #[test]
    fn a_client_that_does_not_read_freezes_the_guest_of_0_14() {
        assert_eq!(heard_after_a_stall(Version::V0_14), (0, 1));
        assert_eq!(heard_after_a_stall(Version::V1_2), (1, 0));
    }
}
